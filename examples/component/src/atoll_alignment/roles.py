"""One entry per role. Nothing of the network shows here but ``send`` and ``receive``."""

from __future__ import annotations

import hmac

from atoll.components.api import Result, Task
from atoll.components.component_errors import refusal
from atoll.core.report import KeyValuePanel, Report
from atoll_alignment.digest import digest
from atoll_alignment.messages import Rows, Verdict
from atoll_alignment.parameters import Parameters


def guest(task: Task, parameters: Parameters) -> Result:
    """Compare every host's rows with the own ones; send each whether they are aligned."""
    channel, mine = task.party.channel, _mine(task)
    aligned = True
    for host in task.party.hosts:
        theirs = channel.receive(host, "rows", Rows)
        same = theirs.rows == mine.rows and hmac.compare_digest(theirs.digest, mine.digest)
        channel.send(host, "verdict", Verdict(same))
        aligned = aligned and same
    return _outcome(task, aligned, mine.rows, parameters)


def host(task: Task, parameters: Parameters) -> Result:
    """Send the guest number and digest of the rows; receive whether they are aligned."""
    channel, mine = task.party.channel, _mine(task)
    channel.send(task.party.guest, "rows", mine)
    aligned = channel.receive(task.party.guest, "verdict", Verdict).aligned
    return _outcome(task, aligned, mine.rows, parameters)


def _mine(task: Task) -> Rows:
    table = task.inputs["table"]
    # A party that an earlier step gave no table takes part with an empty one.
    rows = 0 if table is None else int(table.num_rows)
    return Rows(rows, digest(table, task.party.session))


def _outcome(task: Task, aligned: bool, rows: int, parameters: Parameters) -> Result:
    if parameters.refuse and not aligned:
        raise refusal(
            "the parties' rows are not aligned",
            place="inputs.table",
            hint="take the tables from an intersection",
        )
    if rows < parameters.minimum_rows:
        raise refusal("too few rows are left", place="inputs.table")
    panel = KeyValuePanel(title="Rows", values={"rows": rows, "aligned": str(aligned)})
    outputs = {"outcome": {"version": 1, "rows": rows, "aligned": aligned}}
    table = task.inputs["table"]
    if table is not None:
        outputs["table"] = task.agreed(table, "table") if parameters.refuse else table
    return Result(outputs, report=Report(title="Alignment", panels=(panel,)))
