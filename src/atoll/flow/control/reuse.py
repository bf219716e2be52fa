"""When the outputs of an earlier job serve again: equal keys, and the same origin everywhere.

A step's outputs are named by where they were made: ``job/step/attempt``. Its key is a digest of
all that its tasks read: name, component and all code, implementation, the parameters of each party,
who takes part as what, the tables that it brings in (but not what is in them), the origins of its
inputs, and the job's seed. What a node alone knows (the content of its table, its part of a
registered model) it enters into the key of its own look-up. So outputs of one origin that all hold
under their own keys mean equal inputs at all parties; where a party claims that of a table which
has changed, all go on with what they had of that earlier job.
"""

from __future__ import annotations

from typing import Any

from atoll.core import codec
from atoll.flow.control.commands import FindReusable
from atoll.flow.control.events import ReusableFound
from atoll.flow.control.facts import ORIGINS, Reusable, plain
from atoll.flow.control.quorum import parties_of
from atoll.flow.control.record import JobRecord
from atoll.flow.control.transition import Transition
from atoll.flow.planning import COIN_STEP
from atoll.jobs.plan import TableFacts


def origin(record: JobRecord, step: str) -> str | None:
    """Return where the present outputs of a step come from, if it was commanded."""
    command = record.lead.commands.get(step)
    if command is None:
        return None
    return command.origin or f"{record.id}/{step}/{command.attempt}"


def reuse_key(record: JobRecord, step: str) -> str | None:
    """Return the key of a step, or None while its inputs have no origin (or it has no key).

    It stays at home where not all parties see the step: see ``told_key``.
    """
    plan = record.plan
    if plan is None or step == COIN_STEP or step in plan.hidden:
        return None
    definition = record.job.steps[step]
    inputs = {}
    for port, source in definition.inputs.items():
        at, _, output = source.partition(".")
        made = origin(record, at)
        if made is None:
            return None
        inputs[port] = [made, output]
    return codec.digest(
        [
            "atoll/reuse/v4",
            step,
            definition.component,
            [plain(plan.components[definition.component]), plan.platform],
            plan.parameters.get(step, {}),
            plan.party_parameters.get(step, {}),
            plan.implementations.get(step, ""),
            record.job.seed,
            record.job.canonical()["parties"],
            [plan.seats.get(step, ()), plan.edges.get(step), plan.quorum.get(step, {})],
            {p: _lasting(t[step]) for p, t in plan.tables.items() if step in t},
            inputs,
        ]
    )


def _lasting(facts: TableFacts) -> Any:
    """Return what the same table has in every job: its commitment is another in each."""
    return plain(facts.model_copy(update={"salt": None, "digest": ""}))


def blinded_key(record: JobRecord, step: str) -> str | None:
    """Return the key of a step as the other parties are sent it.

    Where one of them does not see the step no one can try facts of tables against it, nor learn
    that another job had the same.
    """
    plan, key = record.plan, reuse_key(record, step)
    if plan is None or key is None:
        return None
    if not any(step in plan.hidden_from(party) for party in record.job.parties):
        return key
    return codec.digest(["atoll/reuse-told/v1", key, plan.step_salt(step)])


def candidate(record: JobRecord, step: str) -> bool:
    """Return whether a step may be reused: neither it nor a step above it is to run again.

    A first attempt only: if a reuse fails, the step is run.
    """
    if not record.options.reuse or step == COIN_STEP or step in record.fresh:
        return False
    if step in record.lead.commands:
        return False
    data = {source.partition(".")[0] for source in record.job.steps[step].inputs.values()}
    return all(
        (command := record.lead.commands.get(at)) is not None and command.action == "reuse"
        for at in data
    )


def find(transition: Transition) -> None:
    """Look up what this node holds for the steps that may be reused next."""
    record = transition.record
    keys = {}
    for step in record.proposal.steps:
        if step in record.own.reusable or not candidate(record, step):
            continue
        if record.party not in parties_of(record, step):
            continue
        key = reuse_key(record, step)
        if key is not None and f"reuse {step}" not in record.asked:
            keys[step] = key
    if keys:
        transition.set(asked=record.asked | {f"reuse {step}" for step in keys})
        transition.emit(FindReusable(keys))


def on_found(transition: Transition, event: ReusableFound) -> None:
    """Send the others what is held here."""
    record = transition.record
    added = {}
    for step, origins in event.origins.items():
        if step in record.job.steps and step not in record.own.reusable:
            key = blinded_key(record, step)
            if key is not None:
                added[step] = Reusable(key, tuple(origins)[:ORIGINS])
    if added:
        transition.set_facts(reusable={**record.own.reusable, **added})


def choose(record: JobRecord, step: str) -> tuple[bool, str | None]:
    """Return whether all parties have answered, and an origin that all of them hold."""
    taking = parties_of(record, step)
    published = {p: facts.reusable.get(step) for p, facts in record.facts.items() if p in taking}
    entries = list(published.values())
    if len(entries) < len(taking) or any(entry is None for entry in entries):
        return False, None
    first = entries[0]
    key = blinded_key(record, step)
    if record.plan is not None and step in record.plan.hidden:
        # Those who take part see to it that it is the right one; they must agree on it.
        key = None if first is None else first.key
    for made in first.origins if first is not None else ():
        if all(e is not None and e.key == key and made in e.origins for e in entries):
            return True, made
    return True, None
