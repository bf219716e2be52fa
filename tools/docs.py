"""``./do docs``: check every link of the documentation and build it into ``build/docs``.

``./do docs --check`` only checks that relative links, their anchors and images exist.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

from tools.common import ROOT, Finding, info, relative, report

BUILD = ROOT / "build" / "docs"
ERRORS = ROOT / "docs" / "errors"
STYLE = (
    "body{max-width:48rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}"
    "pre{overflow:auto;padding:.8rem;border:1px solid #8884}table{border-collapse:collapse}"
    "td,th{border:1px solid #8886;padding:.2rem .5rem;text-align:left}img{max-width:100%}"
    ":root{color-scheme:light dark}"
)


def pages() -> list[Path]:
    """Return the documentation: the Markdown files at the root and below docs."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def links(text: str) -> Iterator[tuple[int, str]]:
    """Return the (line, target) of every link and image of a Markdown text."""
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        line = block.map[0] + 1 if block.map else 1
        for token in block.children or []:
            target = token.attrGet("href") or token.attrGet("src")
            if target is not None:
                yield line, str(target)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, in the form that forges give them."""
    found = set()
    tokens = MarkdownIt("commonmark").parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            kept = re.sub(r"[^\w\- ]", "", inline.content.lower())
            found.add(kept.strip().replace(" ", "-"))
    return found


def link_findings(path: Path, text: str) -> Iterator[Finding]:
    """Find the links of one page that lead nowhere."""
    for line, target in links(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            yield Finding(relative(path), line, f"the link {target} leads nowhere")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            yield Finding(relative(path), line, f"the link {target} has no such heading")


def error_list() -> str:
    """Return the list of error pages, as Markdown."""
    rows = []
    for path in sorted(ERRORS.glob("ATL-*.md")):
        title = path.read_text().partition("\n")[0].removeprefix("# ").partition(": ")[2]
        rows.append(f"- [{path.stem}]({path.name}): {title}\n")
    return "# Errors\n\n" + "".join(rows)


def build() -> None:
    """Write every page as HTML, a list of the error pages, and the images."""
    shutil.rmtree(BUILD, ignore_errors=True)
    texts = {path.relative_to(ROOT): path.read_text() for path in pages()}
    texts[Path("docs/errors/README.md")] = error_list()
    renderer = MarkdownIt("commonmark").enable("table")
    for path, text in texts.items():
        target = BUILD / path.with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        body = re.sub(r'(href="[^":]+)\.md(["#])', r"\1.html\2", renderer.render(text))
        title = html.escape(text.partition("\n")[0].lstrip("# "))
        target.write_text(
            f'<!doctype html><meta charset="utf-8"><title>{title}</title>'
            f"<style>{STYLE}</style>\n{body}"
        )
    images = ROOT / "docs" / "images"
    if images.is_dir():
        shutil.copytree(images, BUILD / "docs" / "images")
    shutil.copyfile(BUILD / "README.html", BUILD / "index.html")


def main() -> int:
    """Check, and build unless disabled."""
    findings = [f for path in pages() for f in link_findings(path, path.read_text())]
    status = report(findings, "links lead somewhere")
    if status == 0 and "--check" not in sys.argv[1:]:
        build()
        info(f"built {len(pages())} pages: {relative(BUILD)}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
