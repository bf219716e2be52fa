"""A standing agreement that is played."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.flow.api.services import Page
from atoll.jobs.errors import ConflictError, NotFoundError
from tests.sdk.small import DIGEST

AGREEMENT = "20260101000000-00000007.scores"


class Agreements:
    """One standing agreement; its answers are the lengths of the ids."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, float]] = []
        self.agreement: dict[str, Any] = {
            "id": AGREEMENT,
            "job": AGREEMENT.partition(".")[0],
            "step": "scores",
            "party": "bank",
            "state": "live",
            "until": "2030-01-31",
            "unit": "rows",
            "per_day": 100,
            "most": 1000,
            "used_today": 3,
            "used": 7,
            "model": "credit",
            "version": 1,
            "columns": {"bank": ["x0"], "shop": ["v0", "v1"]},
            "plan_digest": DIGEST,
            "created": 1.0,
        }

    def list(self, *, live: bool, limit: int, after: str | None) -> Any:
        return Page([self.agreement] if not live or self.agreement["state"] == "live" else [])

    def get(self, agreement: str) -> Any:
        if agreement != AGREEMENT:
            text = "there is no such standing agreement here"
            raise NotFoundError("ATL-AGR-001", text, place=agreement)
        return self.agreement

    def end(self, agreement: str, reason: str, actor: Any) -> Any:
        ended = {"state": "ended", "ended": 2.0, "ended_by": actor.user, "reason": reason}
        self.get(agreement).update(ended)
        return self.agreement

    def ask(self, agreement: str, body: Mapping[str, Any], seconds: float, actor: Any) -> Any:
        if self.get(agreement)["state"] == "ended":
            raise ConflictError("ATL-AGR-002", "admin ended the standing agreement")
        self.asked.append((body, seconds))
        known = [None if id == "nobody" else float(len(id)) for id in body["ids"]]
        return {"scores": known, "missing": [id for id in body["ids"] if id == "nobody"]}
