"""Boosting against a party that lies: what ends it, or what it gains and how that is charged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from atoll.audit import nested_cuts, probing, swapped_rows
from atoll.audit.chosen_weights import LyingGuest, attack
from atoll.channel.party import Party
from atoll.learning.vertical.boosting import BoostingParameters, messages
from atoll.learning.vertical.boosting.exposure import BITS_PER_SUM, inner_nodes, readable_bits
from atoll.learning.vertical.boosting.grow import REFUSALS
from atoll.learning.vertical.boosting.refusals import most_partitions
from atoll.learning.vertical.boosting.warnings import plan_warnings
from atoll.operators.histogram import ideal
from tests.dishonest import ledger
from tests.dishonest.boosting_liars import (
    GUEST,
    HOST,
    Powers,
    against_guest,
    against_host,
    honest_but,
    lying_guest,
    two_tables,
    whole_job,
)

PARAMETERS = BoostingParameters(trees=2, minimum_rows=10, implementation="ideal")
# With a minimum per class no host can tell a false refusal.
UNDECIDED = PARAMETERS.model_copy(update={"minimum_class_rows": 1})


# Guests.


def test_powers_of_two_read_rows_exactly_and_each_sum_is_charged() -> None:
    """The guest sends 2^i for row i: no rule stops it, the plan's rate bounds it, sums count."""
    found: list[LyingGuest] = []
    lie = lying_guest(found, levels=2)
    ran, plan = whole_job(lie, trees=2, depth=2, minimum_rows=10)
    assert not ran.errors
    (liar,) = found
    read = 0
    for tree, rows, cuts, *sums in liar.found:
        for window in liar.windows(tree):
            if np.isin(window[0], rows).all():
                read += len(cuts) * sum(map(len, window))
                assert all((part < 2**31).all() and (part >= 0).all() for part in sums)
    assert read > 0
    spent = ledger.charge(plan, HOST, GUEST, ran.sent[HOST])
    assert spent.opened_sums == liar.sums
    assert read <= BITS_PER_SUM * spent.opened_sums
    ledger.refused_below(plan, HOST, GUEST, "opened_sums", spent.opened_sums)
    assert any("powers of two" in line and "opened sums" in line for line in plan.warnings)


def test_weights_over_nested_cuts_show_more_rows_and_no_more_bits() -> None:
    """The guest weighs rows at random: a search of 2^16 points a sum shows 90 rows, not 62.

    Of each row it learns between which cuts it lies: within the bits that the plan states.
    """
    column = np.random.default_rng(3).normal(size=2000)
    parameters = BoostingParameters(trees=1, depth=1, implementation="ideal")
    found = nested_cuts.attack(column, parameters, 90, 1 << 18)
    assert (found.placed, found.wrong) == (found.rows, 0)
    assert found.steps < 1 << 16
    assert found.rows_per_sum > BITS_PER_SUM
    place = math.log2(found.cuts + 1)
    assert found.placed * place <= BITS_PER_SUM * found.sums
    assert found.placed * place <= readable_bits(parameters, len(column), 1)


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_noise_drowns_the_low_bits_alone(noise: float) -> None:
    """Of sums with noise the guest reads the high bits: as many rows as the plan states."""
    host = two_tables(200)[HOST].features
    parameters = BoostingParameters(
        trees=1, depth=1, minimum_rows=10, host_noise=noise, implementation="ideal"
    )
    found = attack(host, parameters)
    assert found.wrong == 0
    assert found.read > 0.3 * found.total
    most = readable_bits(parameters, *host.shape)
    assert found.read <= most
    assert any(f"{most:,} bits" in line for line in plan_warnings(parameters, *host.shape))


