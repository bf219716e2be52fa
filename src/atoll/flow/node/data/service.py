"""The data service: which tables this party has, what is in them, and who may compute on them."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection, select

from atoll.core.errors import AtollError, UserError
from atoll.flow.access import Access, Actor
from atoll.flow.api.services import Page
from atoll.flow.node.data import inspection
from atoll.flow.node.data.inspection import InspectLimits
from atoll.flow.node.data.notes import NONE, Notes, facts_of, of_problem
from atoll.flow.node.data.paths import AllowedFolders, Stamp, table_name
from atoll.flow.node.data.staging import FOLDER, receive, sweep
from atoll.flow.node.data.tables import RegisteredTables, TableSource
from atoll.flow.policy.grants import Caps, Grant, GrantTerms, TableCaps
from atoll.flow.policy.repository import Grants, on_tables
from atoll.flow.store import Agreements, Database, DataRow, DataSets, Meta
from atoll.flow.store.paging import every
from atoll.flow.store.schema import jobs
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.jobs.states import LIVE
from atoll.jobs.validation import near
from atoll.table.labels import LabelFacts

UPLOADS = "uploads"
ENDINGS: Mapping[str, str] = {"csv": ".csv", "parquet": ".parquet", "ipc": ".arrow"}
_NOTES = "data."
_MOST = 200


@dataclass(frozen=True)
class DataSettings:
    """What the service is given: folders beside the node's own, limits of uploads and previews."""

    folders: tuple[str, ...] = ()
    upload_bytes: int = 16 << 30
    preview_rows: int = 100
    inspect: InspectLimits = field(default_factory=InspectLimits)


