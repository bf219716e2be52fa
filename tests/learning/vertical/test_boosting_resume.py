"""A training that was cut off anywhere and goes on gives what the uncut training gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.channel import world
from atoll.channel.faulty import Fault, FaultyTransport
from atoll.channel.party import Party
from atoll.core.errors import AtollError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, train
from atoll.learning.vertical.boosting.api import TrainingResult
from atoll.learning.vertical.boosting.progress import new_model
from atoll.models.boosting import part_to_bytes
from tests.learning.vertical import play
from tests.learning.vertical.test_boosting_seed import FIXED, tied

Metrics = dict[str, list[tuple[str, float, int]]]


class Attempts:
    """Attempts of one training at all parties, each in a world of its own."""

    def __init__(
        self, folder: Path, inputs: Mapping[str, BoostingInputs], parameters: BoostingParameters
    ) -> None:
        self.folder, self.inputs, self.parameters = folder, inputs, parameters
        self.public: PublicRandom | None = None
        self.count = 0
        self.started: int | None = None
        self.shown: Metrics = {}

    def run(self, seed: int | None = 7, **faults: list[Fault]) -> world.World:
        """Run the next attempt from the newest round that all parties hold."""
        self.count += 1
        kept = {name: FileCheckpoints(self.folder, name, ("plan",)) for name in self.inputs}
        common = set.intersection(*(set(store.held()) for store in kept.values()))
        begin = max(common, default=None)
        self.started = begin.round if begin else None
        self.shown = {name: [] for name in self.inputs}
        for store in kept.values():
            store.enter(begin, bytes([self.count]) * 32)

        def entry(party: Party) -> TrainingResult:
            def show(name: str, value: float, number: int) -> None:
                self.shown[party.name].append((name, value, number))

            mine = replace(party, checkpoints=kept[party.name], metric=show)
            if self.public is not None:
                mine = replace(mine, public_rng=self.public)
            return train(mine, self.inputs[party.name], self.parameters)

        roles = play.roles(tuple(self.inputs))
        return world.run(roles, entry, seed=seed, faults=faults)


def outcome(done: world.World) -> dict[str, Any]:
    """Return all that a training leaves but the seconds."""
    found: dict[str, Any] = {}
    for name, result in done.results.items():
        history = result.history
        trees = [asdict(replace(record, seconds=0.0)) for record in history.trees]
        margin = None if history.margin is None else history.margin.tolist()
        found[name] = (part_to_bytes(result.part), trees, history.kept, margin)
    return found


CASES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "one host": (2, 0, {}),
    "two hosts": (3, 0, {"minimum_rows": 8}),
    "samples": (3, 0, {"row_sample": 0.6, "column_sample": 0.7, "minimum_rows": 5}),
    "stops early": (3, 80, {"early_stopping_rounds": 2, "trees": 12, "learning_rate": 1.0}),
    "validated": (2, 41, {"minimum_rows": 5, "depth": 4}),
}


@settings(max_examples=12)
@given(
    name=st.sampled_from(sorted(CASES)),
    seed=st.integers(0, 1 << 30),
    victim=st.integers(0, 2),
    where=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
)
def test_cut_off_anywhere_and_resumed_equals_the_uncut_run(
    name: str, seed: int, victim: int, where: list[float]
) -> None:
    parties, held_out, changes = CASES[name]
    base: dict[str, Any] = {"trees": 5, "implementation": "ideal", "bins": 8}
    parameters = BoostingParameters(**(base | changes))
    inputs = play.share(*play.table(200 + held_out, 9, seed), play.NAMES[:parties], held_out)
    loser = play.NAMES[victim % parties]
    with TemporaryDirectory() as left, TemporaryDirectory() as right:
        whole = Attempts(Path(left), inputs, parameters)
        uncut = whole.run(seed, **{loser: []}).check()
        transport = uncut.transports[loser]
        assert isinstance(transport, FaultyTransport)
        cut = Attempts(Path(right), inputs, parameters)
        for share in where:
            at = int(share * (transport.passed - 1))
            killed = cut.run(seed, **{loser: [Fault("kill", at)]})
            # An attempt that goes on has fewer messages, and may have ended before the chosen one.
            if loser not in killed.errors:
                break
        again = cut.run(seed).check()
        assert outcome(again) == outcome(uncut)
        # Each attempt is shown by itself, so the last one shows every tree.
        assert cut.shown == whole.shown


def test_goes_on_at_the_newest_round_that_all_hold(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, *small())
    whole = attempts.run(bank=[]).check()
    assert attempts.started is None
    (tmp_path / "shop.4").unlink()
    again = attempts.run(bank=[]).check()
    assert attempts.started == 3
    starts = [done.channels["bank"].counters.total(task="task") for done in (whole, again)]
    assert starts[1].messages_sent < starts[0].messages_sent / 2
    assert outcome(again) == outcome(whole)


def small(hosts: int = 1, **changes: Any) -> tuple[dict[str, BoostingInputs], BoostingParameters]:
    base: dict[str, Any] = {
        "trees": 4,
        "bins": 8,
        "minimum_rows": 5,
        "minimum_leaf_rows": 5,
        "implementation": "ideal",
    }
    return tied(hosts), BoostingParameters(**(base | changes))


def cut_in_tree(attempts: Attempts, tree: int, seed: int | None = 7) -> None:
    """Run an attempt that the guest leaves in the middle of a tree."""
    for at in range(1, 400):
        probe = Attempts(attempts.folder / str(at), attempts.inputs, attempts.parameters)
        probe.public = attempts.public
        probe.run(seed, bank=[Fault("kill", at)])
        names = {path.name for path in probe.folder.iterdir()} if probe.folder.exists() else set()
        if f"bank.{tree}" in names:
            probe.folder.rename(attempts.folder / "found")
            attempts.folder = attempts.folder / "found"
            return
    raise AssertionError("no such tree")


@pytest.mark.parametrize("hosts", [1, 2])
def test_with_a_fixed_seed_the_same_bytes_though_all_secrets_are_fresh(
    tmp_path: Path, hosts: int
) -> None:
    whole, cut = (Attempts(tmp_path / name, *small(hosts)) for name in ("whole", "cut"))
    whole.public = cut.public = FIXED
    uncut = whole.run(None).check()
    cut_in_tree(cut, 2, None)
    again = cut.run(None).check()
    assert cut.started == 2
    assert outcome(again) == outcome(uncut)


def test_a_round_that_was_noised_is_not_noised_again(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, *small(host_noise=2.0))
    # The kill at the beginning of tree 2: nothing of it has left the host.
    cut_in_tree(attempts, 2)
    attempts.run().check()
    assert attempts.started == 2
    # As if the attempt had been lost in its last tree.
    for name in attempts.inputs:
        (attempts.folder / f"{name}.4").unlink()
    with pytest.raises(AtollError) as caught:
        attempts.run()
    assert caught.value.code == "ATL-WRK-010"
    # Nor from the beginning, as a guest would have it that says it holds nothing.
    (attempts.folder / "bank.3").unlink()
    with pytest.raises(AtollError, match="round 3"):
        attempts.run()


def test_of_secrets_the_seeds_of_own_draws_alone_are_kept(tmp_path: Path) -> None:
    """Each party's seed for columns and orders, in its answers; never a key, never in a state."""
    attempts = Attempts(tmp_path, *small(implementation="elgamal", trees=1))
    drawn: list[bytes] = []
    original = SecretRandom.bytes

    def spy(self: SecretRandom, count: int) -> bytes:
        drawn.append(original(self, count))
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecretRandom, "bytes", spy)
        attempts.run().check()
    states = b"".join(path.read_bytes() for path in tmp_path.glob("*.[0-9]"))
    answers = b"".join(path.read_bytes() for path in tmp_path.glob("*.answers"))
    assert states
    assert not [secret for secret in drawn if secret in states]
    kept = [secret for secret in drawn if secret in answers]
    assert len(kept) == 2 < len(drawn)
    assert len(answers) == 2 * 64


