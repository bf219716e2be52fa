"""``atoll data``: look a table over before it is used."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli.talk import give, give_json
from atoll.core.errors import DataError
from atoll.table.check import check_file


@click.group()
def command() -> None:
    """Check a table before it is used."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "id_column", default="id", help="the column with the row ids (id)")
@click.option("--label", help="the label's column, if there is one")
@click.option("--delimiter", default=",", help="of a CSV file (a comma)")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="problems shown (100)")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on standard output")
def check(
    file: Path, id_column: str, label: str | None, delimiter: str, limit: int, as_json: bool
) -> int:
    """Check a CSV, Parquet or Arrow FILE: structure, ids, numbers, missing values.

    Shows every problem with row and hint, and each column in sum; exit code 9 if there are any.
    """
    report = check_file(file, id_column, label, delimiter=delimiter, limit=limit)
    if as_json:
        give_json(report.to_dict())
    else:
        give(report.to_text())
    return 0 if report.ok else DataError.exit_code
