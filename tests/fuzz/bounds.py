"""What a reader may take for bytes of others: four times their limit, and a second."""

from __future__ import annotations

from pathlib import Path

from atoll.flow.api.settings import BODY_BYTES
from atoll.flow.control.facts import LIMITS
from atoll.flow.control.sync import SYNC_BYTES
from atoll.flow.node.jobs.declaring import DECLARATION_BYTES
from atoll.jobs.approval import DOCUMENT_BYTES
from atoll.jobs.definition import JOB_FILE_BYTES

CORPORA = Path(__file__).parent / "corpora"
SECONDS = 1.0

# Bytes that an entrance takes; the others take a message's or a part's, and are held to its length.
ENTRANCES = {
    "section": max(LIMITS.values()),
    "sync": SYNC_BYTES,
    "job": JOB_FILE_BYTES,
    "declaration": DECLARATION_BYTES,
    "approval": DOCUMENT_BYTES,
    "session": 4096,
    "enrolment": 16 << 10,
    "invitation": 4096,
    "certificates": 64 << 10,
    "body": BODY_BYTES,
    "manifest": 4 << 20,
    "json": JOB_FILE_BYTES,
    "yaml": JOB_FILE_BYTES,
    "toml": JOB_FILE_BYTES,
}


def allowed(name: str, length: int) -> int:
    """Return how many bytes of memory a reader may take for an input of this length.

    Small inputs are held to their length too: a small field may cost a hundredfold, not more.
    """
    return min(4 * ENTRANCES.get(name, length), 1000 * length) + (1 << 20)
