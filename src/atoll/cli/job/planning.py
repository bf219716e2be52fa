"""``atoll job check`` and ``atoll job plan``: look at a job before anything starts."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli.options import Output, Session, connected, printed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@printed
def check(output: Output, file: Path) -> None:
    """Check a job's FILE (YAML, JSON or TOML) against the components that are installed here.

    What cannot run whatever the tables hold is refused, too: rows that no parties agreed on, a
    party without a table where a step needs one.
    """
    from atoll.components.catalogue import CATALOGUE
    from atoll.flow import planning
    from atoll.sdk.pipeline import read_job

    job = read_job(file)
    steps = planning.check(job, CATALOGUE)
    text = f"job {job.name}, {job.digest()}\nsteps: {' → '.join(steps)}"
    output.show({"job": job.digest(), "steps": list(steps)}, text)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--of", "job_id", help="the agreed plan of this job, in place of a FILE")
@connected
def plan(session: Session, file: Path | None, job_id: str | None) -> None:
    """Show what the job in FILE would read, send and reveal; nothing starts.

    The node asks its partners' nodes.
    """
    if (file is None) == (job_id is None):
        raise click.UsageError("name the FILE of a job, or --of JOB")
    if job_id is not None:
        found = session.client.jobs.get(job_id).plan()
    else:
        from atoll.sdk.pipeline import read_job

        found = session.client.jobs.plan(read_job(file or ""))
    from atoll.cli.plan_text import plan_text

    session.show(found, lambda: plan_text(found))
