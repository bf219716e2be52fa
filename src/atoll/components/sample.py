"""Keeps a sample of aligned rows: the same rows at every party.

At random, everyone draws alike from the joint coin toss (or the job's seed) and nothing is sent.
Stratified by the label, the guest draws in secret and sends the others which rows it kept; this
draw is fresh in every run, also in those of a job with a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from atoll.channel.party import Party
from atoll.components.api import (
    ArtifactFacts,
    Cheat,
    Component,
    Facts,
    OwnFacts,
    Result,
    Task,
    Terms,
)
from atoll.components.predict import Drop
from atoll.core.errors import DataError, PeerError, UserError
from atoll.core.exposure import ROWS, Exposure
from atoll.core.limits import MESSAGE_BYTES
from atoll.core.message import Message, array
from atoll.core.names import Role
from atoll.core.report import KeyValuePanel, Panel, Report, TablePanel
from atoll.core.reveal import Reveal
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import NO_EDGES, OWNERS, star
from atoll.jobs.schema import Port
from atoll.learning.features import sampling

if TYPE_CHECKING:
    from atoll.table import Table

_WHAT = "which rows the guest kept, drawn within the classes of its label (one bit a row)"
_SHOWN = (
    "the other parties learn which rows were kept, drawn within the classes of the label: who "
    "knows all labels but one reads that one off a single draw in 87 % of draws (of 100 rows, half "
    "kept), and rows that many draws keep together or apart show which of them share a class"
)
_MOST = MESSAGE_BYTES - 1024


@dataclass(frozen=True)
class SelectedRows(Message, kind="sample.kept", version=1):
    """One bit a row, the first row in the lowest bit of the first byte."""

    bits: Any = array("u1", (None,), _MOST, reveals=_WHAT)


class Share(Frozen):
    """How much of one class is kept."""

    label: float = Field(ge=-1e300, le=1e300, description="the label's value")
    fraction: float = Field(ge=0, le=1, description="share of its rows that is kept")


class SampleParameters(Frozen):
    """How many rows are kept, and whether within each class of the label."""

    method: Literal["random", "stratified"] = Field(
        default="random", description="over all rows, or within each class of the guest's label"
    )
    fraction: float | None = Field(
        default=None, gt=0, le=1, description="share of the rows that is kept (of each class)"
    )
    count: int | None = Field(
        default=None, ge=1, le=1 << 40, description="how many rows are kept, instead of a share"
    )
    shares: tuple[Share, ...] = Field(
        default=(), max_length=sampling.CLASSES, description="stratified: a share for every class"
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        given = (self.fraction is not None) + (self.count is not None) + bool(self.shares)
        if given != 1:
            raise ValueError("give exactly one of fraction, count and shares")
        if self.shares and self.method != "stratified":
            raise ValueError("shares by class need the method stratified")
        if len({share.label for share in self.shares}) != len(self.shares):
            raise ValueError("a class has one share")
        return self


def run(task: Task, parameters: SampleParameters) -> Result:
    """Sample this party's table. Errors: ATL-CMP-040 to 043."""
    table: Table = task.inputs["table"]
    if parameters.method == "stratified":
        chosen = _stratified(task.party, table, parameters)
    else:
        chosen = _random(task, table.num_rows, parameters)
    kept = task.agreed(table.take(chosen), "table", table)
    return Result({"table": kept}, report=_report(table, kept))


def _pairs(parameters: SampleParameters) -> list[tuple[float, float]]:
    return [(share.label, share.fraction) for share in parameters.shares]


def _no_row() -> DataError:
    return DataError("ATL-CMP-040", "the sample keeps no row", place="parameters")


def _no_label() -> DataError:
    return DataError("ATL-CMP-042", "a stratified sample needs the guest's labelled table")


def _random(task: Task, rows: int, parameters: SampleParameters) -> npt.NDArray[np.int64]:
    size = sampling.size_of(rows, parameters.fraction, parameters.count)
    generator = task.party.public_rng.generator(task.step, 0, "sample")
    return sampling.at_random(rows, size, generator)


def _stratified(party: Party, table: Table, parameters: SampleParameters) -> npt.NDArray[np.int64]:
    if party.name != party.guest:
        return _receive(party, table)
    if table.label_name is None:
        raise _no_label()
    if table.num_rows > 8 * _MOST:
        raise UserError("ATL-CMP-040", "the table is too large for a stratified sample")
    chosen = sampling.stratified(
        table.label(),
        party.secret_rng,
        fraction=parameters.fraction,
        count=parameters.count,
        shares=_pairs(parameters),
    )
    if not len(chosen):
        raise _no_row()
    flags = np.zeros(table.num_rows, dtype=np.bool_)
    flags[chosen] = True
    bits = np.packbits(flags, bitorder="little")
    for peer in party.peers:
        party.channel.send(peer, "kept", SelectedRows(bits))
    return chosen


