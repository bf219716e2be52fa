"""What a plan asks of a party's tables: columns, components, minimums, and how much is revealed.

Read off the signed plan alone, before anything runs; what a step really revealed is counted by
``charges`` when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from atoll.core.exposure import (
    EPSILON,
    EVERYONE,
    OPENED_SUMS,
    ROWS,
    UNCOUNTED,
    UNITS,
    Exposure,
    fixed_size,
)
from atoll.core.names import Seat
from atoll.flow.policy.counts import NAMES, Counts, total
from atoll.flow.policy.information_flow import Knowing, knowing
from atoll.jobs.plan import Plan, TableFacts

RUN = Counts(runs=1)


@dataclass(frozen=True)
class TableExposure:
    """What a job would do with one table of this party.

    ``components`` are those of the steps that reveal something and of the silent ones before them
    that this party runs on the table: what these make of its rows is what the others reveal.
    ``steps`` states how much each step reveals at most, by its name; ``reveals`` are (step,
    message) of what others may learn; ``uncounted`` are steps that reveal something in no known
    unit, ``unseen`` those of them whose terms this party is not shown; ``ungrouped`` those that may
    reveal sums and declare no minimum group; ``standing`` those that agree to requests after the
    job. ``partners`` holds the same for each partner alone; one that learns nothing of the table is
    not among them.
    """

    table: str
    digest: str
    columns: tuple[str, ...]
    components: frozenset[str] = frozenset()
    steps: Mapping[str, Counts] = field(default_factory=dict)
    reveals: frozenset[tuple[str, str]] = frozenset()
    minimums: frozenset[tuple[str, str, int]] = frozenset()
    uncounted: frozenset[str] = frozenset()
    ungrouped: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()
    standing: frozenset[str] = frozenset()
    partners: Mapping[str, TableExposure] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """How much one run reveals at most."""
        return total(self.steps.values()) + RUN

    def covered(self) -> dict[str, Counts]:
        """Return the steps that reveal something, with how much; nothing where no unit counts."""
        return {**{step: Counts() for step in self.uncounted}, **self.steps}

    def asked(self, initiator: str | None) -> dict[str, TableExposure]:
        """Return what is asked for each partner, the initiator included, if it is another party.

        It commands the steps and sees how they end, so it counts the run also where it is sent
        nothing.
        """
        if initiator is None or initiator in self.partners:
            return {**self.partners}
        return {**self.partners, initiator: replace(self, steps={}, partners={})}


def table_exposures(
    plan: Plan, party: str, origins: Mapping[str, Sequence[TableFacts]] | None = None
) -> dict[str, TableExposure]:
    """Return what ``plan`` asks of ``party``'s tables, by the table's name.

    ``origins`` holds by step the tables of which it brings something in that was fitted in earlier
    jobs (``policy.origins``).
    """
    found: dict[str, TableExposure] = {}
    brought = [(step, facts) for step, of in (origins or {}).items() for facts in of]
    # Last those of the plan: where a table is both, its content is what the plan names.
    for reader, facts in (*brought, *plan.tables.get(party, {}).items()):
        made = _table_exposure(plan, party, reader, facts)
        found[facts.name] = _join(found.get(facts.name), made)
    return found


def revealing(plan: Plan, step: str) -> bool:
    """Return whether a step reveals anything to another party, or communicates at all."""
    if plan.reveals.get(step) or plan.trust_models.get(step, "local") != "local":
        return True
    return step in plan.seats and any(plan.peers_of(step, p) for p in plan.parties_of(step))


def _table_exposure(plan: Plan, party: str, reader: str, facts: TableFacts) -> TableExposure:
    known = knowing(plan, party, reader)
    revealing_steps = [step for step in known if revealing(plan, step)]
    at_home = _before(plan, known, revealing_steps, party)
    if reader in plan.tables.get(party, {}):
        at_home.discard(reader)  # It brings no row in but those of the table.
    asked = {reader, *at_home}
    whole = _with_silent(plan, _share(plan, party, facts, revealing_steps), at_home, asked)
    partners = {}
    for partner in sorted(plan.job.parties.keys() - {party}):
        steps = [step for step in revealing_steps if _learns(plan, step, known[step], partner)]
        if steps:
            share = _share(plan, party, facts, steps, (known, partner))
            partners[partner] = _with_silent(plan, share, at_home, asked)
    return replace(whole, partners=partners)


def _before(plan: Plan, known: Knowing, revealing_steps: list[str], party: str) -> set[str]:
    """Return the silent steps of a party whose outputs reach one that reveals something."""
    leads, found = set(revealing_steps), set[str]()
    # ``known`` is in the steps' order.
    for step in reversed(list(known)):
        if step in leads:
            leads.update(plan.job.steps[step].sources())
            if step not in revealing_steps and party in plan.parties_of(step):
                found.add(step)
    return found


def _with_silent(
    plan: Plan, share: TableExposure, at_home: Iterable[str], asked: Iterable[str]
) -> TableExposure:
    """Add the components of the silent steps at home, and the minimums of those that are asked."""
    return replace(
        share,
        components=share.components | {plan.job.steps[step].component for step in at_home},
        minimums=share.minimums | set(_minimums(plan, asked)),
    )


def _share(
    plan: Plan,
    party: str,
    facts: TableFacts,
    steps: list[str],
    partner: tuple[Knowing, str] | None = None,
) -> TableExposure:
    """Return what some steps ask of a table, for all partners or one."""
    counted: dict[str, Counts] = {}
    uncounted = set[str]()
    for step in steps:
        ends = None if partner is None else _ends(plan, step, partner[0][step], partner[1])
        counts, more = planned(plan, step, ends)
        if more:
            uncounted.add(step)
        if counts or not more:
            counted[step] = counts
    sums = {step for step, counts in counted.items() if counts.tree_nodes or counts.opened_sums}
    label = () if facts.label is None else (facts.label,)
    return TableExposure(
        table=facts.name,
        digest=facts.digest,
        columns=(*facts.columns, *(name for name in label if name not in facts.columns)),
        components=frozenset(plan.job.steps[step].component for step in steps),
        steps=counted,
        reveals=frozenset(_revealed(plan, party, steps)),
        minimums=frozenset(_minimums(plan, steps)),
        uncounted=frozenset(uncounted),
        ungrouped=frozenset(
            step for step in sums | uncounted if "group" not in plan.minimums.get(step, {})
        ),
        unseen=frozenset(step for step in steps if step in plan.hidden),
        standing=frozenset(plan.standing.keys() & steps),
    )


def _join(one: TableExposure | None, other: TableExposure) -> TableExposure:
    """Put together two uses of one table in a job."""
    if one is None:
        return other
    partners = {**one.partners}
    for partner, share in other.partners.items():
        partners[partner] = _join(partners.get(partner), share)
    return TableExposure(
        table=other.table,
        digest=other.digest,
        columns=tuple(dict.fromkeys((*one.columns, *other.columns))),
        components=one.components | other.components,
        steps={**one.steps, **other.steps},
        reveals=one.reveals | other.reveals,
        minimums=one.minimums | other.minimums,
        uncounted=one.uncounted | other.uncounted,
        ungrouped=one.ungrouped | other.ungrouped,
        unseen=one.unseen | other.unseen,
        standing=one.standing | other.standing,
        partners=partners,
    )


# Whether something goes from a sender to a receiver, both roles or everyone.
Ends = Callable[[str, str], bool]


def _ends(plan: Plan, step: str, known: Collection[str], partner: str) -> Ends:
    """Return what goes from those who may know of a table to a partner, by roles."""
    seats = seats_in(plan, step)
    # One seat of a partner may send another one of its own: what it held hidden before.
    ways = {
        (one.role.value, other.role.value)
        for one in seats
        for other in seats
        if one.party in known and other.party == partner and one != other
    }

    def reach(sender: str, receiver: str) -> bool:
        return any(
            sender in (one, EVERYONE) and receiver in (other, EVERYONE) for one, other in ways
        )

    return reach


def _learns(plan: Plan, step: str, known: Collection[str], partner: str) -> bool:
    """Return whether a step may reveal something to a partner of what ``known`` know."""
    ends, lines = _ends(plan, step, known, partner), plan.reveals.get(step, ())
    if not lines:
        # It reveals nothing about what it sends: whoever receives anything may learn all of it.
        return ends(EVERYONE, EVERYONE) and partner in known
    # Plans from before senders were named do not name who sends it.
    return any(ends(line.get("sender", EVERYONE), line["receiver"]) for line in lines)


def seats_in(plan: Plan, step: str) -> tuple[Seat, ...]:
    """Return the seats of a step; those of the whole job where the plan names none."""
    if step in plan.seats:
        return plan.seats_of(step)
    return tuple(Seat(party, role) for party, held in plan.job.parties.items() for role in held)


def _revealed(plan: Plan, party: str, steps: list[str]) -> Iterator[tuple[str, str]]:
    """Give what others learn: all but what is for this party alone."""
    for step in steps:
        receivers = [(seat.party, seat.role.value) for seat in seats_in(plan, step)]
        for line in plan.reveals.get(step, ()):
            if any(
                name != party and line["receiver"] in (role, EVERYONE) for name, role in receivers
            ):
                yield step, line["message"]


def _minimums(plan: Plan, steps: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    for step in steps:
        for name, value in plan.minimums.get(step, {}).items():
            yield step, name, value


def planned(plan: Plan, step: str, ends: Ends | None = None) -> tuple[Counts, bool]:
    """Return how much one attempt of a step exposes at most, and whether more that no cap counts.

    With ``ends`` only what goes that way. A step that declares nothing is counted by its reveals
    where the sizes of these are plain numbers.
    """
    declared = plan.exposure.get(step, ())
    if not declared:
        sizes = [line["size"] for line in plan.reveals.get(step, ())]
        size = fixed_size(sizes) if sizes else None
        declared = (Exposure(UNCOUNTED, 1) if size is None else Exposure(OPENED_SUMS, size),)
    going = [e for e in declared if ends is None or ends(e.sender, e.receiver)]
    found = {unit: sum(e.amount for e in going if e.unit == unit) for unit in NAMES}
    # A parameter of this name is a promise, whatever the component declares.
    found[EPSILON] = max(found[EPSILON], _most(plan, step, EPSILON))
    if step in plan.standing:
        # Its requests come after the job, as many as it agrees to.
        found[ROWS] = max(found[ROWS], plan.standing[step].most)
    return Counts.rounded(found), any(entry.unit not in UNITS for entry in going)


def most_sent(plan: Plan, step: str) -> dict[str, dict[str, float]]:
    """Return how many elements of which message and field an attempt may send one partner.

    Of rows and sums, which are counted as they go; the number of trees that begin is the guest's to
    end, one message later. Rows of unknown number have no bound, and requests that of their
    agreement.
    """
    found: dict[str, dict[str, float]] = {}
    for entry in plan.exposure.get(step, ()):
        if entry.unit in (ROWS, OPENED_SUMS) and entry.message and entry.each and entry.amount:
            fields = found.setdefault(entry.message, {})
            # A share such as 1/96 of a sum is no exact number.
            most = round(entry.amount / entry.each, 6)
            fields[entry.field] = fields.get(entry.field, 0) + most
    return {} if step in plan.standing else found


def _most(plan: Plan, step: str, name: str) -> float:
    """Return the largest value that a parameter has at any party, 0 where it is no number."""
    sets = [plan.parameters.get(step, {}), *plan.party_parameters.get(step, {}).values()]
    values = [entry.get(name) for entry in sets]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return max(0, *numbers, 0)
