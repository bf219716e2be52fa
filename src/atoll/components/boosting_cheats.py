"""What a party of boosting gains that lies, with the figures that ``audit`` measured."""

from __future__ import annotations

from collections.abc import Iterator

from atoll.components.dishonest import Cheat
from atoll.learning.vertical.boosting.exposure import BITS_PER_SUM
from atoll.learning.vertical.boosting.grow import REFUSALS
from atoll.learning.vertical.boosting.warnings import measured

_SHARED = "nothing in this mode; the shared mode will, which is not there yet"


def cheats() -> tuple[Cheat, ...]:
    """Return what a lying guest and a lying host learn, change and stop."""
    return (*_guest(), _grouped(), _guessed(), *_host(), *_host_beside())


def _guest() -> Iterator[Cheat]:
    figures = measured()
    points = figures["chosen_weights"]["points"]
    clear, noisy = (
        max((p for p in points if bool(p["noise"]) is noise), key=lambda p: (p["bits"], p["rows"]))
        for noise in (False, True)
    )
    refused = figures["refused_partitions"]["points"]
    nested = max(figures["nested_cuts"]["points"], key=lambda point: point["rows_per_sum"])
    yield Cheat(
        "guest",
        "learn",
        "on which side of each cut that a host sends each row lies, by weights of its choice in "
        "place of its gradients; `minimum_rows` does not prevent it",
        "it does not; its own model is worth nothing",
        f"{BITS_PER_SUM} bits for each of `opened_sums` at 2^31 steps of search (252 are all that "
        "a sum holds), which are charged as sent; the plan prints their sum. By powers of two a "
        "bit is a row; as cuts of one column contain each other, other weights showed "
        f"{nested['rows_per_sum']} rows a sum with {nested['bins']} bins, in "
        f"2^{nested['steps']} steps. Measured by powers of two: the sides of all "
        f"{clear['rows']:,} rows at all cuts after "
        f"{clear['trees']} trees of "
        f"depth {clear['depth']}, with `host_noise` {noisy['noise']:g} {100 * noisy['bits']:.0f} % "
        f"after {noisy['trees']}",
        f"`host_noise` drowns the low bits alone; a cap of `opened_sums`; {_SHARED}",
    )
    yield Cheat(
        "guest",
        "learn",
        "whole cuts that split no node, by asking for them and adopting none",
        "the host ends the job (ATL-BST-011) where it can judge: no `minimum_class_rows`, no "
        "`host_noise`; elsewhere its report counts refused partitions. A cut without a sampled row "
        "on one side is announced to none (ATL-BST-005)",
        "one cut of each node of one level, for each of `runs` if its worker ends before it "
        f"answers, else {REFUSALS} more of each node (ATL-BST-008), charged as `rows`. Measured "
        f"with noise: {refused[1]['bits']:,} bits in "
        f"{refused[1]['trees']} trees of {refused[1]['rows']} rows; without: {refused[0]['bits']}",
        "leave out `minimum_class_rows` and `host_noise`, and keep `minimum_leaf_rows` within k",
    )
    yield Cheat(
        "guest",
        "change",
        "the model as it likes: structure, leaves and which rows reach which node",
        "it does not; a host sees the trees' shape and the guest's partitions alone",
        "the trees, levels and nodes of the plan (ATL-BST-004, 005, 008)",
        "nothing: the guest's labels are its own",
    )
    yield Cheat(
        "guest",
        "stop",
        "the step, by what is malformed, out of turn or of another session (ATL-BST-002, 004, "
        "005, 008, ATL-HIS-002, 006, ATL-CRY-004, 005)",
        "by code, with the guest's name",
        "the attempts that the plan signs; what left is charged",
        "not needed: it gains nothing beyond the lines above",
    )


def _grouped() -> Cheat:
    return Cheat(
        "guest",
        "learn",
        "with `column_sample` below 1, which cuts of a host are of one column: they occur in the "
        "same trees",
        "it does not",
        "groups of cuts, without names: each party draws its columns by a secret seed of its own, "
        "which it keeps over restarts (a job with a fixed `seed`: which only its own columns give)",
        "`column_sample` 1",
    )


def _guessed() -> Cheat:
    return Cheat(
        "guest",
        "learn",
        "in a job with a fixed `seed`, what `minimum_rows` withholds, and which column a cut is "
        "of: the order of a host's cuts is a hash of the seed and all of its bins, and who knows "
        "all others by the sums tries the rest until the order fits",
        "it does not: it is tried at home",
        "what can be tried: a flag's one positive row of 600 took 1,667 hashes, two 69,589, three "
        "missing values and their column's name 90,792",
        "no `seed`: then the order is a secret of the run",
    )


