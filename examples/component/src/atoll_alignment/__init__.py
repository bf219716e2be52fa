"""The component ``alignment``: a table passes only if all parties hold the same ids in order."""

from __future__ import annotations

from dataclasses import replace

from atoll.components.api import (
    Component,
    Facts,
    Port,
    Repeat,
    Result,
    Reveal,
    Role,
    Task,
    Terms,
)
from atoll_alignment import roles
from atoll_alignment.messages import ALIGNED, DIGEST, DIGEST_BYTES, ROWS, Rows, Verdict
from atoll_alignment.parameters import Parameters

__all__ = ["COMPONENT"]


def run(task: Task, parameters: Parameters) -> Result:
    """Play this party's role."""
    play = roles.guest if task.party.role is Role.GUEST else roles.host
    return play(task, parameters)


def describe(facts: Facts, parameters: Parameters) -> Terms:
    """Say for the plan what leaves each party; the suite compares it with what is sent."""
    # Compared digests are as good as an intersection: the rows are agreed on from here on.
    table = {
        party: replace(held, aligned=parameters.refuse or held.aligned)
        for party, held in facts.inputs["table"].items()
    }
    warnings = () if parameters.refuse else ("rows that are not aligned pass, too",)
    return Terms(
        implementation="alignment.digest",
        trust_model="federated",
        reveals=(
            Reveal("host", "guest", Rows.kind, "rows", "1", ROWS),
            Reveal("host", "guest", Rows.kind, "digest", str(DIGEST_BYTES), DIGEST),
            Reveal("guest", "host", Verdict.kind, "aligned", "1", ALIGNED),
        ),
        minimums={"rows": parameters.minimum_rows},
        estimated_bytes=len(facts.hosts) * 250,
        outputs={"table": table, "outcome": facts.everyone("alignment.outcome")},
        warnings=warnings,
    )


COMPONENT = Component(
    name="alignment",
    version="1",
    parameters=Parameters,
    run=run,
    describe=describe,
    sources=("atoll_alignment",),
    inputs={"table": Port("table")},
    outputs={"table": "table", "outcome": "alignment.outcome"},
    rows={"table": ("table", "all")},
    # New rows are to be compared, too, before they are scored.
    predict=Repeat(),
)
