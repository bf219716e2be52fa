"""Partners that ask for plans and propose jobs to be sent what no one approved."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from atoll.channel.identity import Identity
from atoll.components.catalogue import CATALOGUE
from atoll.components.references import ModelRef
from atoll.core.errors import AtollError, UserError
from atoll.flow.node.data.tables import RegisteredTables, TableSource
from atoll.flow.node.jobs.deciding import Decider
from atoll.flow.node.jobs.declaring import Declarer
from atoll.flow.node.jobs.partner_load import Allowance
from atoll.flow.policy.decision import PolicySettings
from atoll.flow.policy.service import Policies
from atoll.flow.store import DataRow, DataSets
from atoll.jobs.commitment import PART, TABLE, Opening, opens
from atoll.jobs.definition import Job, parse_job
from atoll.table import Table
from tests.flow.access.support import Wall, boss, open_access, open_database

PARTS = {"credit": "2" * 64, "churn": "2" * 64}
UNKNOWN = 8


class Shop:
    """The shop's node as far as declarations and grants go: two tables, a granted one and none."""

    def __init__(self, database: Any) -> None:
        wall = Wall()
        access = open_access(database, wall)
        self.admin = boss(access)
        for name in ("visits", "secret"):
            DataSets(database).add(
                DataRow(
                    name=name,
                    path=f"{name}.csv",
                    format="csv",
                    digest=name[0].encode().hex()[:1] * 64,
                    columns=[{"name": "spent"}],
                    rows=2,
                    bytes=1,
                    created=wall.now,
                )
            )
        strict = PolicySettings(default="deny")
        self.policies = Policies(database, "shop", access, strict, wall=wall)
        self.asked: list[str] = []
        self.parts = dict(PARTS)
        self.identity = SimpleNamespace(
            party="shop",
            peer=lambda party: None,
            certificate=b"certificate",
            secret=lambda purpose: b"k" * 32,
        )

    def grant(self, partners: list[str]) -> None:
        terms = {"partners": partners, "components": ["*"], "automatic": True}
        self.policies.grants.add(self.admin, "visits", terms)

    def open(self) -> None:
        self.policies.settings = replace(self.policies.settings, default="ask")

    def source(self, name: str, *, id_column: str, label: str | None) -> TableSource:
        self.asked.append(name)
        if name not in ("visits", "secret"):
            raise AtollError("ATL-JOB-010", "this party has no such table")
        return TableSource(name, cast(Any, None), "id", None, "0" * 64, 2, ("spent",))

    def share(self, one: TableSource, two: TableSource) -> bool:
        return False

    def registered(self, reference: ModelRef) -> tuple[str, str, int]:
        if reference.model not in self.parts:
            raise UserError("ATL-REG-001", "there is no such model here", place=reference.model)
        return ("boosting.model", self.parts[reference.model], 1)

    def declarer(self, **options: Any) -> Declarer:
        decider = Decider(self.policies, lambda: cast(Identity, self.identity), time.time)
        return Declarer(
            lambda: cast(Identity, self.identity),
            lambda: CATALOGUE,
            lambda allow: RegisteredTables(self, allow),
            decider.guard,
            registered=self.registered,
            **options,
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_database(tmp_path) as database:
        yield Shop(database)


def job_of(steps: Any, *hosts: str, seed: int | None = None) -> Job:
    parties = {"bank": "guest", "shop": "host", **dict.fromkeys(hosts, "host")}
    return parse_job({"name": "any", "parties": parties, "steps": steps, "seed": seed})


def reading(**tables: str) -> dict[str, Any]:
    return {"read": {"component": "reader", "parameters": {"tables": tables}}}


def guessing(*models: str) -> dict[str, Any]:
    """Return steps that name models at a made-up table, and so no table of the shop's."""
    steps: dict[str, Any] = {"toys": {"component": "synthetic", "parameters": {"rows": 8}}}
    for at, model in enumerate(models):
        steps[f"guess{at}"] = {
            "component": "model",
            "inputs": {"table": "toys.table"},
            "parameters": {"model": model, "kind": "boosting.model"},
        }
    return steps


def code_of(shop: Shop, steps: Any, *hosts: str, proposed: bool = True) -> str:
    """Return the code by which the shop refuses the bank's job; empty: it declares."""
    try:
        shop.declarer().declare(job_of(steps, *hosts), "bank", proposed=proposed)
    except AtollError as error:
        return error.code
    return ""


# -- models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 7])
def test_guesses_of_models_in_one_declaration_are_answered_by_nothing(
    shop: Shop, seed: int | None
) -> None:
    """The lie: many models are guessed in one job; what equals the answer to nonsense is not here.

    Equal commitments showed which models the shop has, and which of them hold the same. Each has
    a secret of its own, so none equals another, in a job with a seed as in one without.
    """
    shop.open()
    names = ["nonsense", "credit", "churn", "other", "credit"]
    made = shop.declarer().declare(job_of(guessing(*names), seed=seed), "bank", proposed=True)
    found = Counter(made.to("bank").parts.values())
    assert sorted(found.values()) == [1] * len(names)
    assert {len(commitment) for commitment in found} == {64}


def test_the_same_guesses_with_a_seed_show_what_changed_and_no_more(shop: Shop) -> None:
    """The lie: a job with a seed is proposed day by day, with models that do not exist yet.

    It repeats by promise, commitments and all. What is bounded: it is a proposed job, which is
    listed; a plan that is only asked for shows nothing.
    """
    shop.open()

    def parts(*, proposed: bool) -> dict[str, str]:
        job = job_of(guessing("credit", "later", "never"), seed=7)
        return dict(shop.declarer().declare(job, "bank", proposed=proposed).parts)

    first = parts(proposed=True)
    assert parts(proposed=True) == first
    shop.parts["later"] = "3" * 64
    again = parts(proposed=True)
    assert [name for name in first if first[name] != again[name]] == ["guess1"]
    assert not set(parts(proposed=False).values()) & set(again.values())


def test_each_guess_of_a_model_is_a_look(shop: Shop) -> None:
    """The lie: 220 models are guessed in each call. Looks bound it: ATL-PLN-013."""
    shop.open()
    honest = shop.declarer(spend=Allowance(1000, 3600.0, lambda: 0.0).spend)
    job = job_of(guessing(*[f"guess-{at}" for at in range(220)]))
    for _ in range(4):
        honest.declare(job, "bank")
    for proposed in (False, True):
        with pytest.raises(AtollError, match="ATL-PLN-013"):
            honest.declare(job, "bank", proposed=proposed)


def test_under_deny_no_partner_without_a_grant_asks_for_models(shop: Shop) -> None:
    """The lie: models are named, and no table, so that no grant was asked for: ATL-POL-001.

    Whoever would be sent the commitments must be named by a grant on the tables that the job
    brings.
    """
    for proposed in (False, True):
        assert code_of(shop, guessing("credit"), proposed=proposed) == "ATL-POL-001"
    shop.grant(["bank"])
    with_table = {**guessing("credit"), **reading(bank="loans", shop="visits")}
    for proposed in (False, True):
        assert code_of(shop, guessing("credit"), proposed=proposed) == "ATL-POL-001"
        assert code_of(shop, with_table, proposed=proposed) == ""
    # A third party that is sent nothing of the table is sent the commitments, too.
    assert code_of(shop, with_table, "rival") == "ATL-POL-001"
    shop.grant(["rival"])
    assert code_of(shop, with_table, "rival") == ""


# -- tables ------------------------------------------------------------------------------------


def test_under_deny_a_third_party_is_sent_no_facts_either(shop: Shop) -> None:
    """The lie: who has a grant proposes a job in which a rival, which has none, is sent the facts.

    ATL-POL-001 before anything of the table leaves, whether there is such a table or not.
    """
    shop.grant(["bank"])
    for name in ("visits", "secret", "nothing"):
        steps = reading(bank="loans", shop=name, rival="rows")
        assert code_of(shop, steps, "rival") == "ATL-POL-001"
    assert not shop.asked
    # A rival that is sent nothing of it may be in the job, and the bank may ask for a plan.
    apart = {**reading(bank="loans", shop="visits"), "mail": reading(rival="rows")["read"]}
    assert code_of(shop, apart, "rival") == ""
    steps = reading(bank="loans", shop="visits", rival="rows")
    assert code_of(shop, steps, "rival", proposed=False) == ""
    shop.grant(["rival"])
    assert code_of(shop, steps, "rival") == ""


def test_own_jobs_and_those_that_a_person_decides_need_no_grant(shop: Shop) -> None:
    """No lie: the shop's own people choose whom they send facts; and `ask` asks them."""
    steps = {**guessing("credit"), **reading(bank="loans", shop="visits", rival="rows")}
    assert shop.declarer().declare(job_of(reading(shop="visits"), "rival")).tables
    shop.open()
    assert code_of(shop, steps, "rival") == ""


# -- opening -----------------------------------------------------------------------------------


def labelled(prefix: str, labels: tuple[int, ...]) -> Table:
    columns = {"id": [f"{prefix}{at}" for at in range(len(labels))], "y": list(labels)}
    return Table.from_arrow(pa.table(columns), id_column="id", label="y")


def test_what_opens_one_commitment_opens_no_other_to_guesses() -> None:
    """The lie: a dispute about one table is begun, and what opens it tried on the rest of the job.

    One secret for all opened twelve labels of another table, and showed which models are not
    there. Each commitment has a secret of its own, from which no other follows.
    """
    labels = (0, 1, 1, 0, 0, 1, 0, 1)
    one, other = labelled("a", labels), labelled("b", labels)
    opening = Opening("5" * 64, {"a": one.digest(), "b": other.digest()}, {"m": "", "n": "2" * 64})
    tables, parts = opening.commitments("shop", {"a": "visits", "b": "secret"})
    shown = opening.secret_of(TABLE, "visits", one.digest())
    assert opens(tables["a"], "shop", TABLE, shown, one.digest())
    guesses = [labelled("b", guess).digest() for guess in itertools.product((0, 1), repeat=8)]
    assert other.digest() in guesses
    assert not [g for g in guesses if opens(tables["b"], "shop", TABLE, shown, g)]
    assert not [
        g for g in ("", "2" * 64) for p in parts.values() if opens(p, "shop", PART, shown, g)
    ]
    # It can still be held to each: the table, the part, and that there was none.
    assert opens(
        tables["b"],
        "shop",
        TABLE,
        opening.secret_of(TABLE, "secret", other.digest()),
        other.digest(),
    )
    for step, digest in opening.parts.items():
        assert opens(parts[step], "shop", PART, opening.secret_of(PART, step, digest), digest)


def test_tables_of_one_content_under_two_names_do_not_look_alike() -> None:
    """The lie: a job names two tables to see whether they are the same. One table twice does."""
    opening = Opening("5" * 64, dict.fromkeys("abc", "1" * 64))
    tables, _ = opening.commitments("shop", {"a": "visits", "b": "secret", "c": "visits"})
    assert tables["a"] == tables["c"] != tables["b"]
