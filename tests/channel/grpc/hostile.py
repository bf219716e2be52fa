"""A client that speaks TLS, HTTP/2 and protobuf by hand, and says whatever a test wants.

It shares no code with the native wire, so that it also checks the published ``.proto``.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from atoll.channel.identity import Identity, certificates

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM = ACK = 1
END_HEADERS = 4
WAIT = 20.0


class Fixed(int):
    """An integer that is written as fixed32."""


Value = int | bytes | str


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: Value) -> bytes:
    """Encode one protobuf field as it is, default or not."""
    if isinstance(value, Fixed):
        return varint(number << 3 | 5) + struct.pack("<I", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def message(*values: Value) -> bytes:
    """Encode fields 1, 2, …; defaults are left out, as proto3 wants."""
    numbered = enumerate(values, 1)
    return b"".join(field(n, v) for n, v in numbered if v not in (0, b"", ""))


def parse(raw: bytes) -> dict[int, Value]:
    """Decode one level of protobuf; of repeated fields the last counts."""
    found: dict[int, Value] = {}
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        if key & 7 == 0:
            found[key >> 3], at = _varint(raw, at)
        elif key & 7 == 2:
            length, at = _varint(raw, at)
            found[key >> 3], at = raw[at : at + length], at + length
        else:
            found[key >> 3], at = raw[at : at + 4], at + 4
    return found


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


_TABLE = [0] * 256
for _index in range(256):
    _crc = _index
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _TABLE[_index] = _crc


def crc32c(body: bytes) -> int:
    """CRC-32C (Castagnoli), reflected, table-driven."""
    crc = 0xFFFFFFFF
    for byte in body:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def hello(
    sender: str = "shop",
    receiver: str = "bank",
    *,
    versions: tuple[int, int] = (1, 1),
    instance: bytes = b"i" * 16,
    known: bytes = b"",
    received: int = 0,
    window: int = 1 << 26,
) -> bytes:
    """An envelope with a hello."""
    body = message(*versions, sender, receiver, instance, known, received, window)
    return field(2, body)


def frame(
    sequence: int = 1,
    number: int = 1,
    *,
    job: str = "job",
    tag: str = "t",
    sender: str = "shop",
    receiver: str = "bank",
    total: int = 1,
    length: int | None = None,
    checksum: int | None = None,
    body: bytes = b"body",
    extra: bytes = b"",
) -> bytes:
    """An envelope with a frame; by default one that is right."""
    size = len(body) if length is None else length
    crc = crc32c(body) if checksum is None else checksum
    values = (
        sequence,
        number,
        job,
        "task",
        0,
        sender,
        receiver,
        tag,
        total,
        size,
        Fixed(crc),
        body,
    )
    return field(3, message(*values) + extra)


def receipt(received: int, consumed: int = 0) -> bytes:
    return field(1, message(received, consumed))


class Hostile:
    """One connection with its one stream."""

    def __init__(self, address: str, context: ssl.SSLContext, name: str = "bank") -> None:
        host, port = address.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=WAIT)
        self.socket = context.wrap_socket(plain, server_hostname=certificates.dns_name(name))
        self._raw = b""
        self._grpc = b""
        self.socket.sendall(PREFACE + self._frame(SETTINGS, 0, 0, b""))

    def open(self) -> Hostile:
        """Open the stream, after the server's settings and the size of its window have come."""
        wanted = {SETTINGS, WINDOW_UPDATE}
        while wanted:
            wanted.discard(next(self._frames())[0])
        self.socket.sendall(self._frame(SETTINGS, ACK, 0, b""))
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", "/atoll.wire.v1.Wire/Exchange"),
            (":authority", "bank.atoll.internal"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        block = b"".join(
            b"\0" + bytes([len(key)]) + key.encode() + bytes([len(value)]) + value.encode()
            for key, value in headers
        )
        self.socket.sendall(self._frame(HEADERS, END_HEADERS, 1, block))
        return self

    @staticmethod
    def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return (
            len(payload).to_bytes(3, "big")
            + bytes([kind, flags])
            + struct.pack(">I", stream)
            + payload
        )

    def write(self, *envelopes: bytes, end: bool = False) -> None:
        """Send envelopes."""
        self.raw(b"".join(b"\0" + struct.pack(">I", len(e)) + e for e in envelopes), end=end)

    def raw(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes on the stream."""
        pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)] or [b""]
        for number, piece in enumerate(pieces, 1):
            flags = END_STREAM if end and number == len(pieces) else 0
            self.socket.sendall(self._frame(DATA, flags, 1, piece))

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while True:
            while len(self._raw) >= 9 and len(self._raw) >= 9 + (
                size := int.from_bytes(self._raw[:3], "big")
            ):
                kind, payload = self._raw[3], self._raw[9 : 9 + size]
                self._raw = self._raw[9 + size :]
                yield kind, payload
            try:
                more = self.socket.recv(1 << 16)
            except (ssl.SSLEOFError, ConnectionError):
                return
            if not more:
                return
            self._raw += more

    def read_envelopes(self) -> Iterator[dict[int, Value]]:
        """Yield the envelopes that the server sends, until it closes."""
        for kind, payload in self._frames():
            if kind != DATA:
                continue
            self._grpc += payload
            while len(self._grpc) >= 5:
                (size,) = struct.unpack(">I", self._grpc[1:5])
                if len(self._grpc) < 5 + size:
                    break
                envelope, self._grpc = self._grpc[5 : 5 + size], self._grpc[5 + size :]
                yield parse(envelope)

    def refusal(self) -> str:
        """Wait for the server's refusal and return its code."""
        for envelope in self.read_envelopes():
            if 6 in envelope:
                inner = envelope[6]
                assert isinstance(inner, bytes)
                code = parse(inner)[1]
                assert isinstance(code, bytes)
                return code.decode()
        return "closed without a word"

    def close(self) -> None:
        self.socket.close()


def client_context(
    identity: Identity | None, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """TLS that trusts anyone and shows this identity's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    context.set_alpn_protocols(["h2"])
    if identity is not None:
        load(context, identity.certificate, identity.key)
    return context


def load(context: ssl.SSLContext, chain: bytes, key: certificates.PrivateKey) -> None:
    """Give a context a certificate and key, which ``ssl`` reads from a file only."""
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificates.key_pem(key) + chain)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
