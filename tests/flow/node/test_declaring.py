"""What a partner that asks is told of this node's tables, and what it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.channel.identity import Identity
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.flow.node.data.tables import RegisteredTables, TableSource
from atoll.flow.node.jobs.declaring import (
    Declarer,
    OwnDeclaration,
    decode_declaration,
    encode_declaration,
)
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.errors import DeniedError

IDENTITY = SimpleNamespace(party="shop", peer=lambda party: None, certificate=b"certificate")


class Known:
    """Two tables: one that is granted to the bank, one that is granted to nobody."""

    def source(self, name: str, *, id_column: str, label: str | None) -> TableSource:
        if name not in ("visits", "secret"):
            raise AtollError("ATL-JOB-010", "this party has no such table")
        if id_column != "id":
            raise AtollError("ATL-TAB-002", "there is no such column")
        return TableSource(name, cast(Any, None), "id", None, "0" * 64, 2, ("spent",))

    def share(self, one: TableSource, two: TableSource) -> bool:
        return False


def guard(partner: str, tables: Collection[str]) -> None:
    if set(tables) - {"visits"}:
        raise DeniedError("ATL-POL-001", "no live grant for this partner")


def tables(allow: Callable[[str], None]) -> RegisteredTables:
    return RegisteredTables(Known(), allow)


def job(name: str, **parameters: Any) -> Job:
    reported = {"tables": {"bank": "loans", "shop": name}, **parameters}
    return parse_job(
        {
            "name": "any",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {"reader": {"component": "reader", "parameters": reported}},
        }
    )


def asked(name: str, partner: str | None, **parameters: Any) -> str:
    declarer = Declarer(lambda: cast(Identity, IDENTITY), lambda: CATALOGUE, tables, guard)
    try:
        reported = declarer.declare(job(name, **parameters), partner)
    except AtollError as error:
        return error.code
    return reported.tables["reader"].name


def test_a_partner_without_a_grant_cannot_tell_what_tables_and_columns_there_are() -> None:
    found = {asked(name, "bank", id=at) for name in ("secret", "nothing") for at in ("id", "no")}
    assert found == {"ATL-POL-001"}


@pytest.mark.parametrize(
    ("name", "column", "partner", "reported"),
    [
        ("visits", "id", "bank", "visits"),
        ("visits", "no", "bank", "ATL-TAB-002"),
        ("secret", "id", None, "secret"),
        ("secret", "no", None, "ATL-TAB-002"),
        ("nothing", "id", None, "ATL-JOB-010"),
    ],
)
def test_own_people_and_those_with_a_grant_are_told(
    name: str, column: str, partner: str | None, reported: str
) -> None:
    assert asked(name, partner, id=column) == reported


def apart(order: str = "") -> Job:
    """Return a job in which the post shares no step with bank and shop."""
    readers = {
        "reader": {"tables": {"bank": "loans", "shop": "visits"}},
        "mail": {"tables": {"post": "letters"}, "label": ""},
    }
    return parse_job(
        {
            "name": f"any{order}",
            "parties": {"bank": "guest", "shop": "host", "post": "client"},
            "steps": {n: {"component": "reader", "parameters": p} for n, p in readers.items()},
        }
    )


def sent_by_shop(job: Job, secret: bytes) -> OwnDeclaration:
    identity = SimpleNamespace(**vars(IDENTITY), secret=lambda purpose: secret)
    return Declarer(lambda: cast(Identity, identity), lambda: CATALOGUE, tables).declare(job)


def test_who_shares_no_step_is_told_of_no_table_and_others_of_a_salt() -> None:
    reported = sent_by_shop(apart(), b"k" * 32)
    assert reported.audience == {"reader": ("bank", "shop"), "mail": ("post",)}
    assert reported.to("bank").tables == reported.tables
    assert reported.to("post").tables == {}
    assert decode_declaration(encode_declaration(reported.to("bank")), "shop") == replace(
        reported, audience={}, opening=None
    )
    salt = reported.tables["reader"].salt
    assert salt is not None
    # The same each time that it is asked for, another for another job or another key.
    again = sent_by_shop(apart(), b"k" * 32)
    assert again.tables["reader"].salt == salt
    assert sent_by_shop(apart("-other"), b"k" * 32).tables["reader"].salt != salt
    assert sent_by_shop(apart(), b"l" * 32).tables["reader"].salt != salt


def test_where_all_are_told_there_is_no_salt() -> None:
    reported = sent_by_shop(job("visits"), b"k" * 32)
    assert reported.audience == {}
    assert reported.tables["reader"].salt is None
    assert "salt" not in str(encode_declaration(reported))


def test_a_job_with_strangers_is_refused_before_its_plan_is_weighed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """256 made-up parties made one call take 13 s, and four calls kept all others waiting."""

    def weigh(*_: object) -> None:
        raise AssertionError("the plan was weighed")

    def peer(party: str) -> None:
        raise AtollError("ATL-PTY-012", "this party is not a partner", party=party)

    monkeypatch.setattr("atoll.flow.node.jobs.declaring.planning.check", weigh)
    identity = SimpleNamespace(party="shop", peer=peer, certificate=b"certificate")
    declarer = Declarer(lambda: cast(Identity, identity), lambda: CATALOGUE, tables, guard)
    with pytest.raises(AtollError, match="ATL-PTY-012"):
        declarer.declare(job("visits"), "bank")
