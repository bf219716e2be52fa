"""A world of parties on threads over a memory network.

    world = run({"bank": Role.GUEST, "shop": Role.HOST}, lambda party: entry(party, …))
    world.results["bank"]

A party that raises sends the others its code and phase, as the runner of a real job does; one that
is killed falls silent.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from atoll.channel.api import Channel, Transport
from atoll.channel.faulty import Fault, FaultyTransport, Killed
from atoll.channel.identities import SeatKeys
from atoll.channel.memory import MemoryNetwork, failure_code
from atoll.channel.party import Party
from atoll.channel.record import RecordTransport
from atoll.core.errors import AtollError
from atoll.core.limits import Limits
from atoll.core.names import Role, Scope
from atoll.core.random import PublicRandom, SecretRandom
from atoll.core.settings import require_insecure

Entry = Callable[[Party], Any]


@dataclass
class World:
    """What became of each party: results, errors, channels (counters, disclosures), transports."""

    results: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    transports: dict[str, Transport] = field(default_factory=dict)

    def check(self) -> World:
        """Raise the first cause, if any party failed; else return the world itself."""
        causes = sorted(self.errors.items(), key=lambda item: _is_consequence(item[1]))
        if causes:
            raise causes[0][1]
        return self


def _is_consequence(error: BaseException) -> bool:
    return isinstance(error, AtollError) and error.code.startswith("ATL-NET-00")


def run(
    roles: Mapping[str, Role],
    entry: Entry | Mapping[str, Entry],
    *,
    seed: int | None = None,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    record: bool = False,
    limits: Limits | None = None,
    task: str = "task",
    reachable: Callable[[str], tuple[str, ...]] | None = None,
) -> World:
    """Run ``entry`` (one for all, or one per party) as every party at once, in virtual time.

    ``seed`` makes secrets reproducible too; ``reachable`` returns whom a party may talk to (None:
    all others). Errors of parties land in ``World.errors``; call
    ``check`` to raise them. Errors: ATL-SET-001 outside tests and simulation.
    """
    require_insecure("a simulated world")
    network = MemoryNetwork(tuple(roles), virtual=True)
    keys = {name: Ed25519PrivateKey.generate() for name in roles}
    public = {name: key.public_key().public_bytes_raw() for name, key in keys.items()}
    world = World()
    threads = []
    for name in roles:
        transport: Transport = network.transport(name)
        if faults and name in faults:
            transport = FaultyTransport(transport, faults[name], _killer(network, name))
        if record:
            transport = RecordTransport(transport)
        chosen = entry if callable(entry) else entry[name]
        party = _party(name, dict(roles), transport, network, seed, limits or Limits(), task)
        party = replace(party, identities=SeatKeys(keys[name], public))
        if reachable is not None:
            party = replace(party, reachable=reachable(name))
        world.channels[name], world.transports[name] = party.channel, transport
        work = threading.Thread(target=_run, args=(world, network, party, chosen), name=name)
        threads.append(work)
        network.enter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return world


def _killer(network: MemoryNetwork, name: str) -> Callable[[], None]:
    return lambda: network.kill(name)


def _party(
    name: str,
    roles: dict[str, Role],
    transport: Transport,
    network: MemoryNetwork,
    seed: int | None,
    limits: Limits,
    task: str,
) -> Party:
    public = hashlib.sha256(f"atoll/world/v1/{seed}".encode()).digest()
    secret = SecretRandom() if seed is None else SecretRandom.seeded(f"{seed}/{name}".encode())
    return Party(
        name=name,
        roles=roles,
        channel=Channel(transport, Scope("world", task), limits),
        session=hashlib.sha256(b"session" + public).digest(),
        public_rng=PublicRandom(public),
        secret_rng=secret,
        clock=network.clock,
        limits=limits,
        step_id=hashlib.sha256(b"step" + public).digest(),
    )


def _run(world: World, network: MemoryNetwork, party: Party, entry: Entry) -> None:
    transport = party.channel.transport
    try:
        world.results[party.name] = entry(party)
        transport.close()
    except Killed as death:
        world.errors[party.name] = death
    except BaseException as error:
        world.errors[party.name] = error
        phase = error.phase if isinstance(error, AtollError) and error.phase else "unknown"
        transport.abort(failure_code(error), phase)
    finally:
        network.leave()
