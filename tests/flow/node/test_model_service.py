"""The model registry over a real database, real files and real keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from atoll.channel.identity import Identity, export_ca, init_party, load_party, trust
from atoll.components.catalogue import CATALOGUE
from atoll.components.references import ModelRef
from atoll.core.errors import AtollError, PeerError, UserError
from atoll.core.report import KeyValuePanel, Report
from atoll.flow.node.models.card import card
from atoll.flow.node.models.predicting import Trained, predict_job
from atoll.flow.node.models.renaming import renamed_job
from atoll.flow.node.models.service import ModelService
from atoll.flow.planning import schemas
from atoll.flow.store import ArtifactRow, Artifacts, Database, JobRow, Jobs, Models
from atoll.flow.store.files import ArtifactFiles
from atoll.jobs.definition import Job
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.jobs.validation import validate
from atoll.models.boosting import GuestPart, HostPart, part_from_bytes, part_to_bytes
from atoll.models.boosting.kind import BOOSTING_MODEL, importance_panel
from atoll.models.boosting.part import Split, Tree

JOB = "20261122000000-0123abcd"
MODEL = f"{JOB}.train"
GRAPH = Job.model_validate(
    {
        "name": "scoring",
        "parties": {"bank": "guest", "shop": "host"},
        "steps": {
            "read": {
                "component": "reader",
                "parameters": {"tables": {"bank": "loans", "shop": "carts"}, "label": "bad"},
            },
            "align": {"component": "psi", "inputs": {"table": "read.table"}},
            "split": {"component": "split", "inputs": {"table": "align.table"}},
            "train": {
                "component": "boosting",
                "inputs": {"train": "split.train", "validation": "split.test"},
            },
            "look": {"component": "evaluation", "inputs": {"scores": "train.scores"}},
        },
    }
)
GUEST = GuestPart(
    model="0" * 32,
    party="bank",
    hosts=("shop",),
    columns=("income",),
    base_margin=0.5,
    splits=(Split(column=0, threshold=1.5),),
    host_splits=(1,),
    trees=(
        Tree(
            owner=(0, 1, -1, -1, -1),
            split=(0, 0, 0, 0, 0),
            left=(1, 3, 0, 0, 0),
            right=(2, 4, 0, 0, 0),
            weight=(0.0, 0.0, 0.1, -0.2, 0.3),
            gain=(1.0, 0.5, 0.0, 0.0, 0.0),
            rows=(9, 5, 4, 3, 2),
        ),
    ),
)
KIND = "boosting.model"
TABLES = {"bank": "x", "shop": "y"}


def trained(graph: Job, kind: str = KIND) -> Trained:
    return Trained(graph, "train", kind, MODEL, 1)


@dataclass
class Node:
    folder: Path
    database: Database
    files: ArtifactFiles
    models: ModelService

    @property
    def identity(self) -> Identity:
        return load_party(self.folder)

    @property
    def names(self) -> list[str]:
        return sorted(str(p) for p in (self.folder / "artifacts").rglob("*") if p.is_file())


Make = Callable[[str], Node]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Database] = []

    def start(party: str) -> Node:
        folder = tmp_path / party
        init_party(folder, party)
        database = Database.open(f"sqlite:///{folder / 'atoll.db'}")
        opened.append(database)
        files = ArtifactFiles(folder / "artifacts")
        models = ModelService(database, files, lambda: load_party(folder), folder / "incoming")
        return Node(folder, database, files, models)

    yield start
    for database in opened:
        database.close()


@pytest.fixture
def bank(make: Make) -> Node:
    node = make("bank")
    keep(node, part_to_bytes(GUEST))
    return node


def make_part(
    node: Node,
    data: bytes,
    attempt: int,
    *,
    job: str = JOB,
    step: str = "train",
    name: str = "model",
    kind: str = KIND,
) -> None:
    """Write down what an attempt made, as a node does before the job's end."""
    stored = node.files.put(data)
    artifact = ArtifactRow(
        job=job,
        step=step,
        attempt=attempt,
        name=name,
        kind=kind,
        digest=stored.digest,
        bytes=stored.bytes,
        created=1.0,
    )
    Artifacts(node.database).save(artifact)


