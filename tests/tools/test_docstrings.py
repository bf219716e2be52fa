"""The docstring checker on good and bad samples."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from tools.docstrings import array_aliases, check_file

CORE = Path("src/atoll/operators/sample/core.py")
API = Path("src/atoll/operators/sample/api.py")
CRYPTO = Path("src/atoll/crypto/sample.py")

GOOD = '''
"""Sample scheme. Source: RFC 7748, section 5."""
def multiply(points: NDArray[np.uint8], scalar: bytes) -> NDArray[np.uint8]:
    """Multiply each of ``points``, (n, 32), by a scalar. Errors: ATL-CRV-001 off the curve."""
    if not len(scalar):
        raise PeerError("ATL-CRV-001", "off the curve")
    return points
'''


def faults(path: Path, source: str) -> list[str]:
    tree = ast.parse(dedent(source))
    return [finding.text for finding in check_file(path, tree, array_aliases([tree]))]


def test_a_good_file_passes() -> None:
    assert faults(CRYPTO, GOOD) == []
    assert faults(CORE, GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("(n, 32), ", "", "states no shape"),
        ("RFC 7748, section 5", "common knowledge", "names no paper"),
        (" Source: RFC 7748, section 5.", "", "no docstring states 'Source"),
        (" Errors: ATL-CRV-001 off the curve.", "", "does not state 'Errors"),
        ("Errors: ATL-CRV-001", "Errors: ATL-CRV-002", "does not name the error"),
        ("points: NDArray[np.uint8]", "points: NDArray[Any]", "states no dtype"),
    ],
)
def test_each_lack_is_found(before: str, after: str, complaint: str) -> None:
    found = faults(CRYPTO, GOOD.replace(before, after))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_missing_docstring_is_found() -> None:
    assert faults(API, "def size() -> int:\n    return 1\n") == ["size has no docstring"]
    assert faults(API, "class Size:\n    pass\n") == ["Size has no docstring"]


@pytest.mark.parametrize(
    "body", ['party.channel.send("a", "t", message)', "talk(party)", "talk(to=party)", "..."]
)
def test_who_talks_says_what_it_reveals(body: str) -> None:
    silent = f'def run(party: Party) -> None:\n    """Send the size."""\n    {body}\n'
    empty = silent.replace("size.", "size. Reveals:")
    honest = silent.replace("size.", "size. Reveals: the number of rows, to the guest.")
    assert len(faults(API, silent)) == 1
    assert len(faults(API, empty)) == 1
    assert faults(API, honest) == []


def test_who_only_listens_reveals_nothing() -> None:
    source = 'def get(party: Party) -> str:\n    """Get it."""\n    return party.receive()\n'
    assert faults(API, source) == []


def test_an_error_raised_by_a_helper_of_the_file_counts() -> None:
    source = '''
    def _check(count: int) -> None:
        raise UserError("ATL-PSI-001", "no")

    def open_set(count: int) -> None:
        """Open the set."""
        _check(count)
    '''
    assert faults(API, source) == ["open_set can raise but does not state 'Errors: …'"]


def test_a_method_is_not_blamed_for_its_namesake() -> None:
    source = '''
    class First:
        """One."""
        def take(self) -> None:
            """Take. Errors: ATL-PSI-001."""
            raise UserError("ATL-PSI-001", "no")

    class Second:
        """Two."""
        def take(self) -> None:
            """Take."""
    '''
    assert faults(API, source) == []


def test_aliases_and_fields_are_arrays_too() -> None:
    alias = 'Bytes = NDArray[np.uint8]\nclass Cells:\n    """Cells."""\n    values: Bytes\n'
    assert faults(API, alias) == ["Cells takes or returns arrays but states no shape"]
    assert faults(API, alias.replace("Cells.", "Cells: (n, 64).")) == []


def test_an_implementation_may_point_to_its_interface() -> None:
    source = 'def f(x: NDArray[Any]) -> None:\n    """See ``Interface``."""\n    raise ValueError\n'
    assert faults(API, source) == []


@pytest.mark.parametrize("shape", ["(n, 32)", "uint8[n, 32]", "one a row", "``n`` points"])
def test_shapes_have_many_forms(shape: str) -> None:
    assert faults(CRYPTO, GOOD.replace("(n, 32)", shape)) == []


def test_the_fields_of_messages_speak_for_themselves() -> None:
    fields = '    """Cells."""\n    values: NDArray[np.uint8] = array("u1", (None,), 5)\n'
    assert faults(API, f'class Cells(Message, kind="x"):\n{fields}') == []
    assert len(faults(API, f"class Cells:\n{fields}")) == 1


def test_private_things_need_nothing() -> None:
    assert faults(API, "def _size(party: Party) -> NDArray[Any]:\n    return 1\n") == []
