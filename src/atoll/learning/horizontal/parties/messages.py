"""What the aggregator and the clients of horizontal training send each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atoll.core.message import Message, array, blob, boolean, integer, items, text
from atoll.operators.secure_sum.masked.messages import MOST_CLIENTS

PIECE = 1 << 20
CODED_PIECE = 4 * PIECE
NUMBERS = 64
PARTS = 16
RESULTS = "what follows from the sums of earlier rounds: cells, bins, means, trees; the result"
COMMON = "the common model after each round, with what the algorithm sends beside it"
OWN = "the sender's own update of each round, which shows much of its rows"
OWN_SUMS = "sums over the sender's own rows in each round, which show much of them"
COUNTS = "the sender's row counts, losses and counts of right predictions, by round"


@dataclass(frozen=True)
class Begin(Message, kind="horizontal.begin"):
    """A round begins with these clients; ``train``: they train, else they evaluate alone.

    ``last``: it is the end, and the weights that follow are the result.
    """

    round: int = integer(0, 1 << 16, opaque="a running number")
    names: tuple[str, ...] = items(
        text(160, opaque="names of clients in the plan that are there"), MOST_CLIENTS
    )
    train: bool = boolean(opaque="which step of the plan comes next")
    last: bool = boolean(opaque="which step of the plan comes next")


@dataclass(frozen=True)
class Weights(Message, kind="horizontal.weights"):
    """A piece of what the aggregator sends to all clients of a round."""

    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")
    values: Any = array("f4", (None,), PIECE, reveals=COMMON)


@dataclass(frozen=True)
class Difference(Message, kind="horizontal.difference"):
    """A piece of the difference to what all clients hold, as the down-link's coder writes it."""

    first: int = integer(0, 1 << 34, opaque="where the piece begins, known to both")
    data: Any = array("u1", (None,), CODED_PIECE, reveals=COMMON)


@dataclass(frozen=True)
class Change(Message, kind="horizontal.change"):
    """A piece of a client's update, in the clear."""

    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")
    values: Any = array("f4", (None,), PIECE, reveals=OWN)


@dataclass(frozen=True)
class Coded(Message, kind="horizontal.coded"):
    """A piece of a client's update in the clear, as its compression writes it."""

    first: int = integer(0, 1 << 34, opaque="where the piece begins, known to both")
    data: Any = array("u1", (None,), CODED_PIECE, reveals=OWN)


@dataclass(frozen=True)
class ExactChange(Message, kind="horizontal.exact-change"):
    """A piece of a client's sums for a step, in the clear."""

    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")
    values: Any = array("f8", (None,), PIECE, reveals=OWN_SUMS)


@dataclass(frozen=True)
class Counts(Message, kind="horizontal.counts"):
    """The numbers of a client's update, in the clear."""

    values: Any = array("f8", (None,), NUMBERS, reveals=COUNTS)


@dataclass(frozen=True)
class Ask(Message, kind="horizontal.ask"):
    """A round of a step begins with these clients, and vectors follow by name, in this order.

    Of ``sizes`` values of each the first ``kept`` are those of the vector of this name that was
    sent last. ``last``: it is the end, and the vectors are the result.
    """

    round: int = integer(0, 1 << 16, opaque="a running number")
    names: tuple[str, ...] = items(
        text(160, opaque="names of clients in the plan that are there"), MOST_CLIENTS
    )
    parts: tuple[str, ...] = items(text(64, opaque="which step of the plan comes next"), PARTS)
    sizes: tuple[int, ...] = items(
        integer(0, 1 << 31, opaque="how much follows, which shows it in full"), PARTS
    )
    kept: tuple[int, ...] = items(
        integer(0, 1 << 31, opaque="how much was sent before, known to both"), PARTS
    )
    last: bool = boolean(opaque="which step of the plan comes next")


@dataclass(frozen=True)
class Signed(Message, kind="horizontal.signed"):
    """A client's signature of the result that it was sent, in the session of this attempt."""

    signature: bytes = blob(64, opaque="a signature of what the receiver sent")


@dataclass(frozen=True)
class Agreed(Message, kind="horizontal.agreed"):
    """All signatures of the result, passed on: each client checks that enough have the same."""

    names: tuple[str, ...] = items(
        text(160, opaque="names of clients in the plan that are there"), MOST_CLIENTS
    )
    signatures: tuple[bytes, ...] = items(
        blob(64, opaque="signatures of what the receiver has"), MOST_CLIENTS
    )


@dataclass(frozen=True)
class Values(Message, kind="horizontal.values"):
    """A piece of what the aggregator sends to all clients of a round of a step."""

    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")
    values: Any = array("f8", (None,), PIECE, reveals=RESULTS)
