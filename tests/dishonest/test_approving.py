"""Partners that ask about values by proposing jobs, against a node that runs what is shipped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from atoll.channel.identity import Identity
from atoll.components.references import ModelRef, Registered
from atoll.core.errors import AtollError
from atoll.flow import control
from atoll.flow.access import Access
from atoll.flow.control.record import JobRecord
from atoll.flow.node.data.service import DataService, DataSettings
from atoll.flow.node.jobs.deciding import Decider
from atoll.flow.policy.decision import Decision
from atoll.flow.policy.service import Policies
from atoll.jobs.definition import Job
from atoll.jobs.errors import NotFoundError
from atoll.models.scaling import ScalePart
from atoll.table import Table
from tests.dishonest.test_agreement import (
    ROWS,
    UNKNOWN,
    House,
    agreed,
    job_of,
    reading,
    refused,
    visits,
)
from tests.flow.access.support import open_database

pytestmark = pytest.mark.usefixtures("few_rows")


def answered(house: House, job: Job) -> str | None:
    """Return the code with which the bank's node answers a job that a grant covers, None: signed.

    The code and the fact itself are all that the shop is sent of this.
    """
    plan, opening = agreed(house, job)
    policies = SimpleNamespace(consider=lambda *about, run, runs, stopped: Decision("approve"))
    house.identity.sign = lambda document: b"signature"
    decider = Decider(
        cast(Policies, policies),
        lambda: cast(Identity, house.identity),
        lambda: 0.0,
        synthetic=None,
    )
    decider.attach(house.declarer.verify, lambda job, error: None)
    record = SimpleNamespace(
        id="j",
        party="bank",
        initiator="shop",
        drives=False,
        ask_person=False,
        opening=opening,
        run=1,
    )
    made = decider.decide(cast(JobRecord, record), control.Decide(plan, b"n" * 32, 1))
    event = cast(Any, made(cast(Any, 0.0)))
    return None if event.kind == "approve" else str(event.code)


def keeping(share: float) -> Job:
    """Return a job that fails at the bank unless its share of a class is a row at least."""
    shares = [{"label": one, "fraction": one * share} for one in (0.0, 1.0)]
    plain = reading().model_dump(mode="json")["steps"]
    plain["read"]["parameters"]["label"] = "y"
    plain["some"] = {
        "component": "sample",
        "inputs": {"table": "match.table"},
        "parameters": {"method": "stratified", "shares": shares},
    }
    return job_of(plain)


def test_a_grant_does_not_answer_questions_about_labels() -> None:
    """The lie: jobs are proposed one after the other, only to see which of them the bank signs.

    The number of positives was found in as many proposals as it has bits, free of charge. What a
    grant covers is signed whatever the values are; it fails when it runs, and that is charged.
    """
    answers = set()
    for positives in (14, 17, 26):
        labels = (1,) * (positives - 14) + (0,) * (UNKNOWN + 14 - positives)
        bank = House(visits(labels))
        # Of fewer than so many rows the sample keeps none, and the node can see that it will fail.
        answers |= {answered(bank, keeping(0.5 / (most - 0.25))) for most in range(1, ROWS)}
    assert answers == {None}


def people(label: int | None = None, first: int = 0) -> Table:
    labels = [at % 2 if label is None else label for at in range(ROWS)]
    columns = {"id": [f"v{at + first}" for at in range(ROWS)], "y": labels}
    return Table.from_arrow(pa.table(columns), id_column="id", label="y")


SOME = {"method": "stratified", "shares": [{"label": 0.0, "fraction": 0.5}]}
SECOND = {"tables": {"bank": "others", "shop": "others"}, "label": "y"}


@pytest.mark.parametrize(
    ("steps", "wrong", "fitting"),
    [
        (
            {"it": {"component": "boosting", "inputs": {"train": "match.table"}}},
            people(label=1),
            people(),
        ),
        (
            {"it": {"component": "boosting", "inputs": {"train": "match.table"}}},
            people(label=2),
            people(),
        ),
        (
            {"it": {"component": "sample", "inputs": {"table": "match.table"}, "parameters": SOME}},
            people(),
            people(label=0),
        ),
        (
            {
                "more": {"component": "reader", "parameters": SECOND},
                "it": {"component": "union", "inputs": {"tables": ["read.table", "more.table"]}},
            },
            people(first=ROWS - 1),
            people(first=ROWS),
        ),
    ],
)
def test_a_grant_answers_alike_whatever_the_values_are(
    steps: Any, wrong: Table, fitting: Table
) -> None:
    """The lie: labels of one class or others than 0 and 1, classes without a share, shared ids.

    Each is a refusal for the own people, who may not sign it, and none for a partner.
    """
    plain = reading().model_dump(mode="json")["steps"]
    plain["read"]["parameters"]["label"] = "y"
    job = job_of(plain | steps)
    for table in (wrong, fitting):
        bank = House(people() if "more" in steps else table)
        bank.others = {"others": table}
        assert answered(bank, job) is None
        plan, opening = agreed(bank, job)
        if table is wrong:
            refused("ATL-PLN-011", lambda: bank.declarer.verify(plan, opening))  # noqa: B023
        else:
            bank.declarer.verify(plan, opening)


def test_a_grant_answers_whether_a_model_is_here() -> None:
    """The lie: under an automatic grant the shop proposes jobs that name models, one after another.

    Gain: whether the bank has one of that name and kind, by whether it signs (ATL-PLN-011); one bit
    a job, which is in its list.
    """
    steps = reading().model_dump(mode="json")["steps"]
    for name in ("credit", "nonsense"):
        fitted = {"model": name, "step": "scale", "kind": "scale.transform"}
        job = job_of(steps | {"fitted": {"component": "fitted", "parameters": fitted}})
        bank = House(visits())

        def part(reference: ModelRef) -> Registered:
            if reference.model != "credit":
                raise NotFoundError("ATL-REG-001", "there is no such model here")
            return Registered("scale.transform", ScalePart(party="bank", scaled=()))

        bank.declarer._part = part
        assert answered(bank, job) == (None if name == "credit" else "ATL-PLN-011")


def test_a_table_without_a_label_answers_what_would_do_as_one(tmp_path: Path) -> None:
    """The lie: a reader that names a column as the label of a table that was registered without
    one. Gain: whether it has gaps, by a code; a registered label ends it (ATL-DAT-105).
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("id,x,gaps\na,1,\nb,1,3\n")
    found = {}
    with open_database(tmp_path) as database:
        service = DataService(database, Access(database), tmp_path / "data", DataSettings())
        for name, label in (("bare", None), ("labelled", "x")):
            service.register(name, "rows.csv", "id", label, "", "ann")
            for column in ("x", "gaps"):
                code = ""
                try:
                    service.source(name, id_column="id", label=column)
                except AtollError as error:
                    code = error.code
                found[name, column] = code
    assert found["bare", "x"] != found["bare", "gaps"]
    assert found["labelled", "gaps"] == "ATL-DAT-105"
