"""Cells of a CSV file that a spreadsheet would run as formulas: they get an apostrophe in front.

Such a cell begins with ``=``, ``+``, ``-``, ``@``, ``|`` or ``%``, or a tab or line end before one.
Plain numbers stay as they are, whether they are text or not.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_FORMULA = r"^[=+\-@\t\r\n|%]"
_NUMBER = r"^[+-]?[0-9]+([.][0-9]+)?$"


def escaped(data: Any) -> Any:
    """Return a table or record batch with its text escaped, also in the names of its columns.

    Ids become text.
    """
    columns = [_column(column) for column in data.columns]
    names = _column(pa.array(data.schema.names, pa.string())).to_pylist()
    return type(data).from_arrays(columns, names=names)


def _column(column: Any) -> Any:
    if not (pa.types.is_binary(column.type) or pa.types.is_string(column.type)):
        return column
    text = column.cast(pa.string())
    formula = pc.and_not(
        pc.match_substring_regex(text, _FORMULA), pc.match_substring_regex(text, _NUMBER)
    )
    if not pc.any(formula, min_count=0).as_py():
        return text
    return pc.if_else(formula, pc.binary_join_element_wise("'", text, ""), text)
