"""The small rules with names: which steps are ready, which of them start, what is tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from atoll.flow.control.codes import NODE_RESTARTED, NOT_REUSABLE
from atoll.flow.control.facts import Options, StepRule
from atoll.flow.planning import COIN_STEP
from atoll.jobs.approval import PublicKey
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan, TableFacts

Check = Callable[[str, bytes], PublicKey]
Build = Callable[[Job, Mapping[str, Mapping[str, TableFacts]], Mapping[str, str]], Plan]

STEPS_AT_ONCE = 4
LOST_LIMIT = 5


@dataclass(frozen=True)
class Times:
    """Seconds of the machine's own patience, which no party can choose.

    ``offer``: how long an initiator holds its slot for the others; ``backoff`` and
    ``backoff_limit``: how long it waits before the next offer; ``host``: how long a host holds a
    slot for an offer that is neither started nor withdrawn; ``reuse``: how long to wait for what
    the others could reuse; ``kill``: after how long a kill is repeated.
    """

    offer: float = 10.0
    backoff: float = 0.5
    backoff_limit: float = 15.0
    host: float = 120.0
    reuse: float = 5.0
    kill: float = 5.0


@dataclass(frozen=True)
class Rules:
    """What the machine of a node goes by: pure functions and numbers.

    ``check`` returns the public key of a certificate that belongs to a party (or raises);
    ``build`` makes the plan of job, declared tables (party → step) and key fingerprints.
    """

    party: str
    check: Check
    build: Build
    times: Times = Times()


def limited(plan: Plan, options: Options) -> Plan:
    """Return a plan with what its job was proposed with: attempts of each step, time limits.

    All parties know the options, so they sign the same.
    """
    most = 1 + options.retries + LOST_LIMIT
    seconds = {
        "progress_seconds": options.progress_seconds,
        "peer_seconds": options.peer_seconds,
    }
    return plan.limited(dict.fromkeys((COIN_STEP, *plan.job.steps), most), seconds)


def drawn(job: Job) -> bool:
    """Return whether the coins of a job are tossed: nothing else could come of another toss."""
    return job.seed is None


# Network trouble that another attempt may not meet. Certificates, versions and broken frames stay.
_PASSING = frozenset(
    {
        "ATL-NET-001",
        "ATL-NET-002",
        "ATL-NET-003",
        "ATL-NET-004",
        "ATL-NET-010",
        "ATL-NET-021",
        "ATL-NET-022",
        "ATL-NET-040",
        "ATL-NET-042",
        "ATL-NET-045",
        "ATL-NET-046",
        "ATL-WRK-001",
        "ATL-WRK-002",
        NODE_RESTARTED,
        NOT_REUSABLE,
    }
)


def may_retry(code: str | None) -> bool:
    """Return whether another attempt can do better: the network, a lost worker, a restarted node.

    Errors of users, data, peers' protocol and our own code are final.
    """
    return code in _PASSING


def ready_steps(
    steps: Sequence[str],
    upstream: Mapping[str, frozenset[str]],
    done: frozenset[str],
    commanded: frozenset[str],
) -> tuple[str, ...]:
    """Return the steps, in order, whose inputs are complete and that have no attempt yet."""
    return tuple(step for step in steps if step not in commanded and upstream[step] <= done)


def step_rule_parallel(ready: Sequence[str], busy: int, cost: Mapping[str, int]) -> tuple[str, ...]:
    """Start all that are ready, a few at once, in their order."""
    return tuple(ready[: max(0, STEPS_AT_ONCE - busy)])


def step_rule_serial(ready: Sequence[str], busy: int, cost: Mapping[str, int]) -> tuple[str, ...]:
    """Start one step at a time, in their order."""
    return () if busy else tuple(ready[:1])


def step_rule_cost_first(
    ready: Sequence[str], busy: int, cost: Mapping[str, int]
) -> tuple[str, ...]:
    """Start those with the most estimated bytes first, a few at once."""
    dear = sorted(ready, key=lambda step: -cost.get(step, 0))
    return tuple(dear[: max(0, STEPS_AT_ONCE - busy)])


Choose = Callable[[Sequence[str], int, Mapping[str, int]], tuple[str, ...]]
STEP_RULES: Mapping[StepRule, Choose] = {
    "parallel": step_rule_parallel,
    "serial": step_rule_serial,
    "cost_first": step_rule_cost_first,
}


def backoff(job: str, offer: int, times: Times) -> float:
    """Return how long to wait after a withdrawn offer: longer each time, another for each job."""
    whole = min(times.backoff * float(1 << min(offer, 16)), times.backoff_limit)
    spread = hashlib.sha256(f"{job}/{offer}".encode()).digest()
    return whole * (0.5 + int.from_bytes(spread[:4], "big") / (1 << 33))
