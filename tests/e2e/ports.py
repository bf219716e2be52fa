"""Ports of loopback for servers that start, end and start again on the same one.

They lie below those that the system hands out by itself: one of these could be taken by anybody
while its server is down. Processes that test at the same time take theirs from parts of their own.
"""

from __future__ import annotations

import os
import random
import re
import socket
from pathlib import Path

_LOWEST = 10_000
_PARTS = 16
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def _own_part() -> range:
    """Return the ports of this process; none where the system hands out nearly all by itself."""
    highest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    each = max(highest - _LOWEST, 0) // _PARTS
    number = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
    first = _LOWEST + int(number) % _PARTS * each
    return range(first, first + each)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nothing listens on, another one each time."""
    ports = [port for port in _own_part() if port not in _given]
    # Not in order: another run of the tests may go on beside this one.
    random.SystemRandom().shuffle(ports)
    for port in ports:
        if _is_free(port):
            _given.add(port)
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
