"""Trains one model on the rows of many owners with the same columns; no row leaves its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from atoll.channel.party import Party
from atoll.components.alignment import refuse_more_rows
from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.clients import PUBLIC_CODES, EnoughRows, check_clients, refuse_shaped
from atoll.components.horizontal_cheats import CHEATS
from atoll.components.horizontal_shown import curves, cut_panels, spent_panels, warnings_of
from atoll.core.errors import DataError, UserError
from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
from atoll.core.names import Role, party_of
from atoll.core.report import KeyValuePanel, Panel, Report, TablePanel
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
from atoll.learning.horizontal.parties.measured import figure_name, means, measured
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.parties.privacy import Size
from atoll.learning.horizontal.parties.reveals import Sizes, reveals, sizes_of
from atoll.models.network.kind import HORIZONTAL_MODEL, card
from atoll.models.network.part import NetworkPart
from atoll.models.network.spec import NetworkSpec

if TYPE_CHECKING:
    from atoll.table import Table


class HorizontalTrainingParameters(HorizontalParameters, EnoughRows):
    """How a model is trained, and how few rows a client may bring."""

    @property
    def fewest(self) -> int:
        """See ``HorizontalParameters.fewest``: no step is of fewer rows than a table."""
        return self.minimum_rows

    def of_few_rows(self, step: str) -> tuple[str, ...]:
        """Return what to warn of where steps have few rows. Errors: ATL-HOR-166 they are all."""
        size = self.batch_size
        small = size is not None and size < self.minimum_rows and self.algorithm != "fedsgd"
        if not small or self.privacy is not None:
            return ()
        if self.remembered < self.minimum_rows:
            raise UserError(
                "ATL-HOR-166",
                f"an update would follow from about {self.remembered:.3g} rows of a client: its "
                "last local steps outweigh those before",
                place=f"steps.{step}.parameters.batch_size",
                hint="larger batches, or a smaller learning_rate, l2 or proximal",
            )
        return (
            f"local steps of {size} rows are of fewer than minimum_rows ({self.minimum_rows}): "
            "where a step is so large that it fits its rows, an update follows most from a "
            "client's last rows, which single one of them no one else knows; batch_size "
            f"{self.minimum_rows} or more prevents it",
        )


def run(task: Task, parameters: HorizontalTrainingParameters) -> Result:
    """Train together; every party keeps the whole model. Errors: those of ``parties``; ATL-REV-002,
    ATL-HOR-083 a value is missing, ATL-HOR-020 a label of another form, ATL-HOR-162 too few rows.
    """
    party = task.party
    if party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    table = task.inputs["train"]
    parameters.require(table, task.inputs.get("validation"))
    refuse_more_rows(party, table.num_rows, [party.name])
    spec = parameters.spec(len(table.columns))
    data = rows_of(table, spec)
    validation = task.inputs.get("validation")
    held_out = data if validation is None else rows_of(validation, spec, table.columns)
    work = work_of(parameters, spec, len(party.clients), _rows(party))
    client = Client(party, work, data, held_out)
    weights = client.run()
    part = NetworkPart(party_of(party.name), table.columns, spec, weights)
    figures = means(measured(work.model, weights, held_out, work.classifies))
    panels: list[Panel] = []
    if figures is not None:
        named: dict[str, float | int | str | None] = {
            "rows": len(held_out),
            "loss": figures.loss,
            figure_name(work.classifies): figures.figure,
        }
        title = "Own training rows" if validation is None else "Own held-out rows"
        panels.append(KeyValuePanel(title=title, values=named))
    panels += curves(client.curve, work, "own rows")
    panels += cut_panels(client.cut)
    report = Report(title="Horizontal training", panels=(*panels, *card(part)))
    return Result({"model": part}, report=report)


def _aggregate(task: Task, parameters: HorizontalParameters) -> Result:
    party = task.party
    columns = party.columns[party.clients[0]]
    spec = parameters.spec(columns)
    work = work_of(parameters, spec, len(party.clients), _rows(party))
    trained = aggregator.run(party, work)
    return Result(report=report(trained, work))


def work_of(
    parameters: HorizontalParameters, spec: NetworkSpec, clients: int, rows: Mapping[str, int]
) -> Work:
    """Return what all parties of a training know of it; ``rows`` are the plan's, by seat.

    Errors: ATL-HOR-060; ATL-HOR-050 or ATL-HOR-123 a compression that does not go with the sum or
    the clip; with privacy those of ``HorizontalParameters.private``; ATL-HOR-109 to ATL-HOR-111 a
    robust rule that does not fit the algorithm, the sum or the number of clients.
    """
    minimum, model = parameters.minimum_clients, model_of(spec, parameters.l2)
    most, every = max(rows.values(), default=1), sum(rows.values()) if all(rows.values()) else 0
    private = parameters.private(Size(spec.size, clients, minimum, most, every))
    if private is None:
        algorithm, rounds = parameters.trained_by(), parameters.rounds
        chain = parameters.chain(parameters.mask(clients, most))
    else:
        algorithm, rounds = parameters.private_by(private, every), private.rounds
        chain = private.chain
    chain = parameters.compressed.applied(chain, model.layout.size)
    combine = parameters.combine(chain, clients)
    return Work(
        model=model,
        algorithm=parameters.sent_down(algorithm),
        chain=chain,
        adding=Adding(mask_of(chain), minimum, combine, chain.coder),
        rounds=rounds,
        evaluate_every=parameters.evaluate_every,
        minimum=minimum,
        classifies=spec.family in {"logistic", "softmax"},
        bound=parameters.bound,
        private=private,
    )


def _rows(party: Party) -> dict[str, int]:
    """Return the most rows of each client by the plan, 0 where it states none."""
    return {client: party.rows.get(client, 0) for client in party.clients}


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


def report(trained: Trained, work: Work) -> Report:
    """Return the aggregator's report: the curve of the common model, and who left."""
    panels = curves(trained.curve, work, "all clients")
    if work.private is not None:
        panels += spent_panels(work.private)
    if trained.left:
        left = tuple(sorted(trained.left.items()))
        panels.append(TablePanel(title="Clients that left", columns=("client", "round"), rows=left))
    return Report(title="Horizontal training", panels=tuple(panels))


