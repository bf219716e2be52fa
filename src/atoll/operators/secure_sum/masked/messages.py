"""What clients and aggregator of a masked sum send each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.message import Message, array, blob, integer, items, text

MOST_CLIENTS = 4096
CHUNK_BYTES = 1 << 22
_NAME = text(160, opaque="names of clients, known to all")
_SEALED = 33 + 33 + 16


@dataclass(frozen=True)
class Keys(Message, kind="secure-sum.keys"):
    """A client's two fresh public keys and whom it chose, signed by it for this session.

    ``chosen`` are numbers of the plan's clients, little-endian in two bytes each, ascending; empty
    in the complete graph.
    """

    sealing: bytes = blob(32, opaque="a fresh public key of X25519")
    masking: bytes = blob(32, opaque="a fresh public key of X25519")
    chosen: bytes = blob(2 * MOST_CLIENTS, low=0, opaque="numbers that the client drew")
    signature: bytes = blob(64, opaque="the client's signature of these, for this session")


@dataclass(frozen=True)
class Roster(Message, kind="secure-sum.roster"):
    """The keys of all clients that sent some, passed on by the aggregator."""

    names: tuple[str, ...] = items(_NAME, MOST_CLIENTS)
    keys: tuple[bytes, ...] = items(
        blob(128, opaque="public keys and signatures of the clients"), MOST_CLIENTS
    )
    chosen: tuple[bytes, ...] = items(
        blob(2 * MOST_CLIENTS, low=0, opaque="numbers that the clients drew"), MOST_CLIENTS
    )


@dataclass(frozen=True)
class Shares(Message, kind="secure-sum.shares"):
    """Sealed shares of a client, for each of those who hold them."""

    names: tuple[str, ...] = items(_NAME, MOST_CLIENTS)
    sealed: tuple[bytes, ...] = items(
        blob(_SEALED, opaque="two shares, sealed for one client"), MOST_CLIENTS
    )


@dataclass(frozen=True)
class Sealed(Message, kind="secure-sum.sealed"):
    """What others sealed for one client, and all who sealed shares: masks are theirs."""

    names: tuple[str, ...] = items(_NAME, MOST_CLIENTS)
    sealed: tuple[bytes, ...] = items(
        blob(_SEALED, opaque="two shares, sealed for the receiver"), MOST_CLIENTS
    )
    here: tuple[str, ...] = items(_NAME, MOST_CLIENTS)


@dataclass(frozen=True)
class Masked(Message, kind="secure-sum.masked"):
    """A piece of a client's vector under masks, little-endian ring elements."""

    first: int = integer(0, 1 << 40, opaque="where the piece begins, known to both")
    words: npt.NDArray[np.uint8] = array(
        "u1", (None,), CHUNK_BYTES, opaque="ring elements under uniform masks"
    )
    view: bytes = blob(
        64, low=0, opaque="with the last piece: a signature of whose masks these are"
    )


@dataclass(frozen=True)
class Survivors(Message, kind="secure-sum.survivors"):
    """Those whose vectors the aggregator holds: the sum will be of exactly these."""

    names: tuple[str, ...] = items(
        text(160, reveals="which clients' vectors are in the sum"), MOST_CLIENTS
    )
    views: tuple[bytes, ...] = items(
        blob(64, opaque="signatures of names and keys that the receiver has"), MOST_CLIENTS
    )


@dataclass(frozen=True)
class Consent(Message, kind="secure-sum.consent"):
    """A client's signature of the survivors that it was shown."""

    signature: bytes = blob(64, opaque="a signature of names that the receiver sent")


@dataclass(frozen=True)
class Consents(Message, kind="secure-sum.consents"):
    """All signatures of the survivors, passed on: each client checks that enough saw the same."""

    names: tuple[str, ...] = items(_NAME, MOST_CLIENTS)
    signatures: tuple[bytes, ...] = items(
        blob(64, opaque="signatures of names that the receiver has"), MOST_CLIENTS
    )


@dataclass(frozen=True)
class Opened(Message, kind="secure-sum.opened"):
    """For each client one share: of its own mask if it survived, else of its masking key."""

    names: tuple[str, ...] = items(_NAME, MOST_CLIENTS)
    shares: tuple[bytes, ...] = items(
        blob(33, reveals="with enough others', the sum of the survivors' vectors"), MOST_CLIENTS
    )
