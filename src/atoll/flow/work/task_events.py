"""What a worker reports of a task while it goes on and at its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atoll.core.errors import (
    AtollError,
    CancelledError,
    DataError,
    InternalError,
    NetworkError,
    PeerError,
    UserError,
)
from atoll.jobs.errors import (
    ConflictError,
    DeniedError,
    EnvironmentFault,
    NotFoundError,
    TamperedError,
)

# The largest request and answer of a session, as compact JSON.
REQUEST_BYTES = 4 << 20
ANSWER_BYTES = 8 << 20

_ERRORS: Mapping[str, type[AtollError]] = {
    kind.__name__: kind
    for kind in (
        UserError,
        DataError,
        PeerError,
        NetworkError,
        InternalError,
        CancelledError,
        NotFoundError,
        DeniedError,
        ConflictError,
        EnvironmentFault,
        TamperedError,
    )
}

TERMINAL = frozenset({"done", "failed", "lost"})

KINDS = TERMINAL | {"phase", "progress", "metric", "log", "traffic", "resumed", "answer", "spend"}


@dataclass(frozen=True)
class TaskEvent:
    """One event of one attempt of one step.

    ``kind`` and its ``data``:

    - ``phase`` {phase}; ``progress`` {phase, done, total}; ``metric`` {name, value, number};
    - ``log`` {level, message, logger}; ``traffic`` {traffic: rows so far};
    - ``resumed`` {round}: it goes on at this round of an earlier attempt;
    - in a session ``answer`` {id, body or error} to a request, and ``spend`` {id, units}, which
      waits to be granted or refused (``Worker.send``);
    - ``done`` {outputs: {name: {kind, digest, bytes, rows?}}, files: {name: {digest, bytes}},
      report_digest?, report_bytes?, seconds, cpu_seconds, peak_memory, traffic, reveals};
    - ``failed`` {error: ``AtollError.to_dict()``, seconds, cpu_seconds, peak_memory, traffic,
      reveals}: code ATL-JOB-001 means that it was cancelled;
    - ``lost`` {error}: the process ended without a word. What it revealed before is unknown, so
      the ledger must charge all that the plan declares.

    Exactly one of the last three ends a task. A file lies at ``outputs_folder/digest``.
    """

    kind: str
    job: str
    step: str
    attempt: int
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def terminal(self) -> bool:
        """Whether the task is over with this."""
        return self.kind in TERMINAL

    @property
    def state(self) -> str:
        """The task's state after this: running, success, failed, cancelled or lost."""
        match self.kind:
            case "done":
                return "success"
            case "failed":
                return "cancelled" if self.data["error"]["code"] == "ATL-JOB-001" else "failed"
            case "lost":
                return "lost"
        return "running"


OnEvent = Callable[[TaskEvent], None]
"""Takes events on the pool's own thread: it must be quick and must not raise."""


def compact(value: Any) -> bytes:
    """Return JSON without spaces. Errors: ATL-INT-001 what has no such form."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InternalError("ATL-INT-001", "a value that is no JSON") from error


def error_of(value: Any) -> AtollError:
    """Return the error whose plain form another process of this party sent."""
    fields = value if isinstance(value, dict) else {}
    kind = _ERRORS.get(str(fields.get("kind")), AtollError)
    where = {n: fields[n] for n in ("party", "phase", "place", "hint") if n in fields}
    return kind(str(fields.get("code", "ATL-INT-001")), str(fields.get("message", "")), **where)
