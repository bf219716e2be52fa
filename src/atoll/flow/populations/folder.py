"""A population's folder: terms, keys and certificates, members, what the training has reached.

``population.json`` is written last: without it there is no population. Private keys are readable
by their owner alone.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from atoll.channel.identity.certificates import key_pem, pem, present, read_key
from atoll.channel.identity.files import SECRET, read_secret, write_atomic
from atoll.channel.outbound import certificates
from atoll.channel.outbound.codes import JoinCode
from atoll.core.errors import UserError
from atoll.flow.populations.log import person
from atoll.flow.populations.store import HOURS, PopulationStore
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.learning.horizontal.population.terms import PopulationTerms, read_terms
from atoll.learning.horizontal.population.work import PopulationWork

MARK, TERMS, SIGNATURE = "population.json", "terms.bin", "terms.sig"
AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key.pem"
SERVER, SERVER_KEY = "server.pem", "server.key.pem"
MEMBERS, LOCK, CHECKPOINT, MODEL = "members.sqlite3", "serving.lock", "checkpoint", "model.bin"


@dataclass(frozen=True)
class Population:
    """A population as it was loaded. ``signature`` is the authority's over the terms."""

    root: Path
    terms: PopulationTerms
    signature: bytes
    authority: x509.Certificate
    authority_key: ec.EllipticCurvePrivateKey
    server_key: ec.EllipticCurvePrivateKey

    def store(self) -> PopulationStore:
        """Open the members, for one thread."""
        return PopulationStore(self.root / MEMBERS, time.time)

    def note(self, what: str, detail: str) -> None:
        """Add a line to the log, by the person that runs this process; from any thread."""
        with closing(self.store()) as store:
            store.note(what, person(), detail)

    def invite(
        self, address: str, hours: float = HOURS, count: int = 1
    ) -> list[tuple[JoinCode, float]]:
        """Make codes, each for one client that reaches the server at ``address`` (host:port).

        Returns each with when it expires.
        """
        with closing(self.store()) as store:
            made = store.make_codes(hours, count)
        key, name = certificates.key_hash(self.server_key.public_key()), self.terms.population
        return [
            (JoinCode(number, name, address, key, secret), expires)
            for number, secret, expires in made
        ]

    def issue_server(self, now: datetime) -> Path:
        """Issue the server a certificate for its key, and return the file."""
        name = certificates.server_name(self.terms.population)
        public = self.server_key.public_key()
        made = certificates.make_leaf(
            name, public, self.authority, self.authority_key, now, server=True
        )
        write_atomic(self.root / SERVER, pem(made))
        return self.root / SERVER

    def issue_member(
        self, number: int, public: ec.EllipticCurvePublicKey, now: datetime
    ) -> x509.Certificate:
        """Issue a member a certificate for its key."""
        name = certificates.member_name(self.terms.population, number)
        return certificates.make_leaf(
            name, public, self.authority, self.authority_key, now, server=False
        )


def create(root: Path, terms: PopulationTerms) -> Population:
    """Make a population with an authority of its own, which signs its terms.

    Errors: ATL-POP-002, those of the model and the noise, ATL-POP-021 the folder holds one already.
    """
    # A grid that is too coarse for the noise, or a model that is too large, shows now.
    _ = PopulationWork(terms.require_possible()).form
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (root / MARK).exists():
        raise ConflictError(
            "ATL-POP-021",
            "the folder holds a population already",
            place=str(root),
            hint="choose another folder; terms that were signed are never overwritten",
        )
    now = present()
    authority_key, server_key = certificates.new_key(), certificates.new_key()
    authority = certificates.make_authority(terms.population, authority_key, now)
    document = terms.document()
    write_atomic(root / AUTHORITY_KEY, key_pem(authority_key), SECRET)
    write_atomic(root / SERVER_KEY, key_pem(server_key), SECRET)
    write_atomic(root / AUTHORITY, pem(authority))
    write_atomic(root / TERMS, document)
    write_atomic(root / SIGNATURE, certificates.sign_terms(authority_key, document))
    mark = {"version": 1, "population": terms.population, "aggregator": terms.aggregator}
    write_atomic(root / MARK, json.dumps(mark).encode() + b"\n")
    made = load(root)
    made.note("created", f"terms {terms.digest.hex()}")
    return made


def load(root: Path) -> Population:
    """Load a population. Errors: ATL-POP-022 there is none, or it is damaged; ATL-PTY-006."""
    if not (root / MARK).is_file():
        raise NotFoundError(
            "ATL-POP-022",
            "there is no population in this folder",
            place=str(root),
            hint="make one: atoll population create",
        )
    try:
        terms = read_terms((root / TERMS).read_bytes())
        signature = (root / SIGNATURE).read_bytes()
        authority = x509.load_pem_x509_certificate((root / AUTHORITY).read_bytes())
        certificates.verify_terms(authority, terms.document(), signature)
        keys = [_key(root / name) for name in (AUTHORITY_KEY, SERVER_KEY)]
    except (OSError, ValueError) as error:
        raise UserError(
            "ATL-POP-022", "the population's folder is damaged", place=str(root)
        ) from error
    return Population(root, terms, signature, authority, *keys)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = read_key(read_secret(path))
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not P-256")
    return key
