"""``./do bench AREA [--json] [--rows N] …``: measure one area.

With ``--json``, standard output holds one JSON object a line and nothing else. With ``--baseline``
another commit is measured in turns with this one (see ``bench.baseline``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from bench import baseline
from bench.harness import Options, complete, not_run
from bench.peers.environment import PeerError

# Area → module with ``run(options) -> Iterator[dict]``, and whether its speed depends on lanes.
AREAS = {
    "boosting": ("bench.boosting", True),
    "channel": ("bench.channel", False),
    "cli": ("bench.cli", False),
    "curve": ("bench.curve", True),
    "flow": ("bench.flow", False),
    "he": ("bench.he", True),
    "histogram": ("bench.histogram", True),
    "horizontal": ("bench.horizontal", False),
    "psi": ("bench.psi", True),
}


def load(area: str) -> Callable[[Options], Iterator[dict[str, Any]]]:
    """Return the function that measures an area."""
    run: Callable[[Options], Iterator[dict[str, Any]]]
    run = importlib.import_module(AREAS[area][0]).run
    return run


def measure(area: str, options: Options) -> Iterator[dict[str, Any]]:
    """Yield the lines of one area, with all fields."""
    for line in load(area)(options):
        yield complete(line)
    if AREAS[area][1]:
        yield from not_run(area)


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return " ".join(f"{key}={_short(inner)}" for key, inner in value.items())
    return str(value)


def table_row(line: dict[str, Any]) -> str:
    """Return one readable row: the name, then what was measured."""
    if "not_run" in line:
        return f"{line['name']:<28} {line['not_run']}"
    shown = {k: v for k, v in line.items() if v is not None}
    for hidden in ("name", "commit", "machine"):
        shown.pop(hidden, None)
    return f"{line['name']:<28} " + "  ".join(f"{k} {_short(v)}" for k, v in shown.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./do bench", description=__doc__)
    parser.add_argument("area", choices=sorted(AREAS))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--baseline", metavar="COMMIT", help="measure this commit, too, in turns")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="of both (default: 2)")
    parser.add_argument(
        "--tolerance", type=float, default=5.0, metavar="PERCENT", help="worse than that is listed"
    )
    for option in fields(Options):
        kind = str if "str" in str(option.type) else int
        metavar = "NAME" if kind is str else "N"
        parser.add_argument("--" + option.name.replace("_", "-"), type=kind, metavar=metavar)
    return parser


def main() -> int:
    """Measure what the command line names."""
    chosen = vars(_parser().parse_args())
    area, as_json = chosen.pop("area"), chosen.pop("json")
    beside = {name: chosen.pop(name) for name in ("baseline", "rounds", "tolerance")}
    if beside["baseline"] is not None:
        return baseline.run(area, chosen, beside, as_json=as_json)
    try:
        return _print(area, Options(**chosen), as_json=as_json)
    except PeerError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _print(area: str, options: Options, *, as_json: bool) -> int:
    machine: dict[str, Any] | None = None
    for line in measure(area, options):
        if as_json:
            print(json.dumps(line), flush=True)
        else:
            print(table_row(line), flush=True)
        machine = line["machine"]
        if "not_run" in line:
            print(f"bench: {line['not_run']}", file=sys.stderr)
    if machine and not as_json:
        print(f"on {_short(machine)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