def test_a_guest_that_refuses_at_will_is_ended_at_once() -> None:
    """The guest asks for a second cut of a node whose first it had to adopt: ATL-BST-011."""
    found: list[LyingGuest] = []
    ran, plan = whole_job(lying_guest(found, levels=2, refuse=True), trees=2, depth=2)
    assert getattr(ran.errors[HOST], "code", None) == "ATL-BST-011"
    (liar,) = found
    spent = ledger.charge(plan, HOST, GUEST, ran.sent[HOST])
    # One cut of the root, as an honest guest sees it.
    assert 0 < liar.partition_bits <= spent.rows
    assert liar.partition_bits < 300
    ledger.refused_below(plan, HOST, GUEST, "rows", spent.rows)


def test_refusals_that_no_host_can_judge_are_few_and_charged_by_row() -> None:
    """With a minimum per class the guest refuses four cuts of a node; each row of each counts."""
    found: list[LyingGuest] = []
    lie = lying_guest(found, levels=2, refuse=True)
    ran, plan = whole_job(lie, trees=2, depth=2, minimum_class_rows=1)
    assert not ran.errors
    (liar,) = found
    spent = ledger.charge(plan, HOST, GUEST, ran.sent[HOST])
    assert 4 * 2 * 200 < liar.partition_bits <= spent.rows
    ledger.refused_below(plan, HOST, GUEST, "rows", spent.rows)
    assert any("cannot tell each false refusal" in line for line in plan.warnings)


class _Asking(LyingGuest):
    """Asks for cuts as ``wanted`` says, in the first tree's root, then answers ``flags``."""

    wanted: list[int]
    flags: list[int]
    answered = 0

    def _tree(self, tree: int) -> None:
        root = self._gather(tree, 0, [(_root(self._rows), None, None)])[0]
        for at in self.wanted:
            cuts = root.candidates if at < len(root.candidates) else np.arange(1 << 16)
            self._order(asks=[(0, int(cuts[at]))])
            self._party.channel.receive(self._host, "left", messages.Left)
            self.answered += 1
        self._order(flags=self.flags)
        self._party.channel.receive(self._host, "candidates", messages.CandidateCuts)

    def _order(self, asks: Any = (), flags: Any = ()) -> None:
        numbers, cuts = (np.array([a[i] for a in asks], dtype=np.uint32) for i in range(2))
        accepted = np.array(flags, dtype=np.uint8)
        none = np.empty(0, dtype=np.uint32)
        order = messages.Order(0, 0, not asks, numbers, cuts, accepted, none, b"")
        self._party.channel.send(self._host, "order", order)


def _root(rows: int) -> Any:
    from atoll.audit.chosen_weights import _Node

    return _Node(0, np.arange(rows))


def asking(
    wanted: list[int], flags: list[int], parameters: BoostingParameters
) -> tuple[dict[str, str], int]:
    liars: list[_Asking] = []

    def lie(party: Party) -> None:
        liar = _Asking(party, 300, parameters, Powers(party.at("histogram")), levels=1)
        liar.wanted, liar.flags = wanted, flags
        liars.append(liar)
        liar.run()

    return against_host(lie, parameters).codes, liars[0].answered


def test_a_fifth_cut_of_a_node_is_not_announced() -> None:
    """Where refusals cannot be judged, they are counted: ATL-BST-008."""
    codes, answered = asking(list(range(9)), [], UNDECIDED)
    assert (codes[HOST], answered) == ("ATL-BST-008", 1 + REFUSALS)


def test_the_last_refusal_is_judged_when_the_level_is_settled() -> None:
    """The guest asks once, sees the partition and does not adopt it: ATL-BST-011."""
    codes, answered = asking([0], [0], PARAMETERS)
    assert (codes[HOST], answered) == ("ATL-BST-011", 1)


def test_a_cut_that_was_withheld_is_not_announced() -> None:
    """The guest asks for a number that no cut of the node has: ATL-BST-005."""
    codes, answered = asking([1 << 15], [], PARAMETERS)
    assert (codes[HOST], answered) == ("ATL-BST-005", 0)


