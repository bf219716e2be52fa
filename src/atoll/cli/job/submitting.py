"""``atoll job submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from atoll.cli.job.common import finish, wait_option
from atoll.cli.options import Session, connected, keyed
from atoll.core.limits import RETRIES


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tag", multiple=True, help="a word to find the job by; may be repeated")
@click.option("--notes", default="", help="a text to remember")
@click.option("--priority", type=click.IntRange(-100, 100), help="higher ones go first (0)")
@click.option(
    "--retries",
    type=click.IntRange(0, RETRIES),
    help="further tries of a step after network trouble (else the node's jobs.retries); lost "
    "workers and restarted nodes have five of their own in any case",
)
@click.option(
    "--step-rule",
    type=click.Choice(["parallel", "serial", "cost_first"]),
    help="in which order steps that could start do so",
)
@click.option("--reuse/--no-reuse", default=None, help="take outputs of unchanged steps over")
@keyed
@wait_option
@connected
def submit(
    session: Session,
    file: Path,
    tag: tuple[str, ...],
    notes: str,
    key: str | None,
    wait: bool,
    **options: Any,
) -> int:
    """Submit the job in FILE (YAML, JSON or TOML) to the node and print its id.

    With --wait the exit code states how it ended: 0 success, 1 failed, 4 refused, 8 cancelled,
    7 not within --timeout.
    """
    from atoll.sdk.pipeline import read_job

    given = {name: value for name, value in options.items() if value is not None}
    job = session.client.jobs.submit(read_job(file), options=given, tags=tag, notes=notes, key=key)
    if wait:
        session.info(f"submitted {job.id}")
        return finish(session, job, wait=True)
    session.show(job.view, job.id)
    session.info(f"{job.state}; follow it with: atoll job watch {job.id}")
    return 0
