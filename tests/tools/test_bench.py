"""The bench harness fills in what every line has, and says what was not run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import harness
from bench.peers import environment


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an area in place that measures nothing much."""

    def run(options: harness.Options) -> Iterator[dict[str, Any]]:
        yield {"name": "psi.sample", "params": {"rows": options.rows or 5}, "seconds": 0.25}

    monkeypatch.setattr(command, "load", lambda area: run)


def lines(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[str], str]:
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    assert command.main() == 0
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err


@pytest.mark.usefixtures("sample")
def test_json_lines_have_every_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "lanes", lambda: "avx2")
    harness.machine.cache_clear()
    out, err = lines(["psi", "--json", "--rows", "7"], monkeypatch, capsys)
    harness.machine.cache_clear()
    first, last = map(json.loads, out)
    assert list(first) == [*harness.FIELDS, "commit", "machine"]
    assert first["params"] == {"rows": 7}
    assert first["bytes"] is None
    assert list(first["machine"]) == ["cores", "lanes", "processor", "family", "model"]
    assert first["machine"]["cores"] >= 1
    assert "AVX-512" in last["not_run"]
    assert last["params"] == {"lanes": "avx512"}
    assert "not run" in err


@pytest.mark.usefixtures("sample")
def test_the_table_shows_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = lines(["psi"], monkeypatch, capsys)
    assert out[0].startswith("psi.sample")
    assert "seconds 0.25" in out[0]
    assert "bytes" not in out[0]


def test_a_processor_is_told_by_its_numbers() -> None:
    x86 = "processor\t: {0}\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\n"
    text = x86.format(0) + x86.replace("26", "25").format(1)
    assert harness.processor(text) == {"processor": "AMD EPYC", "family": 26, "model": 2}
    other = harness.processor("processor\t: 0\nBogoMIPS\t: 50.00\n\n")
    assert (other["family"], other["model"]) == (None, None)
    assert other["processor"]


def test_an_unknown_area_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "gardening"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "gardening" in capsys.readouterr().err


def test_an_unknown_peer_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: harness.Options) -> Iterator[dict[str, Any]]:
        environment.require(options.peer or "")
        yield {}

    monkeypatch.setattr(command, "load", lambda area: run)
    monkeypatch.setattr("sys.argv", ["bench", "horizontal", "--peer", "another"])
    assert command.main() == 1
    assert "'another': choose one of flwr, pfl" in capsys.readouterr().err


@pytest.mark.parametrize("peer", environment.PACKAGES)
def test_each_peer_is_pinned_and_has_its_script(peer: str) -> None:
    assert all("==" in package for package in environment.PACKAGES[peer])
    script = Path(environment.__file__).with_name(f"{peer}_rounds.py")
    compile(script.read_text("utf-8"), str(script), "exec")
