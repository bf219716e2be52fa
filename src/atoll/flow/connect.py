"""Opens a party's folder and its connection to the other parties of a job."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.channel.api import Transport
from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.channel.identity import load_party
from atoll.core.errors import UserError
from atoll.core.settings import Settings
from atoll.flow.agreement import Credentials
from atoll.flow.specification import Specification


@dataclass(frozen=True)
class Connection:
    """A party's credentials and transport; ``address`` is where it listens, if it does."""

    credentials: Credentials
    transport: Transport
    address: str | None


def connect(specification: Specification) -> Connection:
    """Load the party and start to listen and to dial.

    Errors: ATL-JOB-009 the folder's party is not one of the job's, those of the identity and of
    ``GrpcTransport``.
    """
    identity = load_party(specification.folder)
    parties = specification.job.parties
    if identity.party not in parties:
        raise UserError(
            "ATL-JOB-009",
            "this folder's party does not take part in the job",
            party=identity.party,
            place="parties",
        )
    addresses = {name: at for name, at in specification.peers.items() if at is not None}
    transport = GrpcTransport(
        identity,
        sorted(parties.keys() - {identity.party}),
        listen=specification.listen,
        addresses=addresses,
        settings=WireSettings.of(Settings.of_environment()),
    )
    return Connection(identity, transport, transport.address)
