"""Guests and hosts of boosting that lie, against the shipped other side on the same channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from atoll.audit.chosen_weights import LyingGuest
from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, train
from atoll.operators.histogram.ideal import IdealGuest
from tests import whole
from tests.components.test_main_job import tables
from tests.dishonest.lying import lying, speaking

GUEST, HOST = "bank", "shop"
SEATS = {GUEST: Role.GUEST, HOST: Role.HOST}


class Powers(IdealGuest):
    """The shipped histogram with powers of two: its integers have room for 31 of them."""

    width: ClassVar[int] = 31
    most: ClassVar[int] = 2**40

    def publish(self, tree: int, g: npt.NDArray[Any], h: npt.NDArray[Any]) -> None:
        super().publish(tree, g.astype(np.int32), h.astype(np.int32))


@dataclass
class Ended:
    """A run against a liar: the code with which each party ended, or its result."""

    codes: dict[str, str]
    results: Mapping[str, Any]


def codes(errors: Mapping[str, BaseException]) -> dict[str, str]:
    """Return the code of each party that failed."""
    return {
        name: error.code if isinstance(error, AtollError) else repr(error)
        for name, error in errors.items()
    }


def two_tables(rows: int = 300, columns: int = 4) -> dict[str, BoostingInputs]:
    """Return the aligned rows of a guest and a host."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, columns))
    y = (x[:, 0] + x[:, -1] + rng.normal(size=rows) > 0).astype(np.float64)
    half = columns // 2
    return {
        GUEST: BoostingInputs(x[:, :half], tuple(f"g{at}" for at in range(half)), y),
        HOST: BoostingInputs(x[:, half:], tuple(f"h{at}" for at in range(columns - half))),
    }


def against_guest(
    lie: Callable[[Party], Any], parameters: BoostingParameters, rows: int = 300
) -> Ended:
    """Play a host that lies against the shipped guest."""
    inputs = two_tables(rows)

    def entry(party: Party) -> Any:
        return lie(party) if party.name == HOST else train(party, inputs[GUEST], parameters)

    done = world.run(SEATS, entry, seed=7)
    return Ended(codes(done.errors), done.results)


def against_host(
    lie: Callable[[Party], Any], parameters: BoostingParameters, rows: int = 300
) -> Ended:
    """Play a guest that lies against the shipped host."""
    inputs = two_tables(rows)

    def entry(party: Party) -> Any:
        return lie(party) if party.name == GUEST else train(party, inputs[HOST], parameters)

    done = world.run(SEATS, entry, seed=7)
    return Ended(codes(done.errors), done.results)


def honest_but(
    kind: type[Message], change: Callable[[Any], Any], parameters: BoostingParameters
) -> Callable[[Party], Any]:
    """Return a party that does as shipped, but for what it sends in messages of one kind.

    ``change`` returns the message that goes in its place.
    """
    inputs = two_tables()

    def instead(tag: str, message: Message) -> list[Message]:
        return [change(message) if isinstance(message, kind) else message]

    def lie(party: Party) -> Any:
        return train(speaking(party, instead), inputs[party.name], parameters)

    return lie


def training(**parameters: Any) -> Job:
    """Return a job that intersects and trains."""
    return parse_job(
        {
            "name": "loans",
            "parties": {GUEST: "guest", HOST: "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {GUEST: "rows", HOST: "rows"}},
                },
                "psi": {
                    "component": "psi",
                    "inputs": {"table": "reader.table"},
                    "parameters": {"protocol": "ideal"},
                },
                "train": {
                    "component": "boosting",
                    "inputs": {"train": "psi.table"},
                    "parameters": {"implementation": "ideal", **parameters},
                },
            },
        }
    )


def lying_guest(found: list[LyingGuest], **how: Any) -> Callable[[Task, Any], Result]:
    """Return a boosting component that lies at the guest and keeps what it read."""

    def lie(task: Task, parameters: BoostingParameters) -> Result:
        party = task.party
        rows = task.inputs["train"].num_rows
        liar = LyingGuest(party, rows, parameters, Powers(party.at("histogram")), **how)
        found.append(liar)
        liar.run()
        return Result({}, {}, None)

    return lie


def whole_job(lie: Callable[[Task, Any], Result], **parameters: Any) -> tuple[whole.Whole, Plan]:
    """Play a job in which the guest's training lies and everything else is as shipped."""
    liars = {GUEST: lying({"boosting": lie})}
    ran = whole.play(training(**parameters), tables(), CATALOGUE, liars=liars)
    assert ran.plan is not None
    return ran, ran.plan
