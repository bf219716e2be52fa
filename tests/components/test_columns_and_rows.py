"""Tables that are not as they were: by name and id the result of the right order, or a refusal.

Columns in another order, renamed, one more, one less, of another type; rows in another order at one
seat, an id more or less there. All of that over all components of the catalogue: one that has no
scenario fails here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components import trial
from atoll.components.api import ByParty, Catalogue, Component, Facts, Terms
from atoll.components.catalogue import CATALOGUE
from atoll.components.reader import READER
from atoll.components.references import Registered
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow import planning
from atoll.jobs.definition import parse_job
from atoll.models.boosting import score
from atoll.sdk import VerticalBoostingClassifier
from atoll.sdk.frames import FrameTables
from atoll.table import Table
from tests.components import outcomes, scenarios, variations
from tests.components.outcomes import Left, Played, play, same
from tests.components.scenarios import BOOST, ELSEWHERE, MISSING, SCENARIOS, Scenario, step
from tests.components.variations import (
    COLUMNS,
    LABEL,
    MORE,
    THREE,
    TWO,
    VARIATIONS,
    renamed,
    tables,
)
from tests.whole import echo

KIND = "boosting.model"
# What rows for a model that is there cannot be.
UNFIT = {"text": "ATL-TAB-016", "renamed": MISSING, "less": MISSING}
NAMES = [(component, name) for component, named in SCENARIOS.items() for name in named]
# How the rows of the varied table come in, and what is tried then.
FORMS: Mapping[str, tuple[str, ...]] = {
    # All parties find their common rows.
    "intersected": tuple(VARIATIONS),
    # The same, for what is about columns alone.
    "named": ("reversed", "renamed", "more", "less"),
    # The same, but the plan does not know the columns: what runs must see for itself.
    "unseen": ("renamed", "more", "less"),
    # They come from the reader as they are; nobody agreed on their order.
    "straight": ("shuffled", "id more", "id less"),
    # The same, but the plan takes them for agreed on: what runs must see for itself.
    "claimed": ("shuffled",),
    # The job states that they are the same rows in the same order. Whether they are, only their
    # number can show: rows in another order are the job's own false statement.
    "stated": ("id more", "id less"),
    # The reader itself.
    "read": tuple(VARIATIONS),
}
WITH_THREE: Mapping[str, tuple[str, ...]] = {
    "intersected": ("shuffled",),
    "stated": ("reversed", "renamed", "more", "less", "id more"),
}


@dataclass(frozen=True)
class Case:
    """One table is varied at one party."""

    component: str
    scenario: str
    parties: tuple[str, ...]
    form: str
    table: str
    party: str
    variation: str

    def __str__(self) -> str:
        among = "of-three" if len(self.parties) > 2 else "of-two"
        place = f"{self.table}-{self.party}-{among}"
        return f"{self.component}-{self.scenario}-{self.form}-{place}-{self.variation}"

    @property
    def of(self) -> Scenario:
        return SCENARIOS[self.component][self.scenario]

    @property
    def column(self) -> str:
        """The column that is renamed, taken out or made text."""
        return COLUMNS[self.party][0]

    @property
    def trained(self) -> bool:
        """Whether another model comes out, from other columns."""
        learns = self.of.trains and self.table == "people"
        return learns and self.variation in ("more", "less")


def cases() -> Iterator[Case]:
    for component, named in SCENARIOS.items():
        for name, scenario in named.items():
            for table in scenario.tables:
                seats = [(TWO, "bank"), (TWO, "shop"), (THREE, "mill")]
                for roles, party in seats if scenario.three else seats[:2]:
                    for form, variation in _tried(scenario, table, roles):
                        yield Case(component, name, tuple(roles), form, table, party, variation)


def _tried(scenario: Scenario, table: str, roles: Mapping[str, Role]) -> Iterator[tuple[str, str]]:
    for form, names in (FORMS if roles == TWO else WITH_THREE).items():
        for variation in names if form in scenario.forms else ():
            refused = (table, variation) in scenario.refused
            if form == "claimed" and table not in scenario.joint:
                continue
            if form == "unseen" and not refused:
                continue
            yield form, variation


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing here is about what outlives a crash, and a job writes forty times.
    monkeypatch.setattr("os.fsync", lambda _: None)


# -- running --------------------------------------------------------------------------------------


def changed_reader(change: Callable[[ByParty], ByParty]) -> Catalogue:
    """Return the catalogue with a reader of which the plan knows something else."""

    def describe(facts: Facts, parameters: Any) -> Terms:
        terms = READER.describe(facts, parameters)
        return replace(terms, outputs={"table": change(terms.outputs["table"])})

    return {**CATALOGUE, "reader": replace(READER, describe=describe)}


CATALOGUES: Mapping[str, Catalogue] = {
    "unseen": changed_reader(
        lambda held: {party: replace(facts, columns=None, rows=0) for party, facts in held.items()}
    ),
    "claimed": changed_reader(
        lambda held: {party: replace(facts, aligned=True) for party, facts in held.items()}
    ),
}


def run(case: Case) -> Played:
    roles = {party: THREE[party] for party in case.parties}
    made = scenarios.job(case.of, roles, {case.table: case.form})
    given_tables = tables(roles, case.of.tables, {(case.party, case.table): case.variation})
    return play(made, given_tables, CATALOGUES.get(case.form, CATALOGUE))


@functools.cache
def plain(
    component: str, name: str, parties: tuple[str, ...], table: str = "", variation: str = ""
) -> Played:
    """Return the run on tables in the right order, or with one varied alike at all parties."""
    scenario = SCENARIOS[component][name]
    roles = {party: THREE[party] for party in parties}
    made = scenarios.job(scenario, roles, dict.fromkeys(scenario.tables, scenario.base))
    changes = {(party, table): variation for party in parties if variation}
    return play(made, tables(roles, scenario.tables, changes), CATALOGUE)


def left(scenario: Scenario, played: Played) -> Left:
    """Return what the shown steps left; of secret outputs what does not change from run to run."""
    found = outcomes.left(played, scenarios.shown(scenario, played.job))
    for entries in found.values():
        for name in scenario.secret & entries.keys():
            entries[name] = _public(entries[name])
    return found


def _public(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    # How many rows of a class are kept is rounded by a secret coin.
    classes = {str(row.get(LABEL)) for row in rows.values()}
    return {"classes": classes, "columns": set().union(*rows.values())}


def check(scenario: Scenario, played: Played) -> None:
    """Check what must hold of any result."""
    found = outcomes.left(played, scenarios.shown(scenario, played.job))
    given = outcomes.cells(played.tables)
    outcomes.check_cells(outcomes.unscaled(found) if scenario.scales else found, given)
    outcomes.check_orders(played)
    outcomes.check_scores(played, given)
    outcomes.check_losses(played, found, given)
    outcomes.check_metrics(played)
    if scenario.trains:
        outcomes.check_parts(played, "people")


# -- what is expected -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A code, what its text names, whose it is (empty: anybody's), and whether nothing ran yet."""

    code: str
    names: tuple[str, ...]
    party: str = ""
    early: bool = True


