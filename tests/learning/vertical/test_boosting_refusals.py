"""What each side refuses: every case is a party that departs from the protocol in one message."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.errors import AtollError, UserError
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.learning.vertical.boosting import (
    BoostingInputs,
    BoostingParameters,
    TrainingResult,
    messages,
    predict,
    train,
)
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.models.boosting.messages import ScoreBits, ScoreStart
from tests.learning.vertical import play

Tamper = Callable[[Any], Message]
PARAMETERS = BoostingParameters(trees=2, minimum_rows=5, implementation="ideal")
GUEST, HOST, OTHER = play.NAMES[:3]


def tampering(party: Party, kind: type[Message], tamper: Tamper) -> None:
    """Let a party send something else in place of the messages of a kind."""
    honest = party.channel.send

    def send(receiver: str, tag: str, message: Message) -> None:
        honest(receiver, tag, tamper(message) if isinstance(message, kind) else message)

    party.channel.send = send  # type: ignore[method-assign]


def errors(
    liar: str,
    prepare: Callable[[Party], None],
    parameters: BoostingParameters = PARAMETERS,
    held_out: int = 0,
) -> dict[str, str]:
    """Return the code with which each party ended."""
    x, y = play.table(300 + held_out, 12, 5)
    inputs = play.share(x, y, play.NAMES[:3], held_out)

    def entry(party: Party) -> Any:
        if party.name == liar:
            prepare(party)
        mine = inputs[party.name]
        trained = train(party, mine, parameters)
        return predict(party, trained.part, mine.features, mine.names)

    done = world.run(play.roles(tuple(inputs)), entry, seed=7)
    assert set(done.errors) | set(done.results) == set(inputs)
    return {
        name: error.code if isinstance(error, AtollError) else repr(error)
        for name, error in done.errors.items()
    }


def orders(change: Callable[[messages.Order], messages.Order]) -> Tamper:
    """Change orders alone, of the first tree."""
    return lambda message: change(message) if message.tree == 0 else message


def _partition(change: Callable[[bytes], bytes]) -> Tamper:
    return orders(lambda o: replace(o, partition=change(o.partition)) if o.partition else o)


def _grown(*numbers: int) -> Tamper:
    return orders(
        lambda o: replace(o, grown=np.array(numbers, dtype=np.uint32)) if o.settled else o
    )


def _asks(nodes: Callable[[Any], Any], candidates: Callable[[Any], Any]) -> Tamper:
    return orders(
        lambda o: (
            o
            if o.settled
            else replace(
                o, ask_nodes=nodes(o.ask_nodes), ask_candidates=candidates(o.ask_candidates)
            )
        )
    )


def _same(values: Any) -> Any:
    return values


FROM_GUEST: dict[str, tuple[type[Message], Tamper, str]] = {
    "a partition is cut short": (messages.Order, _partition(lambda p: p[:-1]), "ATL-BST-004"),
    "a partition is too long": (messages.Order, _partition(lambda p: p + b"\0"), "ATL-BST-004"),
    "rows beyond the node": (
        messages.Order,
        _partition(lambda p: p[:-1] + bytes([p[-1] | 0x80])),
        "ATL-BST-004",
    ),
    "nobody goes left": (messages.Order, _partition(lambda p: bytes(len(p))), "ATL-BST-004"),
    "a node that is not there": (messages.Order, _grown(9), "ATL-BST-005"),
    "a node twice": (messages.Order, _grown(0, 0), "ATL-BST-005"),
    "a cut that was never sent": (
        messages.Order,
        _asks(_same, lambda s: s + np.uint32(10_000)),
        "ATL-BST-005",
    ),
    "a cut of no node": (messages.Order, _asks(lambda n: n + np.uint32(99), _same), "ATL-BST-005"),
    "two cuts of a node": (
        messages.Order,
        _asks(lambda n: np.repeat(n, 2), lambda s: np.repeat(s, 2)),
        "ATL-BST-005",
    ),
    "an empty question": (messages.Order, _asks(lambda n: n[:0], lambda s: s[:0]), "ATL-BST-005"),
    "another depth": (messages.Order, orders(lambda o: replace(o, depth=7)), "ATL-BST-005"),
    "adopts what was not asked": (
        messages.Order,
        orders(lambda o: replace(o, accepted=np.ones(5, np.uint8)) if o.settled else o),
        "ATL-BST-005",
    ),
    "asks while it settles": (
        messages.Order,
        orders(lambda o: replace(o, ask_nodes=np.zeros(1, np.uint32)) if o.settled else o),
        "ATL-BST-005",
    ),
    "a tree that is not due": (
        messages.TreeStart,
        lambda m: replace(m, tree=m.tree + 1),
        "ATL-BST-008",
    ),
    "no end of trees": (messages.TreeStart, lambda m: replace(m, more=True), "ATL-BST-008"),
    "more trees kept than grown": (
        messages.TreeStart,
        lambda m: replace(m, kept=m.kept + 1),
        "ATL-BST-008",
    ),
    "other rows": (messages.Start, lambda m: replace(m, rows=m.rows - 1), "ATL-BST-002"),
    "other parameters": (messages.Start, lambda m: replace(m, parameters=bytes(32)), "ATL-BST-002"),
    "scores with another model": (ScoreStart, lambda m: replace(m, model="0" * 32), "ATL-MOD-002"),
    "scores other rows": (ScoreStart, lambda m: replace(m, rows=m.rows + 1), "ATL-MOD-003"),
}

FROM_HOST: dict[str, tuple[type[Message], Tamper, str]] = {
    "announces other rows": (
        messages.Left,
        lambda m: replace(m, partition=bytes([m.partition[0] ^ 1]) + m.partition[1:]),
        "ATL-BST-007",
    ),
    "announces too few rows": (
        messages.Left,
        lambda m: replace(m, partition=m.partition[:-1]),
        "ATL-BST-004",
    ),
    "another tree": (messages.Left, lambda m: replace(m, tree=m.tree + 1), "ATL-BST-009"),
    "too many cuts": (
        messages.CandidateCuts,
        lambda m: replace(m, sent=np.append(m.sent, np.uint8(1))) if m.depth else m,
        "ATL-BST-009",
    ),
    "half a cut": (
        messages.CandidateCuts,
        lambda m: replace(m, sent=m.sent * np.uint8(2)),
        "ATL-BST-009",
    ),
    "too few comparison bits": (
        messages.Validation,
        lambda m: replace(m, bits=m.bits[:-1]),
        "ATL-MOD-004",
    ),
    "too few bits in scoring": (ScoreBits, lambda m: replace(m, bits=m.bits[:-1]), "ATL-MOD-004"),
    "a batch out of turn": (ScoreBits, lambda m: replace(m, batch=m.batch + 1), "ATL-MOD-004"),
}


@pytest.mark.parametrize("case", FROM_GUEST)
def test_hosts_refuse(case: str) -> None:
    kind, tamper, code = FROM_GUEST[case]
    ended = errors(GUEST, lambda party: tampering(party, kind, tamper))
    assert code in (ended[HOST], ended[OTHER])
    assert ended[GUEST] == "ATL-NET-004"


@pytest.mark.parametrize("case", FROM_HOST)
def test_the_guest_refuses(case: str) -> None:
    kind, tamper, code = FROM_HOST[case]
    ended = errors(HOST, lambda party: tampering(party, kind, tamper), held_out=37)
    assert ended[GUEST] == code
    # In scoring a host is done once it has sent its bits.
    assert ended.get(HOST) == (None if kind is ScoreBits else "ATL-NET-004")


def test_the_guest_names_the_host_that_broke_the_rules() -> None:
    kind, tamper, _ = FROM_HOST["announces other rows"]
    x, y = play.table(300, 12, 5)
    inputs = play.share(x, y, play.NAMES[:3])

    def entry(party: Party) -> Any:
        if party.name == HOST:
            tampering(party, kind, tamper)
        return train(party, inputs[party.name], PARAMETERS)

    done = world.run(play.roles(tuple(inputs)), entry, seed=7)
    error = done.errors[GUEST]
    assert isinstance(error, AtollError)
    assert error.party == HOST


@pytest.mark.parametrize(
    ("shift_g", "shift_h", "code"),
    [
        (0, 10_000, "ATL-BST-007"),
        (800_000, 0, "ATL-BST-007"),
        (3, 0, "ATL-BST-007"),
        # Beyond what so many rows could have: left out in silence, as if they were withheld.
        (2_000_000, 0, None),
        (0, 400_000, None),
    ],
)
def test_sums_that_are_not_true_end_the_job_where_they_win(
    monkeypatch: pytest.MonkeyPatch, shift_g: int, shift_h: int, code: str | None
) -> None:
    honest = HostTrainer._draw

    def lie(self: HostTrainer, nodes: Any) -> Any:
        if self._party.name != HOST:
            return honest(self, nodes)
        sizes = [len(node.cuts) for node in nodes]
        return [(np.full(n, shift_g, np.int64), np.full(n, shift_h, np.int64)) for n in sizes]

    monkeypatch.setattr(HostTrainer, "_draw", lie)
    assert errors(HOST, lambda party: None).get(GUEST) == code


def test_hosts_count_how_often_a_node_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atoll.learning.vertical.boosting.guest.REFUSALS", 50)
    strict = PARAMETERS.model_copy(update={"minimum_class_rows": 60})
    ended = errors(GUEST, lambda party: None, strict)
    assert "ATL-BST-008" in (ended.get(HOST), ended.get(OTHER))


def test_noise_is_within_its_bound_and_spares_the_leaves() -> None:
    x, y = play.table(600, 9, 2)
    inputs = play.share(x, y, play.NAMES[:2])
    noisy = BoostingParameters(trees=5, host_noise=0.8, depth=4, implementation="ideal")
    ran = play.play(inputs, noisy)
    part, margin = ran.results[GUEST].part, ran.results[GUEST].history.margin
    assert margin is not None
    np.testing.assert_array_equal(np.argsort(ran.scores), np.argsort(1 / (1 + np.exp(-margin))))
    calm = play.play(inputs, noisy.model_copy(update={"host_noise": 0.0}))
    assert part != calm.results[GUEST].part
    assert float(np.mean((ran.scores > 0.5) == y)) > 0.7


def test_noise_beyond_the_sampler_is_refused() -> None:
    loud = PARAMETERS.model_copy(update={"host_noise": 100.0})
    assert set(errors(GUEST, lambda party: None, loud).values()) == {"ATL-BST-003"}


def _bad_inputs() -> dict[str, BoostingInputs]:
    x, y = play.table(60, 2, 1)
    good = BoostingInputs(x, ("a", "b"), y)
    return {
        "no label": replace(good, label=None),
        "labels of 2": replace(good, label=y + 1.0),
        "one class": replace(good, label=np.ones(60)),
        "short label": replace(good, label=y[:-1]),
        "a name twice": replace(good, names=("a", "a")),
        "no rows": replace(good, features=x[:0], label=y[:0]),
        "validation label": replace(good, validation=BoostingInputs(x, ("a", "b"))),
    }


@pytest.mark.parametrize("case", _bad_inputs())
def test_inputs_are_checked_before_anything_is_sent(case: str) -> None:
    bad = _bad_inputs()[case]
    done = world.run({GUEST: Role.GUEST, HOST: Role.HOST}, lambda p: train(p, bad, PARAMETERS))
    error = done.errors[GUEST]
    assert isinstance(error, UserError)
    assert error.code == ("ATL-BST-010" if case == "one class" else "ATL-BST-001")
    assert not done.channels[GUEST].disclosures.counts


def _train(inputs: BoostingInputs, parameters: BoostingParameters, party: Party) -> TrainingResult:
    return train(party, inputs, parameters)


def test_roles_and_early_stopping_are_checked() -> None:
    x, y = play.table(60, 2, 1)
    good = BoostingInputs(x, ("a", "b"), y)
    stopping = PARAMETERS.model_copy(update={"early_stopping_rounds": 3})
    for roles, parameters in (
        ({GUEST: Role.GUEST}, PARAMETERS),
        ({GUEST: Role.GUEST, HOST: Role.ARBITER}, PARAMETERS),
        ({GUEST: Role.GUEST, HOST: Role.HOST}, stopping),
    ):
        done = world.run(roles, functools.partial(_train, good, parameters))
        error = done.errors[GUEST]
        assert isinstance(error, UserError)
        assert error.code == "ATL-BST-001"


def test_cancelling_stops_at_the_next_level() -> None:
    x, y = play.table(300, 8, 5)
    inputs = play.share(x, y, play.NAMES[:2])
    seen: list[int] = []

    def entry(party: Party) -> Any:
        def progress(phase: str, done: int, total: int) -> None:
            if phase == "boosting":
                seen.append(done)
                party.cancel.request()

        own = replace(party, progress=progress) if party.name == GUEST else party
        return train(own, inputs[party.name], PARAMETERS)

    done = world.run(play.roles(tuple(inputs)), entry)
    error = done.errors[GUEST]
    assert isinstance(error, AtollError)
    assert error.code == "ATL-JOB-001"
    assert seen == [1]
