"""What leaves the house: declared as formulas, counted as sent, compared exactly."""

from __future__ import annotations

import ast
import functools
import math
import operator
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atoll.core.errors import DataError, InternalError
from atoll.core.message import message_class

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "ceil_div": lambda a, b: -(-a // b),
    "log2": lambda n: math.ceil(math.log2(n)),
}

Values = Mapping[str, int | list[int]]
# Python counts the depth of a tree that it makes for all threads together (SystemError if two do).
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Reveal:
    """One field of one message that reveals something to its receiver.

    ``sender`` and ``receiver`` are roles, or ``everyone``; ``size`` is a formula of public sizes
    and observed counts, in elements that one party sends one other in the whole run, e.g.
    ``rows_host`` or ``sum(sent_cuts)``; ``what`` is the sentence that a person approves.
    """

    sender: str
    receiver: str
    message: str
    field: str
    size: str
    what: str

    def count(self, values: Values) -> int:
        """Return the size for given public sizes and observed counts. Errors: ATL-REV-001."""
        return int(evaluate(self.size, values))

    def to_dict(self) -> dict[str, str]:
        """Give the form that a plan signs."""
        return {
            "sender": self.sender,
            "receiver": self.receiver,
            "message": self.message,
            "field": self.field,
            "size": self.size,
            "what": self.what,
        }


def evaluate(formula: str, values: Values) -> Any:
    """Work out an arithmetic formula over named counts. Errors: ATL-REV-001."""
    try:
        return _walk(_parsed(formula), values)
    except (KeyError, SyntaxError, TypeError, ValueError) as error:
        raise InternalError("ATL-REV-001", f"the size formula {formula!r} has no value") from error


@functools.lru_cache(maxsize=1024)
def _parsed(formula: str) -> ast.expr:
    with _ONE_AT_A_TIME:
        return ast.parse(formula, mode="eval").body


def _walk(node: ast.expr, values: Values) -> Any:
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_walk(left, values), _walk(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _CALLS[name](*(_walk(a, values) for a in arguments))
    raise ValueError("only sums, products and named counts")


def more_than_planned(place: str) -> DataError:
    """Return the refusal to send more than the plan states."""
    return DataError(
        "ATL-REV-002",
        "more would leave than the plan states",
        place=place,
        hint="a table had fewer rows when the plan was made: make a new plan",
    )


class Disclosures:
    """Counts what was really sent: elements per (sender, receiver, message, field).

    ``most`` bounds, by message and field, what one party may send one other in all.
    """

    def __init__(self, most: Mapping[tuple[str, str], float] | None = None) -> None:
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        self._most = dict(most or {})

    def add(self, sender: str, receiver: str, kind: str, fields: Iterable[tuple[str, int]]) -> None:
        """Count the revealing fields of one message. Errors: ATL-REV-002 more than the bound."""
        counted = {(sender, receiver, kind, field): elements for field, elements in fields}
        for key, elements in counted.items():
            if self.counts[key] + elements > self._most.get(key[2:], math.inf):
                raise more_than_planned(f"{kind}.{key[3]}")
        self.counts.update(counted)

    def to_list(self) -> list[dict[str, Any]]:
        """Give the ledger's lines, sorted, each with the sentence of its field."""
        return [
            {
                "sender": sender,
                "receiver": receiver,
                "message": kind,
                "field": field,
                "elements": elements,
                "what": _sentence(kind, field),
            }
            for (sender, receiver, kind, field), elements in sorted(self.counts.items())
        ]


def _sentence(kind: str, field: str) -> str:
    found = message_class(kind)
    return (dict(found.specs())[field].reveals or "") if found else ""
