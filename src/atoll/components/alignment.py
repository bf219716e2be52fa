"""Before a step runs: each party has what it needs, and rows that must line up were agreed on.

Where its plan could not be seen through, a step would otherwise train on rows of different people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atoll.channel.party import Party
from atoll.components.api import Component, Task
from atoll.core.errors import PeerError, UserError
from atoll.core.message import Message, items, text
from atoll.core.names import Role
from atoll.core.reveal import more_than_planned
from atoll.jobs.definition import INPUTS
from atoll.jobs.schema import Port

TAG = "alignment"


@dataclass(frozen=True)
class Alignments(Message, kind="table.alignments", version=1):
    """Where the rows of each input that needs it were agreed on; empty where there is no table."""

    tokens: tuple[str, ...] = items(
        text(64, opaque="a digest of the session in which all parties agreed on the rows"), INPUTS
    )


def check_inputs(component: Component, task: Task) -> None:
    """Check the inputs of a step here, and compare alignments with the peers of this seat.

    Errors: ATL-PLN-007 an input is not there, ATL-PLN-008 the parties did not agree on its rows,
    ATL-CMP-060 another party's rows were agreed on elsewhere.
    """
    party = task.party
    mine = _taken(component, task, party.role)
    for name, port in mine.items():
        if task.inputs[name] is None and port.everywhere:
            raise absent(task.step, name, port.kind, party.name)
    tokens = {name: _token(task, name) for name, port in mine.items() if port.aligned}
    shared = {peer: _shared(component, task, tokens, party.roles[peer]) for peer in party.peers}
    sharing = [peer for peer in party.peers if shared[peer]]
    for peer in sharing:
        party.channel.send(peer, TAG, Alignments(tuple(shared[peer].values())))
    for peer in sharing:
        received = party.channel.receive(peer, TAG, Alignments).tokens
        _compare(task, shared[peer], received, peer)


def _taken(component: Component, task: Task, role: Role) -> dict[str, Port]:
    """Return the inputs of a step that a role takes, in the order of their names."""
    found = {}
    for name in sorted(task.inputs):
        port = component.inputs.get(name.partition(".")[0])
        if port is not None and takes(component, name, role):
            found[name] = port
    return found


def takes(component: Component, name: str, role: Role) -> bool:
    """Return whether seats of a role take an input (``port`` or ``port.number``)."""
    port = component.inputs.get(name.partition(".")[0])
    return port is None or port.roles is None or role in port.roles


def _shared(component: Component, task: Task, tokens: dict[str, str], role: Role) -> dict[str, str]:
    """Return the tokens of those inputs that a peer's role takes, too."""
    theirs = _taken(component, task, role)
    return {name: token for name, token in tokens.items() if name in theirs}


def _token(task: Task, name: str) -> str:
    table = task.inputs[name]
    if table is None:
        return ""
    if table.alignment is None:
        raise unaligned(task.step, name, task.party.name)
    return str(table.alignment)


def _compare(task: Task, tokens: dict[str, str], received: tuple[str, ...], peer: str) -> None:
    if len(received) != len(tokens):
        raise PeerError("ATL-CMP-060", "the peer compares other inputs", party=peer)
    for (name, mine), theirs in zip(tokens.items(), received, strict=True):
        if mine and theirs and mine != theirs:
            raise UserError(
                "ATL-CMP-060",
                "the rows of this table and of the other party's were not agreed on together",
                party=peer,
                place=f"steps.{task.step}.inputs.{name}",
                hint="take the rows of all parties from one intersection and the same steps after",
            )


def refuse_more_rows(party: Party, rows: int, seats: Iterable[str]) -> None:
    """Refuse own rows beyond the most that one of these seats has in the plan.

    What the plan reserves follows from what parties state of their tables: a false one may lower
    only what is sent. Errors: ATL-REV-002.
    """
    if any(rows > party.rows.get(seat, rows) for seat in seats):
        raise more_than_planned("rows")


def absent(
    step: str, name: str, kind: str, party: str | None, source: str | None = None
) -> UserError:
    """Return the error of a party (None: of all) that gets nothing where it needs something."""
    who = "no party gets a" if party is None else "this party gets no"
    where = f": {source} gives {'it ' if party else ''}nothing" if source else ""
    return UserError(
        "ATL-PLN-007",
        f"{who} {kind} here{where}",
        party=party,
        place=f"steps.{step}.inputs.{name}",
        hint="each party needs one; an intersection leaves those without that its `receivers` "
        "do not name",
    )


def unaligned(step: str, name: str, party: str | None = None) -> UserError:
    """Return the error of a table whose rows the parties never agreed on."""
    return UserError(
        "ATL-PLN-008",
        "the parties never agreed on the rows of this table, so they need not line up",
        party=party,
        place=f"steps.{step}.inputs.{name}",
        hint="intersect before (psi); if all tables hold the same rows in the same order, "
        "declare it: the reader's parameter aligned",
    )
