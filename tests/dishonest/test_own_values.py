"""An aggregator walks the weights that it sends and watches whether one client fails alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.errors import DataError, PeerError
from atoll.core.names import Role
from atoll.learning.horizontal.algorithm import WEIGHTS
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.build import model_of
from atoll.learning.horizontal.parties.adding import Adding
from atoll.learning.horizontal.parties.aggregator import PartyClients
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.sums import Extent, Update
from atoll.operators.secure_sum.masked.client import Client as SumClient
from atoll.operators.secure_sum.masked.messages import Consents, Opened
from tests.learning.horizontal.test_parties import CLIENTS, ROLES, SEED

ROWS, COLUMNS, BOUND = 20, 2, 2.0
# Each client's mean label; the weights that are sent pass only c3's own bound.
MEANS = {"c0": 4.1, "c1": 3.7, "c2": 3.5, "c3": 1.2, "c4": 2.9}


def _data(name: str) -> ClientRows:
    generator = np.random.default_rng(CLIENTS.index(name))
    rows = 0.01 * generator.normal(size=(ROWS, COLUMNS))
    return ClientRows(rows.astype(np.float32), np.full(ROWS, MEANS[name]))


def _work(**chosen: Any) -> Work:
    given: dict[str, Any] = {"family": "linear", "algorithm": "fedsgd", "rounds": 3} | chosen
    parameters = HorizontalParameters(bound=BOUND, minimum_clients=5, **given)
    mask, spec = parameters.mask(len(CLIENTS), ROWS), parameters.spec(COLUMNS)
    return Work(
        model_of(spec),
        parameters.trained_by(),
        parameters.chain(mask),
        Adding(mask, 5),
        parameters.rounds,
        parameters.evaluate_every,
        5,
        classifies=False,
        bound=parameters.bound,
    )


def _walk(
    of: Work, biases: list[float], rows: int = 0
) -> tuple[world.World, dict[str, Client], list[Vector]]:
    clients: dict[str, Client] = {}
    sums: list[Vector] = []

    def entry(party: Party) -> Any:
        party = dataclasses.replace(party, rows=dict.fromkeys(CLIENTS, rows))
        if party.role == Role.CLIENT:
            clients[party.name] = Client(party, of, _data(party.name), _data(party.name))
            return clients[party.name].run()
        asking = PartyClients(party, of)
        for round_, bias in enumerate(biases):
            weights = np.zeros(COLUMNS + 1, np.float32)
            weights[-1] = bias
            answers = asking.ask_for(round_, {WEIGHTS: weights}, train=True)
            assert answers.total is not None
            sums.append(next(iter(answers.total.vectors.values())))
        raise DataError("ATL-HOR-011", "the walk ended")

    done = world.run(
        ROLES, entry, seed=SEED, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )
    return done, clients, sums


def test_no_client_fails_in_the_round_that_passes_its_own_bound() -> None:
    _, clients, sums = _walk(_work(), [3.0, 3.3, 3.4])
    # All three rounds were summed over all; the last two cut one client's mean error of 2.1.
    assert len(sums) == 3
    assert {name: sorted(client.cut) for name, client in clients.items()} == {
        "c0": [], "c1": [], "c2": [], "c3": [1, 2], "c4": [],
    }  # fmt: skip
    errors = {name: 3.3 - mean for name, mean in MEANS.items()} | {"c3": BOUND}
    assert sums[1][-1] == pytest.approx(ROWS * sum(errors.values()), abs=1e-2)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("bias", [1e30, 3e38])
def test_no_client_fails_where_its_update_is_not_finite(bias: float) -> None:
    done, clients, sums = _walk(_work(), [3.0, bias])
    assert len(sums) == 2, done.errors
    assert np.isfinite(sums[1]).all()
    assert all(1 in client.cut for client in clients.values())


def test_a_mask_without_a_list_still_refuses() -> None:
    update = Update({"v": np.array([5.0, -1.0])}, {"n": 1.0})
    mask = Mask(bound=2.0, clients=3)
    passage = Passage({}, np.random.default_rng(0))
    with pytest.raises(DataError, match="ATL-SUM-002"):
        mask.client(update, passage)
    passage.cut = []
    cut = mask.client(update, passage)
    kept = mask.client(Update({"v": np.array([2.0, -1.0])}, {"n": 1.0}), passage)
    assert passage.cut == ["ATL-SUM-002"]
    assert np.array_equal(cut.vectors["v"], kept.vectors["v"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_and_numbers_are_cut_to_their_range(value: float) -> None:
    mask = Mask(bound=1.0, clients=3, unit=0.3)
    passage = Passage({}, np.random.default_rng(0), cut=[])
    made = mask.client(Update({"v": np.array([value])}, {"n": value}), passage)
    total = mask.aggregate(made, 1, passage)
    sign = 0.0 if np.isnan(value) else np.sign(value)
    assert total.vectors["v"][0] == pytest.approx(0.9 * sign)
    assert total.numbers["n"] == 2.0**40 * sign


def test_wrong_shares_end_the_round_and_blame_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SumClient.open

    def wrong(client: SumClient, consents: Consents) -> Opened:
        opened = honest(client, consents)
        if client._name != "c0":
            return opened
        return Opened(opened.names, tuple(bytes(33 - 1) + b"\1" for _ in opened.shares))

    monkeypatch.setattr(SumClient, "open", wrong)
    done, _, sums = _walk(_work(), [3.0])
    error = done.errors["hub"]
    assert not sums
    assert isinstance(error, PeerError)
    assert error.code in {"ATL-HOR-054", "ATL-SHR-002"}
    assert error.party is None


@pytest.mark.parametrize(
    "lie",
    [
        lambda units: units | {"number.rows": _digits(-(ROWS * 4 * 2**20) + 1)},
        lambda units: units | {"number.rows": _digits(-(ROWS * 4 + 1) * 2**20)},
        lambda units: units | {"number.rows": _digits((ROWS + 1) * 2**20)},
        lambda units: units | {"number.rows": _digits(-(ROWS * 4 - 1) * 2**20)},
    ],
    ids=["a total of 2^-20 rows", "a total of -1", "more rows than the plan", "too few rows"],
)
def test_a_sum_that_no_honest_clients_have_ends_the_round(
    lie: Callable[[dict[str, Vector]], dict[str, Vector]], monkeypatch: pytest.MonkeyPatch
) -> None:
    of, honest = _work(evaluate_every=0), Client.update

    def update(client: Client, *given: Any) -> Update:
        made = honest(client, *given)
        if client.party.name != "c0" or not len(client.data):
            return made
        return Update(lie(dict(made.vectors)), {})

    monkeypatch.setattr(Client, "update", update)
    done, _, sums = _walk(of, [3.0], ROWS)
    error = done.errors["hub"]
    assert not sums
    assert isinstance(error, PeerError)
    assert (error.code, error.party) == ("ATL-HOR-054", None)


def _digits(whole: int) -> Vector:
    """Return a number's digits as the mask of five clients has them: all in the lowest."""
    form = Mask(bound=BOUND * ROWS, clients=len(CLIENTS))
    digits: Vector = form._digits("rows", whole / 2**20)  # type: ignore[assignment]
    return digits


