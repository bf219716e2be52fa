"""Before the first step: the parties make the same plan, approve it, and swap fresh nonces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from atoll.channel.api import Channel
from atoll.components.api import Catalogue
from atoll.core import codec
from atoll.core.errors import PeerError
from atoll.core.random import SecretRandom
from atoll.flow.comparing import PHASE, compare, compare_code, different
from atoll.flow.ledger import Ledger
from atoll.flow.messages import DECLARATION_BYTES, Declaration, PlanDigest, SignedApproval
from atoll.flow.planning import build, component_facts
from atoll.jobs import approval as approvals
from atoll.jobs.approval import Approval, PublicKey
from atoll.jobs.definition import Job
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan, TableFacts

TASK = "flow.agreement"


class Credentials(Protocol):
    """A party's own key and certificate, and its judgement of the certificates of others."""

    @property
    def certificate(self) -> bytes:
        """The own certificate, as the others are shown it."""
        ...

    def sign(self, document: bytes) -> bytes:
        """Sign bytes with the party's key."""
        ...

    def public_key(self, party: str, certificate: bytes) -> PublicKey:
        """Return the key of a certificate that the pinned authority gave this very party.

        Errors: those of the identity (another authority, another name, expired).
        """
        ...


@dataclass(frozen=True)
class Position:
    """What one party brings to the table: its job, tables and terms.

    ``verify`` raises for what this party alone can see to be wrong with the plan; ``approve``
    decides on it and says for how many runs, and raises ATL-PLN-006 to refuse.
    ``wall`` is the time in seconds since 1970, ``validity`` how long its approval holds.
    """

    party: str
    job: Job
    catalogue: Catalogue
    tables: Mapping[str, TableFacts]
    credentials: Credentials
    approve: Callable[[Plan], int]
    ledger: Ledger
    wall: Callable[[], float]
    validity: float = 3600.0
    verify: Callable[[Plan], None] = lambda plan: None


@dataclass(frozen=True)
class Agreement:
    """What was agreed: the plan, and a fresh nonce of every party."""

    plan: Plan
    nonces: Mapping[str, bytes]


def prepare(position: Position, channel: Channel) -> tuple[Plan, dict[str, PublicKey]]:
    """Swap declarations and make the plan; nothing is approved yet.

    Errors: ATL-PLN-001 another job or other code, ATL-PLN-005 a declaration that is none, those
    of ``build`` and of the position's ``verify``.
    """
    components = component_facts(position.job, position.catalogue)
    mine = Declaration(
        job=codec.encode(position.job.parts()),
        components=codec.encode({n: c.model_dump(mode="json") for n, c in components.items()}),
        tables=codec.encode({n: t.model_dump(mode="json") for n, t in position.tables.items()}),
        certificate=position.credentials.certificate,
    )
    peers = [party for party in sorted(position.job.parties) if party != position.party]
    for peer in peers:
        channel.send(peer, "declaration", mine)
    tables = {position.party: dict(position.tables)}
    keys = {position.party: _key(position, position.party, mine.certificate)}
    for peer in peers:
        said = channel.receive(peer, "declaration", Declaration)
        compare(position.job.parts(), _texts(peer, said.job), peer)
        compare_code(components, _mapping(peer, said.components), peer)
        tables[peer] = _tables(peer, said.tables)
        keys[peer] = _key(position, peer, said.certificate)
    prints = {party: approvals.key_fingerprint(key) for party, key in keys.items()}
    plan = build(position.job, position.catalogue, tables, prints)
    position.verify(plan)
    return plan, keys


def _key(position: Position, party: str, certificate: bytes) -> PublicKey:
    return position.credentials.public_key(party, certificate)


def agree(position: Position, channel: Channel) -> Agreement:
    """Make the plan, approve it, and check that every other party did the same.

    Errors: ATL-PLN-001 the plans differ, ATL-PLN-002 and 003 a bad approval, ATL-PLN-004 one that
    was used before, ATL-PLN-006 refused here.
    """
    plan, keys = prepare(position, channel)
    runs = position.approve(plan)
    digest, parts = plan.digest(), plan.parts()
    peers = sorted(keys.keys() - {position.party})
    for peer in peers:
        channel.send(peer, "plan", PlanDigest(digest, codec.encode(parts)))
    for peer in peers:
        said = channel.receive(peer, "plan", PlanDigest)
        compare(parts, _texts(peer, said.parts), peer)
        if said.digest != digest:
            raise different(["digest"], peer)
    nonce = SecretRandom().bytes(approvals.NONCE_BYTES)
    mine = approvals.make(
        plan,
        position.party,
        nonce=nonce,
        expires=int(position.wall() + position.validity),
        runs=runs,
    )
    document = mine.encode()
    signed = SignedApproval(document, position.credentials.sign(document))
    for peer in peers:
        channel.send(peer, "approval", signed)
    agreed = {position.party: mine}
    for peer in peers:
        answer = channel.receive(peer, "approval", SignedApproval)
        agreed[peer] = _checked(position, plan, peer, answer, keys[peer])
    position.ledger.extend([("approval", entry.to_line()) for entry in agreed.values()])
    return Agreement(plan, {party: entry.nonce for party, entry in agreed.items()})


def _checked(
    position: Position, plan: Plan, peer: str, answer: SignedApproval, key: PublicKey
) -> Approval:
    approvals.check_signature(answer.document, answer.signature, key, peer)
    entry = Approval.decode(answer.document)
    approvals.check(entry, plan, peer, now=position.wall())
    nonce = entry.nonce.hex()
    used = sum(
        1
        for line in position.ledger.entries()
        if line["kind"] == "approval" and line.get("nonce") == nonce
    )
    # A nonce enters the session ids, so it serves one run; more runs need more approvals.
    if used:
        raise DeniedError("ATL-PLN-004", "the approval was used before", party=peer)
    return entry


def _mapping(peer: str, data: bytes) -> dict[str, Any]:
    value = codec.decode(data, limit=DECLARATION_BYTES)
    if type(value) is not dict:
        raise _malformed(peer)
    return value


def _texts(peer: str, data: bytes) -> dict[str, str]:
    value = _mapping(peer, data)
    if any(type(entry) is not str for entry in value.values()):
        raise _malformed(peer)
    return value


def _tables(peer: str, data: bytes) -> dict[str, TableFacts]:
    try:
        return {n: TableFacts.model_validate(v) for n, v in _mapping(peer, data).items()}
    except ValidationError as error:
        raise _malformed(peer) from error


def _malformed(peer: str) -> PeerError:
    return PeerError("ATL-PLN-005", "the declaration has another form", party=peer, phase=PHASE)
