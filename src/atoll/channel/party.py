"""What role code is given: who it is, its peers, and its sources of randomness."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from atoll.channel.api import Channel, M, Metric, Progress, no_metric, no_progress
from atoll.channel.checkpoints import Checkpoints, NoCheckpoints, State
from atoll.channel.identities import Identities, NoIdentities
from atoll.core.clock import Clock, SystemClock
from atoll.core.errors import AtollError, CancelledError, NetworkError, UserError
from atoll.core.limits import Limits
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.core.random import PublicRandom, SecretRandom

# How a wait for a peer ends that is not there any more.
LEFT = frozenset({"ATL-NET-001", "ATL-NET-002", "ATL-NET-003", "ATL-NET-004", "ATL-NET-010"})


class Cancel:
    """A flag that long work looks at between two pieces; ``above`` is one that ends it as well."""

    def __init__(self, above: Cancel | None = None) -> None:
        self._event = threading.Event()
        self._above = above

    def request(self) -> None:
        """Ask for the work to stop."""
        self._event.set()

    def check(self) -> None:
        """Stop here if asked to. Errors: ATL-JOB-001."""
        if self._event.is_set():
            raise CancelledError("ATL-JOB-001", "the job was cancelled")
        if self._above is not None:
            self._above.check()


@dataclass(frozen=True)
class Party:
    """This party within one task.

    ``roles`` maps every seat of the step, this one included, to its role; ``name`` is this seat's
    address: the party, or ``party:role`` for a further seat of a party. ``reachable`` are the seats
    that it may communicate with (None: all others), ``rows`` the most rows that seats bring by the
    plan and ``columns`` how many columns, where that is known. ``session`` is the 32-byte session
    id that all seats derived from the job hash, step, attempt and fresh nonces; it enters every
    hash, key and tag. ``step_id`` names the step of this plan under the job's seed in 32 bytes,
    alike at all seats and in every attempt: names may follow from it, never keys. ``public_rng``
    comes from the joint coin toss. ``identities`` sign as this seat and check other seats'
    signatures, where the step is a star.
    ``metric`` takes name, value and number (of the tree, round or epoch) of a point that this
    party's own node shows while the work goes on; it is sent to no peer.
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
    reachable: tuple[str, ...] | None = None
    step_id: bytes = b""
    checkpoints: Checkpoints = field(default_factory=NoCheckpoints)
    rows: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    identities: Identities = field(default_factory=NoIdentities)

    @property
    def peers(self) -> tuple[str, ...]:
        """The seats that this one may communicate with, in the order of their addresses."""
        if self.reachable is not None:
            return self.reachable
        return tuple(sorted(self.roles.keys() - {self.name}))

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
        return self._only(Role.GUEST)

    @property
    def aggregator(self) -> str:
        """The seat that adds up. Errors: ATL-JOB-002 unless there is exactly one."""
        return self._only(Role.AGGREGATOR)

    @property
    def arbiter(self) -> str:
        """The seat that helps without data. Errors: ATL-JOB-002 unless there is exactly one."""
        return self._only(Role.ARBITER)

    @property
    def clients(self) -> tuple[str, ...]:
        """The seats with rows of their own, in the order of their addresses."""
        return self.having(Role.CLIENT)

    def _only(self, role: Role) -> str:
        found = self.having(role)
        if len(found) != 1:
            raise UserError(
                "ATL-JOB-002", f"this takes exactly 1 {role.value}, and there are {len(found)}"
            )
        return found[0]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The feature providers, in the order of their names."""
        return self.having(Role.HOST)

    def gather(
        self,
        senders: Sequence[str],
        tag: str,
        kind: type[M],
        *,
        least: int | None = None,
        deadline: float | None = None,
    ) -> dict[str, M]:
        """Wait for one message of each of ``senders``; return them by sender.

        With ``least``, senders that failed, left or stay silent until ``deadline`` seconds from now
        are left out as long as so many remain. Errors: ATL-NET-048 fewer do; without ``least``
        those of ``Channel.receive``.
        """
        wait = self.limits.receive_seconds if deadline is None else deadline
        until = self.clock.now() + wait
        found: dict[str, M] = {}
        for sender in senders:
            left = max(until - self.clock.now(), 0.0)
            try:
                found[sender] = self.channel.receive(sender, tag, kind, deadline=left)
            except AtollError as error:
                if least is None or error.code not in LEFT:
                    raise
        if least is not None and len(found) < least:
            raise NetworkError(
                "ATL-NET-048",
                f"only {len(found)} of {len(senders)} parties are left, and {least} must stay",
                phase=tag,
                hint="wait for the others to come back, or ask for fewer",
            )
        return found

    def try_send(self, receiver: str, tag: str, message: Message, *, spare: bool = False) -> bool:
        """Send a message; one that is ``spare`` and has left is passed over (False).

        Errors: those of ``Channel.send``.
        """
        try:
            self.channel.send(receiver, tag, message)
        except AtollError as error:
            if not spare or error.code not in LEFT:
                raise
            return False
        return True

    def checkpoint(self, round_: int, state: State) -> None:
        """Keep this seat's state after ``round_`` rounds (1, 2, …), for an attempt after this one.

        ``state`` holds None, booleans, integers of 64 bits, floats, text, bytes, NumPy arrays, and
        lists and maps by text of these; a GiB at most. It stays at this party. Secret randomness,
        keys and ciphertexts never belong in it: they are drawn again. Every seat must call it at
        the same rounds, for all go on at a round that each of them holds; the newest two are kept.
        Errors: ATL-WRK-011 a state of another form.
        """
        self.checkpoints.save(round_, state)

    def resume(self) -> tuple[int, State] | None:
        """Return the round at which all seats resume and this seat's state; None: start afresh.

        Lists come back as lists, arrays as fresh arrays. Whoever resumes reports with progress and
        metrics what the earlier attempt had done, for an attempt is shown by itself.
        """
        return self.checkpoints.resume_point()

    def once(self, round_: int) -> None:
        """Note durably that round ``round_`` (0, 1, …) is about to reveal what is drawn only once.

        For fresh noise, which a second draw over the same values would weaken: a later attempt that
        would have to do this round again, or an earlier one, is refused (ATL-WRK-010). Errors:
        ATL-WRK-009 it cannot be written.
        """
        self.checkpoints.spend(round_)

    def answer(self, question: bytes, answer: bytes) -> bytes:
        """Return the first answer that this seat gave to a question in any attempt of its step.

        Both are 32 bytes. The answer is kept durably before this returns, so that no restart has a
        seat give two. Errors: ATL-WRK-009 it cannot be written.
        """
        return self.checkpoints.answer(question, answer)

    def at(self, lane: str) -> Party:
        """Return this party on a lane of its own, for a sub-protocol or parallel work."""
        return replace(self, channel=self.channel.fork(lane))
