"""Early stopping against a host that lies about the validation rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import DataError
from atoll.flow import planning
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import TableFacts
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, train
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.messages import Validation
from atoll.learning.vertical.boosting.warnings import plan_warnings
from atoll.models.boosting.scoring import pack_rows
from tests.dishonest.boosting_liars import GUEST, HOST, SEATS, codes

ROWS, TREES = 300, 20
PARAMETERS = BoostingParameters(
    trees=TREES, depth=1, early_stopping_rounds=1, implementation="ideal"
)


class _Chosen(HostTrainer):
    """Sends the first half of the validation rows left at each of its splits."""

    def _send_validation(self, tree: Any) -> None:
        validation = self._inputs.validation
        if validation is None or not tree.splits:
            return
        rows = validation.features.shape[0]
        sides = np.tile(np.arange(rows) < (rows + 1) // 2, (len(tree.splits), 1))
        self._party.channel.send(
            self._party.guest, "validation", Validation(tree.number, pack_rows(sides))
        )


def seen(label: list[float], parameters: BoostingParameters = PARAMETERS) -> Any:
    """Return (trees begun, trees kept) as a host saw it that lies, and how parties ended."""
    rng = np.random.default_rng(1)
    train_label = (rng.random(ROWS) < 0.5).astype(np.float64)
    column = rng.normal(size=(ROWS, 1)) + 1.5 * train_label[:, None]
    nothing, held_out = np.zeros((ROWS, 1)), np.zeros((len(label), 1))

    def entry(party: Party) -> Any:
        if party.name == GUEST:
            more = BoostingInputs(held_out, ("g",), np.array(label))
            return train(party, BoostingInputs(nothing, ("g",), train_label, more), parameters)
        inputs = BoostingInputs(column, ("h",), None, BoostingInputs(held_out, ("h",)))
        made = _Chosen(party, inputs, parameters).run()
        return len(made.history.trees), made.history.kept

    done = world.run(SEATS, entry, seed=7)
    return done.results.get(HOST), codes(done.errors)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_validation_row_shows_no_label(label: float) -> None:
    """The host read the label of the only validation row from the number of trees.

    It was 1 tree or 20. Now the guest holds their number against ``minimum_rows``: ATL-BST-012.
    """
    found, ended = seen([label])
    assert found is None
    assert ended[GUEST] == "ATL-BST-012"


def test_when_training_stops_shows_which_of_few_cases_the_labels_are() -> None:
    """The host puts 20 of 40 rows on one side and reads how many of them are positive, roughly.

    No rule stops it. The gain is one of as many outcomes as there are trees, as the page states.
    """
    outcomes = set()
    for positives in (0, 5, 10, 15, 20):
        found, ended = seen([float(at < positives) for at in range(20)] + [0.0, 1.0] * 10)
        assert not ended
        outcomes.add(found)
    assert 1 < len(outcomes) <= TREES
    assert all(begun == min(kept + 1, TREES) for begun, kept in outcomes)
    assert any("up to 20 cases" in line for line in plan_warnings(PARAMETERS, ROWS, 1))


def test_without_early_stopping_nothing_depends_on_validation_labels() -> None:
    """All trees are grown and kept, whatever the labels are, also of a single row."""
    never = PARAMETERS.model_copy(update={"early_stopping_rounds": 0})
    assert {seen([label], never)[0] for label in (0.0, 1.0)} == {(TREES, TREES)}


def facts(rows: int) -> dict[str, TableFacts]:
    made: dict[str, Any] = {"digest": "0" * 64, "columns": ("a",), "id_rule": "bytes"}
    return {
        "rows": TableFacts(name="rows", rows=ROWS, **made),
        "held": TableFacts(name="held", rows=rows, **made),
    }


@pytest.mark.parametrize("fewer", [GUEST, HOST])
def test_too_few_validation_rows_are_refused_in_the_plan(fewer: str) -> None:
    """A party's table of validation rows is too small whatever they have in common."""
    names = {"rows": "train", "held": "validation"}
    readers: dict[str, Any] = {
        at: {"component": "reader", "parameters": {"tables": {GUEST: at, HOST: at}}} for at in names
    }
    crossed = {
        f"psi-{at}": {
            "component": "psi",
            "inputs": {"table": f"{at}.table"},
            "parameters": {"minimum_intersection": 10},
        }
        for at in names
    }
    step = {
        "component": "boosting",
        "inputs": {port: f"psi-{at}.table" for at, port in names.items()},
        "parameters": PARAMETERS.model_dump(),
    }
    job = parse_job(
        {
            "name": "few",
            "parties": {GUEST: "guest", HOST: "host"},
            "steps": {**readers, **crossed, "train": step},
        }
    )
    declared = {party: facts(19 if party == fewer else ROWS) for party in (GUEST, HOST)}
    with_label = {
        name: fact.model_copy(update={"label": "y"}) for name, fact in declared[GUEST].items()
    }
    with pytest.raises(DataError, match="ATL-BST-012"):
        planning.build(job, CATALOGUE, {**declared, GUEST: with_label}, dict.fromkeys(SEATS, ""))
