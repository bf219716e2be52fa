"""What every process that runs tasks does about itself: no core files, and dying in drills."""

from __future__ import annotations

import os
import resource
import signal

from atoll.channel.api import Transport
from atoll.core.settings import require_insecure

KILL_AT = "ATOLL_FAULT_KILL_AT"


def no_core_dumps() -> None:
    """Forbid core files: they would hold secrets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def perhaps_faulty(transport: Transport) -> Transport:
    """Let drills kill this process at a chosen message. Errors: ATL-SET-001 outside simulation."""
    chosen = os.environ.get(KILL_AT)
    if chosen is None:
        return transport
    require_insecure("dying at a chosen message")
    from atoll.channel.faulty import Fault, FaultyTransport

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return FaultyTransport(transport, [Fault("kill", int(chosen))], die)
