"""Clients and aggregator of a masked sum, talking."""

from __future__ import annotations

import numpy as np

from atoll.channel.party import LEFT, Party
from atoll.core.errors import AtollError, PeerError
from atoll.core.names import Role
from atoll.operators.secure_sum.api import SumInputs, SumParameters, SumResult, vector_of
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.aggregator import Aggregator
from atoll.operators.secure_sum.masked.client import Client, Setting
from atoll.operators.secure_sum.masked.messages import (
    CHUNK_BYTES,
    Consent,
    Consents,
    Keys,
    Masked,
    Opened,
    Roster,
    Shares,
    Survivors,
)


def run(party: Party, inputs: SumInputs, parameters: SumParameters) -> SumResult:
    """Return the sum of the survivors' vectors at the aggregator, nothing at clients.

    Reveals: the sum and who survived, to the aggregator; who survived, to the survivors.
    Errors: ATL-SUM-002 an own value out of range, before anything is sent; ATL-SUM-003; those of
    ``Client`` and ``Aggregator``; ATL-NET-048 too few clients are left.
    """
    clients = party.clients
    setting = Setting(party.session, clients, parameters.threshold(len(clients)))
    if party.role == Role.CLIENT:
        _take_part(party, setting, inputs, parameters)
        return SumResult(None, None)
    return _add_up(party, setting, parameters)


def _take_part(
    party: Party, setting: Setting, inputs: SumInputs, parameters: SumParameters
) -> None:
    channel, hub = party.channel, party.aggregator
    vector = parameters.form(len(setting.clients)).encode(vector_of(inputs, parameters))
    client = Client(setting, party.name, inputs.identities, party.secret_rng)
    channel.send(hub, "sum/keys", client.keys())
    channel.send(hub, "sum/shares", client.share(channel.receive(hub, "sum/roster", Roster)))
    client.mask(vector, channel.receive(hub, "sum/sealed", Shares))
    raw = vector.view(np.uint8)
    for first in range(0, len(raw), CHUNK_BYTES):
        channel.send(hub, "sum/masked", Masked(first, raw[first : first + CHUNK_BYTES]))
    survivors = channel.receive(hub, "sum/survivors", Survivors)
    channel.send(hub, "sum/consent", client.consent(survivors))
    channel.send(hub, "sum/opened", client.open(channel.receive(hub, "sum/consents", Consents)))


def _add_up(party: Party, setting: Setting, parameters: SumParameters) -> SumResult:
    aggregator, least = Aggregator(setting), setting.threshold
    keys = party.gather(setting.clients, "sum/keys", Keys, least=least)
    roster = aggregator.roster(keys)
    here = [n for n in keys if party.try_send(n, "sum/roster", roster, spare=True)]
    shares = party.gather(here, "sum/shares", Shares, least=least)
    sealed = aggregator.passed_on(shares)
    here = [n for n in shares if party.try_send(n, "sum/sealed", sealed[n], spare=True)]
    form = parameters.form(len(setting.clients))
    total = np.zeros(parameters.size, form.dtype)
    masked = {name for name in here if _added(party, name, total)}
    survivors = aggregator.survivors(masked)
    here = [n for n in survivors.names if party.try_send(n, "sum/survivors", survivors, spare=True)]
    signed = party.gather(here, "sum/consent", Consent, least=least)
    consents = aggregator.consents(signed)
    here = [n for n in signed if party.try_send(n, "sum/consents", consents, spare=True)]
    aggregator.unmask(total, party.gather(here, "sum/opened", Opened, least=least))
    return SumResult(form.decode(total), survivors.names)


def _added(party: Party, client: str, total: masks.Ring) -> bool:
    """Add a client's masked vector, which must have come whole; False if the client left.

    One client's vector is held at a time, whatever their number.
    """
    vector = np.empty_like(total)
    raw = vector.view(np.uint8)
    try:
        for first in range(0, len(raw), CHUNK_BYTES):
            part = party.channel.receive(client, "sum/masked", Masked)
            if part.first != first or len(part.words) != len(raw[first : first + CHUNK_BYTES]):
                raise PeerError(
                    "ATL-SUM-004", "a vector is not of the size of the plan", party=client
                )
            raw[first : first + CHUNK_BYTES] = part.words
    except AtollError as error:
        if error.code not in LEFT:
            raise
        return False
    total += vector
    return True
