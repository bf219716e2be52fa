"""What both demos share: their options, the nodes' folder, where the report goes, the end."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from atoll.cli.console import table
from atoll.jobs.errors import ConflictError

REPORT = Path("build/demo/report.html")
KEPT = Path("build/demo/nodes")


@dataclass(frozen=True)
class Options:
    """What was chosen on the command line."""

    data: str
    rows: int
    columns: tuple[int, int]
    boosting: dict[str, Any]
    seed: int
    folder: Path | None
    report: Path | None
    keep: bool = False


Play = Callable[[Options, Path, Path], dict[str, Any]]


def run(options: Options, play: Play) -> dict[str, Any]:
    """Run a demo and return its result; nothing but the report stays without a folder.

    ``play`` takes the options, the nodes' folder and where the report goes.
    """
    report = options.report or (options.folder / "report.html" if options.folder else REPORT)
    wanted = options.folder or (KEPT if options.keep else None)
    with _interruptible(), _place(wanted) as folder:
        return play(options, folder, report.resolve())


def kept(made: Any) -> dict[str, Any]:
    """Return how to reach nodes that go on running."""
    return {
        party: {
            "url": made.running[party].url,
            "user": "admin",
            "password": made.passwords[party],
            "folder": str(made.folder / party),
        }
        for party in made.running
    }


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """Give the folder that was named, if it is new or empty, or a temporary one."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="atoll-demo-") as name:
            yield Path(name)
        return
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(
            "ATL-CLI-004", "the folder is not empty", place=str(folder), hint="name a new one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    yield folder.resolve()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, with everything cleared away."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def running(nodes: dict[str, Any]) -> list[str]:
    """Return how people reach nodes that go on running; nothing where there are none."""
    if not nodes:
        return []
    rows = [("node", "API", "first user", "password (to be changed)")]
    rows += [(name, n["url"], n["user"], n["password"]) for name, n in nodes.items()]
    stops = "\n".join(f"  atoll down --folder {n['folder']}" for n in nodes.values())
    return [table(rows), f"The nodes run on. Stop them with\n{stops}"]
