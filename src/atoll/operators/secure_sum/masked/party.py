"""Clients and aggregator of a masked sum, talking.

A vector goes in blocks: rounded, masked and sent piece by piece at the client, staged whole at the
aggregator and then added, so that a client that leaves midway spoils nothing. The aggregator holds
the sum and one client's vector, whatever the number of clients; both are in files when large.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from atoll.channel.party import LEFT, Party
from atoll.core.codec import encode
from atoll.core.errors import AtollError, PeerError
from atoll.core.names import Role
from atoll.operators.secure_sum.api import SumInputs, SumParameters, SumResult, vector_of
from atoll.operators.secure_sum.fixed_point import FixedPoint, Numbers
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.aggregator import Aggregator
from atoll.operators.secure_sum.masked.client import Client
from atoll.operators.secure_sum.masked.messages import (
    CHUNK_BYTES,
    Consent,
    Consents,
    Keys,
    Masked,
    Opened,
    Roster,
    Sealed,
    Shares,
    Survivors,
)
from atoll.operators.secure_sum.masked.scratch import room
from atoll.operators.secure_sum.masked.setting import Setting


def run(party: Party, inputs: SumInputs, parameters: SumParameters, round_: int) -> SumResult:
    """Return the sum of the survivors' vectors at the aggregator, nothing at clients.

    ``party`` is on the lane and under the session of this round. Reveals: the sum and who survived,
    to the aggregator; who survived, to the survivors. Errors: ATL-SUM-002 an own value out of
    range, before anything is sent; ATL-SUM-003, 018; those of ``Client`` and ``Aggregator``;
    ATL-NET-048 too few clients are left; ATL-WRK-009, 010 the round was already answered.
    """
    clients = party.clients
    threshold, graph = parameters.threshold(len(clients)), parameters.graph_of(len(clients))
    setting = Setting(party.session, clients, threshold, graph)
    if party.role == Role.CLIENT:
        _take_part(party, setting, inputs, parameters, round_)
        return SumResult(None, None)
    return _add_up(party, setting, parameters)


def _take_part(
    party: Party, setting: Setting, inputs: SumInputs, parameters: SumParameters, round_: int
) -> None:
    channel, hub = party.channel, party.aggregator
    values, form = vector_of(inputs, parameters), parameters.form(len(setting.clients))
    form.check(values)
    client = Client(setting, party.name, inputs.identities, party.secret_rng)
    channel.send(hub, "sum/keys", client.keys())
    channel.send(hub, "sum/shares", client.share(channel.receive(hub, "sum/roster", Roster)))
    own, view = client.masks(channel.receive(hub, "sum/sealed", Sealed))
    if inputs.question is None:
        # From here on the update is spent: no other attempt may put it into a second sum.
        party.once(round_)
    for piece in pieces(values, form, own, view):
        party.cancel.check()
        channel.send(hub, "sum/masked", piece)
    survivors = channel.receive(hub, "sum/survivors", Survivors)
    consent = client.consent(survivors)
    if inputs.question is not None:
        _answer(party, inputs.question, inputs.source, survivors)
    channel.send(hub, "sum/consent", consent)
    channel.send(hub, "sum/opened", client.open(channel.receive(hub, "sum/consents", Consents)))


def _answer(party: Party, question: bytes, source: bytes, survivors: Survivors) -> None:
    """Consent durably to this source and these survivors, and to no others for this question.

    Any two sets that open need more than two thirds of the clients each, so they have an honest
    client in common, and it refuses. Errors: ATL-SUM-023, ATL-WRK-009.
    """
    answer = hashlib.sha256(encode([source, list(survivors.names)])).digest()
    if party.answer(question, answer) != answer:
        raise PeerError(
            "ATL-SUM-023",
            "an earlier attempt summed this round over other clients, or from other weights",
            party=party.aggregator,
            hint="submit the job again: a new run trains afresh",
        )


def pieces(
    values: Numbers, form: FixedPoint, own: list[masks.Mask], view: bytes
) -> Iterator[Masked]:
    """Yield a vector, shape [size], rounded and masked, in pieces; the last one carries ``view``.

    Errors: ATL-SUM-002, should a value have changed since all were checked.
    """
    stream = masks.Masks(own, form.bits)
    chunk, block = CHUNK_BYTES * 8 // form.bits, masks.BLOCK_BYTES * 8 // form.bits
    for first in range(0, len(values), chunk):
        words = np.empty(min(chunk, len(values) - first), form.dtype)
        for at in range(0, len(words), block):
            part = words[at : at + block]
            part[:] = form.encode(values[first + at : first + at + len(part)])
            stream.add(part)
        ended = first + len(words) == len(values)
        yield Masked(first * form.bits // 8, words.view(np.uint8), view if ended else b"")


def _add_up(party: Party, setting: Setting, parameters: SumParameters) -> SumResult:
    aggregator, least = Aggregator(setting), setting.threshold
    keys = party.gather(setting.clients, "sum/keys", Keys, least=least)
    roster = aggregator.roster(keys)
    here = [n for n in keys if party.try_send(n, "sum/roster", roster, spare=True)]
    shares = party.gather(here, "sum/shares", Shares, least=least)
    sealed = aggregator.passed_on(shares)
    here = [n for n in shares if party.try_send(n, "sum/sealed", sealed[n], spare=True)]
    form = parameters.form(len(setting.clients))
    total, staged = room(parameters.size, form.bits), room(parameters.size, form.bits)
    masked = {}
    for name in here:
        view = _staged(party, name, staged)
        if view is not None:
            added(total, staged)
            masked[name] = view
    del staged
    survivors = aggregator.survivors(masked)
    here = [n for n in survivors.names if party.try_send(n, "sum/survivors", survivors, spare=True)]
    signed = party.gather(here, "sum/consent", Consent, least=least)
    consents = aggregator.consents(signed)
    here = [n for n in signed if party.try_send(n, "sum/consents", consents, spare=True)]
    aggregator.unmask(total, party.gather(here, "sum/opened", Opened, least=least))
    return SumResult(total.view(form.signed), survivors.names, form.scale)


def added(total: masks.Ring, vector: masks.Ring) -> None:
    """Add ``vector`` to ``total`` in place, both uint32 or uint64[size], block by block."""
    step = CHUNK_BYTES // total.itemsize
    for at in range(0, len(total), step):
        total[at : at + step] += vector[at : at + step]


def _staged(party: Party, client: str, vector: masks.Ring) -> bytes | None:
    """Write a client's masked vector to ``vector``; return its signature of whose masks it has.

    The vector must come whole; None if the client left before that.
    """
    raw = vector.view(np.uint8)
    view = b""
    try:
        for first in range(0, len(raw), CHUNK_BYTES):
            part = party.channel.receive(client, "sum/masked", Masked)
            if part.first != first or len(part.words) != len(raw[first : first + CHUNK_BYTES]):
                raise PeerError(
                    "ATL-SUM-004", "a vector is not of the size of the plan", party=client
                )
            raw[first : first + CHUNK_BYTES] = part.words
            view = part.view
    except AtollError as error:
        if error.code not in LEFT:
            raise
        return None
    if len(view) != 64:
        raise PeerError("ATL-SUM-019", "a vector came without its signature", party=client)
    return view
