"""``atoll report``: reports of a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from atoll.cli.console import print_text
from atoll.core.errors import UserError
from atoll.core.report import Report
from atoll.jobs.errors import NotFoundError
from atoll.report.page import write_html

_BYTES = 64 << 20


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    help="the page (report.html)",
)
@click.option("--title", help="of the page; else the first report's")
def command(files: tuple[Path, ...], output: Path, title: str | None) -> None:
    """Draw the report.json FILES of a run's steps on one HTML page that loads nothing."""
    write_html([_read(file) for file in files], output, title=title)
    print_text(str(output))


def _read(file: Path) -> Report:
    if not file.is_file():
        raise NotFoundError("ATL-CLI-005", "there is no such file", place=str(file))
    if file.stat().st_size > _BYTES:
        raise UserError("ATL-CLI-007", "a report has at most 64 MiB", place=str(file))
    try:
        return Report.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError("ATL-CLI-007", "this is not a report", place=f"{file}: {field}") from error
