"""Three nodes of whom one shares no step with the other two, with plans of real components."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from atoll.components.catalogue import CATALOGUE
from atoll.flow import control, planning
from atoll.flow.control import Rules
from atoll.flow.control.sync import SyncMessage
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan, TableFacts
from atoll.table import ID_RULE
from tests.flow.control.pair import KEYS, Node, World, check_key, raw

PARTIES = {"bank": "guest", "shop": "host", "post": "client"}
NAMES = {"bank": "loans", "shop": "visits", "post": "letters"}
HIDDEN = {"bank": {"mail", "sums"}, "shop": {"mail", "sums"}, "post": {"look", "psi", "read"}}


def reader(*parties: str) -> dict[str, Any]:
    tables = {party: NAMES[party] for party in parties}
    return {"component": "reader", "parameters": {"tables": tables, "label": ""}}


def after(component: str, source: str) -> dict[str, Any]:
    return {"component": component, "inputs": {"table": source}}


STEPS = {
    "read": reader("bank", "shop"),
    "psi": after("psi", "read.table"),
    "look": after("statistics", "psi.table"),
    "mail": reader("post"),
    "sums": after("statistics", "mail.table"),
}


def make_job(
    steps: Mapping[str, Any] = STEPS, parties: Mapping[str, Any] = PARTIES, **more: Any
) -> Job:
    return parse_job({"name": "apart", "parties": dict(parties), "steps": dict(steps), **more})


def facts_of(job: Job, party: str, salt: str = "") -> dict[str, TableFacts]:
    """Return what a party would declare: its table in each reader that names one of it."""
    found = {}
    for name, step in job.steps.items():
        tables: Any = step.parameters.get("tables", {})
        if party in tables:
            seed = f"{salt}/{party}/{name}".encode()
            found[name] = TableFacts(
                name=tables[party],
                digest=hashlib.sha256(tables[party].encode()).hexdigest(),
                rows=100 + len(party),
                columns=(f"{tables[party]}-size",),
                id_rule=ID_RULE,
                salt=hashlib.sha256(seed).hexdigest() if salt else None,
            )
    return found


class Apart(Node):
    """A node that makes real plans; ``reported`` is all that others said to it, as bytes."""

    def __init__(self, party: str) -> None:
        super().__init__(party)
        self.rules = Rules(party, check_key, self.build)
        self.checked = True
        self.reported: list[bytes] = []
        self.declares_all = False
        self.twist: Callable[[str, SyncMessage], SyncMessage] = lambda peer, message: message
        self.change: Callable[[Plan], Plan] = lambda plan: plan

    def build(self, job: Job, tables: Any, keys: Any) -> Plan:
        return self.change(planning.build(job, CATALOGUE, tables, keys, self.party))

    def carry_out(self, job: str, command: control.Command) -> None:
        if not isinstance(command, control.Declare):
            super().carry_out(job, command)
            return
        reported = planning.audience_of(command.job, CATALOGUE)
        facts = facts_of(command.job, self.party, salt=command.job.digest() if reported else "")
        code = planning.component_facts(command.job, CATALOGUE)
        certificate = raw(KEYS[self.party].public_key())
        self.inbox.append((job, control.Declared(facts, code, certificate, self.now, reported)))

    def receive(self, peer: str, data: bytes) -> None:
        self.reported.append(data)
        super().receive(peer, data)

    def message_to(self, peer: str) -> bytes:
        records = self.records
        if self.declares_all:
            records = {name: replace(record, audience={}) for name, record in records.items()}
        message = self.exchanges[peer].message(records)
        return control.encode_sync(self.twist(peer, message))

    @property
    def plan(self) -> Plan:
        assert self.record.plan is not None
        return self.record.plan


class ApartWorld(World):
    """A world of such nodes."""

    def __init__(self) -> None:
        super().__init__(3)
        self.apart = {name: Apart(name) for name in PARTIES}
        self.nodes = dict(self.apart)

    def __getitem__(self, party: str) -> Apart:
        return self.apart[party]
