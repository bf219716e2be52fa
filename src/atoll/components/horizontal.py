"""Trains one model on the rows of many owners with the same columns; no row leaves its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from atoll.components.alignment import refuse_more_rows
from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.horizontal_cheats import CHEATS
from atoll.core.errors import DataError, UserError
from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
from atoll.core.names import Role, party_of
from atoll.core.report import KeyValuePanel, LinePanel, Panel, Report, Series, TablePanel
from atoll.jobs.participation import ONE, SOME, star
from atoll.jobs.schema import Port, Purpose
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.build import model_of, output_of
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.adding import Adding
from atoll.learning.horizontal.parties.aggregator import Trained
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.compression import mask_of
from atoll.learning.horizontal.parties.measured import means, measured
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.parties.reveals import Sizes, reveals, sizes_of
from atoll.models.network.kind import HORIZONTAL_MODEL, card
from atoll.models.network.part import NetworkPart
from atoll.models.network.spec import NetworkSpec

if TYPE_CHECKING:
    from atoll.table import Table


def run(task: Task, parameters: HorizontalParameters) -> Result:
    """Train together; every party keeps the whole model. Errors: those of ``parties``; ATL-REV-002,
    ATL-HOR-083 a value is missing, ATL-HOR-020 a label of another form.
    """
    party = task.party
    if party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    table = task.inputs["train"]
    refuse_more_rows(party, table.num_rows, [party.name])
    spec = parameters.spec(len(table.columns))
    data = rows_of(table, spec)
    validation = task.inputs.get("validation")
    held_out = data if validation is None else rows_of(validation, spec, table.columns)
    work = work_of(parameters, spec, len(party.clients), party.rows)
    weights = Client(party, work, data, held_out).run()
    part = NetworkPart(party_of(party.name), table.columns, spec, weights)
    figures = means(measured(work.model, weights, held_out, work.classifies))
    panels: list[Panel] = []
    if figures is not None:
        named: dict[str, float | int | str | None] = {
            "rows": len(held_out),
            "loss": figures.loss,
            _figure(work): figures.figure,
        }
        title = "Own training rows" if validation is None else "Own held-out rows"
        panels.append(KeyValuePanel(title=title, values=named))
    report = Report(title="Horizontal training", panels=(*panels, *card(part)))
    return Result({"model": part}, report=report)


def _aggregate(task: Task, parameters: HorizontalParameters) -> Result:
    party = task.party
    columns = party.columns[party.clients[0]]
    spec = parameters.spec(columns)
    work = work_of(parameters, spec, len(party.clients), party.rows)
    trained = aggregator.run(party, work)
    return Result(report=report(trained, work))


def work_of(
    parameters: HorizontalParameters, spec: NetworkSpec, clients: int, rows: Mapping[str, int]
) -> Work:
    """Return what all parties of a training know of it; ``rows`` are the plan's, by seat."""
    mask = parameters.mask(clients, max(rows.values(), default=1))
    model = model_of(spec, parameters.l2)
    chain = parameters.compressed.applied(parameters.chain(mask), model.layout.size)
    return Work(
        model=model,
        algorithm=parameters.sent_down(parameters.trained_by()),
        chain=chain,
        adding=Adding(mask_of(chain), parameters.minimum_clients, chain.coder),
        rounds=parameters.rounds,
        evaluate_every=parameters.evaluate_every,
        minimum=parameters.minimum_clients,
        classifies=spec.family in {"logistic", "softmax"},
    )


def rows_of(table: Table, spec: NetworkSpec, columns: tuple[str, ...] | None = None) -> ClientRows:
    """Return a table as rows and targets. Errors: ATL-HOR-083, ATL-HOR-020."""
    matrix = table.matrix(columns) if columns else table.matrix()
    features: Vector = matrix.astype(np.float32)
    if not np.isfinite(features).all():
        at = int(np.argmax(~np.isfinite(features).all(axis=0)))
        raise DataError(
            "ATL-HOR-083",
            f"column {(columns or table.columns)[at]!r} has a missing value, or one beyond float32",
            hint="impute missing values before, or leave the column out",
        )
    return ClientRows(features, output_of(spec).check(table.label()))


def _figure(work: Work) -> str:
    return "accuracy" if work.classifies else "squared error"


def report(trained: Trained, work: Work) -> Report:
    """Return the aggregator's report: the curve of the common model, and who left."""
    rounds = tuple(float(point.round) for point in trained.curve)
    lines = (
        ("Loss", "loss", tuple(point.loss for point in trained.curve)),
        (_figure(work).capitalize(), _figure(work), tuple(p.figure for p in trained.curve)),
    )
    panels: list[Panel] = [
        LinePanel(
            title=title,
            x_label="round",
            y_label=name,
            series=(Series(name="all clients", x=rounds, y=values),),
        )
        for title, name, values in lines
        if values
    ]
    if trained.left:
        left = tuple(sorted(trained.left.items()))
        panels.append(TablePanel(title="Clients that left", columns=("client", "round"), rows=left))
    return Report(title="Horizontal training", panels=tuple(panels))


