"""Upper bounds on everything that a peer or a file can make us allocate or wait for."""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE_BYTES = 64 << 20
ID_BYTES = 256
# Further tries of a step that the options of a job may ask for.
RETRIES = 10


@dataclass(frozen=True)
class Limits:
    """What a job may use: seconds to wait, threads, and the largest table it accepts."""

    receive_seconds: float = 600.0
    silence_seconds: float = 30.0
    connect_seconds: float = 60.0
    threads: int = 0
    rows: int = 1 << 31
    columns: int = 1 << 16
