"""A node of this machine from its making to its end, by commands in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from atoll.cli import outputs


class Terminal:
    """Runs commands on a node's folder and holds their JSON against its schema."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ATOLL_")}
        self.env["HOME"] = str(folder.parent)

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "atoll", *arguments, "--folder", str(self.folder)]
        return subprocess.run(
            command, env=self.env, input=text, capture_output=True, text=True, timeout=120
        )

    def check(self, name: str, *arguments: str, code: int = 0) -> Any:
        done = self.run(*name.split(), *arguments, "--json")
        assert done.returncode == code, done.stderr
        value = json.loads(done.stdout)
        known = name if name in outputs.COMMANDS else "error"
        jsonschema_rs.validate(outputs.schema("error" if code > 1 else known), value)
        return value


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(tmp_path / "node")
    yield found
    found.run("down")


def test_a_node_is_made_used_backed_up_and_restored(terminal: Terminal, tmp_path: Path) -> None:
    made = terminal.check("init", "bank", "--set", "http.port=0", "--set", "workers.warm=0")
    assert made["password"]
    assert terminal.check("job list", code=6)["error"]["code"] == "ATL-NOD-003"
    terminal.check("up")
    terminal.check("doctor")
    file = tmp_path / "people.csv"
    file.write_text("id,x0,y\na,1,0\nb,2,1\n")
    register = ["people", str(file), "--label", "y"]
    assert terminal.check("data register", *register)["rows"] == 2
    assert terminal.check("data preview", "people")["rows"][0][0] == "a"
    assert terminal.check("whoami")["roles"]
    assert terminal.check("party list")["items"] == []
    assert terminal.check("audit verify")["whole"]
    backup = str(tmp_path / "backup.tar")
    terminal.check("admin backup", backup)
    for name in ("migrate", "prune"):
        refused = terminal.check(f"admin {name}", *(["--yes"] if name == "prune" else []), code=5)
        assert refused["error"]["code"] == "ATL-CLI-024"
    terminal.check("restart")
    terminal.check("down")
    assert not terminal.check("admin migrate")["changed"]
    terminal.check("admin prune", "--yes")
    (terminal.folder / "atoll.db").unlink()
    for extra in terminal.folder.glob("atoll.db-*"):
        extra.unlink()
    back = terminal.check("admin restore", backup)
    assert back["rows"] > 0
    assert [one.partition(":")[0] for one in back["users"]] == ["admin"]
    terminal.check("up")
    lines = terminal.check("audit show")["items"]
    assert "node.restore" in {line["action"] for line in lines}
    assert terminal.check("audit verify")["whole"]
    fresh = tmp_path / "fresh"
    fresh.write_text("another battery staple horse")
    terminal.check("user password", "admin", "--password-file", str(fresh))
    assert terminal.check("data list")["items"][0]["name"] == "people"
