"""Shows a demo while it runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from atoll.cli.console import colours, info, is_interactive
from atoll.flow.api.views import Event


class Display(Protocol):
    """Takes the events of the job at each party, and remarks of the demo itself."""

    def __call__(self, party: str, event: Event) -> None:
        """Take an event."""
        ...

    def note(self, text: str) -> None:
        """Show a remark."""
        ...


class Lines:
    """One line per finished step, and per tenth of a long one."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._tenths: dict[str, int] = {}

    def note(self, text: str) -> None:
        """Show a remark."""
        info(text)

    def __call__(self, party: str, event: Event) -> None:
        """Take an event."""
        own, key = event.data.get("own"), f"{party}/{event.step}"
        if event.kind == "step" and own == "running":
            self._started.setdefault(key, event.time)
        elif event.kind == "step" and own == "success" and key in self._started:
            seconds = event.time - self._started.pop(key)
            self.note(f"{party}: {event.step} done in {seconds:.1f} s")
        elif event.kind == "progress":
            self.progress(party, event)

    def progress(self, party: str, event: Event) -> None:
        """Show how far a step is."""
        done, total = _share(event)
        tenth = 10 * done // max(total, 1)
        key = f"{party}/{event.step}/{event.data['phase']}"
        if total >= 5 and tenth > self._tenths.get(key, 0):
            self._tenths[key] = tenth
            info(f"{party}: {event.step}, {event.data['phase']} {done} of {total}")


def _share(event: Event) -> tuple[int, int]:
    done, total = event.data["done"], event.data["total"]
    return int(done), int(total)  # type: ignore[arg-type]


class Live(Lines):
    """A bar per party, under the remarks; made by ``display``."""

    def __init__(self, progress: Any) -> None:
        super().__init__()
        self._progress = progress
        self._bars: dict[str, Any] = {}

    def note(self, text: str) -> None:
        """Show a remark above the bars."""
        self._progress.console.print(text, highlight=False)

    def __call__(self, party: str, event: Event) -> None:
        """Take an event."""
        super().__call__(party, event)
        if event.kind == "phase":
            phase = str(event.data["phase"])
            self._progress.update(self._bar(party), phase=phase, completed=0, total=None)

    def progress(self, party: str, event: Event) -> None:
        """Show how far a step is."""
        done, total = _share(event)
        phase = f"{event.step}: {event.data['phase']}"
        self._progress.update(self._bar(party), phase=phase, completed=done, total=total)

    def _bar(self, party: str) -> Any:
        if party not in self._bars:
            self._bars[party] = self._progress.add_task(party, total=None, phase="")
        return self._bars[party]


@contextmanager
def display() -> Iterator[Display]:
    """Give the display that fits standard error."""
    if not is_interactive():
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
