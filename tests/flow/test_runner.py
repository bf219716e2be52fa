from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from atoll.components.api import Result, Task, Terms
from atoll.core.errors import AtollError
from atoll.flow.approving import only
from atoll.flow.ledger import Ledger
from atoll.flow.planning import COIN_STEP
from atoll.flow.steps import COIN_TASK
from atoll.flow.tables import HeldTables
from atoll.jobs.definition import parse_job
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan
from atoll.sim.world import World
from tests.flow import toy


def codes(world: World) -> dict[str, str]:
    return {
        name: error.code if isinstance(error, AtollError) else repr(error)
        for name, error in world.errors.items()
    }


def test_a_job_runs_and_leaves_its_files_and_its_ledger(tmp_path: Path) -> None:
    heard = {name: toy.Heard() for name in toy.PARTIES}
    changes = {name: {"events": listener} for name, listener in heard.items()}
    world = toy.play(tmp_path, changes=changes).check()
    bank, shop = world.results["bank"], world.results["shop"]
    assert bank.plan.digest() == shop.plan.digest()
    assert bank.folder.name == shop.folder.name
    assert (bank.folder / "swap" / "total.txt").read_text() == "18\n"
    assert (shop.folder / "swap" / "total.txt").read_text() == "14\n"
    assert json.loads((bank.folder / "plan.json").read_text())["warnings"] == ["swap: mind the gap"]
    lines = list(Ledger(tmp_path / "shop").entries())
    sent = [line for line in lines if line["kind"] == "reveal" and line["step"] == "swap"]
    assert [(line["sender"], line["receiver"], line["elements"]) for line in sent] == [
        ("shop", "bank", 2)
    ]
    assert [line["approver"] for line in lines if line["kind"] == "approval"] == ["shop", "bank"]
    assert lines[-1]["kind"] == "end"
    names = [name for name, _ in heard["bank"].events]
    assert names[-1] == "finished"
    assert "progress" in names


def test_two_runs_of_one_job_share_nothing(tmp_path: Path) -> None:
    first = toy.play(tmp_path).check().results["bank"]
    second = toy.play(tmp_path).check().results["bank"]
    assert first.plan.digest() == second.plan.digest()
    assert first.folder != second.folder


def test_steps_get_sessions_of_their_own_and_a_common_seed(tmp_path: Path) -> None:
    seen: dict[tuple[str, str], tuple[bytes, int]] = {}

    def look(task: Task, parameters: toy.Parameters) -> Result:
        party = task.party
        draw = int(party.public_rng.generator(task.step, 0, "test").integers(1 << 62))
        seen[party.name, task.step] = (party.session, draw)
        return toy.SWAP.run(task, parameters)

    catalogue = {**toy.CATALOGUE, "swap": replace(toy.SWAP, run=look)}
    job = toy.job().model_dump(mode="json")
    job["steps"]["again"] = job["steps"]["swap"]
    changed = {"catalogue": catalogue, "job": parse_job(job)}
    toy.play(tmp_path, changes={"bank": changed, "shop": changed}).check()
    assert seen["bank", "swap"] == seen["shop", "swap"]
    assert seen["bank", "swap"][0] != seen["bank", "again"][0]
    before = dict(seen)
    toy.play(tmp_path, changes={"bank": changed, "shop": changed}).check()
    assert seen["bank", "swap"][0] != before["bank", "swap"][0]
    assert seen["bank", "swap"][1] != before["bank", "swap"][1]


def test_a_job_with_a_seed_tosses_no_coins_and_draws_the_same_in_every_run(tmp_path: Path) -> None:
    seen: list[tuple[bool, int, bytes]] = []

    def look(task: Task, parameters: toy.Parameters) -> Result:
        party = task.party
        draw = int(party.public_rng.generator(task.step, 0, "test").integers(1 << 62))
        seen.append((party.public_rng.fixed, draw, party.session))
        return toy.SWAP.run(task, parameters)

    def draws(seed: int | None, **parameters: Any) -> set[tuple[bool, int]]:
        seen.clear()
        job = toy.job(**parameters).model_copy(update={"seed": seed})
        changed = {"catalogue": {**toy.CATALOGUE, "swap": replace(toy.SWAP, run=look)}, "job": job}
        bank = (
            toy.play(tmp_path, changes={"bank": changed, "shop": changed}).check().results["bank"]
        )
        counted = json.loads((bank.folder / "run.json").read_text())["traffic"]
        tossed = any(line["task"] == COIN_TASK for line in counted)
        toss = bank.plan.implementations[COIN_STEP]
        told = [text for text in bank.plan.warnings if text.startswith("coin toss: ")]
        assert (toss, tossed) == (("commit", True) if seed is None else ("fixed", False))
        assert bool(bank.plan.reveals[COIN_STEP]) == tossed
        assert [f"seed {seed}" in text for text in told] == ([] if seed is None else [True])
        return {(fixed, draw) for fixed, draw, _ in seen}

    first = draws(7)
    sessions = {session for *_, session in seen}
    assert len(first) == 1
    assert draws(7) == first
    assert sessions.isdisjoint(session for *_, session in seen)
    # The draws depend on the seed and the step, not on what else is changed.
    assert draws(7, rounds=5) == first
    assert draws(8) != first
    assert {fixed for fixed, _ in first} == {True}
    tossed = draws(None)
    assert {fixed for fixed, _ in tossed} == {False}
    assert draws(None) != tossed


def other_facts(*_: Any) -> Terms:
    return Terms(warnings=("another",))