@pytest.mark.parametrize("ring", [32, 64])
@pytest.mark.parametrize("above", [0, 1, 2, 4])
def test_a_sum_of_clients_that_all_are_at_their_bound_is_taken(
    ring: Literal[32, 64], above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mean error is ``above`` steps of float32 beyond the bound; the mask has room for it."""
    of = _work(evaluate_every=0)
    mask = Mask(bound=2 * BOUND * ROWS, clients=len(CLIENTS), ring=ring)
    of = dataclasses.replace(of, chain=Chain((mask,)), adding=Adding(mask, 5))
    bias = np.float32(BOUND)
    for _ in range(above):
        bias = np.nextafter(bias, np.float32(np.inf))
    monkeypatch.setattr(f"{__name__}.MEANS", dict.fromkeys(MEANS, 0.0))
    _, clients, sums = _walk(of, [float(bias)], 2 * ROWS)
    assert sums, "the sum was refused"
    assert sums[0][-1] == pytest.approx(len(CLIENTS) * ROWS * BOUND, rel=2e-8)
    assert all((0 in client.cut) == bool(above) for client in clients.values())


@pytest.mark.parametrize(("rows", "fits"), [(10, True), (9, False)])
def test_a_client_keeps_to_the_bound_times_its_own_rows(rows: int, fits: bool) -> None:
    update = Update({"gradient": np.array([20.0, -3.0], np.float32)}, {"rows": float(rows)})
    kept = _work().range.fitted(update, Extent(1, ROWS, ROWS, len(CLIENTS)))
    assert (kept is update) is fits
    assert kept.vectors["gradient"][0] == pytest.approx(2.0 * rows)
    assert kept.vectors["gradient"][1] == -3.0


def test_a_client_that_states_many_rows_rounds_no_others_updates_to_nothing() -> None:
    mask = HorizontalParameters(bound=16.0).mask(4, 10**10)
    assert mask is not None
    # One row's change by a thousandth of the bound is still many units of the grid.
    assert 0.016 * mask.form().scale > 100
