"""Looks at a file of rows in a process of its own, with bounded memory, and reports what is in it.

A file comes from outside: what it states about itself may lie, and a parser may be led astray. The
child (``python -m atoll.flow.node.data.inspection``) reads one JSON line on its input, writes one
JSON line, and ends at once when the parent is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atoll.core.errors import AtollError, DataError, UserError

PROBLEMS = 100
_LINE = 64 << 20
_SPARE = 2 << 30
# So many files are looked at at once; the others wait.
_GATE = threading.BoundedSemaphore(2)
# And one of these for partners: what they propose does not hold up own people and jobs.
_PARTNERS = threading.BoundedSemaphore(1)
_FOR_PARTNER: ContextVar[bool] = ContextVar("looking for a partner", default=False)


@dataclass(frozen=True)
class InspectLimits:
    """What looking at one file may use: bytes of memory (half of the machine's) and seconds."""

    memory: int = field(default_factory=lambda: _memory() // 2)
    seconds: float = 3600.0


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def ask(question: Mapping[str, Any], limits: InspectLimits) -> dict[str, Any]:
    """Let a child look. Errors: ATL-DAT-108 it did not end well, and what it found."""
    with _PARTNERS if _FOR_PARTNER.get() else nullcontext(), _GATE:
        return _understood(_asked(question, limits))


@contextmanager
def looking_for_partner() -> Iterator[None]:
    """Let looks inside, which a partner causes, wait for each other and not hold up own ones."""
    token = _FOR_PARTNER.set(True)
    try:
        yield
    finally:
        _FOR_PARTNER.reset(token)


def here(question: Mapping[str, Any], limits: InspectLimits) -> dict[str, Any]:
    """Inspect in this process, without bounds: for the caller's own files.

    Errors: what it found.
    """
    return _understood(json.dumps(_answer(dict(question)), allow_nan=False).encode() + b"\n")


def _asked(question: Mapping[str, Any], limits: InspectLimits) -> bytes:
    whole = dict(question) | {"memory": limits.memory, "seconds": limits.seconds}
    command = [sys.executable, "-I", "-m", "atoll.flow.node.data.inspection"]
    child = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    timer = threading.Timer(limits.seconds, child.kill)
    timer.start()
    try:
        return _exchange(child, json.dumps(whole).encode() + b"\n")
    finally:
        timer.cancel()
        child.kill()
        child.wait()


def _exchange(child: subprocess.Popen[bytes], line: bytes) -> bytes:
    if child.stdin is None or child.stdout is None:
        return b""
    # The child's input stays open: its end shows the child that the parent no longer waits.
    with child.stdin, child.stdout:
        try:
            child.stdin.write(line)
            child.stdin.flush()
        except BrokenPipeError:
            return b""
        return child.stdout.readline(_LINE)


def _understood(answer: bytes) -> dict[str, Any]:
    if not answer.endswith(b"\n"):
        raise DataError(
            "ATL-DAT-108",
            "the file could not be looked at within the limits of memory and time",
            hint="is its format the declared one? split it, or write it as Parquet",
        )
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise problem_of(found["error"])
    return found


def problem_of(plain: Mapping[str, Any]) -> AtollError:
    """Return what a child found wrong, of the plain form that it writes."""
    fields = {name: value for name, value in plain.items() if name != "data"}
    return (DataError if plain["data"] else UserError)(**fields)


def plain_problem(error: AtollError) -> dict[str, Any]:
    """Return the plain form of what is wrong with a file."""
    fields = {name: getattr(error, name) for name in ("code", "message", "place", "hint")}
    return fields | {"data": isinstance(error, DataError)}


def facts(path: str, id_column: str, label: str | None) -> dict[str, Any]:
    """Read a table and return its digest, rows, features and the classes of its label."""
    from atoll.table import read

    table = read(path, id_column=id_column, label=label)
    classes = table.label_facts()
    return {
        "classes": None if classes is None else classes.to_dict(),
        "digest": table.digest(),
        "rows_digest": table.rows_digest(),
        "rows": table.num_rows,
        "columns": list(table.columns),
        "label": table.label_name,
    }


def check(path: str, id_column: str, label: str | None) -> dict[str, Any]:
    """Look a file over: all its problems, its columns in sum."""
    from atoll.table.check import check_file

    return check_file(path, id_column, label, limit=PROBLEMS).to_dict()


def admit(path: str, id_column: str, label: str | None) -> dict[str, Any]:
    """Look a file over and return its facts. Errors: its first problem."""
    report = check(path, id_column, label)
    if report["problems"]:
        first = report["problems"][0]
        count = len(report["problems"])
        more = f" (and {count - 1} more)" if count > 1 else ""
        place = [f"row {first['row']}"] if "row" in first else []
        place += [f"column {first['column']!r}"] if "column" in first else []
        raise DataError(
            first["code"],
            first["message"] + more,
            place=", ".join(place) or None,
            hint=first.get("hint") or "see all of them: atoll data check",
        )
    found = facts(path, id_column, label)
    return found | {"bytes": report["bytes"], "format": report["format"], "file": _digest(path)}


def shared(path: str, id_column: str, other: str, other_id: str) -> dict[str, Any]:
    """Return whether some id is in both of two files."""
    from atoll.table import read

    one = read(path, id_column=id_column, columns=())
    return {"shared": one.shares_ids(read(other, id_column=other_id, columns=()))}


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same(path: str) -> dict[str, Any]:
    """Return the SHA-256 of a file."""
    return {"file": _digest(path)}


def preview(path: str, id_column: str, label: str | None, rows: int) -> dict[str, Any]:
    """Return the first rows, text escaped as in an export; little of the file is read."""
    from atoll.flow.node.data.preview import first_rows
    from atoll.table.formulas import escaped

    batch = escaped(first_rows(path, id_column, label, rows))
    columns = [column.to_pylist() for column in batch.columns]
    return {
        "columns": list(batch.schema.names),
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }


_WORK: dict[str, Callable[..., dict[str, Any]]] = {
    "admit": admit,
    "facts": facts,
    "check": check,
    "same": same,
    "preview": preview,
    "shared": shared,
}


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    work = _WORK[question.pop("do")]
    try:
        return dict(work(**question))
    except AtollError as error:
        place = _without_folder(error.place, question["path"])
        return {"error": plain_problem(error) | {"place": place}}


def _without_folder(place: str | None, path: str) -> str | None:
    return None if place is None else place.replace(path, Path(path).name)


def _limit(memory: int, seconds: float) -> None:
    # If memory runs out all the same, this process is the one to go.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    # Address space, since that is what Linux can bound; Arrow reserves some that it never uses.
    resource.setrlimit(resource.RLIMIT_AS, (memory + _SPARE, memory + _SPARE))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) * 4 + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _leave_with_parent() -> None:
    while os.read(0, 1 << 10):
        pass
    os._exit(1)


def main() -> int:
    """Answer one question from standard input on standard output."""
    from atoll.flow.work.hide_pandas import hide_pandas

    question: dict[str, Any] = json.loads(sys.stdin.buffer.raw.readline())  # type: ignore[union-attr]
    hide_pandas()
    _limit(int(question.pop("memory")), float(question.pop("seconds")))
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    answer = json.dumps(_answer(question), allow_nan=False)
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
