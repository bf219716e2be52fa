"""Settings: precedence, near matches, bounds, and what needs an extra."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.node.configuration import keys, load, reference, variable


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


@pytest.mark.parametrize(
    ("key", "value"),
    [("discovery.kind", "zookeeper"), ("queue.kind", "redis"), ("node.mode", "cluster")],
)
def test_what_needs_an_extra_says_so(key: str, value: str) -> None:
    with refused("ATL-SET-012") as caught:
        load(flags={key: value}, environment={})
    assert "single node" in str(caught.value.hint)


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
