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


_FIRST = ("digest", "rows_digest", "rows", "columns", "label", "classes")


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
        kept = {name: found[name] for name in _FIRST}
        return cls(found["file"], stamp, uploaded, {facts_of(id_column, found["label"]): kept})

    def known(self, asked: str) -> Mapping[str, Any] | None:
        """Return what an earlier look found. Errors: what it found wrong."""
        found = self.facts.get(asked)
        if found is not None and _PROBLEM in found:
            raise inspection.problem_of(found[_PROBLEM])
        return found

    def contents(self) -> dict[str, str]:
        """Return by the digest of each content that was looked at the one of its rows.

        The label that was asked for makes it another content of the same rows. Where only earlier
        versions looked, the rows have no digest; then one of the contents stands for all.
        """
        by_id: dict[str, list[Mapping[str, Any]]] = {}
        for asked, found in self.facts.items():
            if "digest" in found:
                by_id.setdefault(json.loads(asked)[0], []).append(found)
        made: dict[str, str] = {}
        for looks in by_id.values():
            digests = sorted({str(found["digest"]) for found in looks})
            rows = next((found["rows_digest"] for found in looks if "rows_digest" in found), None)
            made |= dict.fromkeys(digests, str(rows or digests[0]))
        return made

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
