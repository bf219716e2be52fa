"""Parties that lie while a job is agreed to, against nodes that run what is shipped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from atoll.channel.identity import Identity
from atoll.components.catalogue import CATALOGUE
from atoll.components.code import component_code, platform_digest
from atoll.components.references import ModelRef
from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.flow import control, planning
from atoll.flow.control.record import JobRecord
from atoll.flow.control.reuse import reuse_key
from atoll.flow.node.jobs.declaring import Declarer, OwnDeclaration
from atoll.flow.node.jobs.tasks import TaskResources, TaskRunner
from atoll.flow.work.inputs import ApprovedTables
from atoll.flow.work.specification import InputArtifact, OwnTable
from atoll.jobs.commitment import PART, TABLE, Opening, commit, opens
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.table import Table, write
from tests import whole
from tests.components.test_main_job import job as main_job
from tests.flow.control.apart import ApartWorld, make_job
from tests.flow.control.pair import JOB_ID, World
from tests.flow.control.pair import make_job as paired
from tests.held import HeldTables

UNKNOWN = 12
ROWS = 40


def visits(labels: tuple[int, ...] = (0, 1) * (UNKNOWN // 2)) -> Table:
    """Return a table of which a partner knows everything but the last labels."""
    known = [at % 2 for at in range(ROWS - UNKNOWN)]
    columns = {"id": [f"v{at}" for at in range(ROWS)], "y": [*known, *labels]}
    return Table.from_arrow(pa.table(columns), id_column="id", label="y")


class House:
    """A bank's node as far as declarations go: its tables, and its parts of registered models."""

    def __init__(self, table: Table, part: str | None = None) -> None:
        self.table, self.part = table, part
        self.others: dict[str, Table] = {}
        self.identity = SimpleNamespace(
            party="bank",
            peer=lambda party: None,
            certificate=b"certificate",
            secret=lambda purpose: b"k" * 32,
        )
        self.declarer = Declarer(
            lambda: cast(Identity, self.identity),
            lambda: CATALOGUE,
            lambda look: HeldTables({"rows": self.table, **self.others}),
            registered=self.registered,
        )

    def registered(self, reference: ModelRef) -> tuple[str, str, int]:
        if self.part is None:
            raise UserError("ATL-REG-001", "there is no such model here", place=reference.model)
        return ("boosting.model", self.part, 1)


def reading(seed: int | None = None) -> Job:
    steps = {
        "read": {
            "component": "reader",
            "parameters": {"tables": {"bank": "rows", "shop": "rows"}},
        },
        "match": {"component": "psi", "inputs": {"table": "read.table"}},
    }
    return job_of(steps, seed)


def predicting() -> Job:
    steps = reading().model_dump(mode="json")["steps"] | {
        "model": {
            "component": "model",
            "inputs": {"table": "match.table"},
            "parameters": {"model": "credit", "kind": "boosting.model"},
        },
        "score": {
            "component": "prediction",
            "inputs": {"model": "model.model", "table": "model.table"},
        },
    }
    return job_of(steps)


def job_of(steps: Any, seed: int | None = None) -> Job:
    parties = {"bank": "guest", "shop": "host"}
    return parse_job({"name": "any", "parties": parties, "steps": steps, "seed": seed})


def sent(house: House, job: Job) -> OwnDeclaration:
    """Return what the bank's shipped code sends to the shop, which asks and needs no approval."""
    return house.declarer.declare(job, "shop").to("shop")


def refused(code: str, what: Callable[[], Any]) -> None:
    with pytest.raises(AtollError) as caught:
        what()
    assert caught.value.code == code


# -- digests -----------------------------------------------------------------------------------


def guesses() -> Iterator[Table]:
    return (visits(labels) for labels in itertools.product((0, 1), repeat=UNKNOWN))


def test_twelve_labels_are_not_found_by_trying_them_all() -> None:
    """The lie: a job is proposed only to be sent a table's digest, and labels are tried against it.

    The bare digest would give all twelve labels; no guess fits the commitment, whatever secret
    is tried with it that the partner could know.
    """
    bank = House(visits((1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1)))
    declared = sent(bank, reading())
    shown = declared.tables["read"].digest
    digests = [guess.digest() for guess in guesses()]
    assert digests.count(bank.table.digest()) == 1  # The attack itself works.
    known = [b"", bytes(32), bytes.fromhex(reading().digest()), b"certificate"]
    tried = {commit("bank", TABLE, secret, digest) for secret in known for digest in digests}
    tried |= set(digests) | {codec.digest(digest) for digest in digests}
    assert shown not in tried
    # Nothing else that leaves depends on the labels.
    others = [replace(sent(House(guess), reading()), opening=None) for guess in (visits(),)]
    for other in others:
        mine = declared.tables["read"].model_copy(update={"digest": ""})
        assert other.tables["read"].model_copy(update={"digest": ""}) == mine
        assert (other.components, other.audience) == (declared.components, declared.audience)


