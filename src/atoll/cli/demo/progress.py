"""Shows a demo while it runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from atoll.cli.talk import colours, person_watches, say

Event = dict[str, Any]


class Display(Protocol):
    """Takes the events of the workers, and remarks of the demo itself."""

    def __call__(self, party: str, event: Event) -> None:
        """Take an event."""
        ...

    def note(self, text: str) -> None:
        """Show a remark."""
        ...


class Lines:
    """One line per finished thing, and per tenth of a long one."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def note(self, text: str) -> None:
        """Show a remark."""
        say(text)

    def __call__(self, party: str, event: Event) -> None:
        """Take an event."""
        match event["event"]:
            case "listening":
                say(f"{party}: ready")
            case "step":
                say(f"{party}: {event['step']} done in {event['seconds']:.1f} s")
            case "progress":
                self._progress(party, event)
            case "failed":
                say(f"{party}: failed with {event['error']['code']}")

    def _progress(self, party: str, event: Event) -> None:
        total = max(int(event["total"]), 1)
        tenth = 10 * int(event["done"]) // total
        key = f"{party}/{event['step']}/{event['phase']}"
        if total >= 5 and tenth > self._tenths.get(key, 0):
            self._tenths[key] = tenth
            say(f"{party}: {event['step']}, {event['phase']} {event['done']} of {total}")


class Live:
    """A bar per party; made by ``display``."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._bars: dict[str, Any] = {}

    def note(self, text: str) -> None:
        """Show a remark above the bars."""
        self._progress.console.print(text, highlight=False)

    def __call__(self, party: str, event: Event) -> None:
        """Take an event."""
        if party not in self._bars:
            self._bars[party] = self._progress.add_task(party, total=None, phase="")
        bar = self._bars[party]
        match event["event"]:
            case "phase":
                self._progress.update(bar, phase=event["phase"], completed=0, total=None)
            case "progress":
                text = f"{event['step']}: {event['phase']}"
                done, total = event["done"], event["total"]
                self._progress.update(bar, phase=text, completed=done, total=total)
            case "step":
                self.note(f"{party}: {event['step']} done in {event['seconds']:.1f} s")
            case "finished":
                self._progress.update(bar, phase="done", completed=1, total=1)


@contextmanager
def display() -> Iterator[Display]:
    """Give the display that fits standard error."""
    if not person_watches():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[phase]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True, no_color=not colours())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Live(progress)
