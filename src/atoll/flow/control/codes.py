"""The codes of this room, where several files use one; each has its page in ``docs/errors``."""

from __future__ import annotations

PEER_FAILED = "ATL-NET-004"
STOPPED = "ATL-FLW-007"
PEER_LOST = "ATL-FLW-008"
NO_PROGRESS = "ATL-FLW-009"
LOST_TOO_OFTEN = "ATL-FLW-010"
NODE_RESTARTED = "ATL-FLW-011"
STALE_RECORD = "ATL-FLW-012"
NOT_REUSABLE = "ATL-FLW-017"
REFUSED = "ATL-FLW-018"
NO_ANSWER = "ATL-FLW-020"
NO_PLAN = "ATL-FLW-021"
DROPPED_OUT = "ATL-FLW-022"
EXPIRED = "ATL-PLN-003"
