"""A small extension for tests: two addresses, one permission of its own, a page with a script."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from atoll.flow.access import UserRole
from atoll.flow.api.extension import PREFIX, At, By, Extension, Pages, Routes


class Note(BaseModel):
    """A line, who wrote it, and how many jobs there were."""

    text: Annotated[str, Field(min_length=1, max_length=100)]
    by: str = ""
    jobs: int = 0


ROUTES = Routes("probe", f"{PREFIX}/probe")


def _jobs(services: At) -> int:
    found = services.jobs.list(state=None, name=None, party=None, tag=None, limit=200, after=None)
    return len(found.rows)


@ROUTES.get("/notes/{name}", may="probe.use")
def read(services: At, name: str) -> Note:
    """Return a note of this name."""
    return Note(text=name, jobs=_jobs(services))


@ROUTES.post("/notes", may="probe.use", status_code=201)
def write(services: At, by: By, asked: Note) -> Note:
    """Return the note with its author."""
    return Note(text=asked.text, by=by.user, jobs=_jobs(services))


PAGES = Pages(__name__, "/probe", fallback=True)
PROBE = Extension(
    name="probe",
    about="Notes for tests.",
    routes=(ROUTES,),
    permissions={"probe.use": frozenset({UserRole.MODELLER, UserRole.APPROVER})},
    pages=PAGES,
)
