"""A client's folder: its key, what it agreed to, and what it counted.

``client.json`` is written last: without it the client has not joined. The key is readable by its
owner alone, and never leaves.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atoll.channel.identity.certificates import key_pem, pem, read_key
from atoll.channel.identity.files import SECRET, read_secret, write_atomic
from atoll.channel.outbound import certificates
from atoll.core.errors import UserError
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.learning.horizontal.population.book import Book
from atoll.learning.horizontal.population.terms import PopulationTerms, read_terms

MARK, KEY, CERTIFICATE, AUTHORITY = "client.json", "key.pem", "certificate.pem", "authority.pem"
TERMS, AGREEMENT, LOCK = "terms.bin", "agreement.sig", "lock"


class Joined(BaseModel):
    """Where a client joined, under which number, and which file it trains on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=1, ge=1, le=1)
    address: str = Field(max_length=512)
    number: int = Field(ge=0)
    data: str
    id_column: str | None = None
    proxy: str | None = None


@dataclass(frozen=True)
class ClientFolder:
    """The folder; nothing is read before it is asked for."""

    root: Path

    @property
    def joined(self) -> Joined:
        """Where this client joined. Errors: ATL-POP-029 it has not, or the file is damaged."""
        path = self.root / MARK
        if not path.is_file():
            raise NotFoundError(
                "ATL-POP-029",
                "there is no client in this folder",
                place=str(self.root),
                hint="join with a code: atoll client join --code-file FILE --data FILE",
            )
        try:
            return Joined.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise self._damaged(MARK) from error

    def has_joined(self) -> bool:
        """Return whether a client has joined from here."""
        return (self.root / MARK).is_file()

    def terms(self) -> PopulationTerms:
        """Return what was agreed to; its authority's signature is checked each time."""
        try:
            document = (self.root / TERMS).read_bytes()
        except OSError as error:
            raise self._damaged(TERMS) from error
        return read_terms(document)

    def book(self) -> Book:
        """Return this client's count of its tasks."""
        terms = self.terms()
        return Book(self.root / f"counts-{terms.digest.hex()[:32]}.json", terms)

    def authority(self) -> x509.Certificate:
        """Return the population's authority, which this client pins."""
        return self._certificate(AUTHORITY)

    def certificate(self) -> x509.Certificate:
        """Return this client's own certificate."""
        return self._certificate(CERTIFICATE)

    def key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key, made here at the first call: a code that was half used works on."""
        path = self.root / KEY
        if not path.exists():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(path, key_pem(certificates.new_key()), SECRET)
        key = read_key(read_secret(path))
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise self._damaged(KEY)
        return key

    def keep_certificate(self, certificate: x509.Certificate) -> None:
        """Keep a further certificate."""
        write_atomic(self.root / CERTIFICATE, pem(certificate))

    def join(
        self,
        terms: bytes,
        agreement: bytes,
        authority: x509.Certificate,
        certificate: x509.Certificate,
        joined: Joined,
    ) -> None:
        """Keep what a client joined with."""
        write_atomic(self.root / TERMS, terms)
        write_atomic(self.root / AGREEMENT, agreement)
        write_atomic(self.root / AUTHORITY, pem(authority))
        self.keep_certificate(certificate)
        write_atomic(self.root / MARK, joined.model_dump_json().encode() + b"\n")

    def forget(self) -> None:
        """Remove the key and all else of a client that has left, but for what it counted.

        Who joins again under the same terms goes on with that count.
        """
        (self.root / MARK).unlink(missing_ok=True)
        for name in (KEY, CERTIFICATE, AUTHORITY, TERMS, AGREEMENT):
            (self.root / name).unlink(missing_ok=True)
        if not any(path.name != LOCK for path in self.root.iterdir()):
            shutil.rmtree(self.root, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder: two processes would count apart. Errors: ATL-POP-030."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    "ATL-POP-030", "another process runs this client", place=str(self.root)
                ) from error
            yield
        finally:
            os.close(file)

    def _certificate(self, name: str) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate((self.root / name).read_bytes())
        except (OSError, ValueError) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> UserError:
        return UserError(
            "ATL-POP-029", "a file of this client is damaged", place=str(self.root / name)
        )


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate in DER."""
    return certificate.public_bytes(Encoding.DER)
