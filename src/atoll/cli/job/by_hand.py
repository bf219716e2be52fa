"""Jobs by hand, without a node: check a file, make a plan with the peers, run it with them."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from atoll.cli.options import Output, pairs, printed
from atoll.cli.plan_text import plan_lines
from atoll.cli.talk import say
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import UserError
from atoll.flow import planning, runner
from atoll.flow.runner import Run
from atoll.flow.specification import Approved, Specification
from atoll.flow.worker import Work, listen_to_signals, no_core_dumps
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan
from atoll.sdk.pipeline import read_job

_DIGEST = 64


@dataclass(frozen=True)
class Place:
    """Where a party runs a job: its folder, the job's file, listening and peers' addresses."""

    folder: Path
    job: Path
    listen: str | None
    peers: tuple[str, ...]
    tables: tuple[str, ...]

    def specification(self, approve: Approved | None = None) -> Specification:
        """Return what a worker is told. Errors: ATL-JOB-003, ATL-CLI-006 not NAME=VALUE."""
        return Specification(
            folder=self.folder,
            job=read_job(self.job),
            listen=self.listen,
            peers=dict(pairs(self.peers, "--peer")),
            tables={name: Path(path) for name, path in pairs(self.tables, "--table").items()},
            approve=approve or "everything",
        )


def _placed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where a job runs, and hand them on as one ``Place``."""

    def wrapped(
        output: Output,
        folder: Path,
        job: Path,
        listen: str | None,
        peer: tuple[str, ...],
        table: tuple[str, ...],
        **others: Any,
    ) -> Any:
        return function(output, Place(folder, job, listen, peer, table), **others)

    # Takes the options along that are kept on the function.
    functools.update_wrapper(wrapped, function)
    path = click.Path(path_type=Path)
    for option in (
        click.option("--table", multiple=True, help="NAME=FILE (else folder/data/NAME.csv)"),
        click.option("--peer", multiple=True, help="PARTY=HOST:PORT where a peer listens"),
        click.option("--listen", help="HOST:PORT to listen on (else this party only dials)"),
        click.option("--job", type=path, required=True, help="the job's file (JSON or TOML)"),
        click.option("--folder", type=path, required=True, help="the party's folder"),
    ):
        wrapped = option(wrapped)
    return wrapped


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@printed
def check(output: Output, file: Path) -> None:
    """Check a job's FILE (YAML, JSON or TOML) against the components that are installed here.

    What cannot run whatever the tables hold is refused, too: rows that nobody agreed on, a party
    without a table where a step needs one.
    """
    job = read_job(file)
    steps = planning.check(job, CATALOGUE)
    text = f"job {job.name}, {job.digest()}\nsteps: {' → '.join(steps)}"
    output.show({"job": job.digest(), "steps": list(steps)}, text)


def make_plan(output: Output, place: Place) -> None:
    """Make the plan together with the other parties, who do the same; nothing runs."""
    made: Plan = _work(place.specification(), None, runner.plan_only)
    keep = place.folder / "plans"
    keep.mkdir(exist_ok=True)
    text = json.dumps(made.canonical(), indent=2, sort_keys=True)
    (keep / f"{made.digest()}.json").write_text(text + "\n", encoding="utf-8")
    whole = {"digest": made.digest(), "plan": made.canonical()}
    output.show(whole, lambda: "\n".join(plan_lines(made)))


@click.command()
@printed
@_placed
@click.option("--approve", help="the digest of the plan that is approved (see job plan)")
@click.option("--runs", type=click.IntRange(1), default=1, help="how many runs of it (1)")
@click.option("--yes", is_flag=True, help="approve whatever plan the parties make")
def run(output: Output, place: Place, approve: str | None, runs: int, yes: bool) -> None:
    """Run a job by hand as this party; the others run theirs. No node takes part.

    Without --approve or --yes the plan is shown, and a person at the terminal is asked.
    """
    if approve is not None and (len(approve) != _DIGEST or not approve.isalnum()):
        raise UserError("ATL-CLI-006", "--approve takes the 64 digits of a plan's digest")
    approved = Approved(digest=approve.lower(), runs=runs) if approve else None
    asked = None if approved or yes else _ask
    outcome = _work(place.specification(approved), asked, runner.run)
    whole = {"run": outcome.folder.name, "outputs": str(outcome.folder)}
    output.show(whole, str(outcome.folder))


def _ask(made: Plan) -> int:
    """Show the plan and ask. Errors: ATL-PLN-006 refused, or nobody to ask."""
    say("\n".join(plan_lines(made)))
    if not sys.stdin.isatty():
        raise DeniedError(
            "ATL-PLN-006",
            "nobody is at the terminal to approve the plan",
            hint="approve its digest with --approve, or any plan with --yes",
        )
    if not click.confirm("Do you approve this plan?", err=True):
        raise DeniedError("ATL-PLN-006", "the plan was refused here")
    return 1


def _work(
    specification: Specification, approve: Callable[[Plan], int] | None, act: Callable[[Run], Any]
) -> Any:
    no_core_dumps()
    work = Work(specification, _tell, approve, act)
    listen_to_signals(work)
    return work.execute()


def _tell(event: str, **fields: Any) -> None:
    if event == "listening" and fields["address"]:
        say(f"listening on {fields['address']}")
    elif event == "step":
        say(f"{fields['step']} done in {fields['seconds']:.1f} s")
