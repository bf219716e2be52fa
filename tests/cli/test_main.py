from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atoll.cli.commands import COMMANDS
from atoll.cli.console import amount, table
from atoll.cli.main import run
from atoll.flow.api.settings import PREFIX
from atoll.jobs.definition import Job


def atoll(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from atoll.cli.main import run; code = run(['--help']); "
        "heavy = {'click', 'numpy', 'pydantic', 'rich', 'pyarrow'} & set(sys.modules); "
        "sys.exit(code or bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], ["-h"], ["help"]])
def test_other_ways_to_ask_for_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = atoll(capsys, *arguments)
    assert code == 0
    assert out.startswith("usage: atoll")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_loads_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = atoll(capsys, name, "--help")
    assert code == 0
    assert f"atoll {name}" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = atoll(capsys, "--version")
    assert code == 0
    assert re.fullmatch(r"atoll \d+\.\d+\.\d+\nHTTP API 1, job files 1\n", out)
    assert Job.model_fields["version"].default == 1
    assert PREFIX == "/api/v1"


def test_an_unknown_command_gets_a_near_match(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = atoll(capsys, "pary")
    assert (code, out) == (2, "")
    assert "did you mean party?" in err


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = atoll(capsys, "demo", "--tres", "3")
    assert (code, out) == (2, "")
    assert "--trees" in err


def test_a_party_is_made_trusted_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank, shop = str(tmp_path / "bank"), str(tmp_path / "shop")
    code, out, _ = atoll(capsys, "init", "bank", "--folder", bank, "--json")
    assert code == 0
    fingerprint = json.loads(out)["fingerprint"] + "\n"
    assert re.fullmatch(r"([0-9A-F]{4} ){15}[0-9A-F]{4}\n", fingerprint)
    atoll(capsys, "init", "shop", "--folder", shop)
    _, authority, _ = atoll(capsys, "party", "export", "--folder", bank)
    file = tmp_path / "bank.pem"
    file.write_text(authority)
    arguments = ["bank", str(file), "--folder", shop, "--address", "localhost:9000"]
    code, pinned, _ = atoll(capsys, "party", "trust", *arguments)
    assert (code, pinned) == (0, fingerprint)
    code, out, _ = atoll(capsys, "party", "show", "--folder", shop, "--json")
    shown: dict[str, Any] = json.loads(out)
    assert shown["party"] == "shop"
    assert shown["peers"]["bank"]["fingerprint"] == fingerprint.strip()
    code, out, _ = atoll(capsys, "party", "show", "--folder", shop)
    assert "trusts bank at localhost:9000" in out
    code, out, err = atoll(capsys, "init", "bank", "--folder", bank)
    assert code == 2
    assert "error ATL-PTY-001" in err
    assert "  hint: " in err


def test_a_missing_file_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = atoll(
        capsys, "party", "trust", "bank", str(tmp_path / "none"), "--folder", str(tmp_path)
    )
    assert (code, out) == (3, "")
    assert "ATL-CLI-005" in err


JOB = {
    "name": "loans",
    "parties": {"bank": "guest", "shop": "host"},
    "steps": {
        "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
        "reader": {
            "component": "reader",
            "parameters": {"tables": {"bank": "people", "shop": "people"}},
        },
    },
}


def test_a_job_file_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(JOB))
    code, out, _ = atoll(capsys, "job", "check", str(file), "--json")
    assert code == 0
    assert json.loads(out)["steps"] == ["reader", "psi"]
    broken = json.loads(json.dumps(JOB))
    broken["steps"]["psi"]["component"] = "psy"
    file.write_text(json.dumps(broken))
    code, out, err = atoll(capsys, "job", "check", str(file))
    assert (code, out) == (2, "")
    assert "place: steps.psi.component" in err
    assert "hint: did you mean psi?" in err
    unaligned = json.loads(json.dumps(JOB))
    unaligned["steps"]["psi"] = {"component": "split", "inputs": {"table": "reader.table"}}
    file.write_text(json.dumps(unaligned))
    code, out, err = atoll(capsys, "job", "check", str(file))
    assert (code, out) == (2, "")
    assert "ATL-PLN-008" in err


def test_a_command_that_is_gone_says_what_to_do_instead(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = atoll(capsys, "job", "run", "--folder", "acme", "--job", "job.toml")
    assert (code, out) == (2, "")
    assert "atoll job submit" in err
    assert "atoll job approve" in err


def test_colour_is_for_terminals_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, err = atoll(capsys, "job", "check", "none.json")
    assert "\033" not in err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    _, _, err = atoll(capsys, "job", "check", "none.json")
    assert "\033" not in err
    monkeypatch.delenv("NO_COLOR")
    _, _, err = atoll(capsys, "job", "check", "none.json")
    assert err.startswith("\033[31merror")


def test_amounts_and_tables_for_people() -> None:
    assert [amount(n) for n in (0, 999, 1000, 1_500_000, 3e9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "3.0 GB",
    ]
    assert table([("a", "b"), ("long", "1")]) == "a     b\nlong  1"


def test_data_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.csv"
    good.write_text("id,x,y\na,1,0\nb,2.5,1\n")
    code, out, _ = atoll(capsys, "data", "check", str(good), "--label", "y", "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 2
    bad = tmp_path / "bad.csv"
    bad.write_text("id,x\na,1\na,2\nb\n")
    code, out, _ = atoll(capsys, "data", "check", str(bad))
    assert code == 9
    assert "ATL-TAB-003" in out
    assert "ATL-TAB-009" in out
    code, out, err = atoll(capsys, "data", "check", str(tmp_path / "none.csv"))
    assert (code, out) != (0, "")
    assert "ATL-TAB-001" in err


def test_reports_are_drawn_on_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page = tmp_path / "report.json", tmp_path / "page.html"
    panel = {"kind": "text", "title": "Note", "text": "five <b>rows</b>"}
    file.write_text(json.dumps({"version": 1, "title": "Training", "panels": [panel]}))
    code, out, _ = atoll(capsys, "report", str(file), str(file), "--output", str(page))
    assert (code, out) == (0, f"{page}\n")
    assert "five &lt;b&gt;rows" in page.read_text()
    file.write_text("{}")
    code, _, err = atoll(capsys, "report", str(file), "--output", str(page))
    assert code == 2
    assert "ATL-CLI-007" in err
    assert atoll(capsys, "report", str(tmp_path / "none.json"))[0] == 3
