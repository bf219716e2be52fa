"""``atoll job plan``: asks the node for a plan, or makes it by hand with the other parties."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli.options import Session, connected
from atoll.core.errors import UserError


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--of", "job_id", help="the agreed plan of this job, in place of a FILE")
@click.option(
    "--job", "by_hand", type=click.Path(path_type=Path), help="by hand: the job's file; see below"
)
@click.option("--listen", help="by hand: HOST:PORT to listen on (else this party only dials)")
@click.option("--peer", multiple=True, help="by hand: PARTY=HOST:PORT where a peer listens")
@click.option("--table", multiple=True, help="by hand: NAME=FILE (else folder/data/NAME.csv)")
@connected
def plan(
    session: Session,
    file: Path | None,
    job_id: str | None,
    by_hand: Path | None,
    listen: str | None,
    peer: tuple[str, ...],
    table: tuple[str, ...],
) -> None:
    """Show what the job in FILE would read, send and reveal; nothing starts.

    The node asks its partners' nodes. Without nodes, each party gives `--job FILE --folder FOLDER`
    at the same time, and the plan is made with the peers that --peer and --listen name; its digest
    is what `job run --approve` takes.
    """
    if by_hand is not None:
        from atoll.cli.job.by_hand import Place, make_plan

        if session.folder is None:
            raise UserError("ATL-CLI-023", "a plan by hand needs --folder", place="--folder")
        make_plan(session, Place(session.folder, by_hand, listen, peer, table))
        return
    if (file is None) == (job_id is None):
        raise click.UsageError("name the FILE of a job, or --of JOB (by hand: --job and --folder)")
    if job_id is not None:
        found = session.client.jobs.get(job_id).plan()
    else:
        from atoll.sdk.pipeline import read_job

        found = session.client.jobs.plan(read_job(file or ""))
    from atoll.cli.plan_text import plan_text

    session.show(found, lambda: plan_text(found))