def test_two_cuts_of_a_node_are_not_adopted() -> None:
    """The guest keeps both cuts that it saw of one node: ATL-BST-005."""
    codes, _ = asking([0, 1], [1, 1], UNDECIDED)
    assert codes[HOST] == "ATL-BST-005"


def first_tree(change: Any) -> Any:
    return lambda order: change(order) if order.tree == 0 and order.partition else order


ORDERS = {
    "rows beyond the node": (
        lambda o: replace(o, partition=o.partition[:-1] + bytes([o.partition[-1] | 0x80])),
        "ATL-BST-004",
    ),
    "all rows on one side": (
        lambda o: replace(o, partition=b"\xff" * (len(o.partition) - 1) + b"\x0f"),
        "ATL-BST-004",
    ),
    "another node's rows": (lambda o: replace(o, partition=o.partition * 2), "ATL-BST-004"),
    "a node that is not there": (
        lambda o: replace(o, grown=o.grown + np.uint32(7)),
        "ATL-BST-005",
    ),
}


@pytest.mark.parametrize("case", ORDERS)
def test_a_partition_that_is_none_is_refused(case: str) -> None:
    """The guest divides nodes into what is no partition of them, to single out rows."""
    change, code = ORDERS[case]
    lie = honest_but(messages.Order, first_tree(change), PARAMETERS)
    assert against_host(lie, PARAMETERS).codes[HOST] == code


def test_trees_beyond_the_plan_are_not_grown() -> None:
    """The guest goes on where it should end: ATL-BST-008."""
    lie = honest_but(messages.TreeStart, lambda m: replace(m, more=True), PARAMETERS)
    assert against_host(lie, PARAMETERS).codes[HOST] == "ATL-BST-008"


def test_rows_outside_the_sample_are_not_summed() -> None:
    """The guest sends the gradients of more rows than were drawn: ATL-HIS-002."""
    sampled = PARAMETERS.model_copy(update={"row_sample": 0.5})

    def more(chunk: Any) -> Any:
        return replace(chunk, g=np.append(chunk.g, chunk.g), h=np.append(chunk.h, chunk.h))

    lie = honest_but(ideal.Rows, more, sampled)
    assert against_host(lie, sampled).codes[HOST] == "ATL-HIS-002"


# Hosts.


def one_root(**parameters: Any) -> tuple[Any, Any, Any, BoostingParameters]:
    inputs = two_tables()
    whole = BoostingParameters(trees=1, minimum_rows=10, implementation="ideal", **parameters)
    return inputs[GUEST].features, inputs[HOST].features, inputs[GUEST].label, whole


def test_the_range_of_a_sum_answers_no_question() -> None:
    """The host tries sums all over the range of h, and true ones with something added.

    Whether they are in range shows in nothing: each try looks the same.
    """
    assert probing.by_range(*one_root(depth=1), steps=9) == 1


def test_a_question_about_a_false_sum_ends_the_job() -> None:
    """The host learns by which of its cuts is asked for, and each question ends a job."""
    guest, host, label, parameters = one_root()
    found = probing.by_question(guest, host, label, parameters)
    assert set(found.codes) == {"ATL-BST-007"}
    assert int(label.sum()) in found.candidates
    # A job tells one of its cuts and no more: one alone cannot single out each of so many numbers.
    assert len(label) <= len(found.candidates) * 2 * (1 + found.cuts) ** found.jobs
    assert found.jobs == len(found.codes) > 0


