"""Recorded histories of the job machine: events in, commands and digests of records out.

A history is all that happened at all nodes of one job, in order. What the machine is handed (keys,
plans) lies in the file too, so that a replay asks the machine alone: another way to plan changes no
history, another transition does.
"""

from __future__ import annotations

import base64
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import BaseModel

from atoll.core import codec
from atoll.flow import control
from atoll.flow.control import JobRecord, Rules
from atoll.flow.control import events as declared
from atoll.jobs.approval import PublicKey
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan
from tests.flow.control.pair import KEYS, World, raw

FORMAT = "atoll.history/v1"


class NotTheSame(Exception):
    """The machine did something else than when the history was recorded."""


# -- values as JSON -------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return an event as JSON; what a field has by default is left out."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        held = {f.name: (getattr(value, f.name), f.default) for f in fields(value)}
        return {name: plain(own) for name, (own, default) in held.items() if own != default}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in sorted(value.items())}
    if isinstance(value, (list, tuple, frozenset)):
        return [plain(e) for e in (sorted(value) if isinstance(value, frozenset) else value)]
    return value


def rebuilt(hint: Any, value: Any) -> Any:
    """Return the value of a type that was written by ``plain``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else rebuilt(inner[0], value)
    if hint is bytes:
        return base64.b64decode(value, validate=True)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint.model_validate(value)
    if isinstance(hint, type) and is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{name: rebuilt(hints[name], entry) for name, entry in value.items()})
    if origin is tuple:
        return tuple(rebuilt(inner[0], entry) for entry in value)
    if inner and origin is not typing.Literal:
        return {name: rebuilt(inner[1], entry) for name, entry in value.items()}
    return value


def sent(command: control.Command) -> list[Any]:
    """Return a command for comparison; jobs and plans by their digests."""
    held = {f.name: getattr(command, f.name) for f in fields(command)}
    short = {n: v.digest() if isinstance(v, (Job, Plan)) else plain(v) for n, v in held.items()}
    return [type(command).__name__, short]


def pooled(value: Any, texts: dict[str, str]) -> Any:
    """Return JSON with its long texts, which every party is told, kept once in ``texts``."""
    if isinstance(value, dict):
        return {name: pooled(entry, texts) for name, entry in value.items()}
    if isinstance(value, list):
        return [pooled(entry, texts) for entry in value]
    if not isinstance(value, str) or len(value) < 60:
        return value
    key = "@" + codec.digest(value)[:16]
    texts[key] = value
    return key


def unpooled(value: Any, texts: Mapping[str, str]) -> Any:
    """Return JSON with its long texts in their places."""
    if isinstance(value, dict):
        return {name: unpooled(entry, texts) for name, entry in value.items()}
    if isinstance(value, list):
        return [unpooled(entry, texts) for entry in value]
    return texts[value] if isinstance(value, str) and value.startswith("@") else value


# -- record and replay ----------------------------------------------------------------------------


class Recorder:
    """Watches the nodes of a world from before the job is submitted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plans: dict[str, Any] = {}
        self._built: dict[str, str] = {}
        self._steps: list[Any] = []
        for node in world.nodes.values():
            node.rules = self._watched(node.rules)
            node.watch = self._note

    def rows(self) -> dict[str, Any]:
        """Return what goes into the file."""
        keys = {party: raw(KEYS[party].public_key()).hex() for party in self._world.nodes}
        texts: dict[str, str] = {}
        steps = [pooled(step, texts) for step in self._steps]
        plans = {"plans": self._plans, "built": self._built}
        return {"keys": keys, **plans, "texts": texts, "steps": steps}

    def _watched(self, rules: Rules) -> Rules:
        def build(job: Job, tables: Any, keys: Any) -> Plan:
            plan = rules.build(job, tables, keys)
            made = plan.canonical()
            self._plans[codec.digest(made)[:32]] = made
            self._built[_asked(rules.party, job, tables, keys)] = codec.digest(made)[:32]
            return plan

        return Rules(rules.party, rules.check, build, rules.times)

    def _note(
        self,
        party: str,
        before: JobRecord | None,
        event: control.Event,
        record: JobRecord,
        commands: tuple[control.Command, ...],
    ) -> None:
        idle = isinstance(event, control.Tick) and not commands and record == before
        if idle and before is not None and record.marks == before.marks:
            return
        made = [sent(command) for command in commands]
        self._steps.append([party, type(event).__name__, plain(event), made, digest(record)])


def replay(history: Mapping[str, Any]) -> dict[str, str]:
    """Let today's machine take all events and return how the job ended at each node.

    Errors: NotTheSame at the first step whose commands or record are others.
    """
    rules = {party: _rules(party, history) for party in history["keys"]}
    records: dict[str, JobRecord] = {}
    steps = unpooled(history["steps"], history["texts"])
    for at, (party, kind, value, commands, wanted) in enumerate(steps):
        event = rebuilt(getattr(declared, kind), value)
        record, made = control.step(records.get(party), event, rules[party])
        where = f"step {at}, {kind} at {party}"
        if [sent(command) for command in made] != commands:
            raise NotTheSame(f"{where}: commands {[sent(c) for c in made]}, then {commands}")
        if digest(record) != wanted:
            raise NotTheSame(f"{where}: another record: {record.to_plain()}")
        records[party] = record
    return {party: control.view(record).state for party, record in records.items()}


def digest(record: JobRecord) -> str:
    """Return what tells two records apart, moments included."""
    return codec.digest([record.to_plain(), {n: float(t) for n, t in record.marks.items()}])[:32]


def _asked(party: str, job: Job, tables: Any, keys: Mapping[str, str]) -> str:
    return codec.digest([party, job.digest(), plain(tables), dict(keys)])[:32]


def _rules(party: str, history: Mapping[str, Any]) -> Rules:
    def check(name: str, certificate: bytes) -> PublicKey:
        if certificate != bytes.fromhex(history["keys"][name]):
            raise NotTheSame(f"the certificate of {name} is another")
        return ed25519.Ed25519PublicKey.from_public_bytes(certificate)

    def build(job: Job, tables: Any, keys: Mapping[str, str]) -> Plan:
        asked = _asked(party, job, tables, keys)
        if asked not in history["built"]:
            raise NotTheSame(f"{party} makes a plan of something else")
        return Plan.model_validate(history["plans"][history["built"][asked]])

    return Rules(party, check, build)