def refusal(case: Case) -> Refusal | None:
    """Return what must be refused; None where there must be a result."""
    scenario, variation = case.of, case.variation
    code = scenario.refused.get((case.table, variation))
    if variation == "text":
        return Refusal("ATL-TAB-016", (case.column,), case.party)
    if case.form == "stated" and variation in ("id more", "id less"):
        return Refusal("ATL-PLN-010", case.parties)
    if case.form in ("straight", "claimed") and case.table in scenario.joint:
        place = f"steps.{scenario.joint[case.table]}.inputs."
        return Refusal("ATL-PLN-008", (place,), early=case.form == "straight")
    if code is not None:
        name = MORE if variation == "more" else case.column
        return Refusal(code, (name,), case.party, early=case.form != "unseen")
    return None


def check_refusal(case: Case, wanted: Refusal, played: Played) -> None:
    errors = played.world.errors
    assert errors.keys() == set(case.parties), "a party went on"
    causes = [error for error in errors.values() if not echo(error)]
    fitting = []
    for error in causes:
        assert isinstance(error, AtollError)
        assert wanted.code in (error.code, outcomes.hidden(error))
        assert (error.phase in ("start", "agreement")) == wanted.early
        if wanted.party in ("", error.party) and all(name in str(error) for name in wanted.names):
            fitting.append(error)
    assert fitting, f"{causes} do not name {wanted.names}"
    for party in errors.keys() - {case.party}:
        assert not wanted.party or case.column not in str(errors[party])


def result(case: Case) -> Left:
    """Return what must come out, told by the results of the right order."""
    key = (case.component, case.scenario, case.parties)
    base = left(case.of, plain(*key))
    if case.variation == "renamed":
        made = outcomes.named(base, {case.column: renamed(case.column)})
        return dict(made)
    if case.variation == "less" and not case.of.chooses:
        return dict(outcomes.without(base, case.column))
    if case.variation not in ("id more", "id less"):
        return base
    alike = left(case.of, plain(*key, case.table, case.variation))
    if case.form in ("straight", "read"):
        return {**base, case.party: alike[case.party]}
    return base if case.variation == "id more" else alike


