"""What a node keeps of an own task's error names the partner that it blames."""

from __future__ import annotations

from atoll.core.errors import PeerError
from atoll.flow.node.jobs.blame import blaming


def test_the_message_names_the_partner_that_lied() -> None:
    """A host sent false rows: the job's end named the guest that found it out, and no one else."""
    error = PeerError("ATL-BST-007", "the rows do not fit", party="shop").to_dict()
    assert blaming(error, "bank") == "the rows do not fit (party shop)"
    seat = PeerError("ATL-BST-007", "the rows do not fit", party="bank:host").to_dict()
    assert blaming(seat, "bank") == "the rows do not fit"


def test_an_own_failure_blames_no_one() -> None:
    own = PeerError("ATL-BST-010", "one class").located(party="bank").to_dict()
    assert blaming(own, "bank") == "one class"
    assert blaming({}, "bank") is None
