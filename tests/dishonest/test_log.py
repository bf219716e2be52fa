"""Partners that fill the node's log: lines grow as the logarithm of what they do."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from atoll.channel.identity import Newest
from atoll.core.errors import PeerError
from atoll.flow.node.jobs.refusals import Refusals
from tests.dishonest.test_enrolment import bring, parties

FIRST = 20


def test_refusals_without_end(caplog: pytest.LogCaptureFixture) -> None:
    """Lie: calls that are refused, hundreds a second. Gain before: each twentieth was a line, a
    GiB in some days. Rule: after the first twenty, each time that their number has doubled.
    """
    refusals = Refusals(logging.getLogger("atoll.test"))
    error = PeerError("ATL-NOD-022", "no call of this kind is answered here")
    with caplog.at_level(logging.INFO, "atoll.test"):
        for _ in range(5000):
            refusals.log("shop", "a call", error)
        assert len(caplog.records) == FIRST + len((32, 64, 128, 256, 512, 1024, 2048, 4096))
        assert "4096 by this code" in caplog.messages[-1]
        refusals.log("shop", "a call", error, 4000)
        assert "9000 by this code" in caplog.messages[-1]
        # Another partner's are counted by themselves.
        refusals.log("mill", "a call", error)
        assert "mill" in caplog.messages[-1]


def test_rotations_without_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lie: a partner, whose authority is its own, shows ever newer certificates. Gain before: a
    line each. Rule: as refusals; what is kept is the newest one.
    """
    with parties(tmp_path, "bank", "shop") as (bank, shop):
        bring(bank, bank.invite("shop"), authority=shop.identity.ca, address="")
        with caplog.at_level(logging.INFO, "atoll.flow.node.partners"):
            for at in range(71):
                bank.parties.noticed("shop", Newest(1_700_000_000 + at, f"{at:064x}"))
        lines = [line for line in caplog.messages if "rotated its key" in line]
        assert len(lines) == FIRST + len((32, 64))
        assert "(64 since the start)" in lines[-1]
        assert bank.identity.peers["shop"].newest == Newest(1_700_000_070, f"{70:064x}")
