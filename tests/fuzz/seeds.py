"""``python -m tests.fuzz.seeds``: writes the first inputs of every corpus out of real documents.

What fuzzers found is kept beside them, under names that begin with ``found-``.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from atoll.channel.identity.certificates import make_ca, new_key, pem
from atoll.core import codec
from atoll.core.message import Spec
from atoll.flow.control.facts import SECTIONS
from atoll.flow.node.models.archive import Manifest, PartFacts
from atoll.flow.node.partners.invitations import Invitation
from atoll.flow.node.standing.agreement import FIRST_SESSION
from atoll.models.scaling import ScaledColumn, ScalePart, part_to_bytes
from tests.fuzz.bounds import CORPORA
from tests.fuzz.readers import KINDS

VECTORS = Path("tests/vectors")


def wire(spec: Spec) -> Any:
    """Return a small value of a field, in its wire form."""
    match spec.form:
        case "integer" | "count":
            return max(spec.low, 0) if spec.high >= 0 else spec.low
        case "boolean":
            return False
        case "number":
            return 0.5
        case "text":
            return "a"[: spec.high]
        case "blob":
            return bytes(min(spec.high, max(spec.low, 4)))
        case "items":
            assert spec.item is not None
            return [wire(spec.item)]
    sizes = [1 if size is None else size for size in spec.shape]
    count = 1
    for size in sizes:
        count *= size
    return [spec.dtype, sizes, bytes(count * int(spec.dtype[1]))]


def hostile() -> Iterator[bytes]:
    """Yield small forms of what took much: nothing of it is canonical and cheap."""
    yield b"\xdd\xff\xff\xff\xff\x90"
    yield b"\xdf\xff\xff\xff\xff\xa0\x90"
    yield b"\x91" * 40 + b"\x90"
    yield b"\x81\xa0" * 40 + b"\x80"
    yield b"\xdc\x03\xe8" + b"\x90" * 1000
    yield b"\xdc\x03\xe8" + b"\x80" * 1000
    yield b"\xd9\x2c" + b"a" * 40 + "😀".encode()
    yield b"\xcc\x01"
    yield b"\x82\xa1b\x01\xa1a\x01"
    yield b"\xc7\x00\x01"


def documents() -> dict[str, list[bytes]]:
    """Return real documents by reader."""
    from tests.flow.control.test_facts import sections

    found = sections()
    job = codec.decode(found["proposal"], memory=1 << 20)["job"]
    declaration = found["declaration"]
    approval = codec.decode(found["approval"], memory=1 << 20)["document"]
    update = {"job": "20260101000000-00000000", "base": 0, "version": 3, "sections": found}
    sync = {"type": "atoll/sync/v1", "updates": [update], "held": {update["job"]: 2}}
    session = {"do": "open", "agreement": "a" * 16, "session": FIRST_SESSION, "plan": "0" * 64}
    code = Invitation("0" * 16, "bank", "shop", "127.0.0.1:1", bytes(32), bytes(16)).code()
    enrolment = {"id": "a", "secret": b"b", "party": "bank", "authority": b"c", "address": "d:1"}
    authority = make_ca("bank", new_key("p256"), datetime(2026, 1, 1, tzinfo=UTC))
    text = json.dumps(job).encode()
    return {
        "section": [bytes([SECTIONS.index(name)]) + data for name, data in found.items()],
        "sync": [codec.encode(sync)],
        "job": [codec.encode(job)],
        "declaration": [declaration],
        "approval": [approval],
        "session": [codec.encode(session)],
        "enrolment": [codec.encode(enrolment), codec.encode({"authority": b"c"})],
        "invitation": [code.encode()],
        "certificates": [pem(authority), authority.public_bytes(Encoding.DER)],
        "body": [text, b"[],[]", b'{"a":[1,2.5e3,"\\ud83d\\ude00",null]}'],
        "json": [text],
        "yaml": [text, b"name: a\nparties: {bank: guest}\nsteps:\n- [a, 'b', 1.5]\n"],
        "toml": [
            "\n".join(f"{name} = {inline(value)}" for name, value in job.items()).encode(),
            b'name = "a"\n[parties]\nbank = "guest"\n[[steps]]\na.b = [1, 2]\n',
        ],
        "message": [codec.encode([k.kind, k.version, fields(k)]) for k in KINDS.values()],
        "canonical": [declaration, codec.encode([None, -1, 1 << 40, 0.5, "é", b"a", {"a": []}])],
    }


def inline(value: Any) -> str:
    """Return a value in TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}" = {inline(one)}' for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def fields(kind: Any) -> dict[str, Any]:
    """Return small fields of a message class."""
    return {name: wire(spec) for name, spec in kind.specs()}


def envelopes() -> list[bytes]:
    """Return streams of envelopes as the target ``frames`` reads them: two bytes of length each."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    def number(at: int, value: int) -> bytes:
        return bytes([at << 3, value])

    def frame(sequence: int, total: int, body: bytes) -> bytes:
        whole = number(1, sequence) + number(2, 1) + field(3, b"j") + field(8, b"t")
        whole += number(9, total) if total else b""
        whole += number(10, len(body)) + b"\x5d" + bytes([1, 0, 0, 0]) + field(12, body)
        return field(3, whole)

    def stream(*parts: bytes) -> bytes:
        return b"".join(struct.pack(">H", len(part)) + part for part in parts)

    bye = field(4, number(1, 3))
    return [
        stream(b"\x3a\x00"),
        stream(frame(1, 0, b"ab"), frame(2, 2, b"c"), bye),
        stream(*(frame(at, 0, b"a") for at in range(1, 60))),
        stream(field(2, number(1, 1) + number(2, 1) + field(3, b"bank") + field(4, b"shop"))),
    ]


def parts() -> dict[str, list[bytes]]:
    """Return fitted parts and an archive's manifest."""
    vectors = json.loads((VECTORS / "formats" / "boosting_part.json").read_text())
    boosting = [bytes.fromhex(one["input"]["bytes"]) for one in vectors["good"].values()]
    column = ScaledColumn(name="age", lower=None, upper=9.5, offset=1.0, divisor=2.0)
    scaling = part_to_bytes(ScalePart(party="bank", scaled=(column,)))
    manifest = Manifest(
        party="bank",
        id="a",
        version=1,
        kind="boosting.guest",
        lineage={"graph": {"steps": {}}, "fitted": {}},
        created=1.0,
        part=PartFacts(digest="0" * 64, bytes=1),
    )
    return {"boosting": boosting, "scaling": [scaling], "manifest": [manifest.encode()]}


def write(name: str, inputs: list[bytes]) -> None:
    """Write the inputs of one corpus; those that fuzzers found stay."""
    folder = CORPORA / name
    os.makedirs(folder, exist_ok=True)
    for path in folder.iterdir():
        if not path.name.startswith("found-"):
            path.unlink()
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main() -> None:
    """Write all of them."""
    whole = documents() | parts()
    for name in ("canonical", "message", "declaration", "sync", "job", "enrolment"):
        whole[name] += hostile()
    whole["codec"] = whole["canonical"] + whole["body"]
    whole["frames"] = envelopes()
    whole["handshakes"] = [b"\x0a\x04ping\x12\x01a\x18\x64", b"\x0a\x01l\x12\x04bank\x1a\x04shop"]
    for name, inputs in whole.items():
        write(name, inputs or [b"{}"])


if __name__ == "__main__":
    main()