def test_the_size_of_a_hosts_state_does_not_depend_on_its_rows(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, *small())
    attempts.run().check()
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("*.[0-9]")}
    rows = attempts.inputs["bank"].features.shape[0]
    assert sizes.keys() == {"bank.3", "bank.4", "shop.3", "shop.4"}
    assert sizes["bank.4"] > 8 * rows
    assert sizes["shop.4"] < 4000


def test_a_models_id_repeats_only_where_the_model_does() -> None:
    known: dict[str, Party] = {}
    world.run(play.roles(("bank", "shop")), lambda party: known.update({party.name: party})).check()
    bank, shop = (replace(known[name], public_rng=FIXED) for name in ("bank", "shop"))
    again = replace(bank, session=b"x" * 32)

    def made(party: Party, *, noisy: bool = False) -> str:
        return new_model(party, "boost", noisy=noisy)

    assert made(bank) == made(shop) == made(again)
    assert made(replace(bank, step_id=b"y" * 32)) != made(bank)
    assert made(bank, noisy=True) == made(shop, noisy=True) != made(again, noisy=True)
    tossed = replace(again, public_rng=known["bank"].public_rng)
    assert len({made(known["bank"]), made(known["shop"]), made(tossed)}) == 2


class Sizes(FileCheckpoints):
    """Counts what arrays of each state hold; all else is as shipped."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.arrays: list[dict[str, int]] = []

    def save(self, number: int, state: Any) -> None:
        self.arrays.append({k: v.nbytes for k, v in state.items() if hasattr(v, "nbytes")})
        super().save(number, state)


def test_a_state_has_one_size_whether_the_loss_fell_or_not(tmp_path: Path) -> None:
    parameters = BoostingParameters(
        trees=6, implementation="ideal", bins=8, learning_rate=1.0, early_stopping_rounds=5
    )
    inputs = play.share(*play.table(280, 9, 3), play.NAMES[:2], 80)
    kept = {name: Sizes(tmp_path, name, ("plan",)) for name in inputs}
    for store in kept.values():
        store.enter(None, bytes(32))

    def entry(party: Party) -> TrainingResult:
        return train(replace(party, checkpoints=kept[party.name]), inputs[party.name], parameters)

    done = world.run(play.roles(tuple(inputs)), entry, seed=7).check()
    losses = [record.validation_loss for record in done.results[play.NAMES[0]].history.trees]
    fell = {loss <= min(losses[: at + 1]) for at, loss in enumerate(losses)}
    assert fell == {True, False}
    first, *others = kept[play.NAMES[0]].arrays
    assert len(others) == 5
    assert all(other == first for other in others)
    assert set(first) == {"margin", "held_out", "best"}
