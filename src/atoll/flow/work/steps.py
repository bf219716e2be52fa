"""What running a step is, apart from how its worker came to it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from typing import Any

from atoll.channel.api import Counters
from atoll.components.api import Component, Result
from atoll.core.errors import AtollError, CancelledError, InternalError, NetworkError, PeerError
from atoll.core.random import PublicRandom

COIN_TASK = "flow.coin-toss"
LAST_TASK = "flow.last"
_FILE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


def job_random(seed: bytes, *, fixed: bool) -> PublicRandom:
    """Return the choices that all parties may know, from the seed of the step "coin toss".

    ``fixed``: it was not tossed but follows from the job's number.
    """
    return PublicRandom(hashlib.sha256(b"atoll/job-seed/v1" + seed).digest(), fixed=fixed)


def located(error: Exception, party: str, phase: str) -> AtollError:
    """Return an error with a code, party and phase, whatever was raised."""
    if isinstance(error, AtollError):
        return error.located(party=party, phase=phase)
    # The text of a foreign error may hold data, so only its type is sent.
    return InternalError(
        "ATL-INT-001",
        f"an unexpected {type(error).__name__}",
        party=party,
        phase=phase,
        hint="run with ATOLL_TRACEBACK=1 to see where, and report it",
    )


def withhold(error: Exception, component: Component, party: str, step: str) -> AtollError:
    """Return an error of a component, withheld from partners where own values may decide it.

    What partners did, the network and a cancelled task stay as they are, and what the component
    declares as public.
    """
    known = located(error, party, step)
    open_kinds = (PeerError, NetworkError, CancelledError)
    if not isinstance(known, open_kinds) and known.code not in component.public_codes:
        known.withheld, known.phase = True, step
    return known


def check_outputs(component: Component, result: Result) -> None:
    """Refuse outputs that the component did not declare. Errors: ATL-INT-001."""
    unknown = result.outputs.keys() - component.outputs.keys()
    if unknown:
        raise InternalError("ATL-INT-001", f"{component.name} gave an undeclared output")


def check_file_name(name: str, step: str) -> None:
    """Refuse a name that might leave its folder. Errors: ATL-INT-001."""
    if not _FILE.fullmatch(name):
        raise InternalError("ATL-INT-001", "a component named a file badly", phase=step)


def traffic(counters: Counters) -> list[dict[str, Any]]:
    """Return what was counted as plain rows: peer, task, tag and the counts."""
    return [
        {"peer": peer, "task": task, "tag": tag, **asdict(entry)}
        for (peer, task, tag), entry in sorted(counters.snapshot().items())
    ]