def test_asking_again_does_not_tell_whether_a_table_changed() -> None:
    """The lie: a partner asks for the same plan day by day, to see when a table changes.

    Commitments are fresh. Only in a job with a seed, which repeats by promise, equal ones show:
    when it is proposed, which the bank's people see, not when its plan is only asked for.
    """
    bank = House(visits())
    assert len({sent(bank, reading()).tables["read"].digest for _ in range(5)}) == 5
    assert len({sent(bank, reading(seed=3)).tables["read"].digest for _ in range(5)}) == 5

    def proposed(seed: int) -> str:
        made = bank.declarer.declare(reading(seed), "shop", proposed=True)
        return made.tables["read"].digest

    assert len({proposed(3) for _ in range(5)}) == 1
    assert len({proposed(at) for at in range(5)}) == 5


def test_another_partys_commitment_passed_on_as_the_own_opens_to_nothing() -> None:
    """The lie: the shop declares the bank's commitment, of this job or an earlier one, as its own.

    It holds the bank's name, so not even the bank's own secret opens it for the shop.
    """
    bank = House(visits())
    made = bank.declarer.declare(reading(), "shop")
    assert made.opening is not None
    digest = bank.table.digest()
    secret = made.opening.secret_of(TABLE, "rows", digest)
    replayed = made.tables["read"].digest
    assert opens(replayed, "bank", TABLE, secret, digest)
    assert not opens(replayed, "shop", TABLE, secret, digest)
    assert not opens(replayed, "bank", PART, secret, digest)
    again = bank.declarer.declare(reading(), "shop")
    assert again.opening is not None
    assert again.opening.secret != made.opening.secret
    assert not opens(again.tables["read"].digest, "bank", TABLE, secret, digest)


def agreed(house: House, job: Job) -> tuple[Plan, Opening]:
    """Return the plan of a job with the bank's declaration, and what opens it."""
    made = house.declarer.declare(job, "shop")
    shop = {step: f.model_copy(update={"label": None}) for step, f in made.tables.items()}
    tables = {"bank": made.tables, "shop": shop}
    built = planning.build(job, CATALOGUE, tables, dict.fromkeys(job.parties, "k"))
    assert made.opening is not None
    parts = dict.fromkeys(planning.references(job, built.parameters, "bank"), "1" * 64)
    return planning.with_parts(built, {"bank": made.parts, "shop": parts}), made.opening


def test_another_table_than_was_committed_to_is_neither_signed_nor_read(tmp_path: Path) -> None:
    """The lie: one table is committed to, another one brought under its name.

    A node holds itself to its commitment: ATL-PLN-011 before it signs, ATL-WRK-008 in the
    task. Who takes these checks out cannot open the commitment to the other table later.
    """
    bank = House(visits())
    plan, opening = agreed(bank, reading())
    bank.declarer.verify(plan, opening)
    bank.table = visits((1,) * UNKNOWN)
    refused("ATL-PLN-011", lambda: bank.declarer.verify(plan, opening))
    path = tmp_path / "other.arrow"
    write(bank.table, path)
    held = {"rows": OwnTable(path=path, id="id", label="y", digest=opening.tables["read"])}
    task = ApprovedTables(held)
    refused("ATL-WRK-008", lambda: task.open("rows", id_column="id", label="y"))
    shown, other = plan.tables["bank"]["read"].digest, bank.table.digest()
    committed = opening.tables["read"]
    for digest in (committed, other):
        secret = opening.secret_of(TABLE, "rows", digest)
        assert opens(shown, "bank", TABLE, secret, committed) is (digest == committed)
        assert not opens(shown, "bank", TABLE, secret, other)


# -- parts of models ---------------------------------------------------------------------------


def running(house: House, plan: Plan, opening: Opening) -> TaskRunner:
    def registered(reference: ModelRef) -> InputArtifact:
        kind, digest, _ = house.registered(reference)
        return InputArtifact(kind=kind, digest=digest, path=Path(digest))

    place = cast(TaskResources, SimpleNamespace(registered=registered, shares=None))
    return TaskRunner(place, lambda event: None)


