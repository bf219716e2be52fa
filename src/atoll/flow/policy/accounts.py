"""The accounts of the ledger: sums over its lines, kept in memory and brought up to date.

A job opens an account with ``reserve`` lines, is charged by ``charge`` lines and closes it with
``settle``. A run is charged when it begins (``run``), the rest when a step's attempt has ended
(``task``). While it is open each step counts as the larger of what is reserved and what was
charged; closed, what was charged counts. What is asked under a standing agreement (``spend``)
counts from then on, whatever becomes of a job's account.

A plan holds a table's commitment, another in each job; a ``commitment`` line states what content it
is to. A content has another digest with each column that is named as its label; lines of the same
kind state which rows it is of. Accounts are kept by rows, and what was charged under another digest
of them before is added to theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

from atoll.flow.policy.counts import Counts, total
from atoll.flow.policy.exposure import TableExposure

APPROVAL, RESERVE, START = "approval", "reserve", "start"
TASK, CHARGE, SETTLE = "task", "charge", "settle"
COMMITMENT = "commitment"
SPEND = "spend"
BEGUN = "run"
KINDS = (APPROVAL, COMMITMENT, RESERVE, BEGUN, START, TASK, CHARGE, SETTLE, SPEND)
WHOLE = ""  # the "step" under which a run itself is reserved


class Key(NamedTuple):
    """Whose account: a table, by name and content, and a partner."""

    table: str
    digest: str
    partner: str


@dataclass
class StepAccount:
    """One step of an open job: how often it is covered, what was reserved, what was charged."""

    covered: int = 0
    reserved: Counts = field(default_factory=Counts)
    charged: Counts = field(default_factory=Counts)
    attempts: set[int] = field(default_factory=set)

    def add(self, other: StepAccount) -> None:
        """Take in what another account of the same step holds."""
        self.covered += other.covered
        self.reserved = self.reserved + other.reserved
        self.charged = self.charged + other.charged
        self.attempts |= other.attempts

    def open_counts(self) -> Counts:
        """Return what counts as long as the job has not ended."""
        return self.reserved.most(self.charged)


@dataclass
class JobAccount:
    """A job's open account: its steps by key, and the number of the last run that was counted.

    ``asked`` is the last run that was reserved; ``settling`` says that the job has ended and that
    only steps are left of which an attempt has not been reported.
    """

    steps: dict[Key, dict[str, StepAccount]] = field(default_factory=dict)
    turn: int | None = None
    asked: int = 0
    settling: bool = False

    @property
    def latest(self) -> int:
        """The number of the last run that was reserved or counted."""
        return max(self.asked, self.turn or 0)

    def final_counts(self, key: Key) -> Counts:
        """Return what remains when the job has ended: what was charged."""
        charged = total(step.charged for step in self.steps[key].values())
        ran = any(step.attempts for step in self.steps[key].values())
        # In lines from before runs were charged as they begin, whatever was revealed makes one.
        return charged + Counts(runs=1) if ran and self.turn is None else charged

    def counted(self, turn: int) -> bool:
        """Return whether the run of this number was counted."""
        return self.turn is not None and turn <= self.turn

    def covers(self, key: Key, step: str) -> bool:
        """Return whether one more attempt of a step is covered by what is reserved."""
        entry = self.steps.get(key, {}).get(step, StepAccount())
        return len(entry.attempts) < entry.covered

    def step(self, key: Key, name: str) -> StepAccount:
        """Return a step's account, opened where there is none."""
        return self.steps.setdefault(key, {}).setdefault(name, StepAccount())


@dataclass
class History:
    """What stays of a job after it was settled: how many runs it was given, and took.

    ``taken`` counts runs that began, and attempts that took one more.
    """

    allowed: int = 1
    taken: int = 0
    grants: frozenset[str] = frozenset()
    plans: set[str] = field(default_factory=set)
    starts: dict[str, set[int]] = field(default_factory=dict)
    unnumbered: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, set[int]] = field(default_factory=dict)

    def used_up(self) -> bool:
        """Return whether no run is left."""
        return self.taken >= self.allowed

    def begun(self, step: str, attempt: int) -> bool:
        """Return whether an attempt of a step, not reported as ended, was started."""
        numbered = self.starts.get(step, set())
        # Lines from before starts had numbers.
        ended = self.attempts.get(step, set()) - numbered
        return attempt in numbered or self.unnumbered.get(step, 0) > len(ended)


