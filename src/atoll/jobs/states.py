"""The states of a job at a node."""

from __future__ import annotations

LIVE = ("awaiting approval", "waiting", "running")
ENDED = ("success", "failed", "cancelled", "refused")
