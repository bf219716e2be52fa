from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update

from atoll.core.errors import AtollError, InternalError
from atoll.flow.access import Access, Actor, AuditLog
from atoll.flow.access.audit import clean
from atoll.flow.store import Database, schema
from tests.flow.access.support import PASSWORD, Wall, person

_T = schema.audit


@pytest.fixture
def log(database: Database, wall: Wall) -> AuditLog:
    made = AuditLog(database, wall)
    for number in range(5):
        wall.now += 1.2345678
        made.note("ann", "job.submit", f"job-{number}", count=number, tables=["a", "b"])
    return made


def lines(log: AuditLog) -> list[dict[str, Any]]:
    return list(log.page())


def test_lines_come_back_in_order_and_chained(log: AuditLog) -> None:
    found = lines(log)
    assert [line["number"] for line in found] == [1, 2, 3, 4, 5]
    assert [line["target"] for line in found] == [f"job-{number}" for number in range(5)]
    assert found[2]["detail"] == {"count": 2, "tables": ["a", "b"]}
    assert all(b["previous"] == a["hash"] for a, b in itertools.pairwise(found))
    assert log.verify() is None


def test_an_empty_log_is_whole(database: Database, wall: Wall) -> None:
    log = AuditLog(database, wall)
    assert log.verify() is None
    assert lines(log) == []


CHANGED: dict[str, Any] = {
    "time": 5.0,
    "actor": "bob",
    "action": "job.stop",
    "target": "job-9",
    "outcome": "refused",
    "detail": '{"count": 7}',
    "previous": "0" * 64,
    "hash": "0" * 64,
}


@pytest.mark.parametrize("column", sorted(CHANGED))
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_changed_line_is_found(
    log: AuditLog, database: Database, column: str, number: int
) -> None:
    values = {column: "1" * 64 if column == "previous" else CHANGED[column]}
    database.write(lambda c: c.execute(update(_T).where(_T.c.number == number).values(**values)))
    assert log.verify() == number


def test_text_that_is_no_json_is_a_broken_line(log: AuditLog, database: Database) -> None:
    change = update(_T).where(_T.c.number == 2).values(detail="{")
    database.write(lambda c: c.execute(change))
    assert log.verify() == 2


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_line_taken_out_is_found(log: AuditLog, database: Database, number: int) -> None:
    database.write(lambda c: c.execute(delete(_T).where(_T.c.number == number)))
    assert log.verify() == number


def test_a_cut_end_is_found_and_nothing_more_is_written(log: AuditLog, database: Database) -> None:
    database.write(lambda c: c.execute(delete(_T).where(_T.c.number >= 4)))
    assert log.verify() == 4
    with pytest.raises(AtollError, match="ATL-ACC-013"):
        log.note("ann", "job.submit")


def test_an_emptied_log_is_found(log: AuditLog, database: Database) -> None:
    database.write(lambda c: c.execute(delete(_T)))
    assert log.verify() == 1
    with pytest.raises(AtollError, match="ATL-ACC-013"):
        log.note("ann", "job.submit")


def test_a_line_put_in_and_two_swapped_are_found(log: AuditLog, database: Database) -> None:
    def swap(connection: Connection) -> None:
        rows = connection.execute(select(_T).where(_T.c.number.in_([2, 3]))).mappings().all()
        connection.execute(delete(_T).where(_T.c.number.in_([2, 3])))
        for row, number in zip(rows, (3, 2), strict=True):
            connection.execute(insert(_T).values(**{**row, "number": number}))

    database.write(swap)
    assert log.verify() == 2


def test_a_line_and_its_change_stand_or_fall_together(log: AuditLog, database: Database) -> None:
    def work(connection: Connection) -> None:
        log.record(connection, "ann", "job.submit", "job-9")
        raise InternalError("ATL-INT-001", "the change failed")

    with pytest.raises(InternalError):
        database.write(work)
    assert len(lines(log)) == 5
    log.note("ann", "job.submit", "job-10")
    assert log.verify() is None


@pytest.mark.parametrize("name", ["password", "new_password", "token", "api_key", "secret_text"])
def test_details_that_look_like_secrets_are_refused(log: AuditLog, name: str) -> None:
    with pytest.raises(InternalError, match="ATL-ACC-015"):
        log.note("ann", "user.add", "bob", **{name: "x"})


def test_tokens_and_control_characters_are_not_written(log: AuditLog) -> None:
    log.note("ann\n2026 admin", "job.submit", "\x1b[2Jgone\0", note="atoll_" + "A" * 43)
    line = lines(log)[-1]
    assert "\n" not in line["actor"]
    assert line["target"] == "\ufffd[2Jgone\ufffd"
    assert line["detail"] == {"note": "<token>"}
    assert log.verify() is None


@given(st.text(), st.integers(1, 40))
def test_cleaned_text_is_short_and_shows(text: str, most: int) -> None:
    found = clean(text, most)
    assert len(found) <= most
    assert found.isprintable()


def test_a_flood_of_refusals_is_summed_up(log: AuditLog, wall: Wall) -> None:
    for _ in range(500):
        log.refused("anonymous", "session.use", code="ATL-ACC-002", source="203.0.113.9")
    log.refused("anonymous", "session.use", code="ATL-ACC-002", source="203.0.113.10")
    assert len(lines(log)) == 5 + 10 + 1
    wall.now += 60
    log.refused("anonymous", "session.use", code="ATL-ACC-002", source="203.0.113.9")
    assert lines(log)[-1]["detail"] == {"code": "ATL-ACC-002", "left_out_before": 490}


def test_every_change_and_every_refusal_of_access_has_a_line(access: Access, admin: Actor) -> None:
    ann = person(access, admin, "ann", ["viewer"])
    start = access.audit.page(limit=200).rows[-1]["number"]
    access.set_roles(admin, "ann", ["modeller"])
    access.set_disabled(admin, "ann", True)
    access.set_disabled(admin, "ann", False)
    access.reset_password(admin, "ann", PASSWORD)
    _, token = access.create_token(admin, "ci", ["job.read"], days=1)
    access.revoke_token(admin, token.id)
    access.remove_user(admin, "ann")
    access.logout(access.authenticate(access.login("admin", PASSWORD).token))
    for wrong in (
        lambda: access.remove_user(ann, "admin"),
        lambda: access.remove_user(admin, "admin"),
        lambda: access.revoke_token(admin, "0" * 16),
        lambda: access.login("admin", "wrong password"),
        lambda: access.authenticate("atoll_" + "A" * 43),
    ):
        with pytest.raises(AtollError):
            wrong()
    found = [(e["action"], e["outcome"]) for e in access.audit.page() if e["number"] > start]
    assert found == [
        ("user.roles", "done"),
        ("user.disable", "done"),
        ("user.enable", "done"),
        ("user.reset", "done"),
        ("token.add", "done"),
        ("token.remove", "done"),
        ("user.remove", "done"),
        ("session.open", "done"),
        ("session.close", "done"),
        ("user.write", "refused"),
        ("user.remove", "refused"),
        ("token.remove", "refused"),
        ("login", "refused"),
        ("session.use", "refused"),
    ]
    assert access.audit.verify() is None