def describe(facts: Facts, parameters: HorizontalTrainingParameters) -> Terms:
    """Return what training reveals: sums of updates or single ones, and the common model.

    Errors: ATL-HOR-080, ATL-HOR-140, ATL-HOR-162, ATL-HOR-166, those of ``check_clients`` and
    ``work_of``.
    """
    columns = check_clients(facts, parameters.minimum_clients, "train", "validation") or ()
    parameters.refuse_planned(facts, "train", "validation")
    few = parameters.of_few_rows(facts.step)
    if parameters.privacy is not None:
        refuse_shaped(facts, "train", parameters.privacy.unit)
    spec = parameters.spec(len(columns) or parameters.fewest_columns)
    clients = facts.having(Role.CLIENT)
    train = facts.inputs["train"]
    # Before tables are named, neither columns nor rows are known: a shape is all that is asked for.
    rows = {client: train[client].rows or int(not columns) for client in clients}
    work = work_of(parameters, spec, len(clients), rows)
    sizes = sizes_of(work, parameters, len(clients))
    parties = {party_of(client) for client in clients}
    both = parties & {party_of(hub) for hub in facts.having(Role.AGGREGATOR)}
    rule = "" if parameters.rule == "mean" else f".{parameters.rule}"
    models = {c: ArtifactFacts(HORIZONTAL_MODEL.name, columns=columns) for c in clients}
    return Terms(
        implementation=f"horizontal.{parameters.algorithm}.{parameters.sum}{rule}",
        trust_model="federated",
        reveals=reveals(sizes),
        minimums={"clients": parameters.minimum_clients, "rows": parameters.minimum_rows},
        estimated_bytes=sizes.bytes,
        outputs={"model": models},
        warnings=(
            *warnings_of(sizes, work.private, both),
            *parameters.rule_notes(len(clients)),
            *few,
        ),
        exposure=_exposure(sizes, work),
    )


def _exposure(sizes: Sizes, work: Work) -> tuple[Exposure, ...]:
    if work.private is None:
        return (Exposure(OPENED_SUMS, sizes.opened, Role.CLIENT, EVERYONE),)
    return work.private.spent(work.rounds).exposures(Role.CLIENT, Role.AGGREGATOR)


HORIZONTAL = Component(
    name="horizontal",
    version="1",
    parameters=HorizontalTrainingParameters,
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
    public_codes=PUBLIC_CODES,
)
