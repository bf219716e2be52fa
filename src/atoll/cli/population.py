"""``atoll population``: run a population of clients that dial out; its folder is here."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from atoll.cli import outputs
from atoll.cli.console import table
from atoll.cli.options import Output, confirm, printed, sure
from atoll.cli.stopping import on_signals
from atoll.core.errors import UserError

if TYPE_CHECKING:
    from atoll.flow.populations.running import ServeOptions
    from atoll.learning.horizontal.asynchronous import FedBuff
    from atoll.learning.horizontal.population.terms import PopulationTerms

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="the population's folder"
)

_DRAWS = ("uniform", "weighted", "poisson", "all", "power-of-choice", "oort")


@click.group()
def command() -> None:
    """Train over clients that dial out: make a population, invite, serve, see and remove members.

    All of it works on the files of a --folder and asks no node.
    """


@command.command()
@click.argument("terms", type=click.Path(path_type=Path))
@_FOLDER
@printed
def create(output: Output, terms: Path, folder: Path) -> None:
    """Make a population under the TERMS of a YAML or JSON file, which stay as they are."""
    from atoll.flow.populations import folder as folders
    from atoll.learning.horizontal.population.work import stated_sentences

    made = folders.create(folder, _terms(terms))
    view = outputs.PopulationView(
        aggregator=made.terms.aggregator,
        population=made.terms.population,
        folder=str(folder),
        terms=made.terms.digest.hex(),
        until=made.terms.until.isoformat(),
    )
    output.show(view, "\n".join(stated_sentences(made.terms)))


def _terms(path: Path) -> PopulationTerms:
    from atoll.jobs.reading import read_plain
    from atoll.learning.horizontal.population.terms import PopulationTerms

    try:
        return PopulationTerms.model_validate(read_plain(path))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            "ATL-POP-001",
            "these are not the terms of a population",
            place=f"{path}: {field}",
            hint=str(first["msg"]),
        ) from error


@command.command()
@_FOLDER
@click.option("--address", required=True, help="where clients reach the server (host:port)")
@click.option(
    "--hours", type=click.FloatRange(0, 720, min_open=True), default=24, help="of use (24)"
)
@click.option("--count", type=click.IntRange(1, 100_000), default=1, help="codes (1)")
@printed
def invite(output: Output, folder: Path, address: str, hours: float, count: int) -> None:
    """Make codes, each for one client: send each to its person by a way that you trust."""
    from atoll.channel.identity import check_address
    from atoll.flow.populations.folder import load

    check_address(address, "population")
    made = load(folder).invite(address, hours, count)
    codes = [outputs.CodeView(code=code.text(), expires=_time(ends)) for code, ends in made]
    output.show(outputs.CodeList(items=tuple(codes)), "\n".join(code.code for code in codes))


@command.command()
@_FOLDER
@click.option("--host", default="0.0.0.0", help="address to listen on (0.0.0.0)")  # noqa: S104
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: a free one (0)")
@click.option(
    "--clients",
    type=click.IntRange(1, 1 << 16),
    default=100,
    help="of a round; with --buffer at work at a time (100)",
)
@click.option(
    "--over", type=click.FloatRange(1, 8), default=1.3, help="asked, in multiples of it (1.3)"
)
@click.option(
    "--draw",
    type=click.Choice(list(_DRAWS)),
    default="uniform",
    help="clients of a round: uniform; weighted by rows, which needs terms that weigh by rows and "
    "no clip. power-of-choice and oort need losses, which clients do not report; poisson and all "
    "do not fit clients that come and go: these are refused (uniform)",
)
@click.option(
    "--draw-rows", type=click.IntRange(1), default=1000, help="that count with weighted (1000)"
)
@click.option(
    "--buffer",
    type=click.IntRange(1, 1 << 16),
    help="train asynchronously: a step after so many answers",
)
@click.option(
    "--most-stale",
    type=click.IntRange(0, 1 << 20),
    default=100,
    help="with --buffer: steps since a client began; older answers are dropped (100)",
)
@click.option(
    "--staleness",
    type=click.Choice(["equal", "polynomial", "hinge"]),
    default="polynomial",
    help="with --buffer: how an answer's weight falls with them (polynomial)",
)
@click.option(
    "--exponent",
    type=click.FloatRange(0, 10),
    default=0.5,
    help="polynomial: (1 + steps)^-exponent (0.5)",
)
@click.option("--grace", type=click.IntRange(0), default=10, help="hinge: steps of weight 1 (10)")
@click.option(
    "--slope",
    type=click.FloatRange(0, 100, min_open=True),
    default=0.5,
    help="hinge: 1 / (slope·(steps - grace) + 1) (0.5)",
)
@click.option(
    "--limit",
    type=click.FloatRange(1, 86400),
    default=600,
    help="seconds of a round; with --buffer of a task (600)",
)
@click.option(
    "--fetch", type=click.FloatRange(1, 86400), default=60, help="seconds to fetch a task in (60)"
)
@click.option(
    "--window", type=click.FloatRange(0, 86400), default=30, help="seconds to gather more in (30)"
)
@click.option(
    "--pace", type=click.FloatRange(0.1, 86400), default=2, help="least seconds of a stay away (2)"
)
@click.option("--rate", type=click.FloatRange(0.1, 1e6), default=50, help="check-ins a second (50)")
@printed
def serve(output: Output, folder: Path, **named: Any) -> None:
    """Serve the members and train, until all rounds are done or you stop it; started again, it
    goes on after the last whole round.
    """
    from atoll.flow.populations.folder import load
    from atoll.flow.populations.running import Running
    from atoll.flow.work.own_process import many_files, no_core_dumps

    no_core_dumps()
    many_files()
    running = Running(load(folder), _options(named), output.info)
    with on_signals(running.stop):
        done = running.run(lambda port: output.info(f"serves members at port {port}"))
    view = outputs.PopulationServed(
        rounds=done.rounds,
        finished=done.finished,
        model=str(folder / "model.bin"),
        answered=done.figures.answered,
        failed_rounds=done.figures.failed,
        failures=dict(done.figures.failures),
        refused=dict(done.figures.refused),
    )
    output.show(view, f"{done.rounds} rounds are done; the model is {view.model}")


def _options(named: dict[str, Any]) -> ServeOptions:
    from atoll.flow.populations.running import ServeOptions
    from atoll.learning.horizontal.population.attendance import Pace, RoundRules
    from atoll.learning.horizontal.rounds import Closing

    pace = Pace(least=named["pace"], rate=named["rate"])
    rules = RoundRules(
        pace=pace,
        closing=Closing(limit=named["limit"]),
        fetch=named["fetch"],
        window=named["window"],
    )
    return ServeOptions.model_validate(
        {
            "host": named["host"],
            "port": named["port"],
            "count": named["clients"],
            "over": named["over"],
            "draw": named["draw"],
            "draw_rows": named["draw_rows"],
            "buffer": _plan(named),
            "rules": rules,
        }
    )


def _plan(named: dict[str, Any]) -> FedBuff | None:
    from atoll.learning.horizontal.asynchronous import FedBuff

    if named["buffer"] is None:
        return None
    own = ("buffer", "most_stale", "staleness", "exponent", "grace", "slope")
    return FedBuff(concurrency=named["clients"], **{name: named[name] for name in own})


@command.command()
@_FOLDER
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="rows at most (50)")
@click.option("--after", type=int, default=-1, help="go on after this number")
@printed
def members(output: Output, folder: Path, limit: int, after: int) -> None:
    """Show who has joined, and who was removed or has left."""
    from atoll.flow.populations.folder import load

    with closing(load(folder).store()) as store:
        found = store.members(limit, after)
        views = tuple(
            outputs.PopulationMember(
                number=member.number,
                key=member.key.hex(),
                joined=_time(member.joined),
                ended=None if member.ended is None else _time(member.ended),
                reason=member.reason,
            )
            for member in found
        )
        whole = outputs.PopulationMembers(items=views, count=store.count())
    rows = [("client", "joined", "ended", "reason")]
    rows += [(str(v.number), v.joined[:19], (v.ended or "")[:19], v.reason or "") for v in views]
    output.show(whole, table(rows))


@command.command()
@_FOLDER
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="lines at most (100)")
@click.option("--after", type=click.IntRange(0), default=0, help="go on after this line")
@click.option("--what", help="of one kind alone: removed, left, joined, refused, round, …")
@printed
def log(output: Output, folder: Path, limit: int, after: int, what: str | None) -> None:
    """Show who did what and when: created, invited, joined, renewed, left, removed, refused.

    The rounds, too, and where it was served.

    Of refusals the last 10 000 lines are kept, of rounds, invitations and renewals 100 000 each;
    who joined, left or was removed is kept for good.
    """
    from atoll.flow.populations.folder import load

    with closing(load(folder).store()) as store:
        found = store.lines(limit, after, what)
    views = tuple(
        outputs.LogLine(
            number=line.number,
            at=_time(line.at),
            what=line.what,
            who=line.who,
            client=line.member,
            detail=line.detail,
            times=line.times,
        )
        for line in found
    )
    rows = [("line", "at", "what", "who", "client", "times", "detail")]
    for v in views:
        client = "" if v.client is None else str(v.client)
        rows.append((str(v.number), v.at[:19], v.what, v.who, client, str(v.times), v.detail))
    output.show(outputs.PopulationLog(items=views), table(rows))


@command.command()
@click.argument("number", type=click.IntRange(0))
@_FOLDER
@click.option("--reason", default="removed", help="kept in the table (removed)")
@sure
@printed
def remove(output: Output, number: int, folder: Path, reason: str, yes: bool) -> None:
    """Take client NUMBER out for good: it is refused from its next request on."""
    from atoll.flow.populations.folder import load

    population = load(folder)
    confirm(f"Remove client {number} of {population.terms.population}?", yes)
    with closing(population.store()) as store:
        store.end(number, reason)
    output.show(outputs.Done(what=f"removed client {number}"), f"removed client {number}")


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