def check_result(case: Case, played: Played) -> None:
    check(case.of, played)
    reported = outcomes.notes(played, case.party)
    if (case.table, case.variation) in case.of.noted:
        assert repr(MORE if case.variation == "more" else case.column) in reported
    else:
        assert reported == ""
    if case.trained:
        return
    found = left(case.of, played)
    if case.variation == "more":
        rows = outcomes.unfitted(found)
        beside = 0 if case.of.chooses else outcomes.count(rows[case.party], COLUMNS[case.party][1])
        assert outcomes.count(rows, MORE) == beside
        found = outcomes.without(found, MORE)
    same(found, result(case))


# -- the suite ------------------------------------------------------------------------------------


def test_every_component_has_a_scenario() -> None:
    assert SCENARIOS.keys() == CATALOGUE.keys() - ELSEWHERE
    for component, named in SCENARIOS.items():
        ports = set()
        for scenario in named.values():
            inputs = scenarios.own_step(component, scenario)["inputs"]
            ports |= {port.partition(".")[0] for port in inputs}
            assert scenario.tables or scenario.constant
        assert ports == CATALOGUE[component].inputs.keys()


def test_every_table_is_varied_in_every_way_at_guest_and_host() -> None:
    tried = {(made.component, made.table, made.party, made.variation) for made in cases()}
    for component, named in SCENARIOS.items():
        for table in {table for scenario in named.values() for table in scenario.tables}:
            for party in TWO:
                assert all((component, table, party, name) in tried for name in VARIATIONS)


@pytest.mark.parametrize(
    ("component", "scenario", "parties"),
    [(*name, tuple(TWO)) for name in NAMES]
    + [(*name, tuple(THREE)) for name in NAMES if SCENARIOS[name[0]][name[1]].three],
    ids=lambda value: value if isinstance(value, str) else f"of-{len(value)}",
)
def test_the_result_of_the_right_order_is_right(
    component: str, scenario: str, parties: tuple[str, ...]
) -> None:
    played = plain(component, scenario, parties)
    made = SCENARIOS[component][scenario]
    found = left(made, played)
    assert any(found.values())
    if made.tables:
        check(made, played)
    outcomes.check_statistics(found, outcomes.cells(played.tables))
    for parts in outcomes.models(played).values():
        for party in parties:
            assert outcomes.count(outcomes.trees(parts), COLUMNS[party][0]), "it is not put to use"


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_by_name_and_id_or_refused(case: Case) -> None:
    played = run(case)
    wanted = refusal(case)
    if wanted is not None:
        check_refusal(case, wanted, played)
    else:
        check_result(case, played)


# -- what a job in one process does not show ------------------------------------------------------


@pytest.mark.parametrize("party", list(TWO))
@pytest.mark.parametrize("variation", list(VARIATIONS))
def test_rows_for_a_registered_model_are_checked_beforehand(variation: str, party: str) -> None:
    steps = {"model": step("model", {"table": "fresh.table"}, model="m")}
    made = scenarios.job(Scenario(lambda rows: steps, tables=("fresh",)), TWO, {})
    (parts,) = outcomes.models(plain("prediction", "fresh", tuple(TWO))).values()
    given_tables = FrameTables(tables(TWO, ("fresh",), {(party, "fresh"): variation})[party])

    def verify() -> None:
        job = parse_job(made)
        declared = planning.declare(job, CATALOGUE, party, given_tables)
        planning.verify(job, CATALOGUE, party, declared, lambda _: Registered(KIND, parts[party]))

    code = UNFIT.get(variation)
    if code is None:
        verify()
        return
    with pytest.raises(AtollError, match=COLUMNS[party][0]) as caught:
        verify()
    assert code in (caught.value.code, outcomes.hidden(caught.value))


@pytest.mark.parametrize("party", list(TWO))
@pytest.mark.parametrize("variation", ["reversed", "renamed", "more", "less", "whole"])
def test_scoring_itself_goes_by_name(variation: str, party: str) -> None:
    (parts,) = outcomes.models(plain("prediction", "fresh", tuple(TWO))).values()
    given_tables = tables(TWO, ("fresh",), {(party, "fresh"): variation})
    own = {name: Table.from_arrow(made["fresh"]) for name, made in given_tables.items()}

    def live(one: Party) -> Any:
        return score(one, parts[one.name], own[one.name].matrix(), own[one.name].columns)

    found = world.run(TWO, live)
    if variation in UNFIT:
        assert COLUMNS[party][0] in str(found.errors[party])
        return
    given = outcomes.cells(given_tables)
    wanted = [
        outcomes.score(parts, {name: given[name][key] for name in TWO}) for key in given["bank"]
    ]
    same(found.check().results["bank"].tolist(), wanted)


def _moves_rows(component: Component) -> bool:
    # An intersection agrees on rows itself, whatever was before.
    taken = {port.kind for port in component.inputs.values()}
    return component.name != "psi" and {"table"} <= taken & {*component.outputs.values()}


