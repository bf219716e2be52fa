"""Parties of horizontal training that lie, against the unchanged roles of the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.checkpoints import NoCheckpoints
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.adding import Sum
from atoll.learning.horizontal.parties.aggregator import PartyClients
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.messages import Begin, Change, Counts
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.sums import Update
from tests.learning.horizontal.test_parties import CLIENTS, DATA, ROLES, SEED, work

Role_ = Callable[[Party], Any]


def play(sum_: str, *, hub: Role_ | None = None, liar: Role_ | None = None) -> world.World:
    of = work(sum_, minimum_clients=3)

    def entry(party: Party) -> Any:
        if party.role == Role.AGGREGATOR:
            return hub(party) if hub else aggregator.run(party, of)
        if party.name == "c0" and liar:
            return liar(party)
        return Client(party, of, DATA[party.name], DATA[party.name]).run()

    return world.run(
        ROLES,
        entry,
        seed=SEED,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def codes(done: world.World) -> dict[str, str]:
    return {name: getattr(error, "code", repr(error)) for name, error in done.errors.items()}


class Inconsistent(PartyClients):
    """Sends one client other weights than the rest, so that the sum would be its update alone."""

    def begin(self, begin: Begin, message: Vectors) -> None:
        whole, self.here = self.here, ["c1"]
        super().begin(begin, message)
        self.here = [name for name in whole if name != "c1"]
        trapped = {name: np.full_like(vector, 1e6) for name, vector in message.items()}
        super().begin(begin, trapped)
        self.here = whole


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_different_weights_to_different_clients_give_no_sum(sum_: str) -> None:
    of = work(sum_)

    def hub(party: Party) -> Any:
        start = of.algorithm.start(of.model.initial(np.random.default_rng(0)))
        clients = Inconsistent(party, of)
        return clients.ask_for(0, of.algorithm.message(start), train=True).total

    done = play(sum_, hub=hub)
    if sum_ == "plain":
        # Where single updates are seen anyway, nothing is gained by it.
        assert done.results["hub"] is not None
        return
    assert "hub" not in done.results
    assert "ATL-SUM-011" in codes(done).values()


@pytest.mark.parametrize(
    "names",
    [("c0", "c1"), ("c0", "c1", "c9"), ("c1", "c0", "c2"), ("c1", "c2", "c3"), ("c0",) * 3],
    ids=["too few", "not of the plan", "out of order", "without itself", "one name thrice"],
)
def test_a_round_of_other_clients_than_the_plan_allows_is_refused(names: tuple[str, ...]) -> None:
    def hub(party: Party) -> None:
        party.channel.send("c0", "begin", Begin(0, names, True, False))
        party.channel.receive("c0", "train-0-0/counts", Counts)

    assert codes(play("plain", hub=hub))["c0"] == "ATL-HOR-082"


class Greedy(PartyClients):
    """Asks for what it likes, with the weights that it likes."""

    def sums(self, *wanted: tuple[int, bool, tuple[str, ...]]) -> int:
        """Ask for sums (round, training, clients) one after the other; return how many came."""
        start = self._work.algorithm.start(self._work.model.initial(np.random.default_rng(0)))
        message, got = self._work.algorithm.message(start), 0
        for round_, train, names in wanted:
            self.here = list(names)
            got += self.ask_for(round_, message, train=train).answered > 0
        return got


ALL, BUT_ONE, BUT_ANOTHER = CLIENTS, CLIENTS[1:], (CLIENTS[0], *CLIENTS[2:])


@pytest.mark.parametrize("sum_", ["plain", "masked"])
@pytest.mark.parametrize(
    "wanted",
    [
        [(0, True, ALL), (0, True, ALL)],
        [(1, True, ALL), (0, True, ALL)],
        [(0, True, ALL), (3, True, ALL)],
        [(0, True, ALL), (1, False, ALL)],
        [(3, False, ALL), (3, False, ALL)],
        [(3, False, ALL), (2, True, ALL)],
        [(0, True, BUT_ONE), (1, True, BUT_ANOTHER)],
    ],
    ids=[
        "a round twice",
        "an earlier round",
        "one round more",
        "an evaluation more",
        "the end twice",
        "after the end",
        "another one left out",
    ],
)
def test_there_are_no_more_sums_than_the_plan_states_nor_over_clients_that_change(
    sum_: str, wanted: list[tuple[int, bool, tuple[str, ...]]]
) -> None:
    """The lie: one more sum over nearly the same updates, whose difference shows one of them."""
    of, got = work(sum_, rounds=3), []

    def hub(party: Party) -> None:
        clients = Greedy(party, of)
        got.append(clients.sums(wanted[0]))
        clients.sums(wanted[1])

    done = play(sum_, hub=hub)
    assert got == [1]
    assert "hub" not in done.results
    assert "ATL-HOR-082" in codes(done).values()


def test_what_the_page_states_of_a_client_that_is_left_out() -> None:
    """Of two rounds over nearly the same weights the second lacks the update of one."""
    of = work("masked", batch_size=None)
    size, own = of.model.layout.size, {}

    def hub(party: Party) -> np.ndarray:
        start = of.algorithm.start(of.model.initial(np.random.default_rng(0)))
        clients, sums = PartyClients(party, of), []
        for round_, names in enumerate((ALL, BUT_ONE)):
            clients.here = list(names)
            total = clients.ask_for(round_, of.algorithm.message(start), train=True).total
            assert total is not None
            sums.append(total.vectors["change"])
        difference: np.ndarray = sums[0] - sums[1]
        return difference

    def liar(party: Party) -> Any:
        client = Client(party, of, DATA["c0"], DATA["c0"])
        start = of.algorithm.start(of.model.initial(np.random.default_rng(0)))
        plain = dataclasses.replace(of, chain=Chain())
        alone = Client(party, plain, DATA["c0"], DATA["c0"])
        own["c0"] = alone.update(0, True, of.algorithm.message(start)).vectors["change"]
        return client.run()

    done = play_with(of, hub, liar)
    assert done.results["hub"].shape == (size,)
    assert np.abs(done.results["hub"] - own["c0"]).max() < 1e-3 * np.abs(own["c0"]).max()


class Once(NoCheckpoints):
    """Answers over several attempts, in memory."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def answer(self, question: bytes, answer: bytes) -> bytes:
        return self.held.setdefault(question, answer)


