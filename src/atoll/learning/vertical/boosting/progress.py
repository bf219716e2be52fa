"""What each side keeps after every tree, so that a lost worker goes on at the next.

Nothing in it is secret randomness: a host's noise and the guest's keys are drawn again, and what
each party draws for trees follows from a seed that it keeps apart (``sampling.tree_seed``). Bins,
labels and samples of rows follow from the inputs and the job's seed.
"""

from __future__ import annotations

from dataclasses import asdict, fields

from atoll.channel.party import Party
from atoll.core import codec
from atoll.learning.vertical.boosting.api import TreeRecord
from atoll.learning.vertical.boosting.grow import model_id
from atoll.models.boosting import Split, Tree

# Of own bytes: a tree of the greatest depth has many short lists.
_TREE_MEMORY = 256 << 20
_TREE = tuple(Tree.model_fields)
_RECORD = tuple(field.name for field in fields(TreeRecord))
_SPLIT = tuple(Split.model_fields)


class TreeLog:
    """The trees that are done, each as bytes made once: (record, own splits, the guest's tree)."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []

    def add(self, record: TreeRecord, splits: list[Split], tree: Tree | None = None) -> None:
        """Add the tree that was finished last; hosts know no tree."""
        about = asdict(record)
        whole = [
            [about[name] for name in _RECORD],
            [[getattr(split, name) for name in _SPLIT] for split in splits],
            None if tree is None else [getattr(tree, name) for name in _TREE],
        ]
        self.blobs.append(codec.encode(whole))

    def restore(self, blobs: list[bytes]) -> list[tuple[TreeRecord, list[Split], Tree | None]]:
        """Take over the trees of an earlier attempt, and return them."""
        self.blobs = list(blobs)
        return [_read(blob) for blob in blobs]


def _read(blob: bytes) -> tuple[TreeRecord, list[Split], Tree | None]:
    record, splits, tree = codec.decode(blob, limit=len(blob), memory=_TREE_MEMORY)
    return (
        TreeRecord(**dict(zip(_RECORD, record, strict=True))),
        [Split(**dict(zip(_SPLIT, split, strict=True))) for split in splits],
        None if tree is None else Tree(**dict(zip(_TREE, map(tuple, tree), strict=True))),
    )


def new_model(party: Party, task: str, *, noisy: bool) -> str:
    """Return the id of a model that this attempt begins.

    It is that of the session, so that no two models share one. Where a fixed seed and no noise make
    the model repeat, it follows from the step alone, and repeats with it.
    """
    repeats = party.public_rng.fixed and not noisy
    return model_id(party.step_id if repeats else party.session, task)
