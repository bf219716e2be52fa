"""Tasks one by one: the same results as in one run, agreement on what runs, nothing half done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.channel.world import World
from atoll.components.api import Catalogue
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.flow.planning import COIN_STEP
from atoll.flow.work.artifacts import codec_of
from atoll.flow.work.steps import COIN_TASK
from atoll.jobs.definition import parse_job
from atoll.models.kinds import GENERAL
from atoll.table import Table, write
from tests.flow import toy
from tests.flow.work import little


def codes(world: World) -> dict[str, str]:
    return {
        name: error.code if isinstance(error, AtollError) else repr(error)
        for name, error in world.errors.items()
    }


def test_with_a_fixed_seed_nothing_is_tossed_and_what_is_drawn_repeats(tmp_path: Path) -> None:
    job = little.small_job().model_copy(update={"seed": 7})
    drawn = set()
    for name in ("one", "other"):
        places = little.nodes(tmp_path / name, little.small_tables())
        little.play_job(job, places, little.SMALL)
        for at in places.values():
            toss = at.results[COIN_STEP]
            assert toss["reveals"] == []
            assert COIN_TASK not in {row["task"] for row in toss["traffic"]}
            drawn.add(at.value("swap", "sum")["draw"])
    assert len(drawn) == 1


def test_a_seed_that_the_plan_would_toss_is_refused(tmp_path: Path) -> None:
    job = little.small_job().model_copy(update={"seed": 7})
    places = little.nodes(tmp_path, little.small_tables())
    specs = {
        party: at.spec(job, COIN_STEP, little.SMALL, implementation="commit")
        for party, at in places.items()
    }
    assert "ATL-TOS-003" in codes(little.play(specs, little.SMALL)).values()


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, Table):
        assert found.digest() == expected.digest()
        assert found.label_name == expected.label_name
    elif hasattr(expected, "score"):
        assert found.ids.to_pylist() == expected.ids.to_pylist()
        assert np.array_equal(found.label, expected.label)
        assert np.array_equal(found.score, expected.score)
    else:
        assert found == expected


@pytest.fixture
def places(tmp_path: Path) -> dict[str, little.Node]:
    found = little.nodes(tmp_path, little.small_tables())
    job = little.small_job()
    for step in (COIN_STEP, "reader"):
        specs = {party: at.spec(job, step, little.SMALL) for party, at in found.items()}
        for party, result in little.play(specs, little.SMALL).check().results.items():
            found[party].results[step] = result
    return found


def files(places: Mapping[str, little.Node]) -> set[Path]:
    return {path for at in places.values() for path in at.outputs.iterdir()}


def swap(
    places: Mapping[str, little.Node],
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    catalogues: Mapping[str, Catalogue] | None = None,
    **more: Any,
) -> World:
    job = little.small_job()
    specs = {
        party: at.spec(job, "swap", little.SMALL, **(changes or {}).get(party, {}))
        for party, at in places.items()
    }
    return little.play(specs, little.SMALL, catalogues=catalogues, **more)


def test_a_result_tells_outputs_use_traffic_and_reveals(places: dict[str, little.Node]) -> None:
    received = toy.Listener()
    result = swap(places, events=received).check().results["bank"]
    place = places["bank"]
    place.results["swap"] = result
    assert place.value("swap", "sum")["total"] == 16
    assert place.bytes_of("swap", "sum.txt") == b"16\n"
    assert result["outputs"]["sum"]["kind"] == "swap.sum"
    rows = {(row["task"], row["tag"]): row for row in result["traffic"]}
    assert rows["swap", "number"]["messages_sent"] == 1
    assert ("flow.hello", "hello") in rows
    assert [(line["field"], line["elements"]) for line in result["reveals"]] == [("value", 1)]
    assert result["peak_memory"] > 1 << 20
    assert result["seconds"] >= 0
    phases = [fields["phase"] for event, fields in received.events if event == "phase"]
    assert phases[0] == "hello"
    assert phases[-1] == "finish"
    points = [fields for event, fields in received.events if event == "metric"]
    assert {"name": "rows", "value": 9.0, "number": 1} in points


def test_a_log_tells_what_went_in_and_came_out(
    places: dict[str, little.Node], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "atoll.task")
    swap(places).check()
    reported = "\n".join(caplog.messages)
    assert "step swap, attempt 0: swap 1 as guest with shop" in reported
    assert "input table: 9 rows, 1 columns" in reported
    assert "output sum.txt: 3 bytes, digest " in reported
    caplog.clear()
    assert not swap(places, {"shop": {"parameters": {"fail": "shop"}}}).results
    assert any("ended in phase swap: ATL-INT-001" in line for line in caplog.messages)
    assert "with a value in it" not in caplog.text


def test_everybody_draws_from_the_tossed_seed_and_sessions_differ(
    places: dict[str, little.Node],
) -> None:
    world = swap(places).check()
    draws = set()
    for party, at in places.items():
        at.results["swap"] = world.results[party]
        draws.add(at.value("swap", "sum")["draw"])
    assert len(draws) == 1


OTHER: dict[str, Catalogue] = {
    "shop": {**little.SMALL, "swap": replace(little.SWAP, sources=("atoll.operators.psi",))}
}
NEWER: dict[str, Catalogue] = {"shop": {**little.SMALL, "swap": replace(little.SWAP, version="2")}}


@pytest.mark.parametrize(
    ("change", "catalogues", "part"),
    [
        ({"plan_digest": "cd" * 32}, None, "plan"),
        ({}, OTHER, "code"),
        ({}, NEWER, "release"),
    ],
)
def test_workers_that_would_run_different_things_do_not_begin(
    places: dict[str, little.Node],
    change: dict[str, Any],
    catalogues: Mapping[str, Catalogue] | None,
    part: str,
) -> None:
    before = files(places)
    world = swap(places, {"shop": change}, catalogues)
    assert "ATL-WRK-007" in codes(world).values()
    assert set(codes(world).values()) <= {"ATL-WRK-007", "ATL-NET-004"}
    reported = [e for e in world.errors.values() if getattr(e, "code", "") == "ATL-WRK-007"]
    assert getattr(reported[0], "place", None) == part
    assert files(places) == before


def test_another_attempt_is_another_conversation(places: dict[str, little.Node]) -> None:
    world = swap(places, {"shop": {"attempt": 1}})
    assert set(codes(world).values()) <= {"ATL-NET-002", "ATL-NET-004", "ATL-NET-003"}
    assert len(world.errors) == 2


def test_a_failure_at_one_ends_both_and_leaves_nothing(places: dict[str, little.Node]) -> None:
    before = files(places)
    bad = {"parameters": {"fail": "shop", "odd": False}}
    world = swap(places, {"shop": bad, "bank": bad})
    assert codes(world) == {"shop": "ATL-INT-001", "bank": "ATL-NET-004"}
    assert "value" not in str(world.errors["shop"])
    assert getattr(world.errors["bank"], "phase", None) == "swap"
    assert files(places) == before


def test_an_output_that_no_file_can_hold_fails_before_the_peer_keeps_its_own(
    places: dict[str, little.Node],
) -> None:
    before = files(places)
    world = swap(places, {"shop": {"parameters": {"fail": "", "odd": True}}})
    assert codes(world) == {"shop": "ATL-WRK-005", "bank": "ATL-NET-004"}
    assert files(places) == before


def test_a_full_disk_at_one_ends_both(
    places: dict[str, little.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(places)
    world = swap(places, {"shop": {"outputs_folder": places["shop"].folder / "gone"}})
    assert codes(world) == {"shop": "ATL-WRK-009", "bank": "ATL-NET-004"}
    assert files(places) == before


def test_a_cancelled_task_tells_its_peer(places: dict[str, little.Node]) -> None:
    before = files(places)
    world = swap(places, cancelled=frozenset({"shop"}))
    assert codes(world) == {"shop": "ATL-JOB-001", "bank": "ATL-NET-004"}
    assert files(places) == before


def test_a_table_that_changed_since_the_approval_is_not_read(
    places: dict[str, little.Node],
) -> None:
    write(toy.table(8, label=False), places["shop"].tables["visits"].path)
    job = little.small_job()
    specs = {party: at.spec(job, "reader", little.SMALL) for party, at in places.items()}
    world = little.play(specs, little.SMALL)
    # The reader talks to nobody, so the other party ends its own task.
    assert codes(world) == {"shop": "ATL-WRK-008"}


def test_a_damaged_input_is_refused(places: dict[str, little.Node]) -> None:
    entry = places["bank"].results["reader"]["outputs"]["table"]
    path = places["bank"].outputs / entry["digest"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    world = swap(places)
    assert codes(world) == {"bank": "ATL-WRK-006", "shop": "ATL-NET-004"}


def test_a_table_that_the_task_was_not_given_cannot_be_opened(
    places: dict[str, little.Node],
) -> None:
    job = little.small_job()
    specs = {party: at.spec(job, "reader", little.SMALL, tables={}) for party, at in places.items()}
    assert set(codes(little.play(specs, little.SMALL)).values()) <= {"ATL-JOB-010", "ATL-NET-004"}


def test_the_catalogue_has_a_codec_for_every_output() -> None:
    for component in CATALOGUE.values():
        for kind in {*component.outputs.values()} - GENERAL:
            codec_of(kind)


def test_three_parties_agree_on_one_session_and_seed(tmp_path: Path) -> None:
    parties = {"bank": "guest", "mill": "host", "shop": "host"}
    names = {"bank": "loans", "mill": "visits", "shop": "visits"}
    plain = little.small_job().model_dump(mode="json") | {"parties": parties}
    plain["steps"]["reader"]["parameters"]["tables"] = names
    tables = little.small_tables() | {"mill": {"visits": toy.table(4, label=False)}}
    places = little.nodes(tmp_path, tables)
    little.play_job(parse_job(plain), places, little.SMALL)
    sums = {party: at.value("swap", "sum") for party, at in places.items()}
    assert {value["total"] for value in sums.values()} == {20}
    assert len({value["draw"] for value in sums.values()}) == 1
