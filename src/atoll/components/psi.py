"""Keeps the rows whose ids all parties hold, in a common order."""

from __future__ import annotations

from dataclasses import replace

from atoll.components.alignment import refuse_more_rows
from atoll.components.api import Cheat, Component, Facts, OwnFacts, Result, Task, Terms
from atoll.components.predict import Repeat
from atoll.core.report import KeyValuePanel, Report
from atoll.core.settings import require_insecure
from atoll.jobs.schema import Port
from atoll.operators import psi
from atoll.operators.psi import PsiParameters, star
from atoll.operators.psi.pair import empty, too_small


def run(task: Task, parameters: PsiParameters) -> Result:
    """Intersect, and align this party's table; a party that is not entitled gets the count.

    Errors: those of ``psi.run``; ATL-PSI-004 also if a table would come out empty; ATL-REV-002.
    """
    table = task.inputs["table"]
    refuse_more_rows(task.party, table.num_rows, [task.party.name])
    found = psi.run(task.party, table.ids(), parameters)
    # A count of none is an answer, a table without rows is no table.
    if not found.count and parameters.receivers != "none":
        raise empty()
    panel = KeyValuePanel(title="Rows", values={"own": table.num_rows, "in common": found.count})
    report = Report(title="Intersection", panels=(panel,))
    if found.indices is None:
        return Result(report=report)
    return Result({"table": task.agreed(table.take(found.indices), "table")}, report=report)


def _estimate(facts: Facts, parameters: PsiParameters) -> int:
    """Return about how many bytes all parties send."""
    guest = facts.rows(facts.guest)

    def sizes(sender: str, receiver: str) -> dict[str, int | list[int]]:
        rows = facts.rows(receiver if sender == facts.guest else sender)
        return {
            "rows_guest": guest,
            "rows_host": rows,
            "count": min(guest, rows),
            "chunk_rows": parameters.chunk_rows,
            # Ids travel whole in the ideal form alone, which serves tests.
            "id_bytes_host": 16 * rows,
        }

    declared = star.cost if len(facts.hosts) > 1 else psi.cost
    return declared(parameters).size(facts.roles, sizes)


def _answers(facts: Facts) -> str:
    known = {party: facts.rows(party) for party in sorted(facts.roles)}
    rows = ", ".join(f"{party} {count:,}" for party, count in known.items() if count)
    most = f", as many answers as its table has rows here ({rows})" if rows else ""
    return (
        "semi-honest: a party that lies learns which of the ids in its table, made up or not, the "
        f"other holds, whatever receivers and the minimum say{most}"
    )


def describe(facts: Facts, parameters: PsiParameters) -> Terms:
    """Return what the intersection reveals and about how much it sends.

    Errors: ATL-PSI-001 not with so many hosts, ATL-PSI-003 a table below the minimum.
    """
    many = len(facts.hosts) > 1
    if many:
        star.check(parameters)
    for party in facts.roles:
        if 0 < facts.rows(party) < parameters.minimum_intersection:
            raise too_small(parameters, party, facts.rows(party))
    estimate = _estimate(facts, parameters)
    most = facts.least_rows()
    common = {
        name: replace(facts.inputs["table"][name].within(most), aligned=True)
        for name, role in facts.roles.items()
        if parameters.entitles(role)
    }
    warnings = [_answers(facts)]
    if parameters.protocol == "ideal":
        warnings.append("the ideal protocol sends every id in the clear: tests only")
    if many:
        warnings.append("with several hosts the guest learns which ids each single host has")
    return Terms(
        implementation=f"psi.{psi.choose(facts.setting, parameters.protocol)}",
        trust_model="two-party",
        reveals=star.reveals(parameters) if many else psi.reveals(parameters),
        minimums={"intersection": parameters.minimum_intersection},
        estimated_bytes=estimate,
        outputs={"table": common},
        warnings=tuple(warnings),
        exposure=psi.EXPOSURE,
        costs=(psi.RATE.of(estimate),),
    )


def check(own: OwnFacts, parameters: PsiParameters) -> None:
    """Refuse what only tests may run. Errors: ATL-SET-001."""
    if parameters.protocol == "ideal":
        require_insecure("the ideal intersection")


PSI = Component(
    name="psi",
    version="1",
    parameters=PsiParameters,
    run=run,
    describe=describe,
    check=check,
    sources=("atoll.operators.psi", "atoll.crypto"),
    inputs={"table": Port("table", everywhere=True)},
    outputs={"table": "table"},
    rows={"table": ("table", "common")},
    predict=Repeat(),
    # Both sides learn sizes and count, and refuse by them alike.
    public_codes=frozenset({"ATL-PSI-003", "ATL-PSI-004"}),
    dishonest=(
        Cheat(
            "any",
            "learn",
            "which of the ids in its list the other holds, by name, also of ids that it made up, "
            "whatever `receivers`, the minimum and the verdict say: it masks each row by a scalar "
            "of its own, looks for its answers among the other's tags, and may leave",
            "it does not, or the step fails at the other side; a table that grows from job to job "
            "may",
            "as many answers as its table has rows in the plan (ATL-PSI-006), once for each of "
            "`psi_runs`, which are charged also where the step fails. An answer is about one id, "
            "or says that all of t ids are held, for work that grows as the other's rows to the "
            "power of t",
            "nothing in this protocol; one that is secure against active parties will (it proves "
            "that one scalar masks all rows), which is not there yet. Smaller tables in the plan, "
            "a cap of `psi_runs`, and partners by contract",
        ),
        Cheat(
            "host",
            "learn",
            "with several hosts, which of its ids that the guest holds, or of the guest's rows "
            "that it points at instead, all others hold, whatever the minimum says",
            "it does not; later steps over rows that it does not hold are poor",
            "as many answers as ids were counted with the guest (ATL-PSI-010), once for each of "
            "`psi_runs`, charged on the tables of the guest and of the other hosts",
            "`receivers` guest: hosts get the joint count alone",
        ),
        Cheat(
            "any",
            "learn",
            "how many ids are in common, and leave before the other may go on",
            "the step fails at the other side, and its ledger holds a run",
            "one count for each of `psi_runs`; the plan declares it also for runs that are refused",
            "nothing: whoever counts first can leave",
        ),
        Cheat(
            "any",
            "change",
            "that the step goes on although fewer ids are in common than the minimum: by ids that "
            "it knows the other to hold, or by one of them under many scalars",
            "it does not where it passes; else the step ends by ATL-PSI-004",
            "with as many known ids as the minimum it passes; with t of them by a chance of t in "
            "the minimum for each of `psi_runs`, since both commit to all of their tags before "
            "either sees one (ATL-PSI-012)",
            "a minimum above what any partner knows of your ids",
        ),
        Cheat(
            "any",
            "change",
            "which rows count as in common, keeping their number: the other goes on with rows "
            "that only it holds",
            "it does not; models of such rows are poor",
            "as many rows as were counted (ATL-PSI-009)",
            "nothing: each side's answer about its own ids cannot be checked",
        ),
        Cheat(
            "any",
            "stop",
            "the step, by what is malformed, repeated, off the curve, sent back or not what it "
            "committed to (ATL-PSI-007 to 012, ATL-CRV-001 to 003)",
            "by code, with the partner's name",
            "the attempts that the plan signs",
            "not needed: nothing but what the plan declares has left by then",
        ),
    ),
)
