"""What privacy of rows leaves of a model of four owners, and that of owners does not."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.audit.row_privacy import BY_OWNER, BY_ROW, measure
from atoll.learning.horizontal.simulation import seeded_noise

SEEDED = seeded_noise(b"row privacy")


@pytest.mark.parametrize(
    ("epsilon", "least", "most"), [(3.0, 0.88, 1.0), (1.0, 0.83, 1.0), (0.1, 0.1, 0.6)]
)
def test_rows_at_four_owners(epsilon: float, least: float, most: float) -> None:
    accuracy, seen = measure({**BY_ROW, "privacy": {"epsilon": epsilon}}, 1, SEEDED)
    assert least < accuracy < most
    assert seen == pytest.approx(epsilon, rel=2e-3)


def test_owners_as_a_whole() -> None:
    chosen: dict[str, Any] = {**BY_OWNER, "privacy": {"unit": "client", "epsilon": 3.0}}
    accuracy, seen = measure(chosen, 1, SEEDED)
    assert accuracy < 0.5
    assert seen == pytest.approx(3.0, rel=2e-3)
