"""Validation rows and rows to score are matched to the training's columns by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from atoll.channel import world
from atoll.core.errors import UserError
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, predict, train
from tests.learning.vertical import play

PARAMETERS = BoostingParameters(
    trees=4, minimum_rows=5, early_stopping_rounds=3, implementation="ideal"
)
GUEST, HOST = play.NAMES[:2]


def shares() -> dict[str, BoostingInputs]:
    x, y = play.table(360, 8, 3)
    return play.share(x, y, (GUEST, HOST), held_out=80)


def moved(rows: BoostingInputs) -> BoostingInputs:
    """Turn the columns around and put one more among them."""
    more = np.full((len(rows.features), 1), 7.0)
    features = np.column_stack([rows.features[:, :0:-1], more, rows.features[:, :1]])
    return replace(rows, features=features, names=(*rows.names[:0:-1], "more", rows.names[0]))


def test_validation_rows_go_by_name() -> None:
    plain = shares()
    other = {}
    for name, inputs in plain.items():
        assert inputs.validation is not None
        other[name] = replace(inputs, validation=moved(inputs.validation))
    wanted, found = play.play(plain, PARAMETERS), play.play(other, PARAMETERS)
    clear = play.in_the_clear(other, PARAMETERS)
    losses = [tree.validation_loss for tree in wanted.results[GUEST].history.trees]
    assert losses == [tree.validation_loss for tree in found.results[GUEST].history.trees]
    assert losses == clear.losses
    for name in plain:
        assert found.results[name].part == wanted.results[name].part


@pytest.mark.parametrize("party", [GUEST, HOST])
def test_validation_rows_without_a_column_are_refused_by_name(party: str) -> None:
    inputs = shares()
    rows = inputs[party].validation
    assert rows is not None
    renamed = replace(rows, names=(f"{rows.names[0]}_new", *rows.names[1:]))
    inputs[party] = replace(inputs[party], validation=renamed)
    done = world.run(play.roles((GUEST, HOST)), lambda p: train(p, inputs[p.name], PARAMETERS))
    error = done.errors[party]
    assert isinstance(error, UserError)
    assert (error.code, error.place) == ("ATL-MOD-003", "the validation rows")
    assert error.message == f"columns of the model are missing: {rows.names[0]!r}"
    assert f"'{rows.names[0]}_new'" in str(error.hint)


def test_rows_to_score_go_by_name() -> None:
    inputs = shares()
    wanted = play.play(inputs, PARAMETERS)
    rows = {name: moved(own) for name, own in inputs.items()}
    parts = {name: result.part for name, result in wanted.results.items()}
    done = world.run(
        play.roles((GUEST, HOST)),
        lambda p: predict(p, parts[p.name], rows[p.name].features, rows[p.name].names),
    ).check()
    np.testing.assert_array_equal(done.results[GUEST], wanted.scores)
