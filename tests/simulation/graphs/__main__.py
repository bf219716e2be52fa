"""Plays generated graphs by hand: ``python -m tests.simulation.graphs FIRST LAST``."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections import Counter

from tests.simulation.graphs.maker import make
from tests.simulation.graphs.runs import play
from tests.simulation.test_generated_graphs import fault


def main(first: int, last: int) -> int:
    """Play graphs and print how they ended; return how many ended wrongly."""
    ends: Counter[str] = Counter()
    used: Counter[str] = Counter()
    wrong = 0
    for number in range(first, last):
        try:
            ending = play(make(number))
        except Exception:
            print(f"graph {number}")
            traceback.print_exc()
            wrong += 1
            continue
        reported = fault(ending)
        if reported is not None:
            print(reported)
            wrong += 1
        ends[ending.code] += 1
        if ending.refused is None:
            used.update(ending.components)
    for name, count in (*ends.most_common(), *used.most_common()):
        print(f"{count:5}  {name}")
    return wrong


if __name__ == "__main__":
    os.environ["ATOLL_INSECURE_SIMULATION"] = "1"
    # As under pytest: a warning is a fault.
    warnings.simplefilter("error")
    sys.exit(min(main(int(sys.argv[1]), int(sys.argv[2])), 1))
