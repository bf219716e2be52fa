"""Components of others: what is installed, what is approved, and what is loaded of it."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.components import plugins
from atoll.components.catalogue import CATALOGUE
from atoll.components.plugins import PinnedPackage
from atoll.core.errors import UserError
from atoll.flow.planning import component_facts, schemas
from atoll.jobs.definition import parse_job
from atoll.jobs.errors import DeniedError
from atoll.jobs.validation import validate
from tests.components import packages
from tests.components.packages import write


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path whose modules are forgotten afterwards."""
    folder = tmp_path / "target"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for finder in [f for f in sys.meta_path if type(f).__name__ == "VerifiedFinder"]:
        sys.meta_path.remove(finder)
    for name in [name for name in sys.modules if name.startswith(("own_package", "other_"))]:
        del sys.modules[name]


def digest(target: Path, name: str = "own") -> str:
    (offer,) = [o for o in plugins.installed([str(target)]) if o.name == name]
    assert offer.digest is not None, offer.fault
    return offer.digest


def outcome(target: Path, approved: plugins.Approvals) -> str:
    """Return the code with which ``own`` is refused, or that it was loaded."""
    found = plugins.load(approved, path=[str(target)])
    return "loaded" if "own" in found else found.refused["own"].code


def test_nothing_is_imported_before_it_is_approved(target: Path) -> None:
    write(target, files={"own_package/__init__.py": "raise SystemExit('imported')"})
    assert [offer.name for offer in plugins.installed([str(target)])] == ["own"]
    assert outcome(target, {}) == "ATL-CMP-010"
    assert "own_package" not in sys.modules


def test_the_approved_package_is_loaded_and_pinned(target: Path) -> None:
    write(target)
    pinned = digest(target)
    whole = plugins.catalogue({"own": pinned}, path=[str(target)])
    assert whole.keys() == {*CATALOGUE, "own"}
    origin = whole["own"].origin
    assert origin is not None
    assert (origin.distribution, origin.version, origin.digest) == ("own-package", "1.0", pinned)
    assert outcome(target, {"own": PinnedPackage("Own_Package", "1.0", pinned)}) == "loaded"


@pytest.mark.parametrize(
    "approved",
    [
        "0" * 64,
        PinnedPackage("own-package", "1.0", "0" * 64),
        PinnedPackage("own-package", "1.1", ""),
        PinnedPackage("other-package", "1.0", ""),
    ],
)
def test_another_digest_version_or_package_is_refused(
    approved: str | PinnedPackage, target: Path
) -> None:
    write(target)
    if isinstance(approved, PinnedPackage) and not approved.digest:
        approved = approved._replace(digest=digest(target))
    assert outcome(target, {"own": approved}) == "ATL-CMP-012"
    assert "own_package" not in sys.modules


def test_a_changed_file_is_another_package(target: Path) -> None:
    write(target, files={"own_package/data.json": "{}"})
    before = digest(target)
    (target / "own_package" / "data.json").write_text("[]")
    assert digest(target) != before
    assert outcome(target, {"own": before}) == "ATL-CMP-012"


def test_the_digest_ignores_order_byte_code_and_installers_notes(
    target: Path, tmp_path: Path
) -> None:
    write(target, files={"own_package/b.py": "", "own_package/a.py": ""})
    before = digest(target)
    (record,) = target.glob("*.dist-info/RECORD")
    turned = record.read_text().splitlines()[::-1]
    turned += [
        "own_package/__pycache__/a.pyc,,",
        "../../bin/own,,",
        "own_package-1.0.dist-info/X,,",
    ]
    record.write_text("\n".join(turned))
    py_compile.compile(str(target / "own_package" / "a.py"))
    assert digest(target) == before
    again = write(tmp_path / "elsewhere", files={"own_package/b.py": "", "own_package/a.py": ""})
    assert digest(again) == before


def test_an_approved_package_that_is_gone_is_named(target: Path) -> None:
    assert outcome(target, {"own": "0" * 64}) == "ATL-CMP-011"