def _receive(party: Party, table: Table) -> npt.NDArray[np.int64]:
    bits = party.channel.receive(party.guest, "kept", SelectedRows).bits
    rows = table.num_rows
    # The length first: unpacked, bits take eight times their message.
    if len(bits) != -(-rows // 8):
        raise _unfit(party)
    flags = np.unpackbits(bits, bitorder="little")
    if flags[rows:].any() or not flags.any():
        raise _unfit(party)
    return np.flatnonzero(flags)


def _unfit(party: Party) -> PeerError:
    return PeerError(
        "ATL-CMP-043",
        "the guest's sample does not fit this party's table",
        party=party.guest,
        hint="sample tables that were aligned by an intersection",
    )


def _report(table: Table, kept: Table) -> Report:
    values: dict[str, float | int | str | None] = {"rows": table.num_rows, "kept": kept.num_rows}
    panels: list[Panel] = [KeyValuePanel(title="Rows", values=values)]
    if table.label_name is not None:
        classes, before = np.unique(table.label(), return_counts=True)
        if len(classes) <= sampling.CLASSES:
            label = kept.label()
            after = [int(np.count_nonzero(label == value)) for value in classes]
            lines = zip(classes.tolist(), before.tolist(), after, strict=True)
            panels.append(
                TablePanel(title="Classes", columns=("label", "rows", "kept"), rows=tuple(lines))
            )
    return Report(title="Sample", panels=tuple(panels))


def describe(facts: Facts, parameters: SampleParameters) -> Terms:
    """At random nothing is sent; stratified, the guest reports which rows it kept.

    Errors: ATL-CMP-040 larger than the table or without any row, ATL-CMP-042 stratified without
    the guest's label.
    """
    table = facts.inputs["table"]
    most = facts.least_rows()
    if most and parameters.count is not None:
        sampling.size_of(most, None, parameters.count)
    kept = {"table": {party: _kept(held, parameters) for party, held in table.items()}}
    if parameters.method == "random":
        return Terms(outputs=kept)
    if not facts.having(Role.GUEST) or table[facts.guest].label is None:
        raise _no_label()
    sampling.check_rows(most)
    size = "ceil_div(rows_guest, 8)"
    others = [role for role in OWNERS if role != Role.GUEST and role in facts.roles.values()]
    warnings = [_SHOWN]
    if parameters.shares:
        warnings.append("chances that differ by class show the label of rows in each draw")
    kinds = {share.fraction for share in parameters.shares}
    if len(kinds) > 1 and kinds & {0.0, 1.0}:
        warnings.append(
            "SHARES OF 0 OR 1 BESIDE OTHERS SHOW LABELS OUTRIGHT: a row that a class with share 0 "
            "or 1 rules out is of another; with shares of 1 and 0 alone one draw is all labels"
        )
    return Terms(
        implementation="sample.stratified",
        trust_model="federated",
        reveals=tuple(
            Reveal("guest", role.value, SelectedRows.kind, "bits", size, _WHAT) for role in others
        ),
        estimated_bytes=(len(facts.roles) - 1) * -(-facts.rows(facts.guest) // 8),
        outputs=kept,
        warnings=tuple(warnings),
        exposure=(Exposure(ROWS, facts.rows(facts.guest), sender="guest"),),
    )


def _kept(held: ArtifactFacts, parameters: SampleParameters) -> ArtifactFacts:
    """Return what is known of a sample of a table. Errors: ATL-CMP-040 it keeps no row."""
    fraction, shares = parameters.fraction, dict(_pairs(parameters))
    if parameters.count is not None:
        return held.within(parameters.count)
    if parameters.method == "random":
        return held.within(sampling.size_of(held.rows, fraction, None) if held.rows else 0)
    classes = held.classes
    if classes is not None:
        wanted = ((v, sampling.share_of(n, shares.get(v, 1.0), fraction)) for v, n in classes)
        classes = tuple((value, count) for value, count in wanted if count)
    if classes == () or (shares and not any(shares.values())):
        raise _no_row()
    return held.within(0, classes)


def check(own: OwnFacts, parameters: SampleParameters) -> None:
    """Refuse what the guest's label does not allow. Errors: ATL-CMP-041."""
    if parameters.method == "stratified":
        if any(label.more for label in own.labels.get("table", ())):
            raise sampling.too_many_classes()
        if parameters.shares:
            sampling.check_shares(own.classes("table") or (), dict(_pairs(parameters)))


SAMPLE = Component(
    name="sample",
    version="1",
    parameters=SampleParameters,
    run=run,
    roles=OWNERS,
    edges=lambda parameters: star(Role.GUEST) if parameters.method == "stratified" else NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.learning.features.sampling",),
    inputs={"table": Port("table", aligned=True, only_with=True)},
    outputs={"table": "table"},
    rows={"table": ("table", "some")},
    predict=Drop(),
    dishonest=(
        Cheat(
            "any",
            "learn",
            "stratified: by many draws from the same rows, which of them share a class of the "
            "label; by `shares` which class it is",
            "many such steps, or jobs, over one table",
            "the rows of the table for each step, of the cap `rows`; a draw is from at least 100 "
            "rows (ATL-CMP-044) and rounds sizes at random; to who knows all other labels of 100 "
            "rows one draw still showed the last in 87 % of draws, and `shares` of 1 and 0 all",
            "`method` random: nothing depends on labels",
        ),
        Cheat(
            "guest",
            "change",
            "which rows are kept: stratified, it draws alone and may choose them",
            "it does not; the number that is kept shows",
            "the rows of the step; it learns nothing by it, as nothing comes back",
            "`method` random: all draw alike from the joint coin toss",
        ),
        Cheat(
            "guest",
            "stop",
            "the step, by bits that do not fit the table (ATL-CMP-043)",
            "by code, with the guest's name",
            "the attempts that the plan signs",
            "not needed: hosts send nothing here",
        ),
    ),
)
