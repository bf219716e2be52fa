"""Every reader of bytes that others make, as a function of bytes: it reads them or refuses them.

A reader may raise ``AtollError`` alone (``parse_plain`` also what it states); anything else is a
fault, and so is taking more memory or time than it states.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
from atoll_native import NativeError, check_msgpack

from atoll.channel.identity.certificates import read_ca, read_chain
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.core.message import Message, message_class
from atoll.flow.api.body import parse
from atoll.flow.control import parse_sync
from atoll.flow.control.facts import SECTIONS
from atoll.flow.control.reading import read_section
from atoll.flow.node.jobs.declaring import decode_declaration
from atoll.flow.node.models import archive
from atoll.flow.node.partners import service
from atoll.flow.node.partners.invitations import read_code
from atoll.flow.node.standing.inviting import SessionMessage
from atoll.jobs.approval import Approval
from atoll.jobs.definition import JOB_FILE_BYTES, parse_job
from atoll.jobs.reading import parse_plain
from atoll.models.boosting import part_from_bytes as boosting_part
from atoll.models.scaling import part_from_bytes as scaling_part

Reader = Callable[[bytes], Any]
ENOUGH = 1 << 40


def canonical(data: bytes) -> None:
    """Hold the native scan against what defines the form: what is written again is the same."""
    try:
        check_msgpack(data, ENOUGH)
        accepted = True
    except NativeError:
        accepted = False
    assert accepted == is_rewritten(data)
    if accepted:
        codec.decode(data)


def is_rewritten(data: bytes) -> bool:
    """Return whether msgpack reads the bytes and the codec writes the same ones."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, max_ext_len=0)
        return codec.encode(value) == data
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError):
        return False


def message(data: bytes) -> None:
    """Read a message of the class that it names; what is taken is what would be written."""
    value = codec.decode(data)
    kind = value[0] if type(value) is list and value and type(value[0]) is str else ""
    found: type[Message] | None = message_class(kind)
    if found is not None:
        assert found.decode(data).encode() == data


def section(data: bytes) -> None:
    """Read a section of a job's document; the first byte chooses which."""
    if data:
        read_section(SECTIONS[data[0] % len(SECTIONS)], data[1:])


def job(data: bytes) -> None:
    """Read a job as a partner's call ``declare`` brings it."""
    memory = codec.document_memory(JOB_FILE_BYTES)
    parse_job(codec.decode(data, limit=JOB_FILE_BYTES, memory=memory))


def certificates(data: bytes) -> None:
    """Read an authority and a chain, as text."""
    with contextlib.suppress(ValueError):
        read_chain(data)
    read_ca(data)


def enrolment(data: bytes) -> None:
    """Read what a stranger and an inviter tell each other."""
    for wanted in ({"authority": bytes}, {"id": str, "party": str, "secret": bytes}):
        with contextlib.suppress(AtollError):
            service._fields(data, wanted)


def invitation(data: bytes) -> None:
    """Read an invitation's code."""
    read_code(data.decode("latin-1"))


def file(suffix: str) -> Reader:
    """Return the reader of a job file."""

    def read(data: bytes) -> None:
        with contextlib.suppress(ValueError, RecursionError):
            parse_job(parse_plain(data, suffix))

    return read


READERS: dict[str, Reader] = {
    "canonical": canonical,
    "message": message,
    "section": section,
    "sync": parse_sync,
    "job": job,
    "declaration": lambda data: decode_declaration(data, "shop"),
    "approval": Approval.decode,
    "session": SessionMessage.decode,
    "certificates": certificates,
    "enrolment": enrolment,
    "invitation": invitation,
    "body": parse,
    "manifest": archive._manifest,
    "json": file(".json"),
    "yaml": file(".yaml"),
    "toml": file(".toml"),
    "boosting": boosting_part,
    "scaling": scaling_part,
}


def read(name: str, data: bytes) -> None:
    """Have a reader read bytes; a refusal is fine."""
    with contextlib.suppress(AtollError):
        READERS[name](data)


_MESSAGES = (
    "components.alignment",
    "components.sample",
    "components.scoring_messages",
    "flow.work.messages",
    "learning.vertical.boosting.messages",
    "models.boosting.messages",
    "operators.coin_toss.commit.messages",
    "operators.coin_toss.relayed.messages",
    "operators.histogram.elgamal.messages",
    "operators.psi.ecdh.messages",
    "operators.psi.star",
)


def kinds() -> Iterator[type[Message]]:
    """Yield the message classes of what the catalogue runs."""
    for module in _MESSAGES:
        for found in vars(importlib.import_module(f"atoll.{module}")).values():
            if isinstance(found, type) and issubclass(found, Message) and found is not Message:
                yield found


KINDS = {kind.kind: kind for kind in kinds()}
