"""``atoll job list, show, log, metrics, report, traffic, artifacts, get``: only looking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from atoll.cli import completing, lines
from atoll.cli.console import amount
from atoll.cli.job.common import attempt_option, job_argument, step_argument
from atoll.cli.options import Session, connected, paged
from atoll.core.printable import clean
from atoll.jobs.states import ENDED, LIVE

_STATES = (*LIVE, *ENDED)


@click.command(name="list")
@click.option("--state", type=click.Choice(_STATES), help="only jobs in this state")
@click.option("--name", help="only jobs of this name")
@click.option("--party", help="only jobs with this party", shell_complete=completing.parties)
@click.option("--tag", help="only jobs with this tag")
@paged
@connected
def list_(session: Session, **wanted: str | int | None) -> None:
    """List jobs, the newest first."""
    from atoll.sdk.calls.jobs import listing

    page = session.client.send(listing(**wanted))  # type: ignore[arg-type]
    session.show(page, lambda: lines.jobs(page))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@click.command()
@job_argument
@click.option("--plan", "with_plan", is_flag=True, help="the plan, too (as JSON: job plan --of)")
@connected
def show(session: Session, job: str, with_plan: bool) -> None:
    """Show JOB: its state, what it waits for or why it failed, and its steps."""
    found = session.client.jobs.get(job)
    session.show(found.view, lambda: lines.job(found.view))
    if with_plan and not session.as_json:
        from atoll.cli.plan_text import plan_text

        made = found.plan()
        session.show(made, lambda: f"\n{plan_text(made)}")


@click.command()
@job_argument
@step_argument
@attempt_option
@connected
def log(session: Session, job: str, step: str, attempt: int | None) -> None:
    """Print the log of a STEP of JOB."""
    from atoll.sdk.calls import jobs

    found = session.client.send(jobs.log(job, step, attempt=attempt))
    text = "\n".join(
        f"{lines.moment(line.time)} {line.level:<7} {clean(line.message)}" for line in found.items
    )
    session.show(found, text)


@click.command()
@job_argument
@step_argument
@attempt_option
@connected
def metrics(session: Session, job: str, step: str, attempt: int | None) -> None:
    """Print the metrics of a STEP of JOB."""
    from atoll.sdk.calls import jobs

    found = session.client.send(jobs.metrics(job, step, attempt=attempt))
    text = lines.rows(
        ("metric", "number", "value"),
        [(one.name, one.number, f"{one.value:.6g}") for one in found.items],
        "no metrics",
    )
    session.show(found, text)


@click.command()
@job_argument
@click.argument("step", required=False, shell_complete=completing.steps)
@attempt_option
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="draw them on a page that loads nothing",
)
@connected
def report(
    session: Session, job: str, step: str | None, attempt: int | None, html: Path | None
) -> None:
    """Print the report of a STEP of JOB, or those of all its steps; with --html, draw them.

    As JSON: one report, or all of them by step.
    """
    found = session.client.jobs.get(job)
    reports = found.reports() if step is None else {step: found.report(step, attempt=attempt)}
    if html is not None:
        from atoll.report.page import write_html

        write_html(list(reports.values()), html, title=found.name)
        session.info(f"drawn: {html}")
    whole: Any = reports if step is None else reports[step]
    shown = "\n\n".join(lines.report(one) for one in reports.values()) or "no reports"
    session.show(whole, str(html) if html is not None else shown)


@click.command()
@job_argument
@connected
def traffic(session: Session, job: str) -> None:
    """Show what JOB has sent and received, by step and peer."""
    from atoll.sdk.calls import jobs

    found = session.client.send(jobs.traffic(job))
    sums: dict[tuple[str, str], list[int]] = {}
    for line in found.items:
        total = sums.setdefault((line.step, line.peer), [0, 0, 0])
        total[0] += line.bytes_sent
        total[1] += line.bytes_received
        total[2] += line.messages_sent + line.messages_received
    body = [
        (step, peer, amount(sent), amount(received), count)
        for (step, peer), (sent, received, count) in sums.items()
    ]
    head = ("step", "peer", "sent", "received", "messages")
    session.show(found, lines.rows(head, body, "nothing was sent"))


@click.command()
@job_argument
@connected
def artifacts(session: Session, job: str) -> None:
    """List what JOB has made at this party."""
    from atoll.sdk.calls import jobs

    found = session.client.send(jobs.artifacts(job))
    body = [
        (one.step, one.name, one.kind, one.attempt, one.rows, amount(one.bytes), one.digest[:16])
        for one in found.items
    ]
    head = ("step", "name", "kind", "attempt", "rows", "size", "digest")
    session.show(found, lines.rows(head, body, "no artifacts"))


@click.command()
@job_argument
@step_argument
@click.argument("name")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="the file (STEP-NAME)"
)
@click.option(
    "--format", "form", type=click.Choice(["csv", "parquet", "arrow"]), help="of a table (csv)"
)
@connected
def get(
    session: Session, job: str, step: str, name: str, output: Path | None, form: str | None
) -> None:
    """Save the artifact NAME of a STEP of JOB to a file, whole or not at all."""
    from atoll.sdk import flows
    from atoll.sdk.calls import jobs

    file = output or Path(f"{step}-{name}" + (f".{form}" if form else ""))
    count = session.client.run(flows.download(jobs.artifact(job, step, name, form=form), file))
    session.show({"file": str(file), "bytes": count}, str(file))
