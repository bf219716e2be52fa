"""What a party of a step over clients' sums gains that lies: features, and boosted trees."""

from __future__ import annotations

from collections.abc import Iterator

from atoll.components.dishonest import Cheat
from atoll.components.horizontal_cheats import PREPARED, RESULTS

_NOT = "it does not"
_NOISE = "nothing in this protocol; noise (differential privacy) would bound what any sum shows"


def _common(what: str) -> Iterator[Cheat]:
    yield Cheat(
        "aggregator",
        "learn",
        f"with `plain`, rows of single clients, read off {what} that it chose the cells of",
        _NOT,
        "each client's sums of each round, `opened_sums` counts their values",
        "`masked`: the aggregator sees sums over at least `minimum_clients` alone",
    )
    yield Cheat(
        "aggregator",
        "learn",
        "with `masked`, a client's sums by leaving it out of the second of two rounds that ask for "
        "nearly the same",
        "the client is left out, and those in its place see who is in each sum",
        "as many clients in an attempt as there are beyond `minimum_clients`; who is left out does "
        "not come back, each round is summed once, and no question is asked more often than the "
        "plan has it (ATL-HOR-082)",
        "`minimum_clients` as many as there are clients; or noise (differential privacy)",
    )
    yield PREPARED
    yield RESULTS
    yield Cheat(
        "aggregator",
        "learn",
        "by two runs whose sums differ by one client, that client's sums",
        _NOT,
        "the approved runs, each charged. Within a run, attempts after a crash included, a client "
        "agrees for each round to one set of clients and one question (ATL-SUM-023)",
        "fewer runs, or noise (differential privacy)",
    )
    yield Cheat(
        "aggregator",
        "learn",
        "together with a third of a sum's clients or more, single sums of the others",
        _NOT,
        "each other client's sums; with fewer of them, the sum of the honest ones alone",
        "more clients that do not collude",
    )
    yield Cheat(
        "client",
        "learn",
        "more of the sums of the others than an honest client: it hands in sums that it knows, and "
        "reads the others' off what follows from them",
        _NOT,
        "what the aggregator sends: cells, bins, trees, the result; never the sums themselves",
        "more clients, or noise (differential privacy)",
    )


def _last() -> Cheat:
    return Cheat(
        "any",
        "stop",
        "the step, by what is malformed, of another size or out of turn (ATL-HOR-081, ATL-HOR-082, "
        "ATL-HOR-100, ATL-HOR-101, ATL-HOR-170, ATL-SUM-010 to 017)",
        "by code, with the partner's name",
        "the attempts that the plan signs; what was opened until then is charged",
        "not needed: no more is sent than in a step that goes well",
    )


def _changes(what: str, bound: str) -> Iterator[Cheat]:
    yield Cheat(
        "aggregator",
        "change",
        f"{what}, as it likes",
        "by the clients' own figures in their reports",
        f"all of {what}; no code stops it",
        "a look at the report before the result is used; `evaluation` of own rows",
    )
    yield Cheat(
        "client",
        "change",
        f"{what}, by sums that are not true",
        "it does not, as long as columns and rows do not contradict each other; in plain sums what "
        "its rows in the plan cannot have shows by code, with its name (ATL-HOR-081)",
        bound,
        "`masked` cannot look at single sums",
    )


def _figures(what: str) -> Iterator[Cheat]:
    yield Cheat(
        "aggregator",
        "learn",
        "single values of pooled columns, and how often each occurs: it chooses the cells that "
        "rows are counted in, and point and scale of the powers. An honest one narrows them around "
        "the least and the greatest value, and so learns both within a cell",
        _NOT,
        "`cells` counts in each round and two times four powers a column, over at least "
        "`minimum_clients`; not whose value it is",
        _NOISE,
    )
    yield from _common("counts")
    yield from _changes(what, "within its row count for each cell, as in the plan")
    yield _last()


def _binning() -> Iterator[Cheat]:
    yield Cheat(
        "aggregator",
        "learn",
        "single values of pooled columns, how often each occurs, and with `evidence` the labels of "
        "rows of its choice: it chooses the cells and, once, the bins that rows are counted in. An "
        "honest one sees the same of bins and cells with few rows",
        "by bins that are worth little, which clients have in their reports",
        "`cells` counts a column in each of `rounds`, and once the rows (or those of each class) "
        "of as many bins as the plan has (ATL-HOR-082, ATL-HOR-100), over at least "
        "`minimum_clients`; not whose they are",
        _NOISE,
    )
    yield from _common("counts")
    yield from _changes(
        "the common bins", "within its row count for each cell and bin, as in the plan"
    )
    yield _last()


def _kmeans() -> Iterator[Cheat]:
    yield Cheat(
        "aggregator",
        "learn",
        "single pooled rows: it chooses centres among which a row is alone with one, and reads it "
        "off that cluster's sums. An honest one sees the same of clusters and cells with few rows",
        "by clusters that are worth little",
        "`clusters` times `cells` counts, and as many sums of distances and of squares a column, "
        "in each of `rounds` (ATL-HOR-082, ATL-HOR-100), over at least `minimum_clients`; not "
        "whose row it is",
        _NOISE,
    )
    yield Cheat(
        "client",
        "learn",
        "the rows of a small cluster: the centres that it is sent in each round are means of the "
        "rows near them, and of a single one that row",
        _NOT,
        "means of at most `clusters` times `cells` sets of rows in each round, as an honest client "
        "is sent; not whose they are",
        "fewer clusters and cells; or noise (differential privacy)",
    )
    yield from _common("sums")
    yield from _changes(
        "the common centres", "within its row count times 4 `bound`² for each value, as in the plan"
    )
    yield _last()


def _boosting() -> Iterator[Cheat]:
    yield Cheat(
        "aggregator",
        "learn",
        "the pooled rows in part, values, labels and which go together: it chooses bins, and by "
        "trees of its own it leads rows of its choice to a node and reads their labels, and their "
        "bins in all columns. An honest one sees the same of nodes and bins with few rows",
        "by a model that is worth little; clients see all trees in the end",
        "one histogram of each live node in each of `trees` times `depth` rounds, charged as "
        "`opened_sums`, over at least `minimum_clients`; not whose row it is: with `row_sample` "
        "each client draws its rows, `minimum_rows` at least, by a secret seed that it keeps over "
        "restarts (a job with a fixed `seed`: which only its own rows give). A level is asked for "
        "once, and of nodes of that level alone. No client fails by the margins that it sends: "
        "beyond `bound` gradients are cut, and that client's own report has the rounds. By a "
        "target beyond `bound` one does, before any tree: one bit of it",
        _NOISE,
    )
    yield from _common("histograms")
    yield from _changes(
        "the common model", "within its row count times the largest gradient for each cell"
    )
    yield _last()


STATISTICS_CHEATS: tuple[Cheat, ...] = tuple(_figures("the common figures"))
SCALE_CHEATS: tuple[Cheat, ...] = tuple(_figures("the common scaling"))
BINNING_CHEATS: tuple[Cheat, ...] = tuple(_binning())
KMEANS_CHEATS: tuple[Cheat, ...] = tuple(_kmeans())
BOOSTING_CHEATS: tuple[Cheat, ...] = tuple(_boosting())
