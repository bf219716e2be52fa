"""Models as training makes them: each split at one node, hosts know the places of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atoll.models.boosting import GuestPart, HostPart, Part, Split, Tree

Floats = npt.NDArray[np.float64]
MODEL = "0123456789abcdef" * 2
COLUMNS = 3


def grown(
    rng: np.random.Generator,
    hosts: Sequence[str] = ("shop",),
    trees: int = 4,
    depth: int = 3,
    *,
    leaf: float = 0.2,
    guest: float = 0.4,
) -> tuple[GuestPart, dict[str, HostPart]]:
    """Return random parts: a node below the root is a leaf with probability ``leaf``, a split the
    guest's with ``guest``.
    """
    names = ("bank", *hosts)
    held: dict[str, list[Split]] = {name: [] for name in names}
    made = [_tree(rng, names, number, depth, (leaf, guest), held) for number in range(trees)]
    columns = tuple(f"c{at}" for at in range(COLUMNS))
    part = GuestPart(
        model=MODEL,
        party="bank",
        hosts=tuple(hosts),
        columns=columns,
        base_margin=0.25,
        splits=tuple(held["bank"]),
        host_splits=tuple(len(held[host]) for host in hosts),
        trees=tuple(made),
    )
    theirs = {
        host: HostPart(
            model=MODEL, party=host, guest="bank", columns=columns, splits=tuple(held[host])
        )
        for host in hosts
    }
    return part, theirs


def _tree(
    rng: np.random.Generator,
    names: Sequence[str],
    number: int,
    depth: int,
    shares: tuple[float, float],
    held: dict[str, list[Split]],
) -> Tree:
    places, owner, split, left, right = [0], [], [], [], []
    for node in places:  # Grows while it is read: breadth first.
        level = (node + 1).bit_length() - 1
        if level == depth or (node and rng.random() < shares[0]):
            owner.append(-1)
            split.append(0)
            left.append(0)
            right.append(0)
            continue
        who = 0 if rng.random() < shares[1] else 1 + int(rng.integers(len(names) - 1))
        mine = held[names[who]]
        owner.append(who)
        split.append(len(mine))
        mine.append(
            Split(
                column=int(rng.integers(COLUMNS)),
                threshold=float(np.round(rng.normal(), 2)),
                missing_left=bool(rng.random() < 0.5),
                tree=number if who else None,
                node=node if who else None,
            )
        )
        left.append(len(places))
        right.append(len(places) + 1)
        places += [2 * node + 1, 2 * node + 2]
    weights = [float(rng.normal()) if who < 0 else 0.0 for who in owner]
    return Tree(
        owner=tuple(owner),
        split=tuple(split),
        left=tuple(left),
        right=tuple(right),
        weight=tuple(weights),
        gain=tuple(0.0 for _ in owner),
        rows=tuple(1 for _ in owner),
    )


def features(rng: np.random.Generator, names: Sequence[str], rows: int) -> dict[str, Floats]:
    """Return columns of each party, a fifth of the values missing."""
    found = {name: np.round(rng.normal(size=(rows, COLUMNS)), 2) for name in names}
    for values in found.values():
        values[rng.random(values.shape) < 0.2] = np.nan
    return found


def parties(part: GuestPart, hosts: dict[str, HostPart]) -> dict[str, Part]:
    """Return all parts by party."""
    return {"bank": part, **hosts}
