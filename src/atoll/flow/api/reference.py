"""A page for people that lists the addresses: plain HTML, no script, nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from atoll.flow.api.settings import PREFIX

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccc;vertical-align:top}"
    "code{font:13px ui-monospace,monospace}"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def page(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
        f"<td>{escape(operation['description'])}</td>"
        f"<td>{escape(operation['x-permission'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    head = "<tr><th>method</th><th>address</th><th>what it does</th><th>permission</th></tr>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Atoll: the API</title>"
        f"<style>{_STYLE}</style><h1>Atoll {escape(document['info']['version'])}: the API</h1>"
        f"<p>The whole description: <a href='{PREFIX}/openapi.json'>openapi.json</a>.</p>"
        f"<table>{head}{''.join(rows)}</table></html>\n"
    )


def table(document: dict[str, Any]) -> str:
    """Return the addresses as a table in Markdown, for the reference page."""
    lines = ["| request | what it does | permission |", "|---|---|---|"]
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            text = operation["description"].split("\n\n")[0].replace("\n", " ")
            place = f"`{method.upper()} {path.removeprefix(PREFIX)}`"
            lines.append(f"| {place} | {text} | {operation['x-permission']} |")
    return "\n".join(lines) + "\n"
