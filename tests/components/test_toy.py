"""What is said of a made-up table before it is made is true of it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from atoll.components.synthetic import LABEL, SYNTHETIC, SyntheticParameters, make
from atoll.core.names import Role

TABLES = cast(Any, None)


@pytest.mark.parametrize("party", ["bank", "shop"])
@pytest.mark.parametrize(("rows", "columns"), [(8, 1), (50, 7)])
def test_the_facts_are_those_of_the_table(party: str, rows: int, columns: int) -> None:
    parameters = SyntheticParameters(rows=rows, columns=columns, seed=3)
    assert SYNTHETIC.declare is not None
    role = Role.GUEST if party == "bank" else Role.HOST
    declared = SYNTHETIC.declare(party, role, parameters, TABLES)
    table = make(party, role, parameters)
    assert declared is not None
    facts = declared.facts
    assert declared.label == table.label_facts()
    assert (facts.rows, facts.columns) == (table.num_rows, table.columns)
    assert facts.label == table.label_name == (LABEL if party == "bank" else None)


def test_another_table_has_another_digest() -> None:
    assert SYNTHETIC.declare is not None
    base = SyntheticParameters.model_validate({})
    found = set()
    for party in ("bank", "shop"):
        for role in (Role.GUEST, Role.CLIENT):
            for change in ({}, {"seed": 2}, {"rows": 201}, {"columns": 4}):
                declared = SYNTHETIC.declare(party, role, base.model_copy(update=change), TABLES)
                assert declared is not None
                found.add(declared.facts.digest)
    assert len(found) == 16