def _check(facts: Facts, parameters: HorizontalParameters) -> tuple[str, ...]:
    """Return the columns, the same at all clients. Errors: ATL-HOR-084, ATL-HOR-085."""
    clients = facts.having(Role.CLIENT)
    if len(clients) < parameters.minimum_clients:
        raise UserError(
            "ATL-HOR-084",
            f"{parameters.minimum_clients} clients must stay to the end, and the job has "
            f"{len(clients)}",
            place=f"steps.{facts.step}.parameters.minimum_clients",
            hint="a masked sum needs three; with fewer owners choose sum: plain",
        )
    tables = facts.inputs["train"]
    first = tables[clients[0]].columns
    for port in ("train", "validation"):
        for client, table in facts.inputs.get(port, {}).items():
            if table.columns is not None and first is not None and table.columns != first:
                raise UserError(
                    "ATL-HOR-085",
                    "all clients need the same columns in the same order",
                    party=party_of(client),
                    place=f"steps.{facts.step}.inputs.{port}",
                    hint=f"the first has {', '.join(first[:20])}",
                )
    return first or ()


def describe(facts: Facts, parameters: HorizontalParameters) -> Terms:
    """Return what training reveals: sums of updates or single ones, and the common model.

    Errors: ATL-HOR-080, ATL-HOR-084, ATL-HOR-085, ATL-HOR-060, ATL-HOR-050 or ATL-HOR-123 a
    compression that does not go with the sum or the clip.
    """
    columns = _check(facts, parameters)
    spec = parameters.spec(max(len(columns), 1))
    clients = facts.having(Role.CLIENT)
    sizes = sizes_of(work_of(parameters, spec, len(clients), {}), parameters, len(clients))
    parties = {party_of(client) for client in clients}
    models = {c: ArtifactFacts(HORIZONTAL_MODEL.name, columns=columns) for c in clients}
    return Terms(
        implementation=f"horizontal.{parameters.algorithm}.{parameters.sum}",
        trust_model="federated",
        reveals=reveals(sizes),
        minimums={"clients": parameters.minimum_clients},
        estimated_bytes=sizes.bytes,
        outputs={"model": models},
        warnings=_warnings(sizes, parties & {party_of(a) for a in facts.having(Role.AGGREGATOR)}),
        exposure=(Exposure(OPENED_SUMS, sizes.opened, Role.CLIENT, EVERYONE),),
    )


def _warnings(sizes: Sizes, both: set[str]) -> tuple[str, ...]:
    found = []
    if sizes.masked:
        found.append(
            f"the aggregator sees {sizes.sums} sums of at least {sizes.minimum} clients' updates, "
            "and no single update; sums, and the common model, still depend on rows: nothing here "
            "is differentially private"
        )
        if sizes.clients > sizes.minimum:
            spare = sizes.clients - sizes.minimum
            found.append(
                f"{spare} of {sizes.clients} clients may be left out: an aggregator that lies "
                "learns about the update of one that it leaves out between two rounds; with "
                f"minimum_clients {sizes.clients} it cannot, and a client that leaves ends the step"
            )
    else:
        found.append(
            "the aggregator sees each client's update: single rows can be read off it, most easily "
            "of clients with few; sum: masked hides it"
        )
    if both and sizes.masked:
        found.append(
            f"{', '.join(sorted(both))} aggregates and is a client: it knows its own update, so "
            "the sums that it sees are of one client fewer"
        )
    return tuple(found)


HORIZONTAL = Component(
    name="horizontal",
    version="1",
    parameters=HorizontalParameters,
    run=run,
    describe=describe,
    roles={Role.CLIENT: SOME, Role.AGGREGATOR: ONE},
    edges=star(Role.AGGREGATOR),
    quorum=lambda parameters: {Role.CLIENT: parameters.minimum_clients},
    sources=(
        "atoll.learning.horizontal",
        "atoll.models.network",
        "atoll.operators.secure_sum",
        "atoll.crypto",
    ),
    inputs={
        "train": Port(
            "table",
            purpose=Purpose.TRAIN,
            everywhere=True,
            label="any",
            roles=frozenset({Role.CLIENT}),
        ),
        "validation": Port(
            "table",
            optional=True,
            purpose=Purpose.VALIDATE,
            label="any",
            roles=frozenset({Role.CLIENT}),
        ),
    },
    outputs={"model": HORIZONTAL_MODEL.name},
    dishonest=CHEATS,
    # What the aggregator and all clients see alike.
    public_codes=frozenset(
        {"ATL-HOR-081", "ATL-HOR-082", "ATL-SUM-011", "ATL-SUM-012", "ATL-SUM-023"}
    ),
)
