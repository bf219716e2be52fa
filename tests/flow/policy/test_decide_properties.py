"""Adding a restriction, anywhere, never makes a job approved that was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atoll.flow.policy.counts import NAMES, Counts
from atoll.flow.policy.decision import PolicySettings, decide
from atoll.flow.policy.grants import Grant
from tests.flow.policy.plans import COLUMNS, GUEST, HOST, NOW, OTHER, grant, plan_of, steps

PLANS = [plan_of(), plan_of(hosts=(HOST, OTHER)), plan_of(steps(trees=9, minimum=5))]
MESSAGES = ("psi.*", "boosting.*", "histogram.*", "*")
COMPONENTS = ("psi", "boosting", "prediction", "*")


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, unique=True).map(tuple)


caps = st.none() | st.integers(0, 60)
limits = st.fixed_dictionaries(
    {
        "runs": caps,
        "psi_runs": caps,
        "tree_nodes": caps,
        "minimum_group": st.sampled_from([0, 10, 20, 30]),
        "reveals": st.none() | some(MESSAGES),
    }
)
grants = st.builds(
    lambda terms: grant(**terms),
    st.fixed_dictionaries(
        {
            "data": st.sampled_from(["baskets", "baskets", "calls"]),
            "partners": some((GUEST, OTHER, "*")),
            "columns": some((*COLUMNS, "*")),
            "components": some(COMPONENTS) | st.just(COMPONENTS[:3]),
            "roles": some(("guest", "host", "*")),
            "limits": limits,
            "minimum_intersection": st.sampled_from([0, 5, 20, 50]),
            "automatic": st.booleans(),
            "expires": st.none() | st.sampled_from([NOW - 1, NOW + 1]),
            "revoked": st.none() | st.just(NOW - 5),
        }
    ),
)
counts = st.builds(
    Counts, runs=st.integers(0, 40), psi_runs=st.integers(0, 40), tree_nodes=st.integers(0, 60)
)
usages = st.fixed_dictionaries(
    {("baskets", GUEST): counts, ("baskets", OTHER): counts}  # used so far
)
settings = st.builds(
    PolicySettings,
    default=st.sampled_from(["ask", "deny"]),
    minimum_intersection=st.sampled_from([0, 10, 30]),
    own_jobs=st.sampled_from(["approve", "ask"]),
)


def _limited(change: Callable[[Grant], dict[str, Any]]) -> Callable[[Grant], Grant]:
    def apply(one: Grant) -> Grant:
        return one.model_copy(update={"limits": one.limits.model_copy(update=change(one))})

    return apply


def _lower(name: str) -> Callable[[Grant], Grant]:
    def change(one: Grant) -> dict[str, Any]:
        cap = getattr(one.limits, name)
        return {name: 5 if cap is None else cap // 2}

    return _limited(change)


def _fewer(name: str) -> Callable[[Grant], Grant]:
    # A list keeps one name at least, and never gains the star.
    return lambda one: one.model_copy(update={name: getattr(one, name)[:1]})


RESTRICTIONS: dict[str, Callable[[Grant], Grant]] = {
    "revoke": lambda one: one.model_copy(update={"revoked": NOW - 1}),
    "expire": lambda one: one.model_copy(update={"expires": NOW - 1}),
    "ask": lambda one: one.model_copy(update={"automatic": False}),
    "larger intersection": lambda one: one.model_copy(
        update={"minimum_intersection": one.minimum_intersection + 30}
    ),
    "larger group": _limited(lambda one: {"minimum_group": one.limits.minimum_group + 15}),
    "fewer reveals": _limited(lambda one: {"reveals": (one.limits.reveals or MESSAGES)[:1]}),
    **{f"lower {name}": _lower(name) for name in ("runs", "psi_runs", "tree_nodes")},
    **{f"fewer {name}": _fewer(name) for name in ("partners", "columns", "components", "roles")},
}


@given(
    st.sampled_from(PLANS),
    st.lists(grants, max_size=4),
    usages,
    settings,
    st.sampled_from(sorted(RESTRICTIONS)),
    st.integers(0, 3),
    st.sampled_from([HOST, GUEST]),
)
def test_a_restricted_grant_never_approves_more(
    plan: Any,
    held: list[Grant],
    usage: Any,
    chosen: PolicySettings,
    restriction: str,
    which: int,
    party: str,
) -> None:
    before = decide(plan, party, GUEST, held, usage, NOW, chosen)
    if which < len(held):
        restricted = [*held]
        restricted[which] = RESTRICTIONS[restriction](held[which])
        after = decide(plan, party, GUEST, restricted, usage, NOW, chosen)
        assert after.kind != "approve" or before.kind == "approve"
    dropped = held[:which] + held[which + 1 :]
    after = decide(plan, party, GUEST, dropped, usage, NOW, chosen)
    assert after.kind != "approve" or before.kind == "approve"


@given(st.sampled_from(PLANS), st.lists(grants, max_size=4), usages, settings, counts)
def test_more_usage_never_approves_more_and_the_rules_tighten(
    plan: Any, held: list[Grant], usage: Any, chosen: PolicySettings, more: Counts
) -> None:
    order = {"approve": 0, "queue": 1, "refuse": 2}
    before = decide(plan, HOST, GUEST, held, usage, NOW, chosen)
    fuller = {key: used + more for key, used in usage.items()}
    assert order[decide(plan, HOST, GUEST, held, fuller, NOW, chosen).kind] >= order[before.kind]
    strict = PolicySettings("deny", chosen.minimum_intersection + 10, chosen.own_jobs)
    assert order[decide(plan, HOST, GUEST, held, usage, NOW, strict).kind] >= order[before.kind]


@given(st.sampled_from(PLANS), st.lists(grants, max_size=4), usages, settings)
def test_the_answer_does_not_hang_on_the_order_of_grants(
    plan: Any, held: list[Grant], usage: Any, chosen: PolicySettings
) -> None:
    one = decide(plan, HOST, GUEST, held, usage, NOW, chosen)
    other = decide(plan, HOST, GUEST, held[::-1], usage, NOW, chosen)
    assert one.kind == other.kind
    assert (one.code is None) == (one.kind == "approve")
    assert len(one.reasons) == len(one.places)


@given(st.sampled_from(PLANS), st.lists(grants, min_size=1, max_size=4), usages, settings)
def test_what_is_approved_stays_within_a_cap_that_approved_it(
    plan: Any, held: list[Grant], usage: Any, chosen: PolicySettings
) -> None:
    named = [one.model_copy(update={"id": f"{n:016x}"}) for n, one in enumerate(held)]
    found = decide(plan, HOST, GUEST, named, usage, NOW, chosen)
    if found.kind != "approve":
        return
    assert found.grants
    for one in named:
        if one.id in found.grants:
            assert one.live(NOW)
            assert one.automatic
            partner = GUEST if GUEST in one.partners or "*" in one.partners else OTHER
            used = usage["baskets", partner]
            for name in NAMES:
                cap = getattr(one.limits, name)
                assert cap is None or getattr(used, name) <= cap


@given(counts, counts)
def test_counts_add_and_compare_unit_by_unit(one: Counts, other: Counts) -> None:
    for name in NAMES:
        a, b = getattr(one, name), getattr(other, name)
        assert getattr(one + other, name) == a + b
        assert getattr(one.most(other), name) == max(a, b)
    assert Counts.of(one.plain()) == one
    assert bool(one) == bool(one.plain())
