"""What role code keeps of its state, so that a later attempt of its step goes on there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

State = Mapping[str, Any]


class Checkpoints(Protocol):
    """Where a seat's checkpoints are kept. See ``Party.checkpoint``, ``resume`` and ``once``."""

    def save(self, round_: int, state: State) -> None:
        """Keep the state after so many rounds."""
        ...

    def resume_point(self) -> tuple[int, State] | None:
        """Return the round at which all seats agreed to go on, and what was kept of it."""
        ...

    def spend(self, round_: int) -> None:
        """Note that this round must not be done again."""
        ...

    def answer(self, question: bytes, answer: bytes) -> bytes:
        """Return the first answer to a question, durably: this one, or an earlier attempt's."""
        ...


class NoCheckpoints:
    """Keeps nothing: every attempt begins at the beginning."""

    def save(self, round_: int, state: State) -> None:
        """Do nothing."""

    def resume_point(self) -> tuple[int, State] | None:
        """Return None."""
        return None

    def spend(self, round_: int) -> None:
        """Do nothing."""

    def answer(self, question: bytes, answer: bytes) -> bytes:
        """Return this answer: there is no other attempt."""
        return answer
