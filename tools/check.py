"""``./do check [STEP…]``: every check, all of them run, a summary at the end."""

from __future__ import annotations

import argparse
import sys

from tools.common import ROOT, Step, info, run_step, summarise

NATIVE = ROOT / "native"


def steps() -> list[Step]:
    """Return the checks in order, cheap ones first."""
    python = sys.executable
    scripts = ROOT / ".venv" / "bin"
    ruff = str(scripts / "ruff")
    clippy = ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet"]
    return [
        Step("format", [ruff, "format", "--check", "."]),
        Step("lint", [ruff, "check", "."]),
        Step("lengths", [python, "-m", "tools.lengths"]),
        Step("circles", [python, "-m", "tools.circles"]),
        Step("words", [python, "-m", "tools.words"]),
        Step("docstrings", [python, "-m", "tools.docstrings"]),
        Step("error-pages", [python, "-m", "tools.error_pages"]),
        Step("links", [python, "-m", "tools.docs", "--check"]),
        Step("floors", [str(scripts / "lint-imports"), "--no-logo"]),
        Step("licences", [python, "-m", "tools.licences"]),
        Step("types", [python, "-m", "mypy"]),
        Step(
            "stubs",
            [
                *[python, "-m", "mypy.stubtest", "atoll_native"],
                *["--mypy-config-file", "pyproject.toml", "--ignore-disjoint-bases"],
                *["--allowlist", "tools/stubtest.txt", "--ignore-unused-allowlist"],
            ],
        ),
        Step("rust-format", ["cargo", "fmt", "--all", "--check"], NATIVE),
        Step("rust-lint", [*clippy, "--", "-D", "warnings"], NATIVE),
    ]


def main() -> int:
    """Run the named steps, or all."""
    known = {step.name: step for step in steps()}
    parser = argparse.ArgumentParser(prog="./do check", description=__doc__)
    parser.add_argument("step", nargs="*", help=f"one of: {', '.join(known)}; none: all")
    wanted = parser.parse_args().step
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        parser.error(f"no step {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in wanted] or list(known.values())
    info(f"running {len(chosen)} checks; what fails is shown in full")
    return summarise([run_step(step, quiet=True) for step in chosen])


if __name__ == "__main__":
    sys.exit(main())
