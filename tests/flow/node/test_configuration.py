"""Settings: precedence, near matches, bounds, and what is left of removed ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.node.configuration import keys, load, reference, variable
from atoll.flow.node.doctor import examine
from atoll.flow.node.folder import NodeFolder


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "atoll.toml").write_text("[http]\nport = 1\n[jobs]\nas_host = 3\n")
    environment = {"ATOLL_HTTP__PORT": "2", "ATOLL_JOBS__RETRIES": "4"}
    found = load(tmp_path, flags={"http.port": 3}, environment=environment)
    assert found.settings.http.port == 3
    assert found.settings.jobs.as_host == 3
    assert found.settings.jobs.retries == 4
    assert found.explain("http.port").origin == "flag (the command line)"
    assert found.explain("jobs.retries").origin == "environment (ATOLL_JOBS__RETRIES)"
    assert found.explain("jobs.as_host").origin == "file (atoll.toml)"
    assert found.explain("http.host").origin == "default"


def test_an_unknown_key_names_its_nearest(tmp_path: Path) -> None:
    (tmp_path / "atoll.toml").write_text("[http]\nprot = 1\n")
    with refused("ATL-SET-010") as caught:
        load(tmp_path, environment={})
    assert caught.value.hint == "did you mean http.port?"
    with refused("ATL-SET-010"):
        load(environment={"ATOLL_HTTP__PROT": "1"})


def test_other_variables_of_the_prefix_are_left_alone() -> None:
    environment = {"ATOLL_NATIVE__SIMD": "avx2", "ATOLL_DATA": "/x", "ATOLL_SILENCE_SECONDS": "3"}
    assert load(environment=environment).origins == {}


@pytest.mark.parametrize("text", ["port = 70000", "port = 'many'", "plain = 3", "= 1"])
def test_a_value_out_of_bounds_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "atoll.toml").write_text(f"[http]\n{text}\n")
    with refused("ATL-SET-011") as caught:
        load(tmp_path, environment={})
    assert "atoll.toml" in str(caught.value.place)


REMOVED = {
    "node.mode": ("standalone", "cluster"),
    "discovery.kind": ("static", "zookeeper"),
    "discovery.hosts": ("", "zoo:2181"),
    "queue.kind": ("embedded", "redis"),
    "queue.redis_url": ("", "redis://queue:6379"),
    "queue.redis_database": (0, 3),
}


def test_a_file_that_an_earlier_version_made_still_serves(tmp_path: Path) -> None:
    (tmp_path / "atoll.toml").write_text(
        '[node]\n# mode = "standalone"\n\n[http]\nport = 1\n\n[discovery]\n'
        '# kind = "static"\n# hosts = ""\n\n[queue]\n# kind = "embedded"\n'
    )
    found = load(tmp_path, environment={})
    assert found.origins.keys() == {"http.port"}
    assert found.outdated == ()


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_setting_is_pointed_out_or_refused(tmp_path: Path, key: str) -> None:
    assert key not in keys()
    section, _, name = key.partition(".")
    usual, other = REMOVED[key]
    file = tmp_path / "atoll.toml"
    file.write_text(f"[{section}]\n{name} = {json.dumps(usual)}\n")
    assert load(tmp_path, environment={}).outdated == (f"{key}: file (atoll.toml)",)
    settings = next(finding for finding in examine(NodeFolder(tmp_path)) if key in finding.message)
    assert (settings.name, settings.state) == ("settings", "warning")
    given = load(environment={variable(key): str(usual)})
    assert given.outdated == (f"{key}: environment ({variable(key)})",)
    assert (given.settings, given.origins) == (load(environment={}).settings, {})
    file.write_text(f"[{section}]\n{name} = {json.dumps(other)}\n")
    for refuse in (
        lambda: load(tmp_path, environment={}),
        lambda: load(environment={variable(key): str(other)}),
        lambda: load(flags={key: str(other)}, environment={}),
        lambda: load(environment={}).explain(key),
    ):
        with refused("ATL-SET-010") as caught:
            refuse()
        assert "was removed" in caught.value.message
        assert caught.value.hint == "take it out"


def test_a_password_comes_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "atoll.toml").write_text(
        "[database]\nurl = 'postgresql+pg8000://atoll:${DB_PASSWORD}@db/atoll'\n"
    )
    found = load(tmp_path, environment={"DB_PASSWORD": "hidden"})
    assert found.settings.database.url == "postgresql+pg8000://atoll:hidden@db/atoll"
    assert "hidden" not in str(found.explain("database.url"))
    with refused("ATL-SET-011"):
        load(tmp_path, environment={})


def test_every_key_has_a_meaning_and_its_default_passes() -> None:
    found = load(environment={})
    for entry in found.all():
        assert entry.description
        assert entry.environment == variable(entry.key)
    assert len(keys()) == len(set(keys()))


def test_the_reference_page_lists_every_setting() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
    assert reference() in page.read_text(encoding="utf-8")