def keep(
    node: Node, data: bytes, graph: Job = GRAPH, fitted: Mapping[str, bytes] | None = None
) -> None:
    """Write a job down that made a part, and what its steps fitted."""
    plan = {
        "owners": {f"{step}.transform": ("bank", "shop") for step in graph.steps},
        "parameters": {"train": {"trees": 3}},
        "tables": {"bank": {"read": {"digest": "a" * 64}}, "shop": {"read": {"digest": "b" * 64}}},
    }
    row = JobRow(
        id=JOB,
        name="scoring",
        initiator="bank",
        role="guest",
        state="success",
        created=1.0,
        updated=1.0,
        job=graph.canonical(),
        plan=plan,
        plan_digest="c" * 64,
    )
    Jobs(node.database).create(row, ("bank", "shop"))
    for step, made in (fitted or {}).items():
        make_part(node, made, 0, step=step, name="transform", kind="scale.transform")
    make_part(node, data, 0)
    assert list(node.models.record(JOB)) == [MODEL]


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def take(node: Node, data: bytes) -> object:
    return asyncio.run(node.models.import_(pieces(data)))


def exported(node: Node, version: int = 1) -> bytes:
    return b"".join(node.models.export(MODEL, version))


def test_a_model_is_recorded_once_with_where_it_comes_from(bank: Node) -> None:
    bank.models.record(JOB)
    page = bank.models.list(stage=None, limit=10, after=None)
    assert [(row["id"], row["version"]) for row in page.rows] == [(MODEL, 1)]
    view = bank.models.get(MODEL, 1)
    assert view["stage"] == "candidate"
    assert view["lineage"]["data"]["shop"] == {"read": "b" * 64}
    assert view["lineage"]["graph"] == GRAPH.canonical()
    assert view["parameters_digest"]
    with pytest.raises(NotFoundError, match="ATL-REG-001"):
        bank.models.get(MODEL, 2)


def test_a_model_that_a_node_had_no_time_to_record_is_recorded_at_its_start(bank: Node) -> None:
    make_part(bank, part_to_bytes(GUEST.model_copy(update={"base_margin": 0.25})), 1)
    for _ in range(2):
        models = ModelService(
            bank.database, bank.files, lambda: bank.identity, bank.folder / "incoming"
        )
        page = models.list(stage=None, limit=10, after=None)
        assert sorted((row["id"], row["version"]) for row in page.rows) == [(MODEL, 1), (MODEL, 2)]
        assert models.get(MODEL, 2)["lineage"]["attempt"] == 1


def test_a_model_that_a_job_took_from_the_registry_is_not_registered_again(bank: Node) -> None:
    graph = bank.models.predict_job(MODEL, 1, TABLES)
    job = "20261122000001-0123abcd"
    row = replace(Jobs(bank.database).get(JOB), id=job, job=graph.canonical(), plan={"tables": {}})
    Jobs(bank.database).create(row, ("bank", "shop"))
    (brought,) = (name for name, step in graph.steps.items() if step.component == "model")
    make_part(bank, part_to_bytes(GUEST), 0, job=job, step=brought)
    assert list(bank.models.record(job)) == []
    started = ModelService(
        bank.database, bank.files, lambda: bank.identity, bank.folder / "incoming"
    )
    assert [row["id"] for row in started.list(stage=None, limit=10, after=None).rows] == [MODEL]


def test_a_card_shows_what_the_kind_of_a_model_has_to_show(bank: Node) -> None:
    found = Report.model_validate(bank.models.card(MODEL, 1))
    facts, importance = found.panels
    assert isinstance(facts, KeyValuePanel)
    assert facts.values["kind"] == KIND
    assert facts.values["columns"] == 1
    assert importance == importance_panel(GUEST)
    with pytest.raises(NotFoundError, match="ATL-REG-001"):
        bank.models.card(MODEL, 2)


def test_a_card_of_a_kind_that_is_not_known_or_a_part_too_large_is_refused(bank: Node) -> None:
    make_part(bank, b"b\0", 0, step="split", kind="own.model")
    bank.models.record(JOB)
    with pytest.raises(UserError, match="ATL-MOD-005"):
        bank.models.card(f"{JOB}.split", 1)
    row = Models(bank.database).find(MODEL, 1)
    assert row is not None
    with pytest.raises(UserError, match="ATL-MOD-001"):
        card(row, replace(BOOSTING_MODEL, most_bytes=3), bank.files)


