"""What the commands about jobs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atoll.cli import completing, lines
from atoll.cli.options import Session
from atoll.core.errors import CancelledError
from atoll.jobs.errors import DeniedError

if TYPE_CHECKING:
    from atoll.flow.api import views
    from atoll.jobs.definition import Job as Definition
    from atoll.sdk.jobs import Job

F = TypeVar("F", bound=Callable[..., Any])

job_argument = click.argument("job", shell_complete=completing.jobs)
step_argument = click.argument("step", shell_complete=completing.steps)
attempt_option = click.option(
    "--attempt", type=click.IntRange(1), help="which attempt (else the last)"
)
wait_option = click.option(
    "--wait/--no-wait", default=False, help="return when the job has ended (no)"
)


def exit_code(view: views.JobView) -> int:
    """Return the exit code for how a job stands: 0 unless it has ended badly."""
    ends = {"failed": 1, "cancelled": CancelledError.exit_code, "refused": DeniedError.exit_code}
    return ends.get(view.state, 0)


def finish(session: Session, job: Job, wait: bool) -> int:
    """Show a job that was just changed, after its end if that is wanted."""
    if wait:
        job.wait(session.timeout)
    session.show(job.view, lambda: lines.job(job.view))
    return exit_code(job.view) if wait else 0


def save_job(session: Session, made: Definition, file: Path) -> int:
    """Write a job that is not submitted to a file, in the form of its name's ending."""
    from atoll.sdk import documents
    from atoll.sdk.pipeline import plain_job

    text = documents.dumps(plain_job(made), documents.format_of(file))
    file.write_text(text, encoding="utf-8")
    session.show({"file": str(file), "bytes": len(text.encode())}, str(file))
    return 0