OTHER_SWAP = {**toy.CATALOGUE, "swap": replace(toy.SWAP, describe=other_facts)}
NEWER_SWAP = {**toy.CATALOGUE, "swap": replace(toy.SWAP, version="2")}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"job": toy.job(rounds=3)}, "job.steps"),
        ({"catalogue": OTHER_SWAP}, "estimated_bytes"),
        ({"catalogue": NEWER_SWAP}, "components.swap"),
    ],
)
def test_a_different_plan_is_refused_and_the_part_is_named(
    tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    world = toy.play(tmp_path, changes={"shop": change})
    assert not world.results
    assert "ATL-PLN-001" in codes(world).values()
    assert set(codes(world).values()) <= {"ATL-PLN-001", "ATL-NET-004"}
    told = [e for e in world.errors.values() if getattr(e, "code", "") == "ATL-PLN-001"]
    assert getattr(told[0], "place", None) == place
    assert not list(tmp_path.glob("*/runs/*"))


def test_a_plan_that_a_party_refuses_ends_both(tmp_path: Path) -> None:
    def refuse(plan: Plan) -> int:
        raise DeniedError("ATL-PLN-006", "not this one")

    world = toy.play(tmp_path, changes={"shop": {"approve": refuse}})
    assert codes(world) == {"shop": "ATL-PLN-006", "bank": "ATL-NET-004"}
    assert getattr(world.errors["shop"], "exit_code", None) == 4


def test_an_expired_approval_is_refused(tmp_path: Path) -> None:
    world = toy.play(tmp_path, changes={"bank": {"wall": lambda: toy.wall() + 7200}})
    assert codes(world)["bank"] == "ATL-PLN-003"


def test_a_forged_approval_is_refused(tmp_path: Path) -> None:
    class Forger(toy.Keys):
        def sign(self, document: bytes) -> bytes:
            return super().sign(document + b".")

    world = toy.play(tmp_path, changes={"shop": {"credentials": Forger("shop", toy.KNOWN)}})
    assert codes(world) == {"bank": "ATL-PLN-002", "shop": "ATL-NET-004"}


def test_another_key_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    keys = toy.Keys("shop", {**toy.KNOWN, "shop": stranger})
    world = toy.play(tmp_path, changes={"shop": {"credentials": keys}})
    assert codes(world)["bank"] == "ATL-PLN-002"


def test_only_the_approved_plan_runs_and_only_so_often(tmp_path: Path) -> None:
    digest = toy.play(tmp_path).check().results["bank"].plan.digest()
    ledger = Ledger(tmp_path / "bank")
    twice = {"bank": {"approve": only(digest, "bank", ledger, runs=2)}}
    toy.play(tmp_path, changes=twice).check()
    world = toy.play(tmp_path, changes=twice)
    assert codes(world)["bank"] == "ATL-PLN-004"


def test_a_changed_table_is_another_plan(tmp_path: Path) -> None:
    digest = toy.play(tmp_path).check().results["bank"].plan.digest()
    approve = only(digest, "bank", Ledger(tmp_path / "bank"), runs=9)
    other = HeldTables({"visits": toy.table(9, label=False, shift=4)})
    world = toy.play(tmp_path, changes={"bank": {"approve": approve}, "shop": {"tables": other}})
    assert codes(world)["bank"] == "ATL-PLN-006"


def test_an_error_in_a_step_is_told_as_code_and_phase_only(tmp_path: Path) -> None:
    def fail(task: Task, parameters: toy.Parameters) -> Result:
        if task.party.name == "shop":
            raise ValueError("a secret of row 7")
        return toy.SWAP.run(task, parameters)

    catalogue = {**toy.CATALOGUE, "swap": replace(toy.SWAP, run=fail)}
    both = {"catalogue": catalogue}
    world = toy.play(tmp_path, changes={"bank": both, "shop": both})
    assert codes(world) == {"shop": "ATL-INT-001", "bank": "ATL-NET-004"}
    for error in world.errors.values():
        assert "secret" not in str(error)
    bank = world.errors["bank"]
    assert (getattr(bank, "party", None), getattr(bank, "phase", None)) == ("shop", "swap")
    assert not list(tmp_path.glob("*/runs/*"))


def test_what_was_revealed_before_a_failure_is_in_the_ledger(tmp_path: Path) -> None:
    def fail(task: Task, parameters: toy.Parameters) -> Result:
        toy.SWAP.run(task, parameters)
        raise AtollError("ATL-INT-001", "late")

    both = {"catalogue": {**toy.CATALOGUE, "swap": replace(toy.SWAP, run=fail)}}
    toy.play(tmp_path, changes={"bank": both, "shop": both})
    lines = list(Ledger(tmp_path / "bank").entries())
    assert any(line["kind"] == "reveal" and line["step"] == "swap" for line in lines)


def test_a_tampered_ledger_stops_the_job_before_anything_is_agreed(tmp_path: Path) -> None:
    toy.play(tmp_path).check()
    path = tmp_path / "bank" / "ledger.jsonl"
    path.write_text(path.read_text().replace('"elements": 2', '"elements": 1'))
    world = toy.play(tmp_path)
    assert codes(world)["bank"] == "ATL-JOB-011"
    assert not world.results


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    world = toy.play(tmp_path, changes={"shop": {"tables": HeldTables({})}})
    assert codes(world)["shop"] == "ATL-JOB-010"
    assert getattr(world.errors["shop"], "exit_code", None) == 3
