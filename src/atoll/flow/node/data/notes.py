"""What is kept of a table beside its row, so that no file is looked at twice for the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atoll.core.errors import AtollError
from atoll.flow.node.data import inspection
from atoll.flow.node.data.paths import Stamp

_PROBLEM = "problem"
# Not looked at within the limits, and not opened: of the machine as much as of the file.
_PASSING = frozenset({"ATL-DAT-108", "ATL-TAB-001"})


@dataclass(frozen=True)
class Notes:
    """The file as it was, and what looks at it found, by what was asked."""

    file: str
    stamp: Stamp
    uploaded: bool
    facts: Mapping[str, Mapping[str, Any]]

    def text(self) -> str:
        """Return the form that is stored."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text: str) -> Notes:
        """Read what is stored."""
        value = json.loads(text)
        return cls(value["file"], Stamp(**value["stamp"]), value["uploaded"], value["facts"])

    @classmethod
    def first(
        cls, found: Mapping[str, Any], stamp: Stamp, id_column: str, *, uploaded: bool
    ) -> Notes:
        """Return the notes of a table that is registered now."""
        kept = {name: found[name] for name in ("digest", "rows", "columns", "label", "classes")}
        return cls(found["file"], stamp, uploaded, {facts_of(id_column, found["label"]): kept})

    def known(self, asked: str) -> Mapping[str, Any] | None:
        """Return what an earlier look found. Errors: what it found wrong."""
        found = self.facts.get(asked)
        if found is not None and _PROBLEM in found:
            raise inspection.problem_of(found[_PROBLEM])
        return found

    def adding(self, asked: str, found: Mapping[str, Any]) -> Notes:
        """Return these notes and one more."""
        return dataclasses.replace(self, facts={**self.facts, asked: found})


NONE = Notes("", Stamp(-1, 0, 0), False, {})


def facts_of(id_column: str, label: str | None) -> str:
    """Return under what the facts of a table with this id and label are noted."""
    return json.dumps([id_column, label])


def of_problem(error: AtollError) -> Mapping[str, Any] | None:
    """Return what is noted of a look that failed; None: the next one may not."""
    return None if error.code in _PASSING else {_PROBLEM: inspection.plain_problem(error)}
