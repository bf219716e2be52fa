from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.profiles import RFC_9106_LOW_MEMORY

from atoll.core.errors import UserError
from atoll.flow.access import Passwords
from atoll.flow.access.passwords import check_rules
from tests.flow.access.support import PASSWORD, cheap


def test_the_parameters_are_those_of_the_second_recommendation() -> None:
    stored = Passwords().hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert not PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY).check_needs_rehash(stored)
    assert Passwords().verify(stored, PASSWORD)


def test_right_wrong_and_nobody() -> None:
    passwords = cheap()
    stored = passwords.hash(PASSWORD)
    assert passwords.verify(stored, PASSWORD)
    assert not passwords.verify(stored, PASSWORD + "x")
    assert not passwords.verify(None, PASSWORD)
    assert not passwords.verify("not a hash", PASSWORD)
    assert passwords.hash(PASSWORD) != stored


def test_nobody_costs_one_hash_as_somebody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = cheap()
    stored = passwords.hash(PASSWORD)
    passwords.verify(None, "warm up: the hash of nobody is made once")
    calls: list[str] = []
    real = PasswordHasher.verify

    def count(self: PasswordHasher, kept: Any, given: Any) -> Any:
        calls.append(kept)
        return real(self, kept, given)

    monkeypatch.setattr(PasswordHasher, "verify", count)
    passwords.verify(stored, "wrong password")
    passwords.verify(None, "wrong password")
    passwords.verify(stored, "x" * 5000)
    assert len(calls) == 3
    assert len({kept.rsplit("$", 2)[0] for kept in calls}) == 1


def test_a_flood_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atoll.flow.access.passwords._TURN_SECONDS", 0.01)
    passwords = cheap()
    with passwords._turn(), passwords._turn(), pytest.raises(UserError, match="ATL-ACC-004"):
        passwords.hash(PASSWORD)
    passwords.hash(PASSWORD)


def test_a_composed_and_a_decomposed_letter_are_the_same() -> None:
    passwords = cheap()
    assert passwords.verify(passwords.hash("caf\u00e9 noir encore"), "cafe\u0301 noir encore")


def test_other_parameters_are_outdated() -> None:
    old = cheap().hash(PASSWORD)
    assert not cheap().outdated(old)
    assert Passwords(time_cost=2, memory_kib=8, parallelism=1).outdated(old)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "elevenchars",
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "my-eve-password",
        "é" * 600,
    ],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(UserError, match="ATL-ACC-005") as caught:
        check_rules(password, "eve")
    assert not password or password not in str(caught.value)


def test_generated_passwords_pass_the_rules_and_differ() -> None:
    made = {cheap().generate() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_rules(password, "admin")
        assert len(password.replace("-", "")) == 20
