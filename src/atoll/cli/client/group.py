"""``atoll client``: join a population, see what was agreed to and done, leave."""

from __future__ import annotations

import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atoll.cli import outputs
from atoll.cli.client.folder import ClientFolder
from atoll.cli.options import Output, confirm, printed, secret, secret_file, sure
from atoll.cli.stopping import on_signals
from atoll.core.errors import AtollError, UserError

if TYPE_CHECKING:
    from atoll.cli.client.folder import Joined
    from atoll.learning.horizontal.local import ClientRows
    from atoll.learning.horizontal.population.terms import PopulationTerms
    from atoll.learning.horizontal.population.work import PopulationWork

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="the client's folder"
)

# Sets of rows that ``status`` shows people, the last ones.
_SHOWN_SETS = 5


@click.group()
def command() -> None:
    """Take part in the training of a population: this machine dials out and listens nowhere."""


@command.command()
@_FOLDER
@click.option("--data", type=click.Path(path_type=Path), help="CSV or Parquet file to train on")
@click.option("--id-column", help="the column of ids (id)")
@click.option("--proxy", help="HTTP proxy that connects to the population (host:port)")
@click.option("--only", is_flag=True, help="join, and do not begin to train")
@secret_file("--code-file", "file of the population's code")
@sure
@printed
def join(
    output: Output,
    folder: Path,
    data: Path | None,
    id_column: str | None,
    proxy: str | None,
    only: bool,
    secret_at: Path | None,
    yes: bool,
) -> None:
    """Join with a code, then train when asked, until the terms end or you stop it.

    What is agreed to is shown first. In a folder that has joined already it goes on without a code.
    """
    place = ClientFolder(folder)
    with place.locked():
        if not place.has_joined():
            if data is None:
                raise UserError("ATL-POP-031", "a client needs a file to train on", place="--data")
            file = data.resolve()
            text = secret(secret_at, "Code")
            _enrol(output, place, text, (str(file), id_column, proxy), yes)
        if only:
            output.show(_status(place), f"joined in {place.root}")
            return
        code = _train(output, place)
        output.show(outputs.Done(what=code or "stopped"), code or "stopped")


def _enrol(
    output: Output,
    place: ClientFolder,
    text: str,
    options: tuple[str, str | None, str | None],
    yes: bool,
) -> None:
    from atoll.channel.outbound.codes import read_code
    from atoll.cli.client.session import Enrolment

    data, id_column, proxy = options
    enrolment = Enrolment(place, read_code(text), proxy)
    try:
        terms = enrolment.terms()
        # Rows that do not fit are found before anything is agreed to.
        _rows(terms, data, id_column)
        output.info("\n".join(_sentences(terms)))
        confirm("Do you agree to these terms?", yes)
        joined = enrolment.agree(terms, data, id_column)
    finally:
        enrolment.close()
    output.info(f"joined as client {joined.number}")


def _sentences(terms: PopulationTerms) -> tuple[str, ...]:
    from atoll.learning.horizontal.population.work import stated_sentences

    return stated_sentences(terms)


def _work(terms: PopulationTerms) -> PopulationWork:
    from atoll.learning.horizontal.population.work import PopulationWork

    return PopulationWork(terms)


def _rows(terms: PopulationTerms, data: str, id_column: str | None) -> ClientRows:
    from atoll.components.horizontal import rows_of
    from atoll.table import sources

    table = sources.read(data, id_column=id_column, label=terms.label, columns=terms.columns)
    work = _work(terms)
    found = rows_of(table, work.spec, terms.columns)
    work.require_counted(found)
    return found


