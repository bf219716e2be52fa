"""Which own tables are behind what a job takes out of this party's registry.

A transform that was fitted in an earlier job holds what it was fitted on (means, ranges), and what
passes it shows that: it asks for grants of these tables and is charged to them. A model's part is
not among them: it is used with the parties of its training alone, and makes scores, of rows that
are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from atoll.components.fitted import reference_of
from atoll.components.references import ModelRef
from atoll.components.synthetic import NAME as SYNTHETIC
from atoll.flow.planning import parameters_of, references
from atoll.flow.policy.grants import ANY
from atoll.flow.store import Database, Jobs, ModelRow, Models
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan, TableFacts
from atoll.table.rule import ID_RULE

Origins = Mapping[str, Sequence[TableFacts]]
"""By step: the facts of own tables, by their commitments, that something it brings in is of."""


def origins(plan: Plan, party: str, database: Database) -> Origins:
    """Return the tables behind what each step of a plan takes out of a party's registry."""
    taken = references(plan.job, parameters_of(plan, party), party)
    fitted = {step: reference for step, reference in taken.items() if reference.step}
    if not fitted:
        return {}
    found = _Origins(database, party)
    return {step: tuple(found.behind(reference)) for step, reference in fitted.items()}


class _Origins:
    """Follows what was fitted back to tables, through as many jobs as there were."""

    def __init__(self, database: Database, party: str) -> None:
        self._jobs, self._models = Jobs(database), Models(database)
        self._party = party

    def behind(self, reference: ModelRef) -> Iterator[TableFacts]:
        """Give the tables that reach the step of a training which fitted something."""
        model = self._models.find(reference.model, reference.version)
        if model is None:
            return  # Its part is not there either: the job is refused.
        graph = parse_job(model.lineage.get("graph"))
        tables = self._tables(model, graph)
        for name in _upstream(graph, reference.step):
            earlier = reference_of(graph.steps[name], self._own(graph, name), self._party)
            if name in tables and graph.steps[name].component != SYNTHETIC:
                yield tables[name]
            elif earlier is not None and earlier.step:
                yield from self.behind(earlier)

    def _own(self, graph: Job, name: str) -> Mapping[str, JsonValue]:
        step = graph.steps[name]
        return {**step.parameters, **step.overrides.get(self._party, {})}

    def _tables(self, model: ModelRow, graph: Job) -> Mapping[str, TableFacts]:
        """Return the facts of own tables in a training, by step.

        Of a model that came as an archive, names and commitments alone: only a grant of all columns
        covers these.
        """
        was = str(model.lineage.get("party", self._party))
        job = None if model.job is None else self._jobs.find(model.job)
        if job is not None and job.plan is not None:
            own = job.plan.get("tables", {}).get(was, {})
            return {name: TableFacts.model_validate(facts) for name, facts in own.items()}
        found = {}
        for name, digest in model.lineage.get("data", {}).get(was, {}).items():
            tables = self._own(graph, name).get("tables")
            if isinstance(tables, dict) and self._party in tables:
                found[name] = TableFacts(
                    name=str(tables[self._party]),
                    digest=digest,
                    rows=0,
                    columns=(ANY,),
                    id_rule=ID_RULE,
                )
        return found


def _upstream(graph: Job, step: str) -> set[str]:
    """Return a step and all that something reaches it from."""
    found, waiting = set[str](), [step] if step in graph.steps else []
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(graph.steps[name].sources())
    return found
