"""What every process that runs tasks does about itself: no core files, and dying in drills."""

from __future__ import annotations

import os
import resource
import signal

from atoll.channel.api import Transport
from atoll.core.settings import require_insecure

_FILES = 65_536
KILL_AT = "ATOLL_FAULT_KILL_AT"


def no_core_dumps() -> None:
    """Forbid core files: they would hold secrets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def many_files() -> None:
    """Allow as many open files as the system lets us: each task that is relayed takes four."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def perhaps_faulty(transport: Transport, attempt: int = 1) -> Transport:
    """Let drills kill this process at a chosen message. Errors: ATL-SET-001 outside simulation.

    The choice is a message's number, or ``NUMBER:TAG`` for one of a tag in a step's first attempt.
    """
    chosen = os.environ.get(KILL_AT)
    if chosen is None:
        return transport
    require_insecure("dying at a chosen message")
    from atoll.channel.faulty import Fault, FaultyTransport

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    number, _, tag = chosen.partition(":")
    if tag and attempt != 1:
        return transport
    return FaultyTransport(transport, [Fault("kill", int(number), tag=tag or None)], die)