def break_record(target: Path) -> None:
    (target / "own_package" / "__init__.py").unlink()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"record": False}, "no list of files"),
        ({"notes": {"direct_url.json": packages.editable()}}, "for editing"),
        ({"notes": {"direct_url.json": "{"}}, "damaged"),
        ({"listed": {"own_package/gone.py": ","}}, "not there"),
        ({"listed": {"/etc/passwd": ","}}, "absolute"),
        ({"listed": {"own_package/../../x.py": ","}}, "winding"),
        ({"files": {"own.pth": "import os"}}, "when Python starts"),
        ({"files": {"atoll/components/evil.py": ""}}, "would replace atoll"),
        ({"files": {"json.py": ""}}, "would replace json"),
    ],
)
def test_what_has_no_fixed_content_cannot_be_pinned(
    changes: dict[str, object], reason: str, target: Path
) -> None:
    write(target, **changes)  # type: ignore[arg-type]
    (offer,) = plugins.installed([str(target)])
    assert offer.digest is None
    assert offer.fault is not None
    assert reason in offer.fault.message
    assert outcome(target, {"own": "0" * 64}) == "ATL-CMP-013"
    with pytest.raises(UserError) as caught:
        plugins.offer("own", [str(target)])
    assert caught.value.code == "ATL-CMP-013"


def test_a_name_of_ours_or_of_two_packages_is_taken(target: Path) -> None:
    write(target, name="psi", module="own_package")
    found = plugins.catalogue({"psi": digest(target, "psi")}, path=[str(target)])
    assert found["psi"] is CATALOGUE["psi"]
    assert found.refused["psi"].code == "ATL-CMP-014"
    write(target, distribution="other-one", module="other_one")
    write(target, distribution="other-two", module="other_two")
    assert outcome(target, {"own": "0" * 64}) == "ATL-CMP-014"


@pytest.mark.parametrize(
    "text",
    [
        "raise ValueError('a secret')",
        "COMPONENT = 3",
        packages.COMPONENT.format(name="another"),
        packages.COMPONENT.format(name="own").replace("()\n)", "(), {}, {'x': 'number'})"),
        "import own_package.unlisted",
        "import no_such_module_anywhere",
        "x = (",
    ],
)
def test_what_cannot_be_loaded_is_refused_without_its_words(text: str, target: Path) -> None:
    write(target, files={"own_package/__init__.py": text})
    (target / "own_package" / "unlisted.py").write_text("")
    found = plugins.load({"own": digest(target)}, path=[str(target)])
    assert found.refused["own"].code == "ATL-CMP-015"
    assert "secret" not in found.refused["own"].message


def test_an_entry_point_into_another_package_is_refused(target: Path) -> None:
    notes = {"entry_points.txt": "[atoll.components]\nown = tests.flow.toy:SWAP\n"}
    write(target, notes=notes)
    assert outcome(target, {"own": digest(target)}) == "ATL-CMP-015"


def test_stale_byte_code_is_never_run(target: Path) -> None:
    write(target, files={"own_package/part.py": "VALUE = 1\n"})
    source = target / "own_package" / "part.py"
    when = source.stat()
    source.write_text("VALUE = 2\n")
    os.utime(source, ns=(when.st_atime_ns, when.st_mtime_ns))
    py_compile.compile(str(source))
    source.write_text("VALUE = 1\n")
    os.utime(source, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert outcome(target, {"own": digest(target)}) == "loaded"
    assert importlib.import_module("own_package.part").VALUE == 1


def test_a_file_changed_after_the_check_is_not_imported(target: Path) -> None:
    write(target, files={"own_package/late.py": "VALUE = 1\n"})
    assert outcome(target, {"own": digest(target)}) == "loaded"
    (target / "own_package" / "late.py").write_text("VALUE = 2\n")
    with pytest.raises(ImportError, match="not what was approved"):
        importlib.import_module("own_package.late")


def test_a_module_that_was_imported_before_is_not_trusted(target: Path) -> None:
    write(target)
    importlib.import_module("own_package")
    assert outcome(target, {"own": digest(target)}) == "ATL-CMP-015"


def test_a_job_is_refused_with_the_reason_and_the_code_digest_is_the_package_s(
    target: Path,
) -> None:
    write(target)
    pinned = digest(target)
    made = parse_job(
        {
            "name": "x",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {"a": {"component": "own"}},
        }
    )
    for approved, code in (({}, "ATL-CMP-010"), ({"own": "0" * 64}, "ATL-CMP-012")):
        known = plugins.catalogue(approved, path=[str(target)])
        with pytest.raises(DeniedError) as caught:
            validate(made, schemas(known))
        assert caught.value.code == code
        assert caught.value.place == "steps.a.component"
    own = plugins.catalogue({"own": pinned}, path=[str(target)])["own"]
    assert own.origin is not None
    changed = replace(own, origin=replace(own.origin, digest="0" * 64))
    first, second = (component_facts(made, {"own": entry})["own"] for entry in (own, changed))
    assert first.code != second.code
    assert component_facts(made, {"own": own})["own"] == first
