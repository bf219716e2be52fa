"""A model's part as a signed archive: a plain tar of files in a fixed order.

``manifest.json`` (sorted JSON), ``signature`` (by the party's node key over the manifest),
``certificate.pem`` (its chain), ``part``, and by step what its transforms fitted. Headers are
rebuilt from name and size and compared byte by byte, so an archive holds no link, no other path and
no other size than it states; equal parts make equal archives but for the signature.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

from fastapi.concurrency import run_in_threadpool
from pydantic import Field, JsonValue, ValidationError

from atoll.channel.identity import Identity
from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.flow.node.models.fitted import FittedByStep
from atoll.jobs.approval import check_signature
from atoll.jobs.definition import Frozen

BLOCK = 512
_DEPTH = 64
_COPY = 1 << 18
_CONTEXT = b"atoll/model-archive/v1\0"
_SIZES: Mapping[str, int] = {
    "manifest.json": 4 << 20,
    "signature": 1 << 10,
    "certificate.pem": 64 << 10,
}
PART = "part"
_FITTED = "fitted/"


class PartFacts(Frozen):
    """The part's file: SHA-256 and bytes."""

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(gt=0, le=1 << 40)


class Manifest(Frozen):
    """What an archive states about its parts, under the signature of ``party``."""

    form: Literal["atoll/model/v1"] = "atoll/model/v1"
    party: str = Field(min_length=1, max_length=63)
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    version: int = Field(ge=1, le=1 << 30)
    job: str | None = Field(default=None, max_length=64)
    step: str | None = Field(default=None, max_length=63)
    role: str | None = Field(default=None, max_length=32)
    kind: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_-]{0,62}$")
    parameters_digest: str | None = Field(default=None, max_length=128)
    lineage: dict[str, JsonValue] = Field(default_factory=dict)
    created: float = Field(ge=0, le=1e11)
    part: PartFacts
    fitted: FittedByStep = Field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the bytes that are signed (with the context in front)."""
        plain = self.model_dump(mode="json")
        # Archives from before there were transforms have none.
        if not self.fitted:
            del plain["fitted"]
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    def members(self) -> dict[str, PartFacts]:
        """Return the archive's parts by name, in their order: the model's, then by step."""
        fitted = {
            f"{_FITTED}{step}": PartFacts(digest=facts.digest, bytes=facts.bytes)
            for step, facts in sorted(self.fitted.items())
            if facts.digest is not None
        }
        return {PART: self.part, **fitted}

    def kind_of(self, member: str) -> str:
        """Return the kind of a part."""
        return self.kind if member == PART else self.fitted[member.removeprefix(_FITTED)].kind


@dataclass(frozen=True)
class Opened:
    """An archive whose signature was checked; ``start`` is where its parts begin in the file."""

    manifest: Manifest
    start: int

    @property
    def size(self) -> int:
        """The bytes of the whole archive."""
        sizes = [facts.bytes for facts in self.manifest.members().values()]
        return self.start + sum(BLOCK + n + len(_padding(n)) for n in sizes) + 2 * BLOCK


def pieces(manifest: Manifest, identity: Identity, path: Callable[[str], Path]) -> Iterator[bytes]:
    """Give a signed archive piece by piece; parts come from their files, found by digest."""
    body = manifest.encode()
    own = {
        "manifest.json": body,
        "signature": identity.sign(_CONTEXT + body),
        "certificate.pem": identity.certificate,
    }
    for name, data in own.items():
        yield _header(name, len(data)) + data + _padding(len(data))
    for name, facts in manifest.members().items():
        yield _header(name, facts.bytes)
        with path(facts.digest).open("rb") as file:
            while data := file.read(_COPY):
                yield data
        yield _padding(facts.bytes)
    yield bytes(2 * BLOCK)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, 0
    return entry.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def open_archive(file: BinaryIO, size: int, identity: Identity) -> Opened:
    """Read an archive of ``size`` bytes up to its parts, and check who signed it.

    Errors: ATL-REG-006 not such an archive, or its parts are others; ATL-PTY-007 to 015 and
    ATL-PLN-002 not signed by this party or a pinned partner.
    """
    opened = _open_head(file, identity)
    if opened.size != size:
        _refuse("its parts have other sizes than its manifest states")
    return opened


def _open_head(file: BinaryIO, identity: Identity) -> Opened:
    heads = {name: _member(file, name, limit) for name, limit in _SIZES.items()}
    body = heads["manifest.json"]
    manifest = _manifest(body)
    key = identity.public_key(manifest.party, heads["certificate.pem"], kept=True)
    check_signature(_CONTEXT + body, heads["signature"], key, manifest.party)
    return Opened(manifest, file.tell())


async def judged(chunks: AsyncIterator[bytes], identity: Identity) -> AsyncIterator[bytes]:
    """Hand an archive's bytes on as they come, but none before its head is judged as a whole.

    The head (its signed manifest) has at most about 4 MiB; nothing follows what it states.
    Errors: those of ``open_archive``, at the first block that is not as it must be.
    """
    head, passed, whole = bytearray(), 0, None
    async for data in chunks:
        if whole is None:
            head += data
            if not _is_whole(head):
                continue
            file = io.BytesIO(head)
            whole = (await run_in_threadpool(_open_head, file, identity)).size
            data, head = bytes(head), bytearray()
        passed += len(data)
        if passed > whole:
            _refuse("something follows its parts")
        yield data
    if whole is None:
        _refuse("it was cut off")


def _is_whole(head: bytearray) -> bool:
    """Return whether a head is there. Errors: ATL-REG-006 a block of it is not as it must be."""
    at = 0
    for name, limit in _SIZES.items():
        block = bytes(head[at : at + BLOCK])
        if len(block) < BLOCK:
            return False
        size = _length(io.BytesIO(block), name, limit)
        at += BLOCK + size + len(_padding(size))
    return len(head) >= at


def copy_parts(file: BinaryIO, opened: Opened, path: Callable[[str], Path]) -> None:
    """Copy each part to a new file. Errors: ATL-REG-006 another digest, or bytes follow."""
    file.seek(opened.start)
    for name, facts in opened.manifest.members().items():
        if _length(file, name, facts.bytes) != facts.bytes:
            _refuse("a part has another size than its manifest states")
        with path(name).open("xb") as out:
            _copy(file, facts, out)
    if any(file.read(2 * BLOCK)) or file.read(1):
        _refuse("something follows its parts")


def _copy(file: BinaryIO, facts: PartFacts, out: BinaryIO) -> None:
    left, hasher = facts.bytes, hashlib.sha256()
    while left:
        data = file.read(min(_COPY, left))
        if not data:
            _refuse("it was cut off")
        hasher.update(data)
        out.write(data)
        left -= len(data)
    if hasher.hexdigest() != facts.digest:
        _refuse("a part is another than its manifest states")
    if any(file.read(len(_padding(facts.bytes)))):
        _refuse("something follows a part")


def _manifest(body: bytes) -> Manifest:
    memory = codec.document_memory(_SIZES["manifest.json"])
    try:
        codec.judge_json(body, depth=_DEPTH, memory=memory)
        manifest = Manifest.model_validate_json(body)
        canonical = manifest.encode() == body
    except (AtollError, ValidationError, ValueError, RecursionError) as error:
        raise _bad("its manifest has another form") from error
    if not canonical:
        _refuse("its manifest is not in canonical form")
    return manifest


def _member(file: BinaryIO, name: str, limit: int) -> bytes:
    size = _length(file, name, limit)
    data = file.read(size)
    if len(data) != size or any(file.read(len(_padding(size)))):
        _refuse("it was cut off or changed")
    return data


def _length(file: BinaryIO, name: str, limit: int) -> int:
    """Return the size that the next header gives, if the header is the one we would write."""
    block = file.read(BLOCK)
    text = block[124:135]
    size = int(text, 8) if len(text) == 11 and text.isdigit() and not set(text) & set(b"89") else -1
    if not 0 <= size <= limit or block != _header(name, size):
        _refuse(f"{name} is missing, too large or out of place")
    return size


def _bad(reason: str) -> UserError:
    return UserError(
        "ATL-REG-006",
        f"this is not a model's archive: {reason}",
        hint="export it again with: atoll model export",
    )


def _refuse(reason: str) -> NoReturn:
    raise _bad(reason)


__all__ = ["Manifest", "Opened", "PartFacts", "copy_parts", "judged", "open_archive", "pieces"]