def test_stages_services_and_the_way_back(bank: Node) -> None:
    keep_second(bank)
    with pytest.raises(ConflictError, match="ATL-REG-004"):
        bank.models.bind(MODEL, 1, "credit")
    for version in (1, 2):
        bank.models.stage(MODEL, version, "published")
        bank.models.bind(MODEL, version, "credit")
    with pytest.raises(ConflictError, match="ATL-REG-003"):
        bank.models.stage(MODEL, 2, "archived")
    (service,) = bank.models.services(limit=10, after=None).rows
    assert (service["version"], [one["version"] for one in service["history"]]) == (2, [1])
    assert bank.models.rollback("credit")["version"] == 1
    with pytest.raises(NotFoundError, match="ATL-REG-005"):
        bank.models.rollback("credit")
    bank.models.stage(MODEL, 2, "archived")
    with pytest.raises(ConflictError, match="ATL-REG-002"):
        bank.models.part(ModelRef(MODEL, 2))


def keep_second(node: Node) -> None:
    node.models.migrate(MODEL, 1, {"shop": "store"})


def test_an_archive_goes_to_another_node_of_the_party_and_back(bank: Node, make: Make) -> None:
    data = exported(bank)
    with pytest.raises(ConflictError, match="ATL-REG-007"):
        take(bank, data)
    shop = make("shop")
    with pytest.raises(UserError, match="ATL-PTY-012"):
        take(shop, data)
    trust(shop.folder, "bank", export_ca(bank.folder))
    take(shop, data)
    view = shop.models.get(MODEL, 1)
    assert view["lineage"]["imported"]["party"] == "bank"
    assert part_from_bytes(shop.files.read(view["digest"])) == GUEST
    assert exported(bank)[:512] == data[:512]


def test_a_changed_archive_leaves_nothing(bank: Node, make: Make) -> None:
    shop = make("shop")
    trust(shop.folder, "bank", export_ca(bank.folder))
    data = exported(bank)
    for at in [*range(0, 1600, 97), *range(1600, len(data), 211), len(data) - 1]:
        changed = bytearray(data)
        changed[at] ^= 0x41
        with pytest.raises(AtollError) as caught:
            take(shop, bytes(changed))
        assert not isinstance(caught.value, NotFoundError)
    for cut in (0, 511, 512, 2000, len(data) - 512, len(data) - 1):
        with pytest.raises(UserError):
            take(shop, data[:cut])
    with pytest.raises(UserError, match="ATL-REG-006"):
        take(shop, data + b"\0")
    assert shop.names == []
    assert list((shop.folder / "incoming").iterdir()) == []
    assert shop.models.list(stage=None, limit=10, after=None).rows == []


def test_an_archive_by_a_stranger_in_a_partners_name(
    bank: Node, make: Make, tmp_path: Path
) -> None:
    shop = make("shop")
    trust(shop.folder, "bank", export_ca(bank.folder))
    stranger = tmp_path / "stranger"
    init_party(stranger, "bank")
    models = ModelService(
        bank.database, bank.files, lambda: load_party(stranger), tmp_path / "incoming"
    )
    with pytest.raises(PeerError, match="ATL-PTY-007"):
        take(shop, b"".join(models.export(MODEL, 1)))


