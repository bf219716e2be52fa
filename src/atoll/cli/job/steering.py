"""``atoll job stop, retry, rerun, approve, refuse, annotate``: changing what a job does."""

from __future__ import annotations

import click

from atoll.cli import completing, lines
from atoll.cli.job.common import finish, job_argument, wait_option
from atoll.cli.options import Session, confirm, connected, keyed, sure


@click.command()
@job_argument
@sure
@keyed
@wait_option
@connected
def stop(session: Session, job: str, yes: bool, key: str | None, wait: bool) -> int:
    """Stop JOB at all parties."""
    confirm(f"Stop {job} at all parties?", yes)
    finish(session, session.client.jobs.get(job).stop(key=key), wait)
    return 0


@click.command()
@job_argument
@keyed
@wait_option
@connected
def retry(session: Session, job: str, key: str | None, wait: bool) -> int:
    """Try JOB again from where it failed."""
    return finish(session, session.client.jobs.get(job).retry(key=key), wait)


@click.command()
@job_argument
@click.argument("step", required=False, shell_complete=completing.steps)
@click.option("--from", "first", help="the same as STEP", shell_complete=completing.steps)
@keyed
@wait_option
@connected
def rerun(
    session: Session, job: str, step: str | None, first: str | None, key: str | None, wait: bool
) -> int:
    """Run JOB again from a STEP on; without one, from its first."""
    if step and first and step != first:
        raise click.UsageError("STEP and --from name different steps")
    return finish(session, session.client.jobs.get(job).rerun(step or first, key=key), wait)


@click.command()
@job_argument
@click.option("--digest", help="of the plan that was read; without it the plan is shown and asked")
@sure
@keyed
@wait_option
@connected
def approve(
    session: Session, job: str, digest: str | None, yes: bool, key: str | None, wait: bool
) -> int:
    """Approve the plan of JOB, after having read it."""
    found = session.client.jobs.get(job)
    if digest is None:
        made = found.plan()
        if not yes:
            from atoll.cli.plan_text import plan_text

            session.info(plan_text(made))
        confirm("Do you approve this plan?", yes)
        digest = made.digest or found.view.plan_digest or ""
    from atoll.sdk.calls import jobs

    found.view = session.client.send(jobs.approve(job, digest, key=key))
    return finish(session, found, wait)


@click.command()
@job_argument
@click.option("--reason", default="", help="why; it stays at this node")
@sure
@keyed
@connected
def refuse(session: Session, job: str, reason: str, yes: bool, key: str | None) -> None:
    """Refuse JOB; partners learn that it was refused, but not why."""
    confirm(f"Refuse {job}?", yes)
    found = session.client.jobs.get(job).refuse(reason, key=key)
    session.show(found.view, lambda: lines.job(found.view))


@click.command()
@job_argument
@click.option("--tag", multiple=True, help="the new tags, in place of the old")
@click.option("--no-tags", is_flag=True, help="take all tags away")
@click.option("--notes", help="the new notes")
@connected
def annotate(
    session: Session, job: str, tag: tuple[str, ...], no_tags: bool, notes: str | None
) -> None:
    """Change the tags or notes of JOB."""
    tags = () if no_tags else tag or None
    found = session.client.jobs.get(job).annotate(tags=tags, notes=notes)
    session.show(found.view, lambda: lines.job(found.view))
