"""How updates of one round are added up: in the clear at the aggregator, or under masks."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from atoll.channel.party import LEFT, Party
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.parties import vectors
from atoll.learning.horizontal.parties.messages import Change, Counts
from atoll.learning.horizontal.parties.vectors import Form
from atoll.learning.horizontal.sums import Update, total
from atoll.operators import secure_sum
from atoll.operators.secure_sum import SumInputs, SumParameters

# Numbers of an update lie below this; counts below 2^40 stay exact in a ring of 64 bits.
_NUMBERS = 40


@dataclass(frozen=True)
class Sum:
    """One sum: its tag, whose updates it is of, and a digest of what they were sent before.

    Clients that were sent different weights are in different sessions, and their masks do not
    cancel: an aggregator cannot have all but one give updates that it knows (Pasquini, Francati,
    Ateniese, "Eluding Secure Aggregation in Federated Learning via Model Inconsistency", CCS 2022).
    """

    tag: str
    names: tuple[str, ...]
    sent: bytes


def digest(sent: Vectors) -> bytes:
    """Return 32 bytes that stand for the vectors that a round began with."""
    made = hashlib.sha256()
    for name, vector in sorted(sent.items()):
        made.update(codec.encode([name, len(vector)]))
        made.update(np.ascontiguousarray(vector, "<f4").data)
    return made.digest()


@dataclass(frozen=True)
class Adding:
    """``masked`` hides single updates; ``bound`` is the greatest absolute value of their vectors,
    ``stay`` how many clients must stay.
    """

    masked: bool
    bound: float
    stay: int

    def hand_in(self, party: Party, of: Sum, update: Update) -> None:
        """Hand in this client's update. Errors: ATL-SUM-002 out of range, before it is sent."""
        form = Form.of(update)
        flat, numbers = form.flat(update)
        if self.masked:
            inner, parameters = self._inner(party, of, form)
            values = np.concatenate([flat.astype(np.float64), np.ldexp(numbers, self._shift)])
            secure_sum.run(inner, SumInputs(values, inner.identities), parameters)
            return
        channel = party.channel
        channel.send(party.aggregator, f"{of.tag}/counts", Counts(numbers))
        vectors.send(channel, party.aggregator, f"{of.tag}/change", Change, flat)

    def take(self, party: Party, of: Sum, form: Form) -> tuple[Update | None, frozenset[str]]:
        """Return the sum at the aggregator, and whose updates are in it.

        Errors: ATL-HOR-081, those of the secure sum.
        """
        if self.masked:
            inner, parameters = self._inner(party, of, form)
            nothing = SumInputs(None, inner.identities)
            found = secure_sum.run(inner, nothing, parameters)
            if found.total is None or found.survivors is None:
                return None, frozenset()
            flat = found.total[: form.size].astype(np.float32)
            numbers = np.ldexp(found.total[form.size :], -self._shift)
            return form.update(flat, numbers), frozenset(found.survivors)
        updates = {name: self._plain(party, of.tag, name, form) for name in of.names}
        there = {name: update for name, update in updates.items() if update is not None}
        return total(there.values()), frozenset(there)

    def _plain(self, party: Party, tag: str, client: str, form: Form) -> Update | None:
        try:
            numbers = party.channel.receive(client, f"{tag}/counts", Counts).values
            if len(numbers) != len(form.numbers) or not np.isfinite(numbers).all():
                raise vectors.wrong(client, "its numbers are others")
            flat = vectors.receive(party.channel, client, f"{tag}/change", Change, form.size)
        except AtollError as error:
            if error.code not in LEFT:
                raise
            return None
        return form.update(flat, numbers)

    @property
    def _exponent(self) -> int:
        return math.ceil(math.log2(self.bound))

    @property
    def _shift(self) -> int:
        """By which power of two numbers are scaled into the range of the vectors."""
        return min(self._exponent - _NUMBERS, 0)

    def _inner(self, party: Party, of: Sum, form: Form) -> tuple[Party, SumParameters]:
        """Return this party among those of one sum, in a session of its own, on its own lane."""
        held = {*of.names, party.aggregator}
        context = ["atoll/horizontal-sum/v1", party.session, of.tag, list(of.names), of.sent]
        inner = replace(
            party.at(of.tag),
            roles={name: role for name, role in party.roles.items() if name in held},
            session=hashlib.sha256(codec.encode(context)).digest(),
        )
        size = form.size + len(form.numbers)
        bound = 2.0**self._exponent
        stay = max(0.67, self.stay / len(of.names))
        return inner, SumParameters(size=size, bound=bound, bits=64, stay=stay)
