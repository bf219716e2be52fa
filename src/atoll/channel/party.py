"""What role code is given: who it is, whom it talks to, and its sources of randomness."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from atoll.channel.api import Channel, Metric, Progress, no_metric, no_progress
from atoll.core.clock import Clock, SystemClock
from atoll.core.errors import CancelledError, UserError
from atoll.core.limits import Limits
from atoll.core.names import Role
from atoll.core.random import PublicRandom, SecretRandom


class Cancel:
    """A flag that long work looks at between two pieces."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ask for the work to stop."""
        self._event.set()

    def check(self) -> None:
        """Stop here if asked to. Errors: ATL-JOB-001."""
        if self._event.is_set():
            raise CancelledError("ATL-JOB-001", "the job was cancelled")


@dataclass(frozen=True)
class Party:
    """This party within one task.

    ``roles`` maps every party of the job, this one included, to its role. ``session`` is the
    32-byte session id that all parties derived from the job hash, step, attempt and fresh nonces;
    it enters every hash, key and tag. ``public_rng`` comes from the joint coin toss.
    ``metric`` takes name, value and number (of the tree, round or epoch) of a point that this
    party's own node shows while the work goes on; no peer is told.
    """

    name: str
    roles: dict[str, Role]
    channel: Channel
    session: bytes
    public_rng: PublicRandom
    secret_rng: SecretRandom = field(default_factory=SecretRandom)
    clock: Clock = field(default_factory=SystemClock)
    limits: Limits = field(default_factory=Limits)
    progress: Progress = no_progress
    metric: Metric = no_metric
    cancel: Cancel = field(default_factory=Cancel)

    @property
    def role(self) -> Role:
        """This party's role."""
        return self.roles[self.name]

    def having(self, role: Role) -> tuple[str, ...]:
        """Return the parties of a role, in the order of their names."""
        return tuple(sorted(name for name, held in self.roles.items() if held == role))

    @property
    def guest(self) -> str:
        """The label holder. Errors: ATL-JOB-002 unless there is exactly one."""
        found = self.having(Role.GUEST)
        if len(found) != 1:
            raise UserError("ATL-JOB-002", "a vertical job has exactly one guest")
        return found[0]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The feature providers, in the order of their names."""
        return self.having(Role.HOST)

    def at(self, lane: str) -> Party:
        """Return this party on a lane of its own, for a sub-protocol or parallel work."""
        return replace(self, channel=self.channel.fork(lane))