def test_false_sums_that_noise_could_have_made_end_nothing_and_show_one_choice() -> None:
    """The host sends the sums of one set of rows for each cut, with other shifts within the noise.

    No rule stops it: by the one cut that is asked for it learns how many labels are positive, up to
    a few numbers and their mirrors. The gain is one choice for each question, as the page states.
    """
    guest, host, label, parameters = one_root(depth=1, host_noise=4.0)
    found = probing.within_noise(guest, host, label, parameters)
    assert (found.jobs, found.codes) == (0, ())
    assert int(label.sum()) in found.candidates
    assert len(label) <= len(found.candidates) * 2 * (1 + found.cuts)
    assert any("end no job" in line for line in plan_warnings(parameters, *host.shape))


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_whether_a_job_goes_on_shows_labels_of_rows_that_the_host_swaps(noise: float) -> None:
    """The host's sums are true; it announces rows of unknown label in place of some that it knows.

    No rule stops it. It learns one equation for each of its cuts that is asked for, noise or not;
    each false one ends a job by ATL-BST-007, as page and plan state.
    """
    guest, host, label, parameters = one_root(host_noise=noise)
    own = [int(row) for row in np.flatnonzero(label == 0.0)[:10]]
    jobs = 20
    found = swapped_rows.attack(guest, host, label, parameters, jobs, own=own, together=1)
    assert found.wrong == 0
    assert set(found.codes) == {"ATL-BST-007"}
    assert 0 < found.ended <= jobs
    nodes = inner_nodes(parameters.depth) * most_partitions(parameters)
    assert jobs / 2 < found.labels <= jobs * nodes
    (line,) = [w for w in plan_warnings(parameters, *host.shape) if "one equation" in w]
    assert f"up to {nodes} a run" in line


FALSE: dict[str, Any] = {
    "a larger sum within the range": lambda m: replace(m, g=m.g + 50_000),
    "a smaller h within the range": lambda m: replace(m, g=m.g + 9_000, h=m.h // 2),
    "sums of other cuts": lambda m: replace(m, g=np.roll(m.g, 1), h=np.roll(m.h, 1)),
    "sums mirrored": lambda m: replace(m, g=-m.g),
}


@pytest.mark.parametrize("case", FALSE)
def test_false_sums_are_found_where_they_win(case: str) -> None:
    """Each is possible for so many rows, and none has the sums of the rows announced: one code."""
    lie = honest_but(ideal.Cells, FALSE[case], PARAMETERS)
    ran = against_guest(lie, PARAMETERS)
    assert ran.codes[GUEST] == "ATL-BST-007"


def test_sums_that_no_rows_have_are_left_out_in_silence() -> None:
    """Sums beyond all bounds end nothing: the run is one without this host's cuts."""
    lie = honest_but(ideal.Cells, lambda m: replace(m, g=m.g + 10**9), PARAMETERS)
    ran = against_guest(lie, PARAMETERS)
    assert ran.codes == {}
    history = ran.results[GUEST].history
    assert all(record.left_out and HOST not in record.splits for record in history.trees)


def test_cells_of_another_tree_are_found_where_they_win() -> None:
    """The host replays its first tree's sums in the second: they are of other gradients."""
    kept: list[Any] = []
    parameters = PARAMETERS.model_copy(update={"depth": 1, "trees": 3, "minimum_rows": 0})

    def replay(cells: Any) -> Any:
        kept.append(cells)
        return kept[0] if len(kept[0].g) == len(cells.g) else cells

    ran = against_guest(honest_but(ideal.Cells, replay, parameters), parameters)
    assert ran.codes[GUEST] == "ATL-BST-007"


def test_announced_rows_must_have_the_sums_of_their_cut() -> None:
    """The host moves one row to the other side of a cut that won: ATL-BST-007."""

    def move(left: Any) -> Any:
        return replace(left, partition=bytes([left.partition[0] ^ 1]) + left.partition[1:])

    ran = against_guest(honest_but(messages.Left, move, PARAMETERS), PARAMETERS)
    assert ran.codes[GUEST] == "ATL-BST-007"


def test_cuts_that_the_parent_did_not_send_are_not_taken() -> None:
    """The host sends flags for more cuts than the parent had: ATL-BST-009."""

    def more(message: Any) -> Any:
        longer = np.append(message.sent, np.uint8(1))
        return replace(message, sent=longer) if message.depth else message

    ran = against_guest(honest_but(messages.CandidateCuts, more, PARAMETERS), PARAMETERS)
    assert ran.codes[GUEST] == "ATL-BST-009"
