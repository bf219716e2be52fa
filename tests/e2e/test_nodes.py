"""Two real nodes over mTLS: jobs from proposal to end, and what can go wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atoll.cli import lines as cli_lines
from atoll.core.errors import AtollError
from atoll.core.report import TablePanel
from atoll.flow.planning import DECLARED
from atoll.jobs.errors import NotFoundError
from atoll.sdk import AsyncClient, Client
from tests.e2e.nodes import EVERYTHING, TestNode, fill, nodes, small_job, table, training_job, until
from tests.e2e.ports import free_port

LIMIT = 60.0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    root = tmp_path_factory.mktemp("nodes")
    with nodes(root, "bank", "shop") as made:
        fill(made, root)
        yield made


def state_of(client: Client, job: str) -> str:
    """Return a job's state; empty where the node has not heard of it yet."""
    try:
        return str(client.jobs.get(job).state)
    except NotFoundError:
        return ""


def received(client: Client, job: str) -> bool:
    return any(row.id == job for row in client.jobs.list().items)


def ended(client: Client, job: str, state: str) -> bool:
    return state_of(client, job) == state


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def test_a_job_runs_and_both_parties_hold_their_own_results(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        job = bank.jobs.submit(training_job("bank", "shop", trees=4))
        job.wait(LIMIT)
        # Whoever drives a job knows of its end first.
        until(partial(ended, shop, job.id, "success"))
        mine, theirs = bank.jobs.get(job.id), shop.jobs.get(job.id)
        assert (mine.state, theirs.state) == ("success", "success")
        assert mine.view.plan_digest == theirs.view.plan_digest
        assert set(mine.view.approvals) == {"bank", "shop"}
        names = {(a.step, a.name) for a in bank.jobs.get(job.id).artifacts().items}
        assert {("boost", "model"), ("judge", "metrics")} <= names
        assert "auc" in str(mine.report("judge").model_dump()).lower()
        assert mine.view.bytes_sent > 0


def test_the_plan_beforehand_is_the_plan_that_is_signed(two: dict[str, TestNode]) -> None:
    job = small_job("bank", "shop", name="foreseen")
    with two["bank"].client() as bank:
        foreseen = bank.jobs.plan(job)
        submitted = bank.jobs.submit(job)
        submitted.wait(LIMIT)
        signed = bank.jobs.get(submitted.id).plan()
        # Tables are committed to afresh in each job, so its digest is not known before.
        assert foreseen.digest is None
        assert uncommitted(signed.plan) == uncommitted(foreseen.plan)
        mine, then = (committed(view.plan) for view in (signed, foreseen))
        assert mine.keys() == then.keys()
        assert not set(mine.values()) & set(then.values())


def test_a_job_with_a_seed_repeats_with_its_commitments(two: dict[str, TestNode]) -> None:
    job = small_job("bank", "shop", name="seeded").model_copy(update={"seed": 7})
    with two["bank"].client() as bank:
        digests = set()
        for _ in range(2):
            submitted = bank.jobs.submit(job)
            submitted.wait(LIMIT)
            digests.add(bank.jobs.get(submitted.id).plan().digest)
        assert len(digests) == 1


def committed(plan: Any) -> dict[tuple[str, str], str]:
    """Return the commitment to each table of a plan, by party and step."""
    tables = plan["tables"].items()
    return {(p, step): facts["digest"] for p, steps in tables for step, facts in steps.items()}


def uncommitted(plan: Any) -> Any:
    """Return a plan without the commitments to tables."""
    bare = {
        party: {step: {**facts, "digest": ""} for step, facts in steps.items()}
        for party, steps in plan["tables"].items()
    }
    return {**plan, "tables": bare}


def reported(client: Client) -> list[dict[str, object]]:
    """Return the ledger's lines about own tables that a partner was told of."""
    lines = [line.body for line in client.ledger.all() if line.kind == "reveal"]
    return [body for body in lines if isinstance(body, dict) and body["step"] == "agreement"]


def test_what_the_agreement_tells_is_in_the_ledger_and_counted(two: dict[str, TestNode]) -> None:
    job = small_job("bank", "shop", name="told")
    with two["bank"].client() as bank, two["shop"].client() as shop:
        # Who asks for a plan is told, and tells nothing itself; the same twice counts once.
        before = reported(bank)
        bank.jobs.plan(job)
        once = reported(shop)
        bank.jobs.plan(small_job("bank", "shop", name="told-again"))
        assert reported(shop) == once
        assert [b["receiver"] for b in once if str(b["run"]).startswith("plan for")] == ["bank"]
        assert reported(bank) == before
        submitted = bank.jobs.submit(job)
        assert submitted.wait(LIMIT).state == "success"
        until(partial(ended, shop, submitted.id, "success"))
        for client, partner in ((bank, "shop"), (shop, "bank")):
            (line,) = [body for body in reported(client) if body["run"] == submitted.id]
            assert (line["receiver"], line["what"]) == (partner, DECLARED.what)
            assert isinstance(line["elements"], int)
            assert line["elements"] > 100
            (row,) = [
                t for t in client.jobs.get(submitted.id).traffic().items if t.step == "agreement"
            ]
            assert row.peer == partner
            assert min(row.bytes_sent, row.bytes_received) > line["elements"] // 2


def test_an_unchanged_step_is_used_again(two: dict[str, TestNode]) -> None:
    job = small_job("bank", "shop", name="again")
    with two["bank"].client() as bank:
        bank.jobs.submit(job).wait(LIMIT)
        second = bank.jobs.submit(job)
        second.wait(LIMIT)
        states = {name: step.state for name, step in bank.jobs.get(second.id).view.steps.items()}
        assert states["match"] == states["sum"] == "reused"
        assert bank.jobs.get(second.id).report("sum").panels


def with_own(name: str, *, columns: list[str], write: bool) -> dict[str, object]:
    """Return the small job with a download; both steps differ at the bank."""
    plain = small_job("bank", "shop", name=name).canonical()
    plain["steps"]["sum"]["overrides"] = {"bank": {"columns": columns}}
    plain["steps"]["file"] = {
        "component": "download",
        "inputs": {"table": "match.table"},
        "overrides": {"bank": {"write": write}},
    }
    return plain


def test_what_a_party_changed_for_itself_is_not_used_again(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank:
        shown: list[set[str]] = []
        for columns, write in ((["x0"], True), (["x1"], True), (["x1"], False)):
            job = bank.jobs.submit(with_own("own", columns=columns, write=write))
            assert job.wait(LIMIT).state == "success"
            (panel,) = [p for p in job.report("sum").panels if isinstance(p, TablePanel)]
            assert [row[0] for row in panel.rows] == columns
            names = {artifact.name for artifact in job.artifacts().items}
            assert ("file.table.csv" in names) == write
            steps = bank.jobs.get(job.id).view.steps
            shown.append({name for name, step in steps.items() if step.state == "reused"})
        assert shown[1:] == [{"read", "match", "file"}, {"read", "match", "sum"}]


def test_labels_are_looked_at_before_anybody_agrees(
    two: dict[str, TestNode], tmp_path: Path
) -> None:
    lines = table(3, 40, 2, label=True).decode().splitlines()
    cells = [line.split(",") for line in lines]
    at = cells[0].index("y")
    for row in cells[1:]:
        row[at] = "-1" if float(row[at]) == 0 else "1"
    (tmp_path / "signed.csv").write_text("\n".join(",".join(row) for row in cells))
    plain = training_job("bank", "shop", name="signed").canonical()
    plain["steps"]["read"]["parameters"]["tables"]["bank"] = "signed"
    first = next(number for number, row in enumerate(cells, 1) if row[at] == "-1")
    with two["bank"].client() as bank, two["shop"].client() as shop:
        bank.data.upload("signed", tmp_path / "signed.csv", label="y")
        job = bank.jobs.submit(plain)
        until(lambda: state_of(bank, job.id) in ("failed", "refused"))
        seen = bank.jobs.get(job.id).view
        assert (seen.code, seen.party) == ("ATL-PLN-011", "bank")
        assert "neither 0 nor 1 (ATL-PLN-009)" in str(seen.message)
        (end,) = [e for e in job.stream() if e.data.get("code") == "ATL-PLN-011"]
        assert end.data["place"] == f"row {first} of table 'signed', column 'y'"
        # Whoever looks at the job later sees where, too.
        assert seen.place == end.data["place"]
        assert end.data["place"] in cli_lines.job(seen)
        with pytest.raises(AtollError, match=f"row {first} of table 'signed'"):
            job.refresh().check()
        # What ended before the partner was sent it is not kept there.
        if received(shop, job.id):
            until(lambda: state_of(shop, job.id) in ("failed", "refused"))
            there = shop.jobs.get(job.id).view
            assert (there.code, there.message, there.place) == ("ATL-PLN-011", None, None)


def with_shares(*labels: float) -> dict[str, object]:
    """Return a job of the shop that samples the bank's labels."""
    plain = small_job("bank", "shop", name="probe").canonical()
    shares = [{"label": label, "fraction": 0.5} for label in labels]
    plain["steps"]["sum"] = {
        "component": "sample",
        "inputs": {"table": "match.table"},
        "parameters": {"method": "stratified", "shares": shares},
    }
    return plain


def test_a_partner_without_a_grant_learns_nothing_of_labels(two: dict[str, TestNode]) -> None:
    """Whether shares name every class would answer questions about the bank's labels."""
    with two["bank"].client() as bank, two["shop"].client() as shop:
        plans = [shop.jobs.plan(with_shares(*labels)) for labels in ((0.0, 1.0), (7.0,))]
        assert all(found.plan for found in plans)
        probes = [shop.jobs.submit(with_shares(*labels)) for labels in ((0.0, 1.0), (7.0,))]
        for probe in probes:
            until(partial(ended, bank, probe.id, "awaiting approval"))
            until(partial(ended, shop, probe.id, "waiting"))
        wrong = bank.jobs.get(probes[1].id)
        with refused("ATL-PLN-011"):
            wrong.approve(wrong.view.plan_digest)
        for probe in probes:
            bank.jobs.get(probe.id).refuse(reason="no")


def test_a_plan_that_cannot_run_is_refused_with_its_reason(two: dict[str, TestNode]) -> None:
    unaligned = training_job("bank", "shop", name="unaligned").canonical()
    unaligned["steps"]["boost"]["inputs"]["train"] = "read.table"
    large = small_job("bank", "shop", name="large", minimum_intersection=100_000)
    with two["bank"].client() as bank, two["shop"].client() as shop:
        # What no table can mend is refused at once, what the tables show when the plan is made.
        with refused("ATL-PLN-008"):
            bank.jobs.submit(unaligned)
        with refused("ATL-PSI-003"):
            bank.jobs.plan(large)
        job = bank.jobs.submit(large)
        until(lambda: state_of(bank, job.id) in ("failed", "refused"))
        assert bank.jobs.get(job.id).view.code == "ATL-PSI-003"
        assert "fewer ids" in str(bank.jobs.get(job.id).view.message)
        # What ended before the partner was sent it is not kept there.
        if received(shop, job.id):
            until(lambda: state_of(shop, job.id) in ("failed", "refused"))


@pytest.mark.parametrize("who", ["bank", "shop"])
def test_either_party_cancels_a_running_job(two: dict[str, TestNode], who: str) -> None:
    with two["bank"].client() as bank, two[who].client() as canceller:
        job = bank.jobs.submit(training_job("bank", "shop", trees=2000, name=f"long-{who}"))
        until(lambda: bank.jobs.get(job.id).view.steps["boost"].state == "running")
        canceller.jobs.get(job.id).stop()
        for node in two.values():
            with node.client() as client:
                until(partial(ended, client, job.id, "cancelled"))
                assert client.jobs.get(job.id).view.party == who
        with two["shop"].client() as shop:
            until(lambda: all(w["job"] != job.id for w in shop.status()["workers"]))
        # What is left forks workers, and waits for the next job.
        until(lambda: len(two["shop"].workers()) <= 2)


def test_a_job_without_a_grant_waits_for_a_person(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        job = shop.jobs.submit(small_job("bank", "shop", name="asked"))
        until(lambda: state_of(bank, job.id) == "awaiting approval")
        waiting = bank.jobs.get(job.id)
        with refused("ATL-PLN-006"):
            waiting.approve("0" * 64)
        waiting.approve(waiting.view.plan_digest)
        job.wait(LIMIT)
        assert shop.jobs.get(job.id).state == "success"


def test_a_person_refuses_and_the_reason_stays_at_home(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        job = shop.jobs.submit(small_job("bank", "shop", name="refused"))
        until(lambda: state_of(bank, job.id) == "awaiting approval")
        bank.jobs.get(job.id).refuse(reason="we do not like toys")
        until(lambda: state_of(shop, job.id) == "refused")
        seen = shop.jobs.get(job.id).view
        assert (seen.code, seen.party) == ("ATL-POL-016", "bank")
        assert "toys" not in str(seen.model_dump())


def test_a_table_that_a_party_lacks_ends_the_job_with_code_and_party(
    two: dict[str, TestNode],
) -> None:
    plain = small_job("bank", "shop", name="lacking").canonical()
    plain["steps"]["read"]["parameters"]["tables"]["shop"] = "nothing"
    with two["bank"].client() as bank, two["shop"].client() as shop:
        job = bank.jobs.submit(plain)
        until(lambda: state_of(bank, job.id) in ("failed", "refused"))
        seen, there = bank.jobs.get(job.id).view, shop.jobs.get(job.id).view
        assert (seen.code, seen.party) == ("ATL-JOB-010", "shop")
        assert seen.message is None
        assert "nothing" in str(there.message)


def test_a_failing_step_tells_its_code_on_both_sides(
    two: dict[str, TestNode], tmp_path: Path
) -> None:
    file = tmp_path / "others.csv"
    file.write_bytes(table(5, 50, 2, label=False).replace(b"\nu", b"\nv"))
    plain = small_job("bank", "shop", name="few").canonical()
    plain["steps"]["read"]["parameters"]["tables"]["shop"] = "others"
    with two["bank"].client() as bank, two["shop"].client() as shop:
        shop.data.upload("others", file)
        shop.data.grant("others", partners=["bank"], automatic=True, **EVERYTHING)
        job = bank.jobs.submit(plain)
        for client in (bank, shop):
            until(partial(ended, client, job.id, "failed"))
            assert client.jobs.get(job.id).view.code == "ATL-PSI-004"


def test_the_same_key_submits_once(two: dict[str, TestNode]) -> None:
    job = small_job("bank", "shop", name="once")
    with two["bank"].client() as bank:
        first = bank.jobs.submit(job, key="k1")
        assert bank.jobs.submit(job, key="k1").id == first.id
        with refused("ATL-API-006"):
            bank.jobs.submit(small_job("bank", "shop", name="other"), key="k1")
        first.wait(LIMIT)


def test_a_party_that_is_no_partner_is_refused_at_once(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank, refused("ATL-PTY-012"):
        bank.jobs.submit(small_job("bank", "shop", "stranger"))


def test_partners_answer_a_ping(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank:
        found = bank.parties.ping("shop")
        assert found.reachable
        assert 0 < found.seconds < 5


def test_events_tell_the_story_in_order(two: dict[str, TestNode], tmp_path: Path) -> None:
    with two["bank"].client() as bank:
        job = bank.jobs.submit(small_job("bank", "shop", name="story", minimum_intersection=21))
        events = list(job.stream())
        numbers = [event.number for event in events]
        assert numbers == sorted(set(numbers))
        states = [event.data["state"] for event in events if event.kind == "state"]
        assert states[0] == "waiting"
        assert states.count("success") == 1
        assert states[-1] == "success"


def test_a_person_approves_after_the_node_was_started_anew(tmp_path: Path) -> None:
    with nodes(tmp_path, "bank", "shop") as made:
        fill(made, tmp_path, grants=False)
        with made["bank"].client() as bank, made["shop"].client() as shop:
            job = bank.jobs.submit(small_job("bank", "shop", name="later"))
            until(lambda: state_of(shop, job.id) == "awaiting approval")
        made["shop"].kill()
        with made["shop"].start() as shop, made["bank"].client() as bank:
            waiting = shop.jobs.get(job.id)
            assert waiting.state == "awaiting approval"
            waiting.approve(waiting.view.plan_digest)
            assert bank.jobs.get(job.id).wait(LIMIT).state == "success"
            again = bank.jobs.get(job.id).rerun("match")
            assert again.wait(LIMIT).state == "success", (again.view, shop.jobs.get(job.id).view)
            assert bank.jobs.get(job.id).view.steps["match"].attempt == 2


def test_a_start_clears_what_workers_of_ended_jobs_left(tmp_path: Path) -> None:
    with nodes(tmp_path, "bank", "shop") as made:
        fill(made, tmp_path)
        with made["bank"].client() as bank:
            done = bank.jobs.submit(small_job("bank", "shop", name="done")).wait(LIMIT).id
        made["bank"].kill()
        folder = made["bank"].folder.jobs
        left = [folder / name / "outputs" for name in (done, "20000101000000-00000000")]
        for outputs in left:
            outputs.mkdir(parents=True, exist_ok=True)
            (outputs / "half").write_bytes(b"x")
        made["bank"].start().close()
        assert not any(outputs.exists() for outputs in left)


@pytest.mark.parametrize("fixed", [True, False], ids=["same port", "another port"])
def test_a_client_of_a_folder_follows_its_node_over_a_restart(tmp_path: Path, fixed: bool) -> None:
    with nodes(tmp_path, "bank", "shop") as made:
        fill(made, tmp_path, grants=False)
        port = {"http.port": str(free_port())} if fixed else {}
        made["bank"].stop()
        made["bank"].start(**port).close()
        folder = made["bank"].folder.root
        with Client(folder=folder) as bank, made["shop"].client() as shop:
            job = bank.jobs.submit(small_job("bank", "shop", name="followed"))
            until(lambda: state_of(shop, job.id) == "awaiting approval")
            with ThreadPoolExecutor(1) as pool:
                reported = pool.submit(lambda: list(job.stream()))
                made["bank"].kill()
                made["bank"].start(**port).close()
                waiting = shop.jobs.get(job.id)
                waiting.approve(waiting.view.plan_digest)
                events = reported.result(LIMIT)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert events[-1].data["state"] == "success"


def test_an_asynchronous_client_of_a_folder_finds_its_node_again(tmp_path: Path) -> None:
    async def look(node: TestNode, **port: str) -> None:
        async with AsyncClient(folder=node.folder.root) as client:
            await client.status()
            await asyncio.to_thread(node.stop)
            (await asyncio.to_thread(partial(node.start, **port))).close()
            assert (await client.status())["party"] == "bank"

    with nodes(tmp_path, "bank") as made:
        port = {"http.port": str(free_port())}
        made["bank"].stop()
        made["bank"].start(**port).close()
        asyncio.run(look(made["bank"], **port))
        asyncio.run(look(made["bank"]))