class DataService:
    """The tables of a node. Errors: ATL-DAT-101 to 109, those of looking at a file."""

    def __init__(
        self,
        database: Database,
        access: Access,
        folder: Path,
        settings: DataSettings | None = None,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``folder`` is the node's own data folder."""
        self._database = database
        self._rows = DataSets(database)
        self._meta = Meta(database)
        self._grants = Grants(database, access, wall=wall)
        self._settings = settings or DataSettings()
        self._allowed = AllowedFolders.of(folder, self._settings.folders)
        self._own = self._allowed.own
        self._wall = wall
        # Who looks at a file: a process of its own, for files may come from anywhere.
        self.ask: Callable[[Mapping[str, Any], InspectLimits], dict[str, Any]] = inspection.ask
        self._lock = threading.Lock()
        # Of files that are not what was registered, how they were when that was found.
        self._changed: dict[str, tuple[str, Stamp]] = {}
        sweep(self._own / FOLDER)
        self._sweep_uploads()

    # -- registering --------------------------------------------------------------------------

    def register(
        self, name: str, path: str, id_column: str, label: str | None, description: str, owner: str
    ) -> Mapping[str, Any]:
        """Check a file inside the allowed folders and register it.

        Errors: ATL-DAT-101 name, 102 and 103 path, 107 the name is taken, 108, ATL-TAB-….
        """
        self._refuse_taken(table_name(name))
        file = self._allowed.file(path)
        stamp = Stamp.of(file)
        found = self._admit(file, id_column, label)
        row = self._row(name, file, id_column, found, description, owner)
        notes = Notes.first(found, stamp, id_column, uploaded=False)

        def work(connection: Connection) -> None:
            self._refuse_taken(name, connection)
            self._rows.add(row, connection=connection)
            self._meta.set(_NOTES + name, notes.text(), connection=connection)

        self._database.write(work)
        return _view(row, notes)

    async def upload(
        self,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        form: str,
        id_column: str,
        label: str | None,
        description: str,
        owner: str,
    ) -> Mapping[str, Any]:
        """Take in a table from a stream; one of the same name that was uploaded is replaced.

        Errors: ATL-DAT-101 name, 106 too large or empty, 107 in use or registered by path, 108,
        109 no space, ATL-TAB-….
        """
        await run_in_threadpool(self._refuse_replacing, table_name(name))
        staged = await receive(
            chunks, self._own / FOLDER, ENDINGS[form], self._settings.upload_bytes
        )
        try:
            return await run_in_threadpool(
                self._adopt, name, staged, id_column, label, description, owner
            )
        finally:
            staged.unlink(missing_ok=True)

    def _adopt(
        self,
        name: str,
        staged: Path,
        id_column: str,
        label: str | None,
        description: str,
        owner: str,
    ) -> Mapping[str, Any]:
        found = self._admit(staged, id_column, label)
        folder = self._own / UPLOADS
        folder.mkdir(mode=0o700, exist_ok=True)
        final = folder / f"{name}-{found['file'][:32]}{staged.suffix}"
        with self._lock:
            before = self._rows.find(name)
            existed = final.exists()
            staged.replace(final)
            row = self._row(name, final, id_column, found, description, owner)
            notes = Notes.first(found, Stamp.of(final), id_column, uploaded=True)

            def work(connection: Connection) -> None:
                self._refuse_replacing(name, connection)
                self._rows.add(row, replace=True, connection=connection)
                self._meta.set(_NOTES + name, notes.text(), connection=connection)

            try:
                self._database.write(work)
            except BaseException:
                if not existed:
                    final.unlink(missing_ok=True)
                raise
            if before is not None and before.path != str(final):
                Path(before.path).unlink(missing_ok=True)
        return _view(row, notes)

    def _admit(self, file: Path, id_column: str, label: str | None) -> dict[str, Any]:
        question = {"do": "admit", "path": str(file), "id_column": id_column, "label": label}
        return self.ask(question, self._settings.inspect)

    def _row(
        self,
        name: str,
        file: Path,
        id_column: str,
        found: Mapping[str, Any],
        description: str,
        owner: str,
    ) -> DataRow:
        return DataRow(
            name=name,
            path=str(file),
            format=found["format"],
            digest=found["digest"],
            id_column=id_column,
            label=found["label"],
            columns=tuple(found["columns"]),
            rows=found["rows"],
            bytes=found["bytes"],
            owner=owner,
            description=description,
            created=self._wall(),
        )

    # -- looking ------------------------------------------------------------------------------

    def list(self, *, limit: int, after: str | None) -> Page:
        """Return a page of tables by name."""
        found = self._rows.list(limit=limit, after=after)
        return Page([_view(row, self._notes(row.name)) for row in found.rows], found.next)

    def get(self, name: str) -> Mapping[str, Any]:
        """Return what is known of a table. Errors: ATL-STO-020."""
        return _view(self._rows.get(name), self._notes(name))

    def preview(self, name: str, rows: int) -> Mapping[str, Any]:
        """Return the first rows, as many as the settings allow. Errors: ATL-DAT-103."""
        row = self._rows.get(name)
        most = min(rows, self._settings.preview_rows)
        question = self._question("preview", row) | {"rows": most}
        return {"name": name, **self.ask(question, self._settings.inspect)}

    def check(self, name: str) -> Mapping[str, Any]:
        """Look a table's file over again; ``changed``: it is not what was registered."""
        row = self._rows.get(name)
        report = self.ask(self._question("check", row), self._settings.inspect)
        return {**report, "file": Path(row.path).name, "changed": not self._unchanged(row)}

    def _question(self, work: str, row: DataRow) -> dict[str, Any]:
        path = self._allowed.again(row.path)
        return {
            "do": work,
            "path": str(path),
            "id_column": row.id_column or "id",
            "label": row.label,
        }

    def _notes(self, name: str) -> Notes:
        text = self._meta.get(_NOTES + name)
        return NONE if text is None else Notes.read(text)

    # -- using --------------------------------------------------------------------------------

    def tables(self, allow: Callable[[str], None] = lambda name: None) -> RegisteredTables:
        """Return the registered tables as a job's planning opens them.

        ``allow`` raises if one may not even be looked for.
        """
        return RegisteredTables(self, allow)

    def source(self, name: str, *, id_column: str, label: str | None) -> TableSource:
        """Return where a table is and its facts, from memory if the file is as it was.

        Errors: ATL-JOB-010 unknown, ATL-DAT-103 the file is gone, 104 it has changed, 105 its
        id or label would become a feature, ATL-TAB-002 there is no such label.
        """
        row = self._rows.find(name)
        if row is None:
            raise self._unknown(name)
        _refuse_feature(row, id_column, label)
        path = self._allowed.again(row.path)
        if not self._unchanged(row):
            raise ConflictError(
                "ATL-DAT-104",
                f"the file of table {name!r} has changed since it was registered",
                place=name,
                hint="delete the table and register it again; grants and approvals are for content",
            )
        found = self._facts(row, path, id_column, label)
        return TableSource(
            name=name,
            path=path,
            id=id_column,
            label=label,
            digest=found["digest"],
            rows=found["rows"],
            columns=tuple(found["columns"]),
            classes=None if found["classes"] is None else LabelFacts.from_dict(found["classes"]),
        )

    def contents(self, name: str) -> Mapping[str, str]:
        """Return by each known digest of a table's content that of its rows, for accounts."""
        return self._notes(name).contents()

    def all_contents(self) -> Mapping[str, str]:
        """Return the same of all tables."""
        found: dict[str, str] = {}
        for row in every(lambda after: self._rows.list(limit=_MOST, after=after)):
            found |= self.contents(row.name)
        return found

    def share(self, one: TableSource, two: TableSource) -> bool:
        """Return whether some id is in both tables, from memory if that was looked at before.

        Errors: those of looking at a file.
        """
        notes = self._notes(one.name)
        key = json.dumps(["shared", one.id, two.digest])
        known = notes.known(key)
        if known is None:
            question = {"do": "shared", "path": str(one.path), "id_column": one.id}
            other = {"other": str(two.path), "other_id": two.id}
            known = self._looked(one.name, notes, key, question | other)
        return bool(known["shared"])

    def _unknown(self, name: str) -> NotFoundError:
        known = [row.name for row in self._rows.list(limit=_MOST).rows]
        return NotFoundError(
            "ATL-JOB-010",
            f"this party has no table {name[:64]!r}",
            place=name[:64],
            hint=near(name, known)[:300],
        )

    def _unchanged(self, row: DataRow) -> bool:
        notes, path = self._notes(row.name), Path(row.path)
        stamp = Stamp.of(path)
        if stamp == notes.stamp:
            return True
        if self._changed.get(row.name) == (notes.file, stamp):
            return False
        question = {"do": "same", "path": str(path)}
        if self.ask(question, self._settings.inspect)["file"] != notes.file:
            self._changed[row.name] = notes.file, stamp
            return False
        self._note(row.name, notes.file, lambda kept: dataclasses.replace(kept, stamp=stamp))
        return True

    def _facts(
        self, row: DataRow, path: Path, id_column: str, label: str | None
    ) -> Mapping[str, Any]:
        notes, key = self._notes(row.name), facts_of(id_column, label)
        known = notes.known(key)
        # What earlier versions noted reveals nothing about classes, or rows without a label.
        if known is not None and {"classes", "rows_digest"} <= known.keys():
            return known
        question = {"do": "facts", "path": str(path), "id_column": id_column, "label": label}
        return self._looked(row.name, notes, key, question)

    def _looked(
        self, name: str, notes: Notes, key: str, question: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Look at a table's file, and note what was found, a failure too."""
        try:
            found: Mapping[str, Any] = self.ask(question, self._settings.inspect)
        except AtollError as error:
            problem = of_problem(error)
            if problem is not None:
                self._note(name, notes.file, lambda kept: kept.adding(key, problem))
            raise
        self._note(name, notes.file, lambda kept: kept.adding(key, found))
        return found

    def _note(self, name: str, file: str, change: Callable[[Notes], Notes]) -> None:
        """Change the notes of a table, if they are still of this file."""

        def work(connection: Connection) -> None:
            text = self._meta.get(_NOTES + name, connection=connection)
            if text is not None and (kept := Notes.read(text)).file == file:
                self._meta.set(_NOTES + name, change(kept).text(), connection=connection)

        self._database.write(work)

    # -- granting and forgetting --------------------------------------------------------------

    def grants(self, name: str, actor: Actor) -> Sequence[Grant]:
        """Return the grants over a table, the newest first. Errors: ATL-STO-020."""
        self._rows.get(name)
        return self._grants.list(actor, name, limit=_MOST).rows

    def grant(self, name: str, terms: GrantTerms, actor: Actor) -> Grant:
        """Make a standing grant. Errors: ATL-STO-020, ATL-POL-011."""
        self._rows.get(name)
        return self._grants.add(actor, name, terms)

    def revoke(self, grant: str, actor: Actor) -> None:
        """Withdraw a grant for good. Errors: ATL-POL-012."""
        self._grants.revoke(actor, grant)

    def limits(self, name: str, actor: Actor) -> Sequence[TableCaps]:
        """Return the own caps of a table. Errors: ATL-STO-020."""
        self._rows.get(name)
        return self._grants.caps(actor, name)

    def limit(self, name: str, partner: str, caps: Caps, actor: Actor) -> TableCaps:
        """Set the own caps of a table for a partner, or for each (``*``). Errors: ATL-STO-020."""
        self._rows.get(name)
        return self._grants.cap(actor, name, partner, caps)

    def delete(self, name: str, actor: Actor, *, force: bool) -> None:
        """Forget a table; an uploaded file goes too. ``force`` also ends its grants.

        Errors: ATL-STO-020, ATL-DAT-107 a live job, grant or agreement uses it.
        """
        row = self._rows.get(name)
        if force:
            for grant in self._live_grants(name):
                self._grants.revoke(actor, grant.id)

        def work(connection: Connection) -> bool:
            if not force:
                self._refuse_used(name, connection)
            text = self._meta.get(_NOTES + name, connection=connection)
            self._meta.delete(_NOTES + name, connection=connection)
            self._rows.delete(name, connection=connection)
            return text is not None and Notes.read(text).uploaded

        with self._lock:
            if self._database.write(work):
                Path(row.path).unlink(missing_ok=True)

    def _live_grants(self, name: str) -> Sequence[Grant]:
        now = self._wall()
        return self._database.read(lambda connection: on_tables(connection, [name], now))

    def _refuse_taken(self, name: str, connection: Connection | None = None) -> None:
        if self._rows.find(name, connection=connection) is not None:
            raise ConflictError(
                "ATL-DAT-107",
                "a table of this name is registered already",
                place="name",
                hint="choose another name, or delete the table first",
            )

    def _refuse_replacing(self, name: str, connection: Connection | None = None) -> None:
        if self._rows.find(name, connection=connection) is None:
            return
        text = self._meta.get(_NOTES + name, connection=connection)
        if text is None or not Notes.read(text).uploaded:
            self._refuse_taken(name, connection)
        self._refuse_jobs(name, connection)

    def _refuse_used(self, name: str, connection: Connection) -> None:
        self._refuse_jobs(name, connection)
        live = on_tables(connection, [name], self._wall())
        if live:
            raise _in_use(f"{len(live)} grants hold", "revoke them first, or force it")
        for id, job in Agreements(self._database).jobs(self._wall(), connection=connection):
            if _mentions(job, name):
                why = "a standing agreement looks rows up in it"
                raise _in_use(why, f"end {id} first, or force it")

    def _refuse_jobs(self, name: str, connection: Connection | None) -> None:
        query = select(jobs.c.id, jobs.c.job).where(jobs.c.state.in_(LIVE))
        if connection is None:
            self._database.read(lambda c: self._refuse_jobs(name, c))
            return
        for row in connection.execute(query):
            if _mentions(json.loads(row.job), name):
                raise _in_use("a live job uses it", f"stop job {row.id} first")

    def _sweep_uploads(self) -> None:
        folder = self._own / UPLOADS
        for path in folder.glob("*") if folder.is_dir() else ():
            row = self._rows.find(path.name.rsplit("-", 1)[0])
            if row is None or row.path != str(path):
                path.unlink(missing_ok=True)


def _refuse_feature(row: DataRow, id_column: str, label: str | None) -> None:
    """Refuse what would make the registered id or label a feature. Errors: ATL-DAT-105."""
    for what, asked, registered in (
        ("id", id_column, row.id_column),
        ("label", label, row.label),
    ):
        if registered is not None and asked != registered:
            raise ConflictError(
                "ATL-DAT-105",
                f"the {what} column of table {row.name!r} would become a feature",
                place=registered,
                hint=f"it was registered with {what} {registered!r}: name that in the reader's "
                f"{what}, or register the file under a name of its own",
            )
    if label is not None and label not in row.columns and label != row.label:
        raise UserError(
            "ATL-TAB-002",
            f"table {row.name!r} has no column {label!r}",
            place="parameters.label",
            hint="name the label's column in the reader; empty if there is none",
        )


def _in_use(why: str, hint: str) -> ConflictError:
    return ConflictError("ATL-DAT-107", f"the table is in use: {why}", place="name", hint=hint)


def _mentions(value: Any, name: str) -> bool:
    """Return whether any parameter of a job is this very text: rather too often than too seldom."""
    level = [value]
    while level:
        item = level.pop()
        if item == name:
            return True
        if isinstance(item, dict):
            level += item.values()
        elif isinstance(item, list):
            level += item
    return False


def _view(row: DataRow, notes: Notes) -> Mapping[str, Any]:
    return {
        **{one.name: getattr(row, one.name) for one in dataclasses.fields(row)},
        "uploaded": notes.uploaded,
    }
