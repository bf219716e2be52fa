"""How updates of one round are added up: in the clear at the aggregator, or under masks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from atoll.channel.party import LEFT, Party
from atoll.core import codec
from atoll.core.errors import AtollError, DataError, PeerError
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.parties import vectors
from atoll.learning.horizontal.parties.messages import Change, Counts, ExactChange
from atoll.learning.horizontal.parties.vectors import Form
from atoll.learning.horizontal.postprocess.api import Bytes, Coder
from atoll.learning.horizontal.postprocess.mask import Mask, flatten, parts_of, unflatten
from atoll.learning.horizontal.sums import Running, Update
from atoll.operators import secure_sum
from atoll.operators.secure_sum import SumInputs

# Values that are converted at a time.
_BLOCK = 1 << 18

Refusal = Callable[[str, Update], str | None]


def _nothing(client: str, update: Update) -> None:
    """Find nothing wrong."""


@dataclass(frozen=True)
class Sum:
    """One sum: its tag, whose updates it is of, and a digest of what they were sent before.

    ``name`` is what the updates are, alike in every attempt of the step. Clients that were sent
    different weights are in different sessions, and their masks do not cancel: an aggregator cannot
    have all but one hand in updates that it knows (Pasquini, Francati, Ateniese, "Eluding Secure
    Aggregation in Federated Learning via Model Inconsistency", CCS 2022).
    """

    name: str
    tag: str
    names: tuple[str, ...]
    sent: bytes


def digest(sent: Vectors, *, exact: bool = False) -> bytes:
    """Return 32 bytes that stand for the vectors that a round began with.

    ``exact``: they are float64, else float32.
    """
    made = hashlib.sha256()
    for name, vector in sorted(sent.items()):
        made.update(codec.encode([name, len(vector)]))
        for first in range(0, len(vector), _BLOCK):
            block = vector[first : first + _BLOCK]
            made.update(np.ascontiguousarray(block, "<f8" if exact else "<f4").data)
    return made.digest()


@dataclass(frozen=True)
class Adding:
    """``mask`` hides single updates (None: the aggregator sees them); ``stay`` must stay.

    ``combine`` takes the place of the sum where vectors are handed in, and returns None where too
    few updates count: a robust rule, which no mask may precede.
    ``coder`` is what writes vectors in the clear as bytes; None: their values travel.
    ``exact``: without a mask updates travel in float64, else in float32.
    """

    mask: Mask | None
    stay: int
    combine: Callable[[Sequence[Update]], Update | None] | None = None
    coder: Coder | None = None
    exact: bool = False

    def hand_in(
        self, party: Party, of: Sum, update: Update, wire: Mapping[str, Bytes] | None = None
    ) -> None:
        """Hand in this client's update as its chain left it, ``wire`` as its coder wrote it.

        Errors: those of the secure sum.
        """
        if self.mask is not None:
            parts = parts_of(update)
            inner, question = self._inner(party, of)
            inputs = SumInputs(flatten(update, parts), inner.identities, question, of.sent)
            stay = max(0.67, self.stay / len(of.names))
            parameters = self.mask.parameters(parts).model_copy(update={"stay": stay})
            secure_sum.run(inner, inputs, parameters)
            return
        form = self._form(update)
        flat, numbers = form.flat(update)
        party.channel.send(party.aggregator, f"{of.tag}/counts", Counts(numbers))
        if wire:
            for name, _ in form.vectors:
                tag = f"{of.tag}/coded {name}"
                vectors.send_coded(party.channel, party.aggregator, tag, wire[name])
            return
        vectors.send(party.channel, party.aggregator, f"{of.tag}/change", self._kind, flat)

    def take(
        self, party: Party, of: Sum, template: Update, refusal: Refusal = _nothing
    ) -> tuple[Update | None, frozenset[str]]:
        """Return the sum at the aggregator, and whose updates are in it.

        ``template`` has the form of each client's update; ``refusal`` returns why an update of
        a client, where it is seen, is not taken. Errors: ATL-HOR-081, ATL-HOR-054 a sum
        that cannot be of those in it, those of the secure sum.
        """
        if self.mask is not None:
            parts = parts_of(template)
            inner, _ = self._inner(party, of)
            stay = max(0.67, self.stay / len(of.names))
            parameters = self.mask.parameters(parts).model_copy(update={"stay": stay})
            found = secure_sum.run(inner, SumInputs(None, inner.identities), parameters)
            if found.units is None or found.survivors is None:
                return None, frozenset()
            added = unflatten(found.units, parts)
            if self.mask.counted(added) != len(found.survivors):
                raise wrong_sum()
            return added, frozenset(found.survivors)
        form = self._form(template)
        if self.combine is not None and form.vectors:
            updates = {name: self._plain(party, of.tag, name, form, refusal) for name in of.names}
            there = {name: update for name, update in updates.items() if update is not None}
            return self.combine(list(there.values())), frozenset(there)
        return self._added(party, of, form, refusal)

    def _added(
        self, party: Party, of: Sum, form: Form, refusal: Refusal
    ) -> tuple[Update | None, frozenset[str]]:
        """Return the sum of the updates and whose they are; one is held beside it at a time.

        Each is added once it is there whole, so that who leaves midway spoils nothing.
        """
        running, there = Running(), set[str]()
        for name in of.names:
            update = self._plain(party, of.tag, name, form, refusal)
            if update is not None:
                running.add(update, owned=True)
                there.add(name)
            # Nothing holds it while the next is received.
            del update
        return running.total(), frozenset(there)

    def _form(self, update: Update) -> Form:
        return Form.of(update, np.float64 if self.exact else np.float32)

    @property
    def _kind(self) -> type[Change | ExactChange]:
        return ExactChange if self.exact else Change

    def _plain(
        self, party: Party, tag: str, client: str, form: Form, refusal: Refusal
    ) -> Update | None:
        try:
            update = self._received(party, tag, client, form)
        except AtollError as error:
            if error.code not in LEFT:
                raise
            return None
        why = refusal(client, update)
        if why is not None:
            raise vectors.wrong(client, why)
        return update

    def _received(self, party: Party, tag: str, client: str, form: Form) -> Update:
        numbers = party.channel.receive(client, f"{tag}/counts", Counts).values
        if len(numbers) != len(form.numbers) or not np.isfinite(numbers).all():
            raise vectors.wrong(client, "its numbers are others")
        if self.coder is not None:
            found = {
                name: vectors.receive_coded(
                    party.channel, client, f"{tag}/coded {name}", self.coder, size
                )
                for name, size in form.vectors
            }
            return Update(found, dict(zip(form.numbers, numbers.tolist(), strict=True)))
        flat = vectors.receive(
            party.channel, client, f"{tag}/change", self._kind, form.size, form.format
        )
        return form.update(flat, numbers)

    @staticmethod
    def _inner(party: Party, of: Sum) -> tuple[Party, bytes]:
        """Return this party among those of one sum, on a lane and in a session of its own, and the
        question that it answers once in all attempts.
        """
        held = {*of.names, party.aggregator}
        context = ["atoll/horizontal-sum/v1", party.session, of.tag, list(of.names), of.sent]
        inner = replace(
            party.at(of.tag),
            roles={name: role for name, role in party.roles.items() if name in held},
            session=hashlib.sha256(codec.encode(context)).digest(),
        )
        asked = ["atoll/horizontal-update/v1", party.step_id, of.name]
        return inner, hashlib.sha256(codec.encode(asked)).digest()


def wrong_sum() -> PeerError:
    """Return the refusal of a sum that no honest clients have; whose fault it is shows to none."""
    return PeerError(
        "ATL-HOR-054",
        "a masked sum is not one of the clients in it: a client's vector or shares are wrong",
        hint="masks hide whose they are; a robust rule over plain sums can look at each client's",
    )


def weightless(round_: int) -> DataError:
    """Return the refusal of a sum of clients of which none has rows, or a finite update."""
    return DataError(
        "ATL-HOR-055",
        f"no client weighs anything in round {round_}, so that nothing follows from it",
        hint="bring rows; a client's report has the rounds of which its update was not finite",
    )
