"""The example package: built, installed, approved at both parties, and run in a job."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.components import plugins
from atoll.components.api import KnownComponents
from atoll.components.scaffold import write
from atoll.core.errors import AtollError, UserError
from atoll.flow import planning
from atoll.jobs.definition import Job, parse_job
from tests import whole
from tests.components import packages
from tests.components.cases import table
from tests.held import HeldTables

NAME = "alignment"
TABLES = {
    "bank": HeldTables({"rows": table("b", label=True)}),
    "shop": HeldTables({"rows": table("s", start=10)}),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.build(packages.EXAMPLE, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def places(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The installed example, on Python's path."""
    target = packages.install(wheel, tmp_path / "target")
    with packages.on_path(monkeypatch, target) as found:
        yield found


def job() -> Job:
    return parse_job(
        {
            "name": "checked",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {"bank": "rows", "shop": "rows"}},
                },
                "psi": {
                    "component": "psi",
                    "inputs": {"table": "reader.table"},
                    "parameters": {"protocol": "ideal"},
                },
                "check": {"component": NAME, "inputs": {"table": "psi.table"}},
                "statistics": {"component": "statistics", "inputs": {"table": "check.table"}},
            },
        }
    )


def test_the_digest_is_the_same_however_it_was_installed(wheel: Path, tmp_path: Path) -> None:
    one = packages.install(wheel, tmp_path / "one")
    other = packages.unpack(wheel, tmp_path / "other")
    found = [plugins.offer(NAME, [str(target)]) for target in (one, other)]
    assert found[0].digest == found[1].digest
    assert found[0].version == "0.1.0"
    assert found[0].distribution == "atoll-alignment"


def test_the_same_source_builds_to_the_same_digest(wheel: Path, tmp_path: Path) -> None:
    again = packages.build(packages.EXAMPLE, tmp_path / "again")
    one = packages.unpack(wheel, tmp_path / "one")
    other = packages.unpack(again, tmp_path / "other")
    found = {plugins.offer(NAME, [str(target)]).digest for target in (one, other)}
    assert len(found) == 1


def test_it_runs_at_both_parties_and_tells_what_it_declares(places: list[str]) -> None:
    digest = plugins.offer(NAME, places).digest or ""
    known = plugins.catalogue({NAME: digest}, path=places)
    found = whole.play(job(), TABLES, known).check()
    plan = found.results["bank"].plan
    for party in ("bank", "shop"):
        results = found.results[party].results
        assert results["check"].outputs["outcome"] == {"version": 1, "rows": 50, "aligned": True}
        assert results["statistics"].outputs["statistics"]["rows"] == 50
    ends = ("sender", "receiver")
    declared = {(*(r[at] for at in ends), r["message"], r["field"]) for r in plan.reveals["check"]}
    sent = {
        (
            *(plan.job.first_roles[line[at]].value for at in ends),
            line["message"],
            line["field"],
        )
        for party in ("bank", "shop")
        for line in found.results[party].reveals
        if line["step"] == "check"
    }
    assert sent == declared


@pytest.mark.parametrize(
    ("approved", "code"), [({}, "ATL-CMP-010"), ({NAME: "0" * 64}, "ATL-CMP-012")]
)
def test_without_approval_or_with_another_digest_the_job_is_refused(
    approved: dict[str, str], code: str, places: list[str]
) -> None:
    other = plugins.catalogue(approved, path=places)
    with pytest.raises(AtollError) as caught:
        planning.check(job(), other)
    assert caught.value.code == code
    assert caught.value.place == "steps.check.component"


def test_parties_with_different_packages_see_that_they_differ(places: list[str]) -> None:
    digest = plugins.offer(NAME, places).digest or ""
    known = plugins.catalogue({NAME: digest}, path=places)
    mine = known[NAME]
    assert mine.origin is not None
    changed = replace(mine, origin=replace(mine.origin, digest="0" * 64))
    other = KnownComponents({**known, NAME: changed}, known.refused)
    reported = [planning.component_facts(job(), catalogue)[NAME] for catalogue in (known, other)]
    assert reported[0] != reported[1]


def own_tests(folder: Path, *path: Path) -> None:
    """Run a package's own tests in a process of its own."""
    environment = {**os.environ, "ATOLL_INSECURE_SIMULATION": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(str(entry) for entry in path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["--rootdir", str(folder), str(folder / "tests")]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_s_own_tests_pass_as_installed(wheel: Path, tmp_path: Path) -> None:
    target = packages.install(wheel, tmp_path / "target")
    (tmp_path / "own").mkdir()
    tests = packages.EXAMPLE / "tests"
    (tmp_path / "own" / "tests").symlink_to(tests)
    own_tests(tmp_path / "own", target)


def test_a_new_package_passes_its_own_tests_and_can_be_installed(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    made = write("row-check", folder)
    assert folder / "src" / "atoll_row_check" / "__init__.py" in made
    assert not [path for path in made if "{{" in path.read_text()]
    own_tests(folder, folder / "src")
    target = packages.unpack(packages.build(folder, tmp_path / "built"), tmp_path / "target")
    assert plugins.offer("row-check", [str(target)]).digest


@pytest.mark.parametrize("name", ["Rows", "", "a" * 60, "../x", "psi", "a b"])
def test_bad_and_taken_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        write(name, tmp_path / "made")
    assert caught.value.code == "ATL-CMP-016"
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write("own", tmp_path / "made")
    with pytest.raises(UserError) as caught:
        write("own", tmp_path / "made")
    assert caught.value.code == "ATL-CMP-016"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError):
        write("own", tmp_path / "file")