def _train(output: Output, place: ClientFolder) -> str:
    from atoll.cli.client.session import MemberSession, visits
    from atoll.core.random import SecretRandom
    from atoll.learning.horizontal.machine import own_condition
    from atoll.learning.horizontal.population.member import PopulationMember

    joined, terms = place.joined, place.terms()
    data = _rows(terms, joined.data, joined.id_column)
    stopping = threading.Event()
    session = MemberSession(place)

    def trace(error: AtollError) -> None:
        output.info(f"{error}")
        if output.verbose:
            traceback.print_exception(error, file=sys.stderr)

    member = PopulationMember(
        work=_work(terms),
        data=data,
        ask=session,
        book=place.book(),
        condition=lambda: own_condition(place.root),
        note=output.info,
        trace=trace,
        secret=SecretRandom(),
    )
    try:
        with on_signals(stopping.set):
            output.info(
                f"client {joined.number} of {terms.population}: {len(data)} rows, dials out"
            )
            return visits(member, session, stopping, output.more)
    finally:
        session.close()


@command.command()
@_FOLDER
@printed
def status(output: Output, folder: Path) -> None:
    """Show what this client agreed to, and what it has done; asks no one."""
    place = ClientFolder(folder)
    found = _status(place)
    lines = [*_sentences(place.terms())]
    lines += _counted(found)
    lines += [f"client {found.number} at {found.address}, certified until {found.certified_until}"]
    output.show(found, "\n".join(lines))


def _counted(found: outputs.ClientStatus) -> list[str]:
    """Return what was done and what it cost, in words."""
    lines = [
        f"tasks: {found.tasks} of {found.tasks_at_most} counted, {found.today} of "
        f"{found.today_at_most} on {found.day}",
        f"of them {found.answered} were taken and {found.refused} were not; {found.failed} failed",
        f"sent: {found.sent} bytes",
    ]
    if found.epsilon is None or found.epsilon_at_most is None:
        return lines
    lines.append(
        f"ε so far {found.epsilon:.3g}, at the end of the terms at most {found.epsilon_at_most:.3g}"
        f" (δ {found.delta:g})"
    )
    lines += [
        f"  rows {part.rows[:16]}: {part.tasks} tasks, ε {part.epsilon or 0.0:.3g}"
        for part in found.data[-_SHOWN_SETS:]
    ]
    return lines


def _status(place: ClientFolder) -> outputs.ClientStatus:
    from atoll.learning.horizontal.population.work import epsilon

    joined: Joined = place.joined
    terms, counts = place.terms(), place.book().counts()

    def spent(tasks: int) -> float | None:
        try:
            return epsilon(terms, tasks)
        except UserError:
            return None

    sets = {rows: spent(tasks) for rows, tasks in counts.sets.items()}
    return outputs.ClientStatus(
        aggregator=terms.aggregator,
        population=terms.population,
        number=joined.number,
        address=joined.address,
        terms=terms.digest.hex(),
        until=terms.until.isoformat(),
        tasks=counts.tasks,
        tasks_at_most=terms.tasks,
        day=counts.day.isoformat(),
        today=counts.today,
        today_at_most=terms.tasks_per_day,
        answered=counts.answered,
        refused=counts.refused,
        failed=counts.failed,
        sent=counts.sent,
        delta=terms.delta,
        epsilon=spent(counts.tasks),
        epsilon_at_most=spent(terms.tasks),
        data=tuple(
            outputs.ClientDataSet(rows=rows, tasks=counts.sets[rows], epsilon=cost)
            for rows, cost in sets.items()
        ),
        certified_until=place.certificate().not_valid_after_utc.isoformat(),
    )


@command.command()
@_FOLDER
@click.option("--forget", is_flag=True, help="forget it here though it cannot be reached")
@sure
@printed
def leave(output: Output, folder: Path, forget: bool, yes: bool) -> None:
    """Leave for good: the aggregator is asked for nothing more, and the key is removed.

    What was sent so far is in the model and stays there.
    """
    from atoll.cli.client.session import ENDED, MemberSession

    place = ClientFolder(folder)
    terms = place.terms() if place.has_joined() else None
    with place.locked():
        number = place.joined.number
        confirm(f"Leave as client {number}, and remove its key?", yes)
        session = MemberSession(place)
        try:
            session.leave()
        except AtollError as error:
            if not forget and error.code not in ENDED:
                raise
        finally:
            session.close()
        place.forget()
    named = "" if terms is None else f" {terms.population}"
    output.show(outputs.Done(what=f"left{named}"), f"left{named}")
