from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError, DataError, UserError
from atoll.core.names import party_id
from atoll.core.random import PublicRandom, SecretRandom
from atoll.core.report import KeyValuePanel, Report


def test_errors_tell_code_place_and_hint() -> None:
    error = DataError("ATL-TAB-001", "twice", place="a.csv row 3", hint="drop one")
    assert str(error) == "ATL-TAB-001: twice, at a.csv row 3 (hint: drop one)"
    assert error.exit_code == 9
    assert error.located(party="bank", phase="read").located(party="other").party == "bank"
    assert error.to_dict()["phase"] == "read"


@pytest.mark.parametrize("name", ["acme-bank", "9999", "a", "a" * 63])
def test_party_ids(name: str) -> None:
    assert party_id(name) == name


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "a" * 64, "a b", "a\n", "ä", "../a"])
def test_bad_party_ids(name: str) -> None:
    with pytest.raises(UserError) as caught:
        party_id(name)
    assert caught.value.code == "ATL-NAM-001"


def test_secret_randomness_differs_and_seeded_repeats() -> None:
    assert SecretRandom().bytes(32) != SecretRandom().bytes(32)
    first, second = SecretRandom.seeded(7), SecretRandom.seeded(7)
    assert first.bytes(16) == second.bytes(16)
    assert first.bytes(16) != first.bytes(16)
    order = SecretRandom().permutation(1000)
    assert np.array_equal(np.sort(order), np.arange(1000))


def test_seeded_secrets_are_refused_outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOLL_INSECURE_SIMULATION")
    with pytest.raises(AtollError) as caught:
        SecretRandom.seeded(1)
    assert caught.value.code == "ATL-SET-001"


def test_public_randomness_depends_on_every_part() -> None:
    source = PublicRandom(b"s" * 32)
    draws = {
        int(source.generator(step, round_, purpose).integers(2**62))
        for step in "ab"
        for round_ in range(2)
        for purpose in ("rows", "columns")
    }
    assert len(draws) == 8
    again = PublicRandom(b"s" * 32).generator("a", 0, "rows")
    assert int(again.integers(2**62)) in draws


def test_a_report_survives_json() -> None:
    report = Report(title="t", panels=(KeyValuePanel(title="k", values={"auc": 0.5}),))
    assert Report.model_validate_json(report.model_dump_json()) == report
