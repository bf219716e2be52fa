"""Whose words an error of a job of the SDK has."""

from __future__ import annotations

from typing import Any

from atoll.sdk.driving import failure


def view(party: str | None, code: str | None, message: str = "", **more: str) -> dict[str, Any]:
    state = "success" if code is None else "failed"
    words = {"message": message, "hint": f"do {message}"} if message else {}
    return {"state": state, "code": code, "party": party, **words, **more}


def test_a_job_that_succeeded_has_no_error() -> None:
    assert failure(view(None, None), {"shop": view(None, None)}) is None


def test_the_party_where_it_happened_is_quoted() -> None:
    views = {"shop": view("bank", "ATL-1", "shop"), "bank": view("bank", "ATL-1", "bank")}
    error = failure(views["shop"], views)
    assert error is not None
    assert (error.message, error.party, error.hint) == ("bank", "bank", "do bank")


def test_where_it_has_no_words_another_is_quoted() -> None:
    views = {
        "shop": view("bank", "ATL-1"),
        "bank": view("bank", "ATL-1"),
        "east": view("bank", "ATL-2", ""),
        "west": view("bank", "ATL-1", "west"),
    }
    error = failure(views["shop"], views)
    assert error is not None
    assert (error.code, error.message, error.hint) == ("ATL-1", "west", "do west")


def test_a_withheld_code_is_read_where_it_is_known() -> None:
    views = {"shop": view("bank", "ATL-WRK-014", "shop"), "bank": view("bank", "ATL-9", "bank")}
    error = failure(views["shop"], views)
    assert error is not None
    assert (error.code, error.message) == ("ATL-9", "bank")


def test_words_about_something_else_are_not_quoted() -> None:
    views = {"shop": view("bank", "ATL-1"), "west": view("west", "ATL-2", "west")}
    error = failure(views["shop"], views)
    assert error is not None
    assert (error.code, error.hint) == ("ATL-1", None)
    assert error.message == "the job ended as failed"
