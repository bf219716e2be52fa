"""``python examples/horizontal``: every claim with three seeds, as the table of the guide.

``--guide docs/guide/horizontal.md`` writes the table into the guide. The exit status is 1 if a
claim did not hold with a seed; the table says so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import SEEDS, row
from estimators import ESTIMATORS
from even_losses import QFEDAVG
from fewer_bytes import COMPRESSION
from next_word import NEXT_WORD
from partial_work import PARTIAL
from personal_models import PERSONAL
from poisoned_clients import ROBUST
from private_owners import PRIVACY
from related_tasks import MOCHA
from skewed_classes import SCAFFOLD
from slow_clients import FEDBUFF
from trees import TREES

EXAMPLES = (
    SCAFFOLD,
    PARTIAL,
    FEDBUFF,
    PERSONAL,
    MOCHA,
    QFEDAVG,
    ROBUST,
    COMPRESSION,
    PRIVACY,
    TREES,
    ESTIMATORS,
    NEXT_WORD,
)
BEGIN, END = "<!-- claims -->\n", "<!-- /claims -->"


def main() -> None:
    """Print the table, or put it into the guide."""
    parser = argparse.ArgumentParser(description="every claim with three seeds")
    parser.add_argument("--guide", type=Path, help="a page with a table between two marks")
    guide: Path | None = parser.parse_args().guide
    rows = [row(example) for example in EXAMPLES]
    seeds = ", ".join(map(str, SEEDS))
    head = f"| claim | figure | seeds {seeds} | held |\n|---|---|---|---|\n"
    table = head + "".join(f"{text}\n" for text, _ in rows)
    if guide is None:
        sys.stdout.write(table)
    else:
        before, rest = guide.read_text("utf-8").split(BEGIN)
        guide.write_text(before + BEGIN + table + END + rest.split(END, 1)[1], "utf-8")
    sys.exit(0 if all(held for _, held in rows) else 1)


main()