class OpenSums:
    """What all open jobs count for, by key, brought up to date with each change of a step.

    Each plan asks for it, and a thousand jobs may wait.
    """

    def __init__(self) -> None:
        self._whole: dict[Key, Counts] = {}
        # Exact, so that what was added and taken away again leaves nothing.
        self._epsilon: dict[Key, Fraction] = {}

    def change(self, key: Key, before: Counts, after: Counts) -> None:
        """Count ``after`` of a step in place of ``before``."""
        sums = self._whole.get(key, Counts()) + replace(after, epsilon=0.0)
        sums = sums - replace(before, epsilon=0.0)
        epsilon = self._epsilon.get(key, Fraction()) + Fraction(after.epsilon)
        epsilon -= Fraction(before.epsilon)
        if sums or epsilon:
            self._whole[key], self._epsilon[key] = sums, epsilon
        else:
            self._whole.pop(key, None)
            self._epsilon.pop(key, None)

    def items(self) -> Iterator[tuple[Key, Counts]]:
        """Give the sum of each key that has one."""
        for key, sums in self._whole.items():
            yield key, replace(sums, epsilon=float(self._epsilon[key]))

    def clear(self) -> None:
        """Forget everything."""
        self._whole.clear()
        self._epsilon.clear()


class Accounts:
    """The accounts up to one line of the ledger. Not for several threads at once."""

    def __init__(self) -> None:
        self.number = 0
        self.hash = ""
        self.open: dict[str, JobAccount] = {}
        self.jobs: dict[str, History] = {}
        self.nonces: dict[str, str] = {}
        self._contents: dict[str, str] = {}
        self._held: set[str] = set()
        self._closed: dict[Key, Counts] = {}
        self._sums = OpenSums()

    def clear(self) -> None:
        """Forget everything, to begin at the first line again."""
        self.number, self.hash = 0, ""
        self.open.clear()
        self.jobs.clear()
        self.nonces.clear()
        self._contents.clear()
        self._held.clear()
        self._closed.clear()
        self._sums.clear()

    def take(self, kind: str, body: Mapping[str, Any]) -> None:
        """Take in one line."""
        if kind == RESERVE:
            self._reserve(body)
        elif kind == COMMITMENT:
            self._unite(str(body["commitment"]), str(body["digest"]))
        elif kind == APPROVAL:
            self.nonces[str(body["nonce"])] = str(body.get("run", ""))
        elif kind == START:
            # The file's ledger has lines of this kind too, perhaps without a run.
            history, step = self.jobs.setdefault(str(body.get("run")), History()), str(body["step"])
            if "attempt" in body:
                history.starts.setdefault(step, set()).add(int(body["attempt"]))
            else:
                history.unnumbered[step] = history.unnumbered.get(step, 0) + 1
            # Lines from before there were those of runs.
            history.taken += int(body.get("spends", 0))
        elif kind == BEGUN:
            job = str(body["run"])
            self.jobs.setdefault(job, History()).taken += 1
            self.open.setdefault(job, JobAccount()).turn = int(body["turn"])
        elif kind == TASK:
            history = self.jobs.setdefault(str(body["run"]), History())
            history.attempts.setdefault(str(body["step"]), set()).add(int(body["attempt"]))
        elif kind == CHARGE:
            self._charge(body)
        elif kind == SETTLE:
            self._settle(str(body["run"]), frozenset(body.get("keep", ())))
        elif kind == SPEND:
            self._close(self._key(body), Counts.of(body["counts"]))

    def used(self, table: str, digest: str | None, partner: str) -> Counts:
        """Return what a partner used of a table, by its name or its content.

        ``digest`` is that of the content, or a commitment to it.
        """
        digest = None if digest is None else self.content(digest)

        def same(key: Key) -> bool:
            return key.partner == partner and (key.table == table or key.digest == digest)

        kept = (*self._closed.items(), *self._sums.items())
        return total(counts for key, counts in kept if same(key))

    def content(self, digest: str) -> str:
        """Return the digest by which accounts are kept: of the rows that this one stands for."""
        while digest in self._contents:
            digest = self._contents[digest]
        return digest

    def key(self, exposure: TableExposure, partner: str) -> Key:
        """Return whose account a use of a table goes to."""
        return Key(exposure.table, self.content(exposure.digest), partner)

    def reserved(self, job: str, exposure: TableExposure, partner: str, step: str) -> Counts:
        """Return what a job has reserved of a table for one step."""
        key = self.key(exposure, partner)
        steps = self.open.get(job, JobAccount()).steps.get(key, {})
        return steps.get(step, StepAccount()).reserved

    def _key(self, body: Mapping[str, Any]) -> Key:
        digest = self.content(str(body["digest"]))
        self._held.add(digest)
        return Key(str(body["table"]), digest, str(body["partner"]))

    def _unite(self, name: str, digest: str) -> None:
        """Keep the accounts of two digests as one from here on."""
        former, digest = self.content(name), self.content(digest)
        if former == digest:
            return
        self._contents[former] = digest
        if former not in self._held:
            return
        self._held.discard(former)
        self._held.add(digest)
        for key in [key for key in self._closed if key.digest == former]:
            self._close(key._replace(digest=digest), self._closed.pop(key))
        for account in self.open.values():
            for key in [key for key in account.steps if key.digest == former]:
                self._move(account, key, key._replace(digest=digest))

    def _move(self, account: JobAccount, key: Key, to: Key) -> None:
        for name, entry in account.steps.pop(key).items():
            self._sums.change(key, entry.open_counts(), Counts())
            kept = account.step(to, name)
            before = kept.open_counts()
            kept.add(entry)
            self._sums.change(to, before, kept.open_counts())

    def _reserve(self, body: Mapping[str, Any]) -> None:
        job, key, step = str(body["run"]), self._key(body), str(body["step"])
        if job not in self.open:
            self.open[job] = JobAccount()
        account, history = self.open[job], self.jobs.setdefault(job, History())
        history.allowed = max(history.allowed, int(body.get("runs", 1)))
        history.plans.add(str(body["plan"]))
        # Those of the last approval: what a person approves again rests on no older grant.
        history.grants = frozenset(body.get("grants", ()))
        account.settling = False
        account.asked = max(account.asked, int(body.get("turn", 0)))
        entry = account.step(key, step)
        before = entry.open_counts()
        entry.covered += 1
        entry.reserved = entry.reserved + Counts.of(body["counts"])
        self._sums.change(key, before, entry.open_counts())

    def _charge(self, body: Mapping[str, Any]) -> None:
        job, key, step = str(body["run"]), self._key(body), str(body["step"])
        counts, attempt = Counts.of(body["counts"]), int(body["attempt"])
        account = self.open.get(job)
        if account is None:
            # Sent after the job was settled: it was revealed all the same.
            self._close(key, counts)
            return
        entry = account.step(key, step)
        before = entry.open_counts()
        entry.attempts.add(attempt)
        entry.charged = entry.charged + counts
        self._sums.change(key, before, entry.open_counts())

    def at_work(self, job: str) -> frozenset[str]:
        """Return the reserved steps of which an attempt was begun and has not been reported."""
        account, history = self.open.get(job), self.jobs.get(job)
        if account is None or history is None:
            return frozenset()
        reserved = {step for steps in account.steps.values() for step in steps}
        return frozenset(
            step
            for step, begun in history.starts.items()
            if step in reserved and begun - history.attempts.get(step, set())
        )

    def _settle(self, job: str, kept: frozenset[str] = frozenset()) -> None:
        account = self.open.pop(job, JobAccount())
        if kept:
            # What such an attempt reveals is not known yet: its step counts as it did.
            left = JobAccount(turn=account.turn, asked=account.asked, settling=True)
            for key, steps in account.steps.items():
                left.steps[key] = {step: steps.pop(step) for step in kept & steps.keys()}
            self.open[job] = left
        finals = {key: account.final_counts(key) for key in account.steps}
        for key, final in finals.items():
            for entry in account.steps[key].values():
                self._sums.change(key, entry.open_counts(), Counts())
            if final:
                self._close(key, final)
        if account.turn is None and any(final.runs for final in finals.values()):
            self.jobs[job].taken += 1

    def _close(self, key: Key, counts: Counts) -> None:
        self._closed[key] = self._closed.get(key, Counts()) + counts
