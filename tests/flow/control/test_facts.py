"""Facts of peers are read strictly: whatever comes, either it is read whole or it has a code."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core import codec
from atoll.core.errors import InternalError, PeerError, UserError
from atoll.flow import control
from atoll.flow.control.facts import LIMITS, SECTIONS, End, JobDocument, Slot, Stop, plain
from atoll.flow.control.parsing import decoded
from atoll.flow.control.reading import read_section
from atoll.flow.control.record import _LATER
from atoll.flow.control.sync import SYNC_BYTES, SyncMessage, Update
from atoll.jobs.definition import parse_job
from tests.flow.control.pair import JOB_ID, Node, World, make_job

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5)
    ),
    max_leaves=20,
)


def known(error: PeerError) -> None:
    """Let no other error pass for a refusal."""
    if error.code not in ("ATL-FLW-001", "ATL-FLW-004"):
        raise error


@functools.cache
def finished() -> World:
    world = World()
    world["bank"].submit(make_job(), tags=("a",))
    world.rounds(12)
    return world


@functools.cache
def sections() -> dict[str, bytes]:
    """One good example of every section."""
    whole: dict[str, bytes] = {}
    for node in finished().nodes.values():
        whole |= node.record.own.sections
    stop = JobDocument(JOB_ID, "bank", stop=Stop("stop", "ATL-FLW-008", "shop", "read"))
    refusal = JobDocument(JOB_ID, "bank", refusal=control.facts.Refusal("ATL-FLW-018", "approval"))
    end = JobDocument(JOB_ID, "bank", end=End("failed", "ATL-FLW-008", "shop", "read"))
    return whole | stop.sections | refusal.sections | end.sections


def test_every_section_comes_back_as_it_went() -> None:
    assert sections().keys() == set(SECTIONS)
    for node in finished().nodes.values():
        for name, data in node.record.own.sections.items():
            assert read_section(name, data) == getattr(node.record.own, name)


@pytest.mark.parametrize("name", SECTIONS)
@settings(max_examples=60)
@given(value=ANYTHING)
def test_any_value_is_read_or_refused_with_the_code(name: str, value: Any) -> None:
    try:
        read_section(name, codec.encode(value))
    except PeerError as error:
        known(error)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    if isinstance(value, list):
        for at, entry in enumerate(value):
            found += places(entry, (*path, at))
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=400)
@given(data=st.data())
def test_a_good_section_with_one_value_changed_never_breaks_the_machine(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from([name for name in SECTIONS if name != "run"]))
    value = codec.decode(sections()[name])
    path = data.draw(st.sampled_from(places(value)))
    hostile = changed(value, path, data.draw(ANYTHING))
    sender = data.draw(st.sampled_from(["bank", "shop"]))
    target = finished()["shop" if sender == "bank" else "bank"]
    version = target.record.held(sender)
    update = Update(JOB_ID, version, version + 1, {name: codec.encode(hostile)})
    event = control.FactsReceived(sender, update, target.now)
    try:
        record, _ = control.step(target.record, event, target.rules)
    except PeerError as error:
        known(error)
        return
    assert record.own.commands == target.record.own.commands
    assert record.running == {}
    assert control.view(record).state == "success"
    control.JobRecord.from_plain(record.to_plain())


@settings(max_examples=200)
@given(data=st.data())
def test_hostile_facts_never_break_a_job_that_runs(data: st.DataObject) -> None:
    target = halfway()[data.draw(st.sampled_from(["bank", "shop"]))]
    sender = target.record.peers[0]
    drawn = {}
    for name in data.draw(st.sets(st.sampled_from(SECTIONS), min_size=1, max_size=3)):
        value = codec.decode(sections()[name])
        path = data.draw(st.sampled_from(places(value)))
        drawn[name] = codec.encode(changed(value, path, data.draw(ANYTHING)))
    version = target.record.held(sender)
    update = Update(JOB_ID, version, version + 1, drawn)
    event = control.FactsReceived(sender, update, target.now)
    try:
        record, commands = control.step(target.record, event, target.rules)
    except PeerError as error:
        known(error)
        return
    assert not [c for c in commands if isinstance(c, control.ReuseTask)]
    assert record.own.version >= target.record.own.version
    control.view(record)
    again, _ = control.step(record, control.Tick(target.now, {}), target.rules)
    control.JobRecord.from_plain(again.to_plain())


@functools.cache
def halfway() -> World:
    world = World()
    for node in world.nodes.values():
        node.task = lambda command: None
    world["bank"].submit(make_job())
    world.rounds(6)
    return world


@settings(max_examples=200)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        control.parse_sync(data)
    assert caught.value.code == "ATL-FLW-001"


@settings(max_examples=200)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_harmless(at: int, bit: int) -> None:
    bank = finished()["bank"]
    good = control.encode_sync(
        SyncMessage((control.sync.update_for(bank.record, 0, "shop"),), {JOB_ID: 3})
    )
    data = bytearray(good)
    data[at % len(data)] ^= 1 << bit
    shop = Node("shop")
    shop.carry_out = lambda job, command: None  # type: ignore[method-assign]
    try:
        message = control.parse_sync(bytes(data))
        for update in message.updates:
            control.step(None, control.FactsReceived("bank", update, shop.now), shop.rules)
    except PeerError as error:
        known(error)


def test_unknown_fields_are_refused_everywhere() -> None:
    for name, data in sections().items():
        value = codec.decode(data)
        for path in places(value):
            inner = value
            for key in path:
                inner = inner[key]
            if isinstance(inner, dict) and not ("parameters" in path or "inputs" in path):
                hostile = codec.encode(changed(value, path, {**inner, "Zz unknown": 1}))
                with pytest.raises(PeerError, match="ATL-FLW-001"):
                    read_section(name, hostile)


def test_sizes_are_checked_before_anything_is_made() -> None:
    for name in SECTIONS:
        with pytest.raises(PeerError, match="longer than its limit"):
            read_section(name, bytes(LIMITS[name] + 1))
    with pytest.raises(PeerError, match="longer than its limit"):
        control.parse_sync(bytes(SYNC_BYTES + 1))
    many = b"\xdd" + (1 << 20).to_bytes(4, "big") + b"\x90" * (1 << 20)
    with pytest.raises(PeerError, match="more structure than its size allows"):
        decoded(many, len(many))


@pytest.mark.parametrize(
    "graph",
    [
        {"a": ["b"], "b": ["a"]},
        {"a": ["missing"]},
        {"a": ["a"]},
    ],
)
def test_a_graph_that_is_none_is_refused(graph: dict[str, list[str]]) -> None:
    hostile = plain(replace(finished()["bank"].record.proposal, job=make_job(steps=graph)))
    with pytest.raises(PeerError, match="ATL-FLW-001"):
        read_section("proposal", codec.encode(hostile))
    with pytest.raises(UserError, match="ATL-FLW-019"):
        Node("bank").submit(make_job(steps=graph))


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": True},
        {"peer_seconds": float("nan")},
        {"peer_seconds": 1e9},
        {"progress_seconds": float("inf")},
        {"priority": 10**6},
        {"step_rule": "wild"},
        {"tags": ("",)},
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="ATL-FLW-019"):
        Node("bank").submit(make_job(), **options)


def test_facts_of_strangers_and_of_unknown_jobs_are_refused() -> None:
    bank = finished()["bank"]
    update = control.sync.update_for(bank.record, 0, "shop")
    post = Node("post")
    for sender, party in (("bank", "post"), ("post", "shop")):
        node = Node(party)
        with pytest.raises(PeerError, match="ATL-FLW-004"):
            node.happen(JOB_ID, control.FactsReceived(sender, update, post.now))
    bare = Update(JOB_ID, 0, 1, {"stop": sections()["stop"]})
    with pytest.raises(PeerError, match="ATL-FLW-004"):
        Node("shop").happen(JOB_ID, control.FactsReceived("bank", bare, post.now))
    with pytest.raises(PeerError, match="ATL-FLW-004"):
        bank.happen(JOB_ID, control.FactsReceived("post", bare, post.now))
    with pytest.raises(PeerError, match="ATL-FLW-004"):
        bank.happen(JOB_ID, control.FactsReceived("bank", bare, post.now))


def test_a_hosts_proposal_of_another_partys_job_makes_it_no_initiator() -> None:
    target = halfway()["bank"]
    proposal = target.record.own.sections["proposal"]
    version = target.record.held("shop")
    update = Update(JOB_ID, version, version + 1, {"proposal": proposal})
    event = control.FactsReceived("shop", update, target.now)
    record, commands = control.step(target.record, event, target.rules)
    assert record.own.end is not None
    assert record.own.end.code == "ATL-FLW-005"
    assert control.Complain("shop", "ATL-FLW-005", "facts") in commands


@pytest.mark.parametrize(
    "slot",
    [
        Slot(offer=1, withdrawn=2, started=1),
        Slot(offer=1, started=2),
        Slot(offer=0),
        Slot(offer=1, started=0),
    ],
)
def test_slots_that_go_back_or_contradict_themselves_end_the_job(slot: Slot) -> None:
    target = halfway()["shop"]
    version = target.record.held("bank")
    data = {"slot": control.facts.encode_section(slot)}
    event = control.FactsReceived("bank", Update(JOB_ID, version, version + 1, data), target.now)
    record, _ = control.step(target.record, event, target.rules)
    assert record.own.stop is not None
    assert record.own.stop.code == "ATL-FLW-002"


def test_repeated_old_and_unfounded_updates_change_nothing() -> None:
    target = halfway()["shop"]
    version = target.record.held("bank")
    stop = {"stop": sections()["stop"]}
    for base, number in ((0, version), (0, 1), (version + 1, version + 2)):
        event = control.FactsReceived("bank", Update(JOB_ID, base, number, stop), target.now)
        assert control.step(target.record, event, target.rules) == (target.record, ())


def test_a_saved_record_that_was_changed_is_refused() -> None:
    good = finished()["bank"].record.to_plain()
    # Records from before these were known do without.
    for name in good.keys() - set(_LATER):
        hostile = {key: value for key, value in good.items() if key != name}
        with pytest.raises(InternalError, match="ATL-FLW-015"):
            control.JobRecord.from_plain(hostile)
    others: list[Any] = [None, [], {**good, "format": 99}, {**good, "facts": {"bank": {}}}]
    for wrong in others:
        with pytest.raises(InternalError, match="ATL-FLW-015"):
            control.JobRecord.from_plain(wrong)


def test_large_syncs_come_in_parts() -> None:
    bank = Node("bank")
    bank.carry_out = lambda job, command: None  # type: ignore[method-assign]
    jobs = [f"20300102030405-{at:08x}" for at in range(12)]
    wide = make_job().model_dump(mode="json")
    wide["steps"]["read"]["parameters"] = {"text": "x" * 900_000}
    job = parse_job(wide)
    for job_id in jobs:
        bank.submit(job, job_id)
    exchange = bank.exchanges["shop"]
    seen: set[str] = set()
    for _ in range(4):
        message = exchange.message(bank.records)
        assert len(control.encode_sync(message)) < 6 << 20
        seen |= {update.job for update in message.updates}
        exchange.received(
            SyncMessage((), {u.job: u.version for u in message.updates}), bank.records
        )
    assert seen == set(jobs)
    assert not exchange.pending(bank.records.values())
