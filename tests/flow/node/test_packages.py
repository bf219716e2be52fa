"""Approving packages of others at a node: a real database, real packages on the path."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.components import plugins
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.flow.access import Access, Actor, local_actor
from atoll.flow.node.packages import Packages
from atoll.flow.store import Database
from tests.components.packages import write

BY: Actor = local_actor()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(f"sqlite:///{tmp_path / 'atoll.db'}") as opened:
        yield opened


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "target"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for finder in [f for f in sys.meta_path if type(f).__name__ == "VerifiedFinder"]:
        sys.meta_path.remove(finder)
    for name in [name for name in sys.modules if name.startswith("own_package")]:
        del sys.modules[name]


def packages(database: Database, target: Path) -> Packages:
    return Packages(database, Access(database), path=[str(target)])


def shown(service: Packages) -> dict[str, object]:
    (found,) = [entry for entry in service.list() if entry["name"] == "own"]
    return dict(found)


def code(service: Packages) -> str:
    view = service.get("own")
    assert view["approved"] is False
    return str(view["description"]).partition(":")[0]


def test_a_package_is_listed_approved_used_and_revoked(database: Database, target: Path) -> None:
    write(target)
    service = packages(database, target)
    before = shown(service)
    assert before["approved"] is False
    assert before["distribution"] == "own-package 1.0"
    assert code(service) == "ATL-CMP-010"
    digest = str(before["digest"])
    made = service.approve("own", digest, BY)
    assert (made["approved"], made["digest"]) == (True, digest)
    assert service.get("own")["parameters"]["type"] == "object"
    assert service.approved() == {"own": digest}
    assert service.catalogue().keys() == {*CATALOGUE, "own"}
    again = packages(database, target)
    assert again.catalogue().keys() == {*CATALOGUE, "own"}
    assert service.revoke("own", digest, BY)["approved"] is False
    assert code(service) == "ATL-CMP-010"
    assert service.approved() == {}
    assert packages(database, target).approved() == {}
    service.approve("own", digest, BY)
    assert service.approved() == {"own": digest}


def test_another_digest_is_not_approved(database: Database, target: Path) -> None:
    write(target)
    service = packages(database, target)
    with pytest.raises(AtollError) as caught:
        service.approve("own", "0" * 64, BY)
    assert caught.value.code == "ATL-CMP-012"
    assert str(shown(service)["digest"]) in str(caught.value.hint)
    with pytest.raises(AtollError) as absent:
        service.approve("nothing", "0" * 64, BY)
    assert absent.value.code == "ATL-CMP-011"
    with pytest.raises(AtollError) as ours:
        service.approve("psi", "0" * 64, BY)
    assert ours.value.code == "ATL-CMP-011"
    assert service.approved() == {}


def test_a_changed_package_is_refused_until_it_is_approved_anew(
    database: Database, target: Path
) -> None:
    write(target, files={"own_package/data.json": "{}"})
    service = packages(database, target)
    service.approve("own", str(shown(service)["digest"]), BY)
    (target / "own_package" / "data.json").write_text("[]")
    later = packages(database, target)
    assert code(later) == "ATL-CMP-012"
    assert str(shown(later)["description"]).startswith("ATL-CMP-012")
    # In this process the first version is loaded: the second one needs a new start.
    later.approve("own", str(shown(later)["digest"]), BY)
    assert code(later) == "ATL-CMP-015"


def test_what_cannot_be_pinned_is_listed_with_its_reason(database: Database, target: Path) -> None:
    write(target, record=False)
    service = packages(database, target)
    assert shown(service)["digest"] is None
    assert str(shown(service)["description"]).startswith("ATL-CMP-013")
    with pytest.raises(AtollError) as caught:
        service.approve("own", "0" * 64, BY)
    assert caught.value.code == "ATL-CMP-013"


def test_approvals_are_in_the_audit_log(database: Database, target: Path) -> None:
    write(target)
    service = packages(database, target)
    digest = str(shown(service)["digest"])
    service.approve("own", digest, BY)
    service.revoke("own", digest, BY)
    with pytest.raises(AtollError):
        service.revoke("own", digest, BY)
    lines = [(e["action"], e["target"]) for e in Access(database).audit.page()]
    assert lines[-2:] == [("component.approve", "own"), ("component.revoke", "own")]


def test_unknown_names_get_a_near_match(database: Database, target: Path) -> None:
    with pytest.raises(AtollError) as caught:
        packages(database, target).get("statistic")
    assert (caught.value.code, caught.value.hint) == ("ATL-NOD-030", "did you mean statistics?")


def test_an_approval_of_what_is_gone_or_changed_can_be_revoked(
    database: Database, target: Path
) -> None:
    write(target, files={"own_package/data.json": "{}"})
    service = packages(database, target)
    digest = str(shown(service)["digest"])
    service.approve("own", digest, BY)
    (target / "own_package" / "data.json").write_text("[]")
    changed = plugins.offer("own", [str(target)]).digest
    service.revoke("own", str(changed), BY)
    assert service.approved() == {}
    (target / "own_package" / "data.json").write_text("{}")
    service.approve("own", digest, BY)
    shutil.rmtree(target)
    later = packages(database, target)
    assert (code(later), later.get("own")["digest"]) == ("ATL-CMP-011", digest)
    later.revoke("own", digest, BY)
    with pytest.raises(AtollError):
        later.get("own")