def test_a_part_that_is_swapped_after_the_approval_is_not_used() -> None:
    """The lie: a prediction is approved, then another part is put under its name and version.

    ATL-REG-011 in the task and where outputs are looked up to be used again; ATL-PLN-011 before it
    is signed.
    """
    bank = House(visits(), "2" * 64)
    plan, opening = agreed(bank, predicting())
    secret = opening.secret_of(PART, "model", "2" * 64)
    assert opens(plan.model_parts["bank"]["model"], "bank", PART, secret, "2" * 64)
    record = cast(
        JobRecord, SimpleNamespace(job=plan.job, plan=plan, party="bank", opening=opening)
    )
    task = running(bank, plan, opening)
    assert task.own_key(record, "model", "k") != "k"
    bank.part = "3" * 64
    refused("ATL-REG-011", lambda: task.own_key(record, "model", "k"))
    other = agreed(bank, predicting())[0]
    assert other.digest() != plan.digest()


def test_a_prediction_without_a_commitment_to_a_part_is_no_plan() -> None:
    """The lie: a party leaves the commitment to its part out, or commits for a step that has none.

    ATL-PLN-005 at every honest party.
    """
    plan, _ = agreed(House(visits(), "2" * 64), predicting())
    bare = plan.with_model_parts({})
    mine = {"model": "1" * 64}
    wrong: list[dict[str, str]] = [{}, {"score": "1" * 64}, {**mine, "ghost": "1" * 64}]
    for shop in wrong:
        parts = {"bank": mine, "shop": shop}
        refused("ATL-PLN-005", partial(planning.with_parts, bare, parts))
    assert planning.with_parts(bare, {"bank": mine, "shop": mine}).model_parts["shop"] == mine


# -- code --------------------------------------------------------------------------------------


def upgraded() -> dict[str, Any]:
    """Return a catalogue whose intersection is of another source than what was signed."""
    found: Any = CATALOGUE["psi"]

    def run(task: Any, parameters: Any) -> Any:
        return found.run(task, parameters)

    run.__module__ = "atoll.components.reader"
    other = replace(found, run=run, sources=("atoll.table",))
    assert component_code(other) != component_code(found)
    return {**CATALOGUE, "psi": other}


def held() -> dict[str, HeldTables]:
    ids = [f"r{at}" for at in range(60)]
    bank = pa.table({"id": ids, "b": range(60), "y": [at % 2 for at in range(60)]})
    shop = pa.table({"id": ids, "s": range(60)})
    return {
        "bank": HeldTables({"rows": Table.from_arrow(bank, id_column="id", label="y")}),
        "shop": HeldTables({"rows": Table.from_arrow(shop, id_column="id", label=None)}),
    }


def test_code_that_changed_between_approval_and_run_does_not_begin() -> None:
    """The lie: both parties sign honest code, then both workers are given the same other code.

    Equal among themselves, they met before; a worker holds its own code against the
    signed plan now: ATL-WRK-013, and nothing of the step was sent.
    """
    liars = dict.fromkeys(("bank", "shop"), upgraded())
    done = whole.play(main_job(), held(), CATALOGUE, liars=liars)
    codes = {getattr(error, "code", None) for error in done.errors.values()}
    assert "ATL-WRK-013" in codes
    assert not [line for lines in done.sent.values() for line in lines if line["step"] == "psi"]


def test_a_worker_of_another_platform_tosses_no_coin(tmp_path: Path) -> None:
    """The lie: what all steps build on (codec, noise, channel) is exchanged after the approval."""
    planned = whole.Planned(main_job(), held(), CATALOGUE)
    assert planned.plan is not None
    assert planned.plan.platform == platform_digest()
    other = planned.plan.model_copy(update={"platform": "f" * 64})
    run = whole.Run(planned, other, tmp_path, {})
    errors = run.play().errors
    assert {getattr(error, "code", None) for error in errors.values()} <= {
        "ATL-WRK-013",
        "ATL-NET-004",
    }
    assert "ATL-WRK-013" in {getattr(error, "code", None) for error in errors.values()}


def test_another_platform_makes_another_plan() -> None:
    """The lie: a party takes part with another native library or codec, and says so honestly.

    ATL-PLN-001 names the part ``platform``.
    """
    world = ApartWorld()
    change = {"platform": "e" * 64}
    world["shop"].change = lambda plan: plan.model_copy(update=change)
    world["bank"].submit(make_job())
    world.rounds(10)
    assert {code for _, code in world.ends()} == {"ATL-PLN-001"}
    why = [c for n in world.apart.values() for c in n.done if isinstance(c, control.Explain)]
    assert {c.place for c in why} == {"platform"}


# -- the agreement of nodes --------------------------------------------------------------------


