"""The node's own log: as text, or as JSON lines, from the first line to the last."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from atoll.cli import node_process
from atoll.flow.node import creating
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.log_lines import JsonLines

QUIET = {"http.port": "0", "gateway.listen": "", "workers.warm": "0"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("node") / "bank"
    creating.create(made, "bank", settings={"queue.kind": "embedded"})
    assert "embedded" not in (made / "atoll.toml").read_text()
    return made


def printed(folder: Path, **settings: str) -> list[str]:
    """Start a node that ends at once, and return the lines of its log."""
    wanted = {**QUIET, "queue.kind": "embedded", **settings}
    flags = [f"--set={key}={value}" for key, value in wanted.items()]
    command = [*node_process.command(NodeFolder(folder)), "--attached", *flags]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_a_node_logs_json_lines_where_it_is_told_to(folder: Path) -> None:
    lines = [json.loads(line) for line in printed(folder, **{"log.format": "json"})]
    assert [line["message"] for line in lines if line["level"] == "warning"] == [
        "no setting any more, and without effect: queue.kind: flag (the command line)"
    ]
    assert ("stopping", "atoll.node") in [(line["message"], line["logger"]) for line in lines]
    assert lines[-1]["time"] >= lines[0]["time"] > 0


def test_a_node_logs_text_otherwise_and_no_more_than_its_level(folder: Path) -> None:
    assert any(line.endswith(" INFO atoll.node stopping") for line in printed(folder))
    assert printed(folder, **{"log.level": "error"}) == []


def test_a_line_stays_one_line_and_holds_the_exception() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "", 0, "a %s\nb", ("c",), sys.exc_info()
        )
    text = JsonLines().format(record)
    assert "\n" not in text
    found = json.loads(text)
    assert (found["message"], found["level"]) == ("a c\nb", "error")
    assert "ValueError: one" in found["exception"]
