"""The node's folder: private, locked by one process, and honest about who that is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.core.processes import start_time
from atoll.flow.node.folder import NodeFolder


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def test_a_second_node_is_refused_and_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    with folder.locked():
        assert folder.running() == os.getpid()
        with refused("ATL-NOD-001"), NodeFolder(tmp_path).locked():
            pytest.fail("two nodes hold one folder")
    assert folder.running() is None
    with folder.locked():
        pass


def test_a_killed_node_leaves_no_lock(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from atoll.flow.node.folder import NodeFolder\n"
        "with NodeFolder(pathlib.Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        folder = NodeFolder(tmp_path)
        assert folder.running() == process.pid
        with refused("ATL-NOD-001"), folder.locked():
            pytest.fail("two nodes hold one folder")
        process.kill()
        process.wait()
        assert folder.running() is None
        with folder.locked():
            assert folder.running() == os.getpid()


def test_another_process_of_the_same_number_is_not_the_node(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    folder.make()
    mark = {"pid": os.getpid(), "started": (start_time(os.getpid()) or 0) - 1}
    (folder.run / "node.lock").write_text(json.dumps(mark))
    assert folder.running() is None


def test_folders_are_private_and_deep_ones_get_short_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    folder = NodeFolder(deep)
    folder.make()
    for path in (folder.root, folder.data, folder.artifacts, folder.run, folder.sockets):
        assert path.stat().st_mode & 0o077 == 0
    assert len(os.fsencode(folder.sockets)) < 64
    folder.sockets.rmdir()


def test_a_folder_of_sockets_that_others_reach_is_refused(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path / "n")
    folder.make()
    folder.sockets.chmod(0o755)
    try:
        with refused("ATL-NOD-002"):
            folder.make()
    finally:
        # It may lie outside, under a number that another folder gets later.
        folder.sockets.rmdir()


def test_what_is_no_lock_is_no_node(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    folder.run.mkdir()
    for text in ("", "[]", '{"pid": "x"}', "\0"):
        (folder.run / "node.lock").write_text(text)
        assert folder.running() is None
    folder.write_http("http://127.0.0.1:1", "secret")
    assert folder.http.stat().st_mode & 0o777 == 0o600
    assert folder.read_http() == {"url": "http://127.0.0.1:1", "token": "secret"}
