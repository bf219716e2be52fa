"""Keeps the rows whose ids all parties hold, in a common order."""

from __future__ import annotations

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.core.report import KeyValuePanel, Report
from atoll.jobs.schema import Port
from atoll.operators import psi
from atoll.operators.psi import PsiParameters, star


def run(task: Task, parameters: PsiParameters) -> Result:
    """Intersect, and align this party's table; a party that is not entitled gets the count."""
    table = task.inputs["table"]
    found = psi.run(task.party, table.ids(), parameters)
    panel = KeyValuePanel(title="Rows", values={"own": table.num_rows, "in common": found.count})
    report = Report(title="Intersection", panels=(panel,))
    outputs = {} if found.indices is None else {"table": table.take(found.indices)}
    return Result(outputs, report=report)


def describe(facts: Facts, parameters: PsiParameters) -> Terms:
    """Say what the intersection reveals and about how much it sends."""
    guest, hosts = facts.rows(facts.guest), [facts.rows(host) for host in facts.hosts]
    estimate = 0
    for rows in hosts:
        sizes = {
            "rows_guest": guest,
            "rows_host": rows,
            "count": min(guest, rows),
            "chunk_rows": parameters.chunk_rows,
            # Ids travel whole in the ideal form alone, which serves tests.
            "id_bytes_host": 16 * rows,
        }
        cost = psi.cost(parameters).estimate(sizes)
        estimate += cost["guest_to_host"] + cost["host_to_guest"]
    entitled = tuple(name for name, role in facts.roles.items() if parameters.entitles(role))
    warnings = ["semi-honest: a party that makes up ids learns whether the other holds them"]
    if parameters.protocol == "ideal":
        warnings.append("the ideal protocol sends every id in the clear: tests only")
    many = len(hosts) > 1
    if many:
        warnings.append("with several hosts the guest learns which ids each single host has")
    return Terms(
        implementation=f"psi.{parameters.protocol}",
        trust_model="two-party",
        reveals=star.reveals(parameters) if many else psi.reveals(parameters),
        minimums={"intersection": parameters.minimum_intersection},
        estimated_bytes=estimate,
        owners={"table": entitled},
        warnings=tuple(warnings),
    )


PSI = Component(
    name="psi",
    version="1",
    parameters=PsiParameters,
    run=run,
    describe=describe,
    sources=("atoll.operators.psi", "atoll.crypto"),
    inputs={"table": Port("table")},
    outputs={"table": "table"},
)
