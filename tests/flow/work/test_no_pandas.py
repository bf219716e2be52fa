"""Workers have no use for pandas; code of others may."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import numpy as np
import pyarrow as pa
from atoll.flow.work.hide_pandas import hide_pandas
from atoll.table import Table

if sys.argv[1] == "out":
    hide_pandas()
table = Table.from_columns(pa.array(["a", "b"]), {"x": pa.array([1.0, None])})
assert np.isnan(table.matrix()[1, 0])
assert len(table.digest()) == 64
assert table.take(np.array([1])).num_rows == 1
print("pandas" in sys.modules)
import pandas
assert pandas.DataFrame({"a": [1]}).shape == (1, 1)
"""


@pytest.mark.parametrize(("argument", "loaded"), [("out", "False"), ("in", "True")])
def test_an_installed_pandas_is_not_loaded_by_tables_alone(argument: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, argument], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, loaded), done.stderr
