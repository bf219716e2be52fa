"""Two nodes that do not know each other yet: invited, trusted, tried, renewed, parted."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.node import creating
from atoll.flow.node.folder import NodeFolder
from tests.e2e.nodes import TestNode, fill, small_job, until
from tests.e2e.ports import free_port

LIMIT = 60.0


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def stranger(root: Path, party: str) -> TestNode:
    folder = NodeFolder(root / party)
    creating.create(folder.root, party)
    node = TestNode(party, folder, free_port())
    node.settings = {"gateway.advertise": f"127.0.0.1:{node.port}"}
    return node


def test_two_strangers_become_partners_by_a_code_and_part_again(tmp_path: Path) -> None:
    made = {party: stranger(tmp_path, party) for party in ("bank", "shop")}
    try:
        with made["bank"].start() as bank, made["shop"].start() as shop:
            code = bank.parties.invite("shop").code
            with refused("ATL-NOD-013"):
                bank.parties.accept(code)
            bank_address = f"127.0.0.1:{made['bank'].port}"
            with refused("ATL-NOD-033"):
                shop.parties.accept(code)
            assert shop.parties.accept(code, bank_address).party == "bank"
            (seen,) = bank.parties.list().items
            offered = f"127.0.0.1:{made['shop'].port}"
            assert (seen.party, seen.address, seen.unconfirmed) == ("shop", None, offered)
            # With no code left open the bank serves no stranger, whatever the code.
            with pytest.raises(AtollError):
                shop.parties.accept(code, bank_address)
            # Before it knew who asked: it has a count by code and nothing else.
            assert bank.node.status()["refused"]["ATL-NET-015"]
            open_code = bank.parties.invite("mill").id
            assert [one.id for one in bank.parties.invitations().items] == [open_code]
            bank.parties.withdraw(open_code)
            assert not bank.parties.invitations().items
            done = {(line.actor, line.action) for line in bank.audit.list().items}
            assert {("party:shop", "invitation.use"), ("party:shop", "party.add")} <= done
            with refused("ATL-NET-042"):
                bank.parties.ping("shop")
            assert bank.parties.confirm("shop", offered).unconfirmed is None
            assert bank.parties.ping("shop").reachable
            tried = bank.node.selftest(["shop"])
            assert all(line.passed for line in tried.steps), tried
            fill(made, tmp_path)
            before = shop.parties.list().items[0].fingerprint
            assert bank.parties.rotate().notified == ("shop",)
            assert shop.parties.list().items[0].fingerprint == before
            job = bank.jobs.submit(small_job("bank", "shop"))
            assert job.wait(LIMIT).state == "success"
            shop.parties.revoke("bank")
            with pytest.raises(AtollError):
                bank.parties.ping("shop")
            with refused("ATL-PTY-012"):
                shop.jobs.submit(small_job("bank", "shop"))
    finally:
        for node in made.values():
            node.stop()


def test_a_node_tells_its_state_and_its_settings(tmp_path: Path) -> None:
    node = stranger(tmp_path, "bank")
    try:
        with node.start() as client:
            status = client.node.status()
            assert status["party"] == "bank"
            assert until(lambda: client.node.status()["workers"])
            listed = {entry.key: entry for entry in client.settings.list().items}
            assert listed["http.port"].source.startswith("flag")
            with refused("ATL-NOD-001"):
                node.start()
    finally:
        node.stop()
    assert node.folder.running() is None
    sockets = node.folder.sockets
    assert not (sockets.is_dir() and list(sockets.iterdir()))
    assert node.workers() == []
