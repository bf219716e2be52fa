"""Evaluation of each kind of scores, several models, and what does not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.api import ArtifactFacts, Facts, OwnFacts, TableDeclaration
from atoll.components.evaluation import EVALUATION, EvaluationParameters
from atoll.components.local_prediction import LOCAL_PREDICTION
from atoll.components.scores import Scores
from atoll.components.trial import Case, play
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.core.report import LinePanel, TablePanel
from atoll.jobs.plan import TableFacts
from atoll.learning.evaluation import evaluate, evaluate_classes, evaluate_numbers
from atoll.models.network.part import NetworkPart
from atoll.models.network.spec import NetworkSpec
from atoll.table.labels import LabelFacts
from tests.components.horizontal_cases import rows

ROWS = 90
CLASSES = np.random.default_rng(17).integers(0, 3, ROWS)


def scores(score: Any, label: Any = None, wide: Any = None, start: int = 0) -> Scores:
    ids = pa.array([b"row-%03d" % at for at in range(start, start + ROWS)])
    truth = CLASSES > 1 if label is None else label
    return Scores(ids, np.asarray(truth, dtype=np.float64), np.asarray(score, np.float64), wide)


def evaluated(inputs: dict[str, Scores], **parameters: Any) -> Any:
    done = play(EVALUATION, Case({"bank": inputs, "shop": dict.fromkeys(inputs)}, parameters))
    if done.errors:
        raise next(iter(done.errors.values()))
    return done.results["bank"]


def drawn(seed: int) -> Any:
    return np.random.default_rng(seed)


def soft(label: Any, wide: int = 3) -> Any:
    raw = np.random.default_rng(wide).random((ROWS, wide))
    raw[np.arange(ROWS), label] += 0.5
    return raw / raw.sum(axis=1, keepdims=True)


def test_the_figures_and_lists_of_two_classes() -> None:
    held, before = scores(drawn(1).random(ROWS)), scores(drawn(2).random(ROWS))
    result = evaluated({"scores": held, "train": before}, threshold=0.25)
    metrics = json.loads(result.files["metrics.json"])
    assert metrics == result.outputs["metrics"]
    assert metrics["test"] == evaluate(held.label, held.score, 0.25).to_dict()
    assert metrics["train"] == evaluate(before.label, before.score, 0.25).to_dict()
    assert set(metrics["tables"]) == {"thresholds", "calibration", "stability"}
    assert metrics["stability"]["psi"] > 0
    assert "Stability of scores" in [panel.title for panel in result.report.panels]


def test_several_classes_with_and_without_probabilities() -> None:
    wide = soft(CLASSES)
    held = scores(wide.argmax(axis=1), CLASSES, wide)
    found = evaluated({"scores": held}, task="multi_class").outputs["metrics"]["test"]
    assert found == evaluate_classes(CLASSES, wide.argmax(axis=1), wide).to_dict()
    assert found["macro_auc"] > 0.5
    bare = evaluated({"scores": scores(held.score, CLASSES)}, task="multi_class")
    assert "log_loss" not in bare.outputs["metrics"]["test"]
    assert bare.outputs["metrics"]["test"]["accuracy"] == found["accuracy"]


def test_numbers_of_two_classes_are_evaluated_by_the_second() -> None:
    label = CLASSES > 1
    wide = soft(label.astype(int), 2)
    found = evaluated({"scores": scores(wide.argmax(axis=1), label, wide)})
    assert found.outputs["metrics"]["test"] == evaluate(label, wide[:, 1]).to_dict()


def test_predicted_numbers() -> None:
    label = drawn(3).normal(size=ROWS)
    held = scores(label + drawn(4).normal(size=ROWS), label)
    result = evaluated({"scores": held, "train": held}, task="regression")
    metrics = result.outputs["metrics"]
    assert metrics["test"] == metrics["train"] == evaluate_numbers(label, held.score).to_dict()
    assert metrics["stability"] == {"psi": 0.0}


def test_models_are_compared_on_the_same_rows_in_any_order() -> None:
    label = CLASSES > 1
    good, poor = 2 * label + drawn(5).normal(size=ROWS), drawn(6).normal(size=ROWS)
    order = drawn(7).permutation(ROWS)
    mixed = scores(poor)
    mixed = Scores(mixed.ids.take(pa.array(order)), mixed.label[order], poor[order])
    inputs = {"scores": scores(good), "others.0": mixed, "others.1": scores(good * 2)}
    result = evaluated(inputs, names=["good", "poor", "doubled"])
    metrics = result.outputs["metrics"]
    assert metrics["models"]["good"] == metrics["test"]
    assert metrics["models"]["poor"]["auc"] == evaluate(label, poor).auc
    first, second = metrics["differences"]
    assert (first["model"], first["other"], second["model"]) == ("poor", "good", "doubled")
    difference = metrics["models"]["poor"]["auc"] - metrics["test"]["auc"]
    assert abs(first["auc_difference"] - difference) < 1e-12
    assert 0 < first["p_value"] < 0.01
    assert (second["auc_difference"], second["standard_error"], second["p_value"]) == (0, 0, None)
    table, differences, curves = result.report.panels[:3]
    assert isinstance(table, TablePanel)
    assert table.columns == ("figure", "good", "poor", "doubled")
    assert isinstance(differences, TablePanel)
    assert len(differences.rows) == 2
    assert isinstance(curves, LinePanel)
    assert [line.name for line in curves.series] == ["good", "poor", "doubled", "chance"]


def test_numbers_of_models_are_compared_without_a_test() -> None:
    label = drawn(8).normal(size=ROWS)
    inputs = {"scores": scores(label, label), "others.0": scores(label + 1, label)}
    metrics = evaluated(inputs, task="regression").outputs["metrics"]
    assert metrics["models"]["model 2"]["rmse"] == 1.0
    assert "differences" not in metrics


@pytest.mark.parametrize(
    ("inputs", "parameters", "code"),
    [
        ({"scores": scores(CLASSES, CLASSES, soft(CLASSES))}, {}, "ATL-EVA-007"),
        (
            {"scores": scores(CLASSES, CLASSES, soft(CLASSES))},
            {"task": "regression"},
            "ATL-EVA-007",
        ),
        ({"scores": scores(drawn(9).random(ROWS), CLASSES)}, {}, "ATL-EVA-002"),
        (
            {"scores": scores(CLASSES, CLASSES + 1, soft(CLASSES))},
            {"task": "multi_class"},
            "ATL-EVA-006",
        ),
        (
            {
                "scores": scores(drawn(10).random(ROWS)),
                "others.0": scores(drawn(11).random(ROWS), start=1),
            },
            {},
            "ATL-EVA-009",
        ),
        (
            {
                "scores": scores(drawn(12).random(ROWS)),
                "others.0": scores(drawn(13).random(ROWS), CLASSES > 0),
            },
            {},
            "ATL-EVA-009",
        ),
        ({"scores": scores(drawn(14).random(ROWS))}, {"names": ["a", "b"]}, "ATL-EVA-008"),
    ],
)
def test_what_does_not_fit_is_refused(inputs: Any, parameters: Any, code: str) -> None:
    with pytest.raises(AtollError) as error:
        evaluated(inputs, **parameters)
    assert error.value.code == code


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="must differ"):
        EvaluationParameters(names=("a", "a"))


def test_the_plan_refuses_one_class_and_other_labels_of_a_binary_task_alone() -> None:
    binary, regression = (EvaluationParameters(task=t) for t in ("binary", "regression"))
    held = ArtifactFacts("scores", 9, label="y", classes=((1.0, 9),))
    facts = Facts("it", {"bank": Role.GUEST}, {"scores": {"bank": held}})
    with pytest.raises(AtollError) as error:
        EVALUATION.describe(facts, binary)
    assert error.value.code == "ATL-EVA-004"
    assert EVALUATION.describe(facts, regression).owners == {"metrics": ("bank",)}
    label = LabelFacts.of(np.array([0.0, 1.0, 2.5]), "y")
    table = TableDeclaration(TableFacts(name="t", digest="", rows=3, columns=(), id_rule=""), label)
    scored = ArtifactFacts("scores", 3, label="y")
    own = OwnFacts(
        "it",
        "bank",
        facts.roles,
        {"scores": scored},
        {},
        lambda *_: None,  # type: ignore[arg-type]
        {"scores": (table,)},
    )
    assert EVALUATION.check is not None
    EVALUATION.check(own, regression)
    with pytest.raises(AtollError) as error:
        EVALUATION.check(own, binary)
    assert (error.value.code, error.value.place) == (
        "ATL-PLN-009",
        "row 3 of table 't', column 'y'",
    )


def test_scores_of_a_softmax_model_are_evaluated_with_its_probabilities() -> None:
    spec = NetworkSpec(columns=3, family="softmax", classes=3)
    part = NetworkPart("bank", ("a", "b", "c"), spec, np.arange(spec.size, dtype=np.float32))
    table = rows(1, classes=3)
    case = Case({"bank": {"model": part, "table": table}, "shop": {"model": None, "table": None}})
    found = play(LOCAL_PREDICTION, case).results["bank"].outputs["scores"]
    assert found.probabilities.shape == (table.num_rows, 3)
    metrics = evaluated({"scores": found}, task="multi_class").outputs["metrics"]
    assert metrics["test"]["log_loss"] > 0
