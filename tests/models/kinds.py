"""What every kind of model or transform must do, as checks that its tests run on sample parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from atoll.components import kinds
from atoll.core.errors import UserError
from atoll.core.report import Report
from atoll.models.kinds import GENERAL, ModelKind, Roles


@dataclass(frozen=True)
class Sample:
    """A part, parties among which it was made, and some among which it was not."""

    part: Any
    roles: Roles
    strangers: Roles


Samples = Sequence[Sample]
FOREIGN = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b"\0" * 64,
    b'{"kind": "os.system", "version": 1}',
    b"\xff\xfe",
)


def has_a_sane_name_and_limits(kind: ModelKind, samples: Samples) -> None:
    assert kinds.known(kind.name)
    assert kind.name.rpartition(".")[2] in GENERAL
    assert 0 < kind.most_bytes <= 1 << 30
    assert kind.parts
    assert samples
    assert {type(sample.part) for sample in samples} == set(kind.parts)


def comes_back(kind: ModelKind, samples: Samples) -> None:
    for sample in samples:
        data = kind.write(sample.part)
        again = kind.read(data)
        assert again == sample.part
        assert kind.write(again) == data
        assert kind.holds(again)


def refuses_bytes_that_are_no_part(kind: ModelKind, samples: Samples) -> None:
    for sample in samples:
        data = kind.write(sample.part)
        cuts = [data[:at] for at in range(0, len(data), max(1, len(data) // 40))]
        for wrong in (*FOREIGN, *cuts, data + b"x", data + data):
            with pytest.raises(UserError) as caught:
                kind.read(wrong)
            assert caught.value.code == "ATL-MOD-001"


def refuses_what_is_too_large(kind: ModelKind, samples: Samples) -> None:
    decoded: list[bytes] = []
    (sample, *_) = samples
    size = len(kind.write(sample.part))
    small = ModelKind(**{**vars(kind), "most_bytes": size - 1, "decode": decoded.append})
    with pytest.raises(UserError, match="ATL-MOD-001"):
        small.read(b"x" * size)
    assert not decoded, "it was decoded although it is too large"
    with pytest.raises(ValueError, match="too large"):
        small.write(sample.part)


def refuses_values_of_other_types(kind: ModelKind, samples: Samples) -> None:
    for value in (None, b"bytes", {"party": "bank"}, object()):
        assert not kind.holds(value)
        with pytest.raises(TypeError):
            kind.write(value)


def renames_there_and_back(kind: ModelKind, samples: Samples) -> None:
    if kind.rename is None:
        return
    for sample in samples:
        there = {name: f"{name}-2" for name in sample.roles}
        renamed = kind.rename(sample.part, there)
        assert kind.party(renamed) == there[kind.party(sample.part)]
        data = kind.write(renamed)
        assert all(f'"{name}"'.encode() not in data for name in sample.roles)
        back = kind.rename(kind.read(data), {new: old for old, new in there.items()})
        assert back == sample.part
        roles = {there[name]: role for name, role in sample.roles.items()}
        assert kind.fits(renamed, roles)
        assert not kind.fits(renamed, sample.roles)


def fits_those_of_its_training_alone(kind: ModelKind, samples: Samples) -> None:
    for sample in samples:
        assert kind.party(sample.part) in sample.roles
        assert kind.fits(sample.part, sample.roles)
        assert not kind.fits(sample.part, sample.strangers)
        assert len(set(kind.columns(sample.part))) == len(kind.columns(sample.part))


def shows_a_card(kind: ModelKind, samples: Samples) -> None:
    for sample in samples:
        report = Report(title="Card", panels=kind.card(sample.part))
        assert Report.model_validate_json(report.model_dump_json(), strict=True) == report


def declares_what_scoring_reveals(kind: ModelKind, samples: Samples) -> None:
    scorer = kind.scorer
    if scorer is None:
        return
    assert kind.name.endswith(".model")
    assert scorer.implementation
    assert scorer.trust_model
    for sample in samples:
        assert set(sample.roles.values()) <= scorer.roles
        few, many = (scorer.estimate(rows, sample.roles) for rows in (10, 1000))
        assert 0 <= few <= many


CHECKS: tuple[Callable[[ModelKind, Samples], None], ...] = (
    has_a_sane_name_and_limits,
    comes_back,
    refuses_bytes_that_are_no_part,
    refuses_what_is_too_large,
    refuses_values_of_other_types,
    renames_there_and_back,
    fits_those_of_its_training_alone,
    shows_a_card,
    declares_what_scoring_reveals,
)
