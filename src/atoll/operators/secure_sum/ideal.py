"""The definition in the clear: the aggregator adds the vectors. For tests alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from atoll.channel.party import Party
from atoll.core.message import Message, array
from atoll.core.names import Role
from atoll.core.settings import require_insecure
from atoll.operators.secure_sum.api import SumInputs, SumParameters, SumResult, vector_of


@dataclass(frozen=True)
class Vector(Message, kind="secure-sum.ideal.vector"):
    """A client's vector, in ring units."""

    values: Any = array("i8", (None,), 1 << 22, reveals="the vector itself")


def run(party: Party, inputs: SumInputs, parameters: SumParameters) -> SumResult:
    """Return the sum at the aggregator.

    Reveals: every vector, to the aggregator. Errors: ATL-SET-001 outside tests, ATL-SUM-002.
    """
    require_insecure("the ideal secure sum")
    form = parameters.form(len(party.clients))
    if party.role == Role.CLIENT:
        units = form.encode(vector_of(inputs, parameters)).view(form.signed)
        party.channel.send(party.aggregator, "sum/vector", Vector(units.astype(np.int64)))
        return SumResult(None, None)
    sent = party.gather(party.clients, "sum/vector", Vector)
    total = np.sum([message.values for message in sent.values()], axis=0)
    return SumResult(total.astype(form.signed), tuple(sorted(sent)), form.scale)
