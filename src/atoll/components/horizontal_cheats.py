"""What a party of horizontal training gains that lies."""

from __future__ import annotations

from atoll.components.dishonest import Cheat

_NOT = "it does not"

PREPARED = Cheat(
    "any",
    "learn",
    "by the job that it proposes, one client's part of a sum, down to few rows: steps before make "
    "columns or rows constant (`scale` with bounds), or leave few (`split`, `psi`), and `union` "
    "puts both together",
    "the plan warns of bounds, and of steps that are set apart for some parties; automatic grants "
    "must name silent steps",
    "a client with fewer than `minimum_rows` (10) rows sends nothing, nor one with fewer different "
    "rows in the summed columns of which one is there once (ATL-HOR-162; partners see that it "
    "failed). A single column may still be of one row where the rows differ in others: of 12 "
    "columns of which `scale` left each its top row, 12 of 12 labels of these rows",
    "grants that name no such step; `minimum_rows` above the number of columns; `privacy`, which "
    "is refused behind such steps (ATL-HOR-140)",
)
RESULTS = Cheat(
    "aggregator",
    "learn",
    "one client's part of later masked sums, by a result of its own for each client: a scaling "
    "that leaves one client's columns, or offsets by client",
    "by code (ATL-HOR-170), at each client that was sent another result than those whose "
    "signatures it is shown",
    "each client goes on once `minimum_clients` have signed the same result: groups of so many, "
    "for which clients that leave make room, may have different ones, so a later sum may be of "
    "such a group alone, whatever its own `minimum_clients`",
    "`minimum_clients` above half of the clients, in the steps before a masked sum as well",
)

CHEATS: tuple[Cheat, ...] = (
    PREPARED,
    RESULTS,
    Cheat(
        "any",
        "learn",
        "by settings under which local training forgets (`proximal` or `l2` times `learning_rate` "
        "near 1, steps that fit few rows), sums of updates that follow from each client's last "
        "rows alone",
        "the plan refuses those of the first kind where `batch_size` is below `minimum_rows` "
        "(ATL-HOR-166), and warns of such steps else",
        "sums of a step of at least `minimum_rows` rows a client, a short last batch goes into "
        "the one before; with a smaller `batch_size` of so few rows, and no one but the client "
        "knows which: it draws batches by a secret seed of its own, which it keeps over restarts "
        "(a job with a fixed `seed`: which only its own rows give)",
        "`batch_size` of `minimum_rows` or more; `privacy`",
    ),
    Cheat(
        "aggregator",
        "learn",
        "with `plain`, rows of single clients, read off updates of weights that it chose",
        _NOT,
        "each client's update of each round, `opened_sums` counts its values",
        "`masked`: the aggregator sees sums of at least `minimum_clients` alone",
    ),
    Cheat(
        "aggregator",
        "learn",
        "with `masked`, more of a sum than an honest round shows: it sends all clients weights "
        "under which few rows move the sum, and leaves clients out down to `minimum_clients`",
        "by a loss that does not fall, and clients by rounds of which their own values did not fit "
        "and were cut, in their own reports; clients see who is in a sum",
        "the values of as many sums as the plan has rounds, of at least `minimum_clients` each; "
        "different weights to different clients give no sum, for sessions hold their digest. No "
        "client fails by its own values, but where a cut begins shows as a bend of the sums over "
        "rounds, as steep as that client's rows",
        "`privacy`: noise bounds what any weights show",
    ),
    Cheat(
        "aggregator",
        "learn",
        "by two runs whose sums differ by one client, that client's update, as far as the runs are "
        "alike (a seed, steps over all rows)",
        _NOT,
        "the approved runs, each charged. Within a run, attempts after a crash included, a client "
        "agrees for each round to one set of clients and one source (ATL-SUM-023)",
        "fewer runs, or `privacy`, of which each run spends ε",
    ),
    Cheat(
        "aggregator",
        "learn",
        "with `masked`, a client's update by leaving it out: of two rounds that begin with nearly "
        "the same weights, the second lacks its update alone",
        "the client is left out, and those in its place see who is in each sum",
        "as many clients in an attempt as there are beyond `minimum_clients`; who is left out does "
        "not come back, and each round is summed once (ATL-HOR-082)",
        "`minimum_clients` as many as there are clients; or `privacy`",
    ),
    Cheat(
        "aggregator",
        "learn",
        "together with a third of a sum's clients or more, single updates of the others",
        _NOT,
        "each other client's updates; with fewer of them, the sum of the honest ones alone",
        "more clients that do not collude",
    ),
    Cheat(
        "aggregator",
        "learn",
        "with `privacy` more than its ε allows, by more clients than `colluding` states that leave "
        "out their shares of the noise, or take them away; not by asking for a round again after a "
        "crash",
        "the last by code (ATL-HOR-141); the others do not",
        "the noise of the honest clients that stay; each round's noise goes to one vector, in all "
        "attempts of a run",
        "a higher `colluding`; `local` noise counts on no other party",
    ),
    Cheat(
        "aggregator",
        "learn",
        "with `central` noise, sums of at least `minimum_clients` without any noise",
        _NOT,
        "as with `masked` without privacy; the plan says that it is trusted with them",
        "`distributed` or `local` noise",
    ),
    Cheat(
        "aggregator",
        "change",
        "the common model, as it likes",
        "by the clients' own figures in their reports",
        "all of the model, in finite values; no code stops it. A bound on how far weights may move "
        "in a round would not: it reaches any model in more rounds",
        "`evaluation` of own rows before the model is used",
    ),
    Cheat(
        "client",
        "learn",
        "with `central` noise, whether the others' sum is above a value: it hands in a ring "
        "element that turns the sum's sign there",
        _NOT,
        "the sum with its noise, as an honest client: the noise is added before a sign is read",
        "not needed",
    ),
    Cheat(
        "client",
        "learn",
        "more of the sum of the others than an honest client: it hands in an update that it knows, "
        "and reads the others' off the next weights",
        _NOT,
        "one sum of all others' updates a round, as an honest client does",
        "more clients, or `privacy`",
    ),
    Cheat(
        "client",
        "change",
        "the common model, by updates and counts that are not true",
        "it does not within its range; by the curve, or by held-out rows of others. Beyond it by "
        "code, in plain sums with the client's name",
        "each round's mean change of a weight. In plain sums up to `bound` times its share of the "
        "rows: its weight is held to its rows in the plan, its values to `bound` times its weight, "
        "its norm to `clip`, its steps to its epochs, behind `privacy` to the noise's room "
        "(ATL-HOR-081); with top_k times the rounds so far. Under masks up to `bound`, whatever "
        "rows it has: the sum as a whole is held to that (ATL-HOR-054), no client is to its share. "
        "With qfedavg up to `bound` in both, as losses have no bound. It may hand in an update of "
        "an earlier round again; that is one within its range",
        "`plain` with a robust `rule`, up to its share of liars; `masked` cannot look at single "
        "updates",
    ),
    Cheat(
        "any",
        "stop",
        "the step, by what is malformed, of another size or out of turn (ATL-HOR-081, ATL-HOR-082, "
        "ATL-HOR-170, ATL-SUM-010 to 017)",
        "by code, with the partner's name; a client's false shares or vectors under masks by code "
        "alone (ATL-HOR-054, ATL-SHR-002)",
        "the attempts that the plan signs; what was opened until then is charged",
        "not needed: no more is sent than in a step that goes well",
    ),
)