@pytest.mark.parametrize("lie", ["other clients", "other weights"])
def test_a_round_that_is_done_again_is_summed_as_before_or_not_at_all(lie: str) -> None:
    """The lie: the step is broken off after a sum, and the round is summed otherwise again."""
    of = work("masked")
    kept = {name: Once() for name in ROLES}

    def attempt(names: tuple[str, ...], shift: float) -> world.World:
        def hub(party: Party) -> Any:
            weights = of.model.initial(np.random.default_rng(0)) + np.float32(shift)
            message = of.algorithm.message(of.algorithm.start(weights))
            clients = PartyClients(party, of)
            clients.here = list(names)
            return clients.ask_for(0, message, train=True).total

        return play_with(of, hub, None, kept)

    assert attempt(ALL, 0.0).results["hub"] is not None
    assert attempt(ALL, 0.0).results["hub"] is not None
    again = attempt(BUT_ONE, 0.0) if lie == "other clients" else attempt(ALL, 1e-6)
    assert "hub" not in again.results
    assert "ATL-SUM-023" in codes(again).values()


def play_with(
    of: Work, hub: Role_, liar: Role_ | None, kept: dict[str, Once] | None = None
) -> world.World:
    """Play a training of all clients under an aggregator that lies."""

    def entry(party: Party) -> Any:
        if kept is not None:
            party = dataclasses.replace(party, checkpoints=kept[party.name])
        if party.role == Role.AGGREGATOR:
            return hub(party)
        if party.name == "c0" and liar:
            return liar(party)
        return Client(party, of, DATA[party.name], DATA[party.name]).run()

    return world.run(
        ROLES,
        entry,
        seed=SEED,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def lying(change: Callable[[Update], Update]) -> Role_:
    """Return a client that changes what it hands in."""

    def role(party: Party) -> Any:
        of = work("plain", minimum_clients=3)
        adding = of.adding

        class Lying(type(adding)):  # type: ignore[misc]
            def hand_in(
                self, party: Party, of: Sum, update: Update, wire: Mapping[str, Any] | None = None
            ) -> None:
                super().hand_in(party, of, change(update), wire)

        made = Lying(adding.mask, adding.stay)
        own = dataclasses.replace(of, adding=made)
        return Client(party, own, DATA["c0"], DATA["c0"]).run()

    return role


def cut(update: Update) -> Update:
    return Update({name: v[:-1] for name, v in update.vectors.items()}, update.numbers)


def endless(update: Update) -> Update:
    return Update({n: np.full_like(v, np.nan) for n, v in update.vectors.items()}, update.numbers)


def uncounted(update: Update) -> Update:
    return Update(update.vectors, dict.fromkeys(update.numbers, float("inf")))


def fewer(update: Update) -> Update:
    return Update(update.vectors, dict(list(update.numbers.items())[1:]))


@pytest.mark.parametrize("change", [cut, endless, uncounted, fewer], ids=lambda c: c.__name__)
def test_an_update_of_another_form_ends_the_step_with_the_clients_name(
    change: Callable[[Update], Update],
) -> None:
    done = play("plain", liar=lying(change))
    error = done.errors["hub"]
    assert getattr(error, "code", "") == "ATL-HOR-081"
    assert getattr(error, "party", "") == "c0"


def test_a_piece_that_comes_twice_is_refused() -> None:
    def role(party: Party) -> Any:
        found = lying(lambda update: update)
        channel = party.channel
        send = channel.send

        def twice(receiver: str, tag: str, message: Any, **more: Any) -> None:
            if isinstance(message, Change):
                message = Change(1, message.values)
            send(receiver, tag, message, **more)

        channel.send = twice  # type: ignore[method-assign]
        return found(party)

    assert getattr(play("plain", liar=role).errors["hub"], "code", "") == "ATL-HOR-081"


def test_what_the_page_states_of_a_poisoned_update() -> None:
    def poison(update: Update) -> Update:
        factor = 16 * update.numbers.get("weight", 0.0)
        return Update({n: -factor * np.sign(v) for n, v in update.vectors.items()}, update.numbers)

    honest, poisoned = play("plain").check(), play("plain", liar=lying(poison)).check()
    assert poisoned.results["hub"].curve[-1].loss > 2 * honest.results["hub"].curve[-1].loss
