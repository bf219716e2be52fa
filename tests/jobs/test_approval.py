from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from atoll.core.errors import AtollError
from atoll.jobs import approval as approvals
from atoll.jobs.approval import Approval, PrivateKey
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan, differing

NOW = 1_000_000.0
NONCE = bytes(range(32))


def plan(**changes: Any) -> Plan:
    whole: dict[str, Any] = {
        "job": parse_job(
            {
                "name": "loans",
                "parties": {"bank": "guest", "shop": "host"},
                "steps": {"reader": {"component": "reader"}},
            }
        ),
        "parameters": {"reader": {"id": "id"}},
        "tables": {},
        "components": {"reader": {"version": "1", "code": "00"}},
        "implementations": {"reader": "local"},
        "trust_models": {"reader": "local"},
        "reveals": {"reader": ()},
        "minimums": {},
        "certificates": {"bank": "aa", "shop": "bb"},
        "estimated_bytes": {"reader": 0},
        "owners": {"reader.table": ("bank",)},
    }
    return Plan(**{**whole, **changes})


def approval(**changes: Any) -> Approval:
    made = approvals.make(plan(), "shop", nonce=NONCE, expires=int(NOW) + 60)
    return dataclasses.replace(made, **changes)


KEYS: list[PrivateKey] = [
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
]


@pytest.mark.parametrize("key", KEYS, ids=["p256", "ed25519"])
def test_a_signed_approval_counts(key: PrivateKey) -> None:
    document = approval().encode()
    signature = approvals.sign(document, key)
    approvals.check_signature(document, signature, key.public_key(), "shop")
    approvals.check(Approval.decode(document), plan(), "shop", now=NOW)


@pytest.mark.parametrize("key", KEYS, ids=["p256", "ed25519"])
def test_a_forged_signature_is_refused(key: PrivateKey) -> None:
    document = approval().encode()
    signature = approvals.sign(document, key)
    other = approval(runs=99).encode()
    with pytest.raises(AtollError, match="ATL-PLN-002"):
        approvals.check_signature(other, signature, key.public_key(), "shop")
    stranger = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(AtollError, match="ATL-PLN-002"):
        approvals.check_signature(document, signature, stranger, "shop")


@pytest.mark.parametrize(
    "changes",
    [
        {"approver": "bank"},
        {"role": "guest"},
        {"plan": "0" * 64},
        {"job": "0" * 64},
        {"keys": {"bank": "aa", "shop": "cc"}},
    ],
)
def test_an_approval_of_something_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AtollError, match="ATL-PLN-002"):
        approvals.check(approval(**changes), plan(), "shop", now=NOW)


@pytest.mark.parametrize("changes", [{"expires": int(NOW)}, {"runs": 0}])
def test_an_approval_that_ran_out_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AtollError, match="ATL-PLN-003"):
        approvals.check(approval(**changes), plan(), "shop", now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"reader": {"id": "key"}}},
        {"certificates": {"bank": "aa", "shop": "cc"}},
        {"owners": {"reader.table": ("bank", "shop")}},
        {"components": {"reader": {"version": "1", "code": "01"}}},
        {"warnings": ("reader: mind",)},
        {"minimums": {"reader": {"intersection": 5}}},
    ],
)
def test_a_change_in_any_part_is_another_plan_and_is_named(changes: dict[str, Any]) -> None:
    changed = plan(**changes)
    assert changed.digest() != plan().digest()
    assert differing(plan().parts(), changed.parts()) == list(changes)
    with pytest.raises(AtollError, match="ATL-PLN-002"):
        approvals.check(approval(), changed, "shop", now=NOW)
