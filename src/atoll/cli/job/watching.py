"""``atoll job watch``: a job as it goes on; a picture for a terminal, lines for everything else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from atoll.cli import console, lines
from atoll.cli.job.common import exit_code, job_argument
from atoll.cli.options import Session, connected, plain
from atoll.core.printable import clean
from atoll.jobs.states import ENDED

if TYPE_CHECKING:
    from atoll.flow.api import views

# Steps that a picture shows; a job has fewer.
STEPS = 1024
_REASON = 4096
_DONE = frozenset({"success", "reused", "failed", "cancelled", "lost"})
_COLOURS = {"success": "green", "reused": "green", "running": "blue", "failed": "red"}


@dataclass
class StepPicture:
    """What is known of a step: states, attempt, times and progress."""

    state: str = "waiting"
    attempt: int = 0
    own: str = ""
    peers: str = ""
    phase: str = ""
    share: float | None = None
    started: float | None = None
    ended: float | None = None

    def seconds(self, now: float) -> float | None:
        """Return how long it has run, or ran."""
        # The node's clock may be ahead of ours.
        return None if self.started is None else max((self.ended or now) - self.started, 0.0)


@dataclass
class Picture:
    """A job as its events report it; ``take`` returns the line for one that changed something."""

    job: str
    name: str = ""
    state: str = ""
    reason: str = ""
    steps: dict[str, StepPicture] = field(default_factory=dict)

    @classmethod
    def of(cls, view: views.JobView) -> Picture:
        """Begin with what the node knows now."""
        order = [name for name in view.order if name in view.steps] or list(view.steps)
        steps = {name: StepPicture() for name in order[:STEPS]}
        return cls(view.id, view.name, view.state, steps=steps)

    def take(self, event: views.Event) -> str | None:
        """Take an event in; return what changed, if something did."""
        data = event.data
        if event.kind == "state":
            return self._state(event.time, data)
        if event.step is None:
            return None
        if event.step not in self.steps and len(self.steps) >= STEPS:
            return None
        step = self.steps.setdefault(event.step, StepPicture())
        if event.kind == "step":
            return self._step(event, step)
        if event.kind == "progress":
            step.phase = str(data.get("phase", ""))
            step.share = _share(data.get("done"), data.get("total"), step.share)
        elif event.kind == "phase":
            step.phase = str(data.get("phase", ""))
        elif event.kind == "resumed":
            where = f"resumed at round {data.get('round')}"
            return _line(event.time, event.step, where, f"attempt {event.attempt}")
        return None

    def _state(self, moment: float, data: dict[str, Any]) -> str:
        self.state = str(data.get("state", self.state))
        reasons = [data.get(name) for name in ("code", "message", "reason")]
        reasons += [f"place {data['place']}" if data.get("place") else None]
        reasons += [lines.blamed(data.get("party"), data.get("stated_by"))]
        reasons += [f"phase {data['phase']}" if data.get("phase") else None]
        self.reason = lines.names(part for part in reasons if part)
        return _line(moment, self.name, self.state, self.reason)

    def _step(self, event: views.Event, step: StepPicture) -> str:
        attempt = event.attempt or 0
        if attempt != step.attempt:
            step.started = step.ended = step.share = None
        step.attempt = attempt
        step.state = str(event.data.get("state", step.state))
        own = event.data.get("own")
        step.own = str(own.get("state", "")) if isinstance(own, dict) else str(own or "")
        reasons = event.data.get("peers")
        step.peers = lines.peers(reasons) if isinstance(reasons, dict) else ""
        if step.state == "running" and step.started is None:
            step.started = event.time
        if step.state in _DONE:
            step.ended = event.time
            step.started = event.time if step.started is None else step.started
        what = f"{step.state}, attempt {attempt}" if attempt > 1 else step.state
        here = f"here {step.own}, {step.peers}" if step.peers else ""
        return _line(event.time, event.step or "", what, here)


def _share(done: Any, total: Any, before: float | None) -> float | None:
    """Return what is done as a share of 1, whatever the node states; else what it was before."""
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return before
    return min(max(done / total, 0.0), 1.0)


def _clock(moment: float) -> str:
    try:
        return time.strftime("%H:%M:%S", time.gmtime(moment))
    except (OverflowError, ValueError, OSError):
        # A node may state any number.
        return "--:--:--"


def _line(moment: float, name: str, state: str, reasons: str) -> str:
    text = f"{_clock(moment)}  {name:<16} {state}"
    return clean(f"{text}  ({reasons})" if reasons else text)


@click.command()
@job_argument
@click.option("--after", type=click.IntRange(0), default=0, help="only events after this number")
@connected
def watch(session: Session, job: str, after: int) -> int:
    """Follow JOB until it has ended; the exit code states how it did.

    On a terminal a picture that is redrawn: each step with its state, attempt, duration, own and
    peers' state, progress, and what the job waits for. Elsewhere one line per change; with --json
    one event per line. A connection that breaks is made again.
    """
    found = session.client.jobs.get(job)
    picture = Picture.of(found.view)
    started = time.monotonic()

    def late() -> bool:
        return session.timeout is not None and time.monotonic() - started > session.timeout

    events = found.stream(after)
    if session.as_json:
        for event in events:
            console.print_json_line(plain(event))
            if late():
                break
    elif sys.stdout.isatty() and console.is_interactive():
        _redraw(picture, events, late)
    else:
        for event in events:
            changed = picture.take(event)
            if changed and not session.quiet:
                console.print_text(changed)
            if late():
                break
    found.refresh()
    if found.state not in ENDED:
        # States by its error that the time is over.
        found.wait(0.0)
    if not session.as_json and found.state != "success":
        session.info(lines.state(found.view))
    return exit_code(found.view)


def _redraw(picture: Picture, events: Any, late: Callable[[], bool]) -> None:
    from rich.console import Console
    from rich.live import Live

    screen = Console(no_color=not console.colours(), highlight=False)
    with Live(
        get_renderable=lambda: _drawn(picture, time.time()), console=screen, refresh_per_second=4
    ) as live:
        for event in events:
            picture.take(event)
            if late():
                break
        live.refresh()


def shown(text: str) -> str:
    """Return a text as a picture holds it: it is drawn again and again."""
    return clean(console.cut(text))


def _drawn(picture: Picture, now: float) -> Any:
    from rich.table import Table
    from rich.text import Text

    title = Text(shown(f"{picture.name} {picture.job}  "))
    title.append(shown(picture.state), style=_COLOURS.get(picture.state, "yellow"))
    if picture.reason:
        title.append(f"  {clean(picture.reason[:_REASON])}")
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for head in ("step", "state", "attempt", "seconds", "here", "peers", "progress"):
        drawn.add_column(head, justify="right" if head in ("attempt", "seconds") else "left")
    for name, step in picture.steps.items():
        seconds = step.seconds(now)
        drawn.add_row(
            Text(shown(name)),
            Text(shown(step.state), style=_COLOURS.get(step.state, "dim")),
            str(step.attempt or ""),
            "" if seconds is None else f"{seconds:.1f}",
            Text(shown(step.own)),
            Text(shown(step.peers)),
            Text(_bar(step)),
        )
    return drawn


def _bar(step: StepPicture) -> str:
    if step.state != "running":
        return ""
    phase = shown(step.phase)
    if step.share is None:
        return phase
    full = round(step.share * 10)
    return f"{'█' * full}{'░' * (10 - full)} {step.share:4.0%} {phase}"
