"""``python -m atoll.audit.utility``: accuracy against ε, bytes and seconds, in three forms.

``--guide docs/guide/horizontal.md`` writes the tables into the guide.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from atoll.audit.utility.page import TITLE, Utility
from atoll.audit.utility.task import QUICK, WHOLE
from atoll.report.page import write_html

BEGIN, END = "<!-- utility -->\n", "<!-- /utility -->"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the tables or write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m atoll.audit.utility", description=TITLE)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page of curves")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--quick", action="store_true", help="a small measurement: one seed")
    parser.add_argument("--guide", type=Path, metavar="FILE", help="a page with marks for tables")
    asked = parser.parse_args(arguments)
    found = Utility.measured(QUICK if asked.quick else WHOLE)
    tables = "\n".join(table.markdown() for table in found.tables().values())
    if asked.report is not None:
        write_html(found.reports(), asked.report, title=TITLE)
    if asked.guide is not None:
        before, rest = asked.guide.read_text("utf-8").split(BEGIN)
        text = before + BEGIN + tables + END + rest.split(END, 1)[1]
        asked.guide.write_text(text, "utf-8")
    if asked.json:
        sys.stdout.write(json.dumps(found.lines(), indent=1) + "\n")
    elif asked.report is None and asked.guide is None:
        sys.stdout.write(tables)


if __name__ == "__main__":
    main()
