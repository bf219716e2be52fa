"""Partners whose jobs take more memory here than they have bytes."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.control import Explain, FactsReceived, JobRecord, Moment, Rules, Update, step
from atoll.flow.control.facts import Proposal, Slot, TaskFact, encode_section
from atoll.flow.control.reading import read_section
from atoll.flow.node.jobs.partner_load import LoadLimits, PartnerLoad, refuse
from atoll.flow.planning import build
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan, TableFacts
from tests.dishonest.test_work import KIB, job_id, proposal, wide

STATUS = Path("/proc/self/status")
RULES = Rules("bank", cast(Any, None), cast(Any, None))
NOW = Moment(1.0, 1.0)


def taken(number: int, sections: dict[str, bytes]) -> JobRecord:
    """Return what a node has at hand of a job that the shop proposed, as it is after a write."""
    update = Update(job_id(number), 0, 1, sections)
    record, _ = step(None, FactsReceived("shop", update, NOW), RULES)
    record.to_plain()
    return record


def fill(load: PartnerLoad, kept: list[JobRecord], sections: dict[str, bytes]) -> None:
    """Take in jobs as long as there is room."""
    for number in range(1, 1 << 13):
        # As it comes with a message: bytes of its own.
        own = {name: bytes(bytearray(data)) for name, data in sections.items()}
        assert not list(load.make_room("shop", None, Update(job_id(number), 0, 1, own), ()))
        kept.append(taken(number, own))
        load.note(kept[-1])


CHAIN = {f"s{at:03}": {"component": "psi"} for at in range(250)}
AT_HAND = {
    "short names": lambda: {"proposal": proposal(10), "declaration": wide(3000, 10)},
    "few columns": lambda: {"proposal": proposal(10), "declaration": wide(1, 250)},
    "long texts": lambda: {"proposal": proposal(500 * KIB)},
    "steps": lambda: {"proposal": proposal_of(CHAIN), "tasks": waiting(CHAIN)},
    "nothing": lambda: {"proposal": proposal(1)},
}


def proposal_of(steps: dict[str, Any]) -> bytes:
    job = parse_job({"name": "a", "parties": {"shop": "guest", "bank": "host"}, "steps": steps})
    return encode_section(Proposal(job, bytes(32)))


def waiting(steps: dict[str, Any]) -> bytes:
    return encode_section({name: TaskFact(1, "waiting") for name in steps})


@pytest.mark.parametrize("shape", AT_HAND)
def test_documents_that_take_more_memory_than_bytes(shape: str) -> None:
    """Up to 28 times their bytes. Rule: memory is counted, ATL-FLW-016; little more is held."""
    sections, limit = AT_HAND[shape](), 8 << 20
    load, kept = PartnerLoad(LoadLimits(at_hand=limit)), [taken(0, sections)]
    gc.collect()
    before = resident()
    with pytest.raises(AtollError, match="ATL-FLW-016"):
        fill(load, kept, sections)
    gc.collect()
    assert resident() - before <= limit + (2 << 20)


def resident() -> int:
    line = next(one for one in STATUS.read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def test_a_document_is_not_weighed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each update of a few bytes had all be encoded. Rule: only what changed is weighed."""
    weighed = list[int]()
    real = codec.weight

    def weight(data: bytes) -> int:
        weighed.append(len(data))
        return real(data)

    monkeypatch.setattr(codec, "weight", weight)
    load, record = PartnerLoad(LoadLimits()), taken(0, {"proposal": proposal()})
    load.note(record)
    for version in range(1, 4):
        update = Update(
            record.id, version, version + 1, {"slot": encode_section(Slot(offer=version))}
        )
        assert not list(load.make_room("shop", record, update, ()))
        record, _ = step(record, FactsReceived("shop", update, NOW), RULES)
        load.note(record)
    assert sum(size > KIB for size in weighed) == 1


TABLE = TableFacts(name="t", digest="0" * 64, rows=100, columns=("x",), id_rule="sha256/v1")


def planned(job: Job) -> Plan:
    tables = {party: {"s0": TABLE} for party in job.parties}
    return build(job, CATALOGUE, tables, {"shop": "0" * 64, "bank": "1" * 64}, "bank")


def plan_all(load: PartnerLoad, kept: list[JobRecord], sections: dict[str, bytes]) -> None:
    """Plan jobs as long as there is room."""
    for number in range(1, 200):
        record = taken(number, sections)
        made = replace(record, plan=planned(record.job))
        assert not list(load.make_own_room(record, made, ()))
        load.note(made)
        kept.append(made)


def test_plans_that_take_more_memory_than_proposals() -> None:
    """A plan fills all defaults in. Rule: it counts as its initiator's, ATL-FLW-016."""
    tables = {"shop": "t", "bank": "t"}
    steps: dict[str, Any] = {"s0": {"component": "reader", "parameters": {"tables": tables}}}
    steps |= {f"s{a}": {"component": "psi", "inputs": {"table": "s0.table"}} for a in range(1, 40)}
    sections, limit = {"proposal": proposal_of(steps)}, 4 << 20
    load, kept = PartnerLoad(LoadLimits(at_hand=limit)), [taken(0, sections)]
    planned(kept[0].job)
    gc.collect()
    before = resident()
    with pytest.raises(AtollError, match="ATL-FLW-016"):
        plan_all(load, kept, sections)
    gc.collect()
    assert len(kept) > 10
    assert resident() - before <= limit + (2 << 20)


def test_a_job_whose_plan_has_no_room_is_stopped() -> None:
    """Rule: this node asks for its end, ATL-FLW-016, and its people see why."""
    former = taken(0, {"proposal": proposal(10)})
    own = replace(former.own, declaration=read_section("declaration", wide(1)))
    former = replace(former, facts={**former.facts, "bank": own})
    record, commands = refuse(former, AtollError("ATL-FLW-016", "too much"), NOW, RULES)
    assert record.own.stop is not None
    assert record.own.stop.code == "ATL-FLW-016"
    assert any(isinstance(command, Explain) for command in commands)


def test_ended_jobs_that_are_asked_for_again() -> None:
    """They were read again where others were at their limit. Rule: ended ones make room first."""
    first, again = (taken(number, {"proposal": proposal()}) for number in range(2))
    load = PartnerLoad(LoadLimits(at_hand=450 * KIB))
    load.note(first)
    assert list(load.recall(again, ())) == []
    load = PartnerLoad(LoadLimits(at_hand=300 * KIB))
    load.note(first)
    with pytest.raises(AtollError, match="ATL-FLW-016"):
        list(load.recall(again, ()))
    for one in load.recall(again, (first,)):
        load.forget(one)
    assert load.asks_in_vain(first.id, "shop", first.version)


def test_runs_of_a_job_that_begin_one_after_the_other() -> None:
    """Each may be decided on and written down. Rule: it weighs as much as its plan in a day."""
    tables = {"shop": "t", "bank": "t"}
    steps = {"s0": {"component": "reader", "parameters": {"tables": tables}}}
    record = taken(0, {"proposal": proposal_of(steps)})
    record = replace(record, plan=planned(record.job))
    load = PartnerLoad(LoadLimits(per_day=100 * KIB))

    def raised(run: int) -> bool:
        own = replace(record.own, run=run)
        later = replace(record, facts={**record.facts, "bank": own})
        try:
            return not list(load.make_own_room(record, later, ()))
        except AtollError as error:
            if error.code != "ATL-FLW-016":
                raise
            return False

    taken_in = [raised(run) for run in range(2, 300)]
    assert taken_in[0]
    assert not taken_in[-1]