@pytest.mark.parametrize(
    ("component", "scenario"),
    [(name, one) for name, one in NAMES if _moves_rows(CATALOGUE[name])],
)
@pytest.mark.parametrize("wrong", ["nobody", "elsewhere", ""])
def test_rows_count_as_agreed_on_only_where_those_before_were(
    component: str, scenario: str, wrong: str
) -> None:
    token = {"nobody": None, "elsewhere": "b" * 64, "": "a" * 64}[wrong]
    made = SCENARIOS[component][scenario]
    ports = {n: replace(port, aligned=False) for n, port in CATALOGUE[component].inputs.items()}
    tried = replace(CATALOGUE[component], inputs=ports)
    own = scenarios.own_step(component, made)
    for table in {source.partition(".")[0] for source in own["inputs"].values()} & {*made.tables}:
        inputs = {party: given(component, made, party, table, "a" * 64) for party in TWO}
        inputs["shop"] = given(component, made, "shop", table, token)
        results = trial.play(tried, trial.Case(inputs, own["parameters"]))
        for name in (n for n, kind in tried.outputs.items() if kind == "table"):
            bank, shop = (results.check().results[p].outputs[name].alignment for p in TWO)
            assert bank is not None
            assert (bank == shop) == (wrong == "")
            assert (shop is None) == (wrong == "nobody")


def given(
    component: str, scenario: Scenario, party: str, table: str, token: str | None
) -> dict[str, Any]:
    """Return a party's inputs of a step: this table with this alignment, others as agreed on."""
    found: dict[str, Any] = {}
    for port, source in scenarios.own_step(component, scenario)["inputs"].items():
        name = source.partition(".")[0]
        if name in scenario.tables:
            data = variations.table(name)[party]
            label = LABEL if LABEL in data.column_names else None
            alignment = token if name == table else "a" * 64
            found[port] = Table.from_arrow(data, label=label).with_alignment(alignment)
        else:
            tried = next(n for n, one in SCENARIOS[component].items() if one is scenario)
            outcome = plain(component, tried, tuple(TWO)).world.check().results[party]
            found[port] = outcome.results[name].outputs[source.partition(".")[2]]
    return found


# -- estimators -----------------------------------------------------------------------------------

KINDS = ("owners", "halves", "each")


def frames(kind: str, table: str, party: str = "", variation: str = "") -> Any:
    """Return a table of all columns, or for the kind "each" one per party; ids are kept."""
    if kind == "each":
        changes = {(party, table): variation} if variation else {}
        return {name: made[table] for name, made in tables(TWO, (table,), changes).items()}
    whole = variations.table(table)["bank"]
    for name in COLUMNS["shop"]:
        whole = whole.append_column(name, variations.table(table)["shop"].column(name))
    return VARIATIONS[variation].change(whole, COLUMNS[party]) if variation else whole


@functools.cache
def fitted(kind: str) -> VerticalBoostingClassifier:
    owners = {name: party for party in TWO for name in COLUMNS[party]}
    model = VerticalBoostingClassifier(columns=owners if kind == "owners" else None, **BOOST)
    data = frames(kind, "people")
    if kind == "each":
        return model.fit(data)
    return model.fit(data.drop_columns(["id", LABEL]), data.column(LABEL).to_numpy())


def probabilities(kind: str, data: Any) -> dict[str, float]:
    """Return the probability of 1 by id, of the rows that have one."""
    rows = data if kind == "each" else data.drop_columns(["id"])
    ids = (data["bank"] if kind == "each" else data).column("id").to_pylist()
    found = fitted(kind).predict_proba(rows)[:, 1]
    return {key: float(one) for key, one in zip(ids, found, strict=True) if not np.isnan(one)}


@pytest.mark.parametrize("party", list(TWO))
@pytest.mark.parametrize("variation", list(VARIATIONS))
@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_scores_by_name_and_id_or_refuses(
    kind: str, variation: str, party: str
) -> None:
    data = frames(kind, "fresh", party, variation)
    code = UNFIT.get(variation)
    if code is not None:
        with pytest.raises(AtollError, match=COLUMNS[party][0]) as caught:
            probabilities(kind, data)
        assert caught.value.code == code
        assert kind != "each" or caught.value.party == party
        return
    same(probabilities(kind, data), known(kind, variation, party))


def known(kind: str, variation: str, party: str) -> dict[str, float]:
    """Return what the trees say of each row, by the names of columns."""
    parts = fitted(kind).parts_
    bank, shop = (outcomes.by_id(variations.table("fresh")[name]) for name in TWO)
    found = {
        key: outcomes.score(parts, dict.fromkeys(parts, bank[key] | shop[key])) for key in bank
    }
    data = variations.table("fresh")[party]
    if variation == "id less":
        del found[variations.lost_id(data)]
    if variation == "id more" and kind != "each":
        added, like = variations.added_id(data)
        found[added] = found[like]
    return found