def test_tar_members_with_other_names_or_links_are_refused(bank: Node, tmp_path: Path) -> None:
    import io
    import tarfile

    for name, kind in (("../manifest.json", b"0"), ("manifest.json", b"2"), ("/etc/x", b"0")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, 0, "/etc/passwd"
            archive.addfile(entry)
        with pytest.raises(UserError, match="ATL-REG-006"):
            take(bank, out.getvalue())


def test_other_party_ids_come_into_part_and_graph(bank: Node) -> None:
    view = bank.models.migrate(MODEL, 1, {"shop": "store", "bank": "lender"})
    assert view["version"] == 2
    part = part_from_bytes(bank.files.read(view["digest"]))
    assert isinstance(part, GuestPart)
    assert (part.party, part.hosts) == ("lender", ("store",))
    graph = view["lineage"]["graph"]
    assert graph["parties"] == {"lender": "guest", "store": "host"}
    assert graph["steps"]["read"]["parameters"]["tables"] == {"lender": "loans", "store": "carts"}
    assert len(bytes.fromhex(view["lineage"]["migrated"]["signature"])) >= 64
    for wrong in ({"shop": "bank"}, {"nobody": "x"}, {"shop": "Not An Id"}):
        with pytest.raises(UserError, match="ATL-REG-008"):
            bank.models.migrate(MODEL, 1, wrong)


def test_a_renamed_graph_keeps_its_seed() -> None:
    seeded = GRAPH.model_copy(update={"seed": 7})
    assert renamed_job(seeded, {"shop": "store"}).seed == 7
    assert renamed_job(GRAPH, {"shop": "store"}).seed is None


def test_a_hosts_part_is_renamed_too(make: Make) -> None:
    shop = make("shop")
    part = HostPart(model="0" * 32, party="shop", guest="bank", columns=("x",), splits=())
    keep(shop, part_to_bytes(part))
    view = shop.models.migrate(MODEL, 1, {"shop": "store"})
    renamed = part_from_bytes(shop.files.read(view["digest"]))
    assert isinstance(renamed, HostPart)
    assert (renamed.party, renamed.guest) == ("store", "bank")


def test_a_predict_job_takes_only_what_prediction_needs(bank: Node) -> None:
    job = bank.models.predict_job(MODEL, 1, {"bank": "new_loans", "shop": "new_carts"})
    assert set(job.steps) == {"read", "align", "model", "prediction"}
    assert job.steps["read"].parameters["tables"] == {"bank": "new_loans", "shop": "new_carts"}
    assert job.steps["read"].parameters["label"] == "bad"
    assert job.steps["model"].parameters == {"model": MODEL, "version": 1, "kind": KIND}
    assert job.steps["model"].inputs == {"table": "align.table"}
    assert job.steps["prediction"].inputs == {"model": "model.model", "table": "model.table"}
    assert validate(job, schemas(CATALOGUE))[-1] == "prediction"
    seeded = GRAPH.model_copy(update={"seed": 7})
    again = predict_job(trained(seeded), TABLES)
    assert again.seed is None
    # A graph from before the names of what every job does were taken.
    former = GRAPH.model_dump(mode="json")
    former["steps"]["start"] = former["steps"].pop("align")
    former["steps"]["split"]["inputs"] = {"table": "start.table"}
    made = predict_job(trained(Job.model_validate(former)), TABLES)
    assert validate(made, schemas(CATALOGUE))[-1] == "prediction"
    # What others' components did to the columns is not known here, and would be lost.
    scaled = GRAPH.model_dump(mode="json")
    scaled["steps"]["scale"] = {"component": "scaler", "inputs": {"table": "align.table"}}
    scaled["steps"]["split"]["inputs"] = {"table": "scale.table"}
    with pytest.raises(UserError, match=r"ATL-REG-009.*step scale \(scaler\)"):
        predict_job(trained(Job.model_validate(scaled)), TABLES)
    for tables in ({"bank": "x"}, {"bank": "x", "shop": "y", "other": "z"}):
        with pytest.raises(UserError, match="ATL-REG-009"):
            bank.models.predict_job(MODEL, 1, tables)
    with pytest.raises(UserError, match="ATL-REG-009"):
        predict_job(trained(GRAPH, "own.model"), TABLES)


def test_a_predict_job_intersects_tables_that_nobody_called_aligned() -> None:
    stated = GRAPH.model_dump(mode="json")
    stated["steps"]["read"]["parameters"]["aligned"] = True
    stated["steps"]["split"]["inputs"] = {"table": "read.table"}
    del stated["steps"]["align"]
    made = predict_job(trained(Job.model_validate(stated)), TABLES)
    assert "aligned" not in made.steps["read"].parameters
    assert made.steps["read-common"].component == "psi"
    assert made.steps["model"].inputs == {"table": "read-common.table"}
    assert validate(made, schemas(CATALOGUE))[-1] == "prediction"