def _host() -> Iterator[Cheat]:
    found = measured()["false_sums"]
    yield Cheat(
        "host",
        "learn",
        "labels of rows of its choice by false sums: for which of its cuts the guest asks. Whether "
        "a sum is in range shows in nothing",
        "the job ends at the first false sum that is asked for (ATL-BST-007), with the host's "
        "name, unless its worker ends instead: then a run is spent on another attempt. The guest's "
        "report counts the sums that it left out",
        "one choice among the sums that it sent for each node of one level that is asked for "
        "together, 2^(`depth` - 2) summed ones, log2(cuts) exact labels each, for each job that so "
        "ended and each of `runs` that broke off there. Measured: 6 of 6 labels right in each of 8 "
        f"nodes at depth 5 with 64 cuts; {found['outcomes']} outcome for {found['sums_tried']} "
        "tries over the range; the number "
        f"of positives among 569 after {found['jobs_ended']} ended jobs of {found['cuts']} cuts",
        "attempts and runs, which the plan signs; " + _SHARED,
    )
    yield _swapped()
    noisy = measured()["false_sums_within_noise"]
    yield Cheat(
        "host",
        "learn",
        "as much, where there is `host_noise`, by false sums that noise could have made: they end "
        "nothing",
        "it does not",
        "one choice among the sums that it sent for each cut that is asked for, up to "
        f"{1 + REFUSALS} for each node, log2(cuts) exact labels each: 472 of 8,000 rows in a job "
        f"of 100 trees of depth 1. Measured with `host_noise` {noisy['noise']:g}: the number "
        f"of positives among 569 up to {len(noisy['positives']) // 2} and their mirrors, by one "
        f"question among {noisy['cuts']} cuts and {noisy['jobs_ended']} ended jobs",
        "leave out `host_noise`; " + _SHARED,
    )
    yield Cheat(
        "host",
        "learn",
        "which of the partitions that it makes up fit the labels best, by columns of its own",
        "it does not; such columns are poor on new rows",
        "one choice among its cuts for each node that it splits: at a root of its columns in the "
        "plan, up to 2 · `bins` - 1 of each, below of those that it sent of the parent "
        "(ATL-BST-009). As many for each refusal, where "
        f"`minimum_class_rows`, `host_noise` or a `minimum_leaf_rows` above k allow {REFUSALS} of "
        "a node. A cut below k ends the job (ATL-BST-009). That is much: tried on 600 seeded rows, "
        "7 % of them positive, with true sums of its best 30 rows and one row more each, it had 18 "
        "to 20 positive rows right after one job of 20 trees of depth 3 and nearly all labels "
        "after one of 90 trees of depth 1, and no job ended",
        "nothing: no one can check a party's columns; fewer trees",
    )
    yield Cheat(
        "host",
        "learn",
        "something about the labels of the validation rows, by early stopping: it sends sides of "
        "its choice for them, and sees how many trees begin and are kept",
        "it does not",
        "one of as many outcomes as the plan has trees, log2(`trees`) bits, for each of `runs`. "
        "Fewer validation rows than `minimum_rows` are refused (ATL-BST-012)",
        "leave out `early_stopping_rounds`; a larger `minimum_rows`",
    )


def _host_beside() -> Iterator[Cheat]:
    yield Cheat(
        "host",
        "change",
        "the model, by false columns, or by withholding its cuts",
        "false columns do not; a partition with other sums than its cut ends the job (ATL-BST-007)",
        "its own splits: sums, derived sums and partitions must agree with its announced rows",
        "nothing: its columns are its own. Compare the loss with and without the host",
    )
    yield Cheat(
        "host",
        "stop",
        "the step, by what is malformed, out of turn or of another size (ATL-BST-009, ATL-HIS-003, "
        "004, ATL-MOD-004)",
        "by code, with the host's name; none of these depends on a label",
        "the attempts that the plan signs",
        "not needed: it learns nothing by it",
    )


def _swapped() -> Cheat:
    found = measured()["swapped_rows"]
    clear, noisy = found["points"]
    return Cheat(
        "host",
        "learn",
        "labels of rows of its choice: its sums are true, and asked for a cut it announces other "
        "rows, some swapped with such whose labels it knows. The job goes on exactly if the labels "
        "add up to the same (after the first tree: the gradients)",
        "the job ends by a false equation (ATL-BST-007), with the host's name; a true one shows in "
        "nothing",
        "one equation for each node that it splits, and for each refusal where there are any: "
        "trees × (2^depth - 1) nodes at most, counted in `tree_nodes`, for each of `runs`; one "
        "that names several rows may show the labels of all. Measured on "
        f"{found['data']}: {clear['labels']} labels after {clear['jobs']} jobs of one tree, of "
        f"which {clear['jobs_ended']} ended; with `host_noise` {noisy['noise']:g} "
        f"{noisy['labels']} after {noisy['jobs']}, of which {noisy['jobs_ended']} ended",
        "attempts and runs, which the plan signs; fewer trees. `host_noise` does not weaken it: "
        f"the host shifts its sums to the bound of the noise; {_SHARED}",
    )
