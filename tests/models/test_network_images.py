"""A trained network of images predicts as it did in training, and others keep their bytes."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.learning.horizontal.models.build import model_of
from atoll.models.network import conv
from atoll.models.network.conv import Convolution
from atoll.models.network.part import NetworkPart, decode, encode
from atoll.models.network.spec import Family, NetworkSpec

LAYERS = (
    Convolution(channels=3, pooling="max"),
    Convolution(channels=2, kernel=2, stride=2, padding="valid", pooling="none"),
)

WIDE = Convolution(channels=1 << 12)


def _part(family: Family = "softmax") -> NetworkPart:
    spec = NetworkSpec(
        columns=70, family=family, classes=3, hidden=(5,), image=(7, 5, 2), convolutions=LAYERS
    )
    weights = np.random.default_rng(3).normal(size=spec.size).astype(np.float32)
    return NetworkPart("shop", tuple(f"p{i}" for i in range(70)), spec, weights)


@pytest.mark.parametrize("family", ["softmax", "logistic", "linear"])
def test_a_part_predicts_as_the_model_that_trained(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = _part(family)
    rows = np.random.default_rng(4).normal(size=(9, 70)).astype(np.float32)
    model = model_of(part.spec)
    assert model.layout.size == part.spec.size
    expected = model.predict(part.weights, rows).reshape(part.predict(rows).shape)
    assert part.predict(rows) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    monkeypatch.setattr(conv, "_BLOCK_VALUES", 1)
    assert part.predict(rows) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert part.predict(rows[:0]).shape == expected[:0].shape


def test_a_pixel_that_is_missing_makes_its_row_missing() -> None:
    part = _part("linear")
    for column in range(70):
        rows = np.zeros((2, 70))
        rows[1, column] = np.nan
        assert np.isnan(part.predict(rows)).tolist() == [False, True]


def test_a_part_comes_back_from_its_bytes() -> None:
    part = _part()
    assert decode(encode(part)) == part


def test_a_network_without_convolutions_keeps_its_bytes() -> None:
    spec = NetworkSpec(columns=1, family="linear")
    part = NetworkPart("shop", ("a",), spec, np.array([1, 2], np.float32))
    plain = {"columns": 1, "family": "linear", "classes": 2, "hidden": []}
    weights = np.array([1, 2], "<f4").tobytes()
    assert encode(part) == codec.encode(["atoll/network/v1", "shop", ["a"], plain, weights])


@pytest.mark.parametrize(
    "changed",
    [
        {"columns": 69},
        {"image": None},
        {"convolutions": ()},
        {"image": (7, 5, 3)},
        {"convolutions": (Convolution(channels=1, pooling="max"),) * 4},
        {"columns": 1 << 16, "image": (1 << 8, 1 << 8, 1), "convolutions": (WIDE,)},
    ],
)
def test_sizes_that_do_not_fit_are_refused(changed: dict[str, object]) -> None:
    spec = {**_part().spec.model_dump(), **changed}
    with pytest.raises(ValidationError):
        NetworkSpec.model_validate(spec)


def test_bytes_of_other_sizes_are_refused() -> None:
    part = _part()
    plain = {**part.spec.model_dump(mode="json"), "image": [5, 7, 2]}
    value = ["atoll/network/v1", "shop", list(part.columns), plain, part.weights.tobytes()]
    plain["convolutions"] = [{"channels": 1 << 12, "kernel": 31}]
    with pytest.raises(AtollError, match="ATL-MOD-001"):
        decode(codec.encode(value))