@pytest.mark.parametrize("step", ["ghost", "look"])
def test_facts_for_a_step_that_is_none_are_no_declaration(step: str) -> None:
    """The lie: a party declares a table for a step that the job has not, or that takes none.

    Such facts stood in each plan, and in no digest that is signed: what one party saw there,
    another need not. ATL-PLN-005.
    """
    world = ApartWorld()
    shop = world["shop"]
    honest = shop.carry_out

    def lie(job: str, command: control.Command) -> None:
        honest(job, command)
        for number, (name, event) in enumerate(shop.inbox):
            if isinstance(event, control.Declared):
                more = {**event.tables, step: event.tables["read"]}
                shop.inbox[number] = (name, replace(event, tables=more))

    shop.carry_out = lie  # type: ignore[method-assign]
    world["bank"].submit(make_job())
    world.rounds(10)
    assert world["bank"].end == ("failed", "ATL-PLN-005", "shop")


def test_a_party_that_sends_no_digest_of_its_plan_does_not_keep_a_job_for_ever() -> None:
    """The lie: a party declares, talks on, and never says what plan it made.

    The job waited without end, and held its place among the partner's unfinished ones; it ends
    after ``progress_seconds`` with ATL-FLW-020.
    """
    world = ApartWorld()
    post = world["post"]

    def twist(peer: str, message: Any) -> Any:
        kept = [
            replace(u, sections={n: d for n, d in u.sections.items() if n != "plan"})
            for u in message.updates
        ]
        return replace(message, updates=tuple(kept))

    post.twist = twist
    world["bank"].submit(make_job(), progress_seconds=50.0, peer_seconds=20.0)
    world.rounds(8)
    assert control.view(world["bank"].record).state not in ("failed", "success")
    world.rounds(8, 10.0)
    assert world["bank"].end == ("failed", "ATL-FLW-020", "post")
    assert world["shop"].end[1] == "ATL-FLW-020"


def test_a_party_that_is_away_is_waited_for() -> None:
    """No lie: the deadline is for who talks and does not answer, not for a node that is off."""
    world = ApartWorld()
    world["bank"].submit(make_job(), progress_seconds=50.0, peer_seconds=20.0)
    post = world["post"]
    post.twist = lambda peer, message: replace(message, updates=())
    world.rounds(3)
    world.cut = {frozenset({"post", "bank"}), frozenset({"post", "shop"})}
    world.rounds(12, 10.0)
    assert control.view(world["bank"].record).state not in ("failed", "success")


def test_an_approval_of_another_job_counts_for_none() -> None:
    """The lie: an approval that a party signed for one job is sent in another of the same plan.

    Its nonce holds the job's id and proposal: ATL-PLN-002. (This held before.)
    """
    world = World()
    world["bank"].submit(paired())
    world.rounds(12)
    bank = world["bank"]
    earlier = bank.records[JOB_ID].own.approval
    assert earlier is not None
    second = "20300102030406-00000002"
    bank.policy = lambda command: control.Decided("queue", bank.now, run=command.run)
    bank.submit(paired(), second)
    world.rounds(4)
    record = bank.records[second]
    own = replace(record.own, version=record.version + 1, approval=earlier)
    since = {**record.since, "approval": own.version}
    bank.records[second] = replace(record, facts={**record.facts, "bank": own}, since=since)
    world.rounds(4)
    shown = control.view(world["shop"].records[second])
    assert (shown.state, shown.code) == ("failed", "ATL-PLN-002")


# -- reuse -------------------------------------------------------------------------------------


def test_the_key_of_reuse_answers_no_guess() -> None:
    """The lie: tables are tried against the key by which a party offers its earlier outputs.

    The key is the same whatever is in the table, so it says nothing of it.
    """
    keys = set()
    for digest in ("1" * 64, "9" * 64):
        world = World()
        world["shop"].table_digest = digest
        world["bank"].submit(paired())
        world.rounds(6)
        found = reuse_key(world["bank"].record, "read")
        keys.add(found)
    assert len(keys) == 1


def test_an_origin_of_another_table_is_not_reused() -> None:
    """The lie: the shop claims to hold the outputs of an origin, whatever the bank's table is now.

    The bank looks up under its own content: what it made of another table is not among its
    own, so nothing is used again and the step is run.
    """
    world = World()
    bank, shop = world["bank"], world["shop"]
    bank.submit(paired())
    world.rounds(12)
    bank.table_digest = "9" * 64
    honest = shop.carry_out

    def lie(job: str, command: control.Command) -> None:
        if isinstance(command, control.FindReusable):
            claimed = {step: (f"{JOB_ID}/{step}/1",) for step in command.keys}
            shop.inbox.append((job, control.ReusableFound(claimed, shop.now)))
        else:
            honest(job, command)

    shop.carry_out = lie  # type: ignore[method-assign]
    second = "20300102030406-00000002"
    bank.submit(paired(), second)
    world.rounds(16, 1.0)
    assert control.view(bank.records[second]).state == "success"
    assert not [c for c in bank.done if isinstance(c, control.ReuseTask)]
    assert not [c for c in shop.done if isinstance(c, control.ReuseTask)]
