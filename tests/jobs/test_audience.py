"""Who is told of which table: the rule against its plain definition, over random graphs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atoll.jobs.audience import audience, hidden_steps, shown
from atoll.jobs.definition import Job, parse_job

PARTIES = ("bank", "post", "shop", "mill")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Job, dict[str, set[str]], set[str]]:
    """A job, who takes part in each step, and the steps that bring tables in."""
    count = draw(st.integers(1, 7))
    names = [f"s{at}" for at in range(count)]
    steps: dict[str, Any] = {}
    for at, name in enumerate(names):
        sources = draw(st.sets(st.sampled_from(names[:at]), max_size=3)) if at else set()
        inputs = {f"in{n}": f"{source}.out" for n, source in enumerate(sorted(sources))}
        steps[name] = {"component": "any", "inputs": inputs}
    # A file may name the steps in any order.
    mixed = {name: steps[name] for name in draw(st.permutations(names))}
    parties = dict.fromkeys(PARTIES, "host")
    job = parse_job({"name": "any", "parties": parties, "steps": mixed})
    taking = {name: draw(st.sets(st.sampled_from(PARTIES))) for name in names}
    return job, taking, draw(st.sets(st.sampled_from(names)))


def below(job: Job, step: str) -> set[str]:
    """Return a step and all that follow from it."""
    found = {step}
    for _ in job.steps:
        found |= {name for name, entry in job.steps.items() if entry.sources() & found}
    return found


@given(graphs())
def test_the_rule_is_its_definition(drawn: tuple[Job, dict[str, set[str]], set[str]]) -> None:
    job, taking, bringing = drawn
    reported = audience(job, taking, bringing)
    for table in bringing:
        need = set().union(*(taking[step] for step in below(job, table)))
        assert set(reported.get(table, PARTIES)) == need
        assert (table in reported) == (need != set(PARTIES))
    for party in PARTIES:
        seen = shown(dict.fromkeys(bringing, 1), reported, party)
        hidden = hidden_steps(job, reported, party)
        assert hidden == set().union(*(below(job, at) for at in bringing - seen.keys()))
        # It sees whatever it takes part in, and all above.
        assert not hidden & {step for step in job.steps if party in taking[step]}
        assert all(
            job.steps[step].sources().isdisjoint(hidden) for step in job.steps.keys() - hidden
        )


@given(graphs())
def test_more_that_take_part_are_never_told_less(
    drawn: tuple[Job, dict[str, set[str]], set[str]],
) -> None:
    job, taking, bringing = drawn
    grown = [taking, {step: parties | {"bank"} for step, parties in taking.items()}]
    for less, more in pairwise([audience(job, entry, bringing) for entry in grown]):
        for table in bringing:
            assert set(less.get(table, PARTIES)) <= set(more.get(table, PARTIES))
