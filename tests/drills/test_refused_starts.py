"""Starts that are refused, each with its code; when the cause is gone the node starts again."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from atoll.channel.identity import renew
from atoll.channel.identity.certificates import NODE_LIFE, present
from atoll.cli import node_process
from tests.drills.checks import nothing_runs
from tests.drills.disks import read_only
from tests.e2e import nodes
from tests.e2e.nodes import TestNode

ENVIRONMENT = 10


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestNode]:
    """A node that has run; it must run again after all refusals."""
    node = nodes.make(tmp_path_factory.mktemp("idle"), "bank")["bank"]
    node.start().close()
    node.stop()
    yield node
    node.start().close()
    node.stop()


def refused(node: TestNode, **settings: object) -> tuple[int, str]:
    """Start a node that must not start; return its exit code and what it said."""
    wanted = {"http.port": 0, "gateway.listen": f"127.0.0.1:{node.port}", **settings}
    flags = [f"--set={key}={value}" for key, value in wanted.items()]
    command = [*node_process.command(node.folder), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    nothing_runs(node)
    return done.returncode, done.stderr


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("key", "form", "code"),
    [
        ("gateway.listen", "127.0.0.1:{}", "ATL-NET-024"),
        ("http.port", "{}", "ATL-API-016"),
    ],
)
def test_a_port_that_is_taken(idle: TestNode, key: str, form: str, code: str) -> None:
    with taken_port() as port:
        status, printed = refused(idle, **{key: form.format(port)})
    assert status != 0
    assert code in printed


def test_a_folder_that_cannot_be_written(idle: TestNode) -> None:
    with read_only(idle.folder.root):
        status, printed = refused(idle)
    assert (status, "ATL-NOD-002" in printed) == (ENVIRONMENT, True), printed


def test_a_database_that_cannot_be_written(idle: TestNode) -> None:
    with read_only(idle.folder.database):
        status, printed = refused(idle)
    assert (status, "ATL-STO-005" in printed) == (ENVIRONMENT, True), printed


@pytest.mark.parametrize(
    ("moved", "code"),
    [(-NODE_LIFE - timedelta(days=1), "ATL-PTY-009"), (timedelta(days=2), "ATL-PTY-010")],
)
def test_a_certificate_that_does_not_hold(idle: TestNode, moved: timedelta, code: str) -> None:
    renew(idle.folder.root, now=present() + moved)
    # Without its authority's key, as one by a company's, it is not renewed at the start.
    key = idle.folder.root / "ca.key.pem"
    away = key.rename(key.with_name("away.pem"))
    try:
        status, printed = refused(idle)
    finally:
        away.rename(key)
        renew(idle.folder.root)
    assert status != 0
    assert code in printed
