"""Conditions are read where they can be, and rules respect them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atoll.learning.horizontal.conditions import LINKS, Condition, Eligibility
from atoll.learning.horizontal.machine import own_condition

GOOD = Condition(battery=0.9, charging=True, link="wifi", storage=10**9, memory=10**9, cores=8)
RULES = Eligibility(
    battery=0.5, charging=True, link="4g", storage=10**8, memory=10**8, cores=2, strict=True
)


@pytest.mark.parametrize(
    ("part", "poor"),
    [("charging", False), ("link", "3g"), ("storage", 10), ("memory", 10), ("cores", 1)],
)
def test_each_rule_refuses_what_is_below_it_or_unknown(part: str, poor: object) -> None:
    assert RULES.permits(GOOD)
    assert RULES.lacks(GOOD.model_copy(update={part: poor})) == [part]
    assert RULES.lacks(GOOD.model_copy(update={part: None})) == [part]
    lenient = RULES.model_copy(update={"strict": False})
    assert lenient.permits(GOOD.model_copy(update={part: None}))
    assert lenient.lacks(GOOD.model_copy(update={part: poor})) == [part]


def test_a_low_battery_does_not_matter_while_it_charges() -> None:
    rules = Eligibility(battery=0.5)
    assert rules.lacks(Condition(battery=0.2, charging=False)) == ["battery"]
    assert rules.lacks(Condition(battery=0.2)) == ["battery"]
    assert rules.permits(Condition(battery=0.2, charging=True))
    assert rules.permits(Condition(battery=0.5, charging=False))


@given(st.sampled_from(list(LINKS)), st.sampled_from(list(LINKS)))
def test_links_are_in_order(given_: str, needed: str) -> None:
    rules = Eligibility.model_validate({"link": needed})
    condition = Condition.model_validate({"link": given_})
    order = list[str](LINKS)
    assert rules.permits(condition) == (order.index(given_) >= order.index(needed))


def test_no_rules_permit_everything() -> None:
    assert Eligibility().permits(Condition())
    assert Eligibility(strict=True).permits(Condition(battery=0.0, link="none"))


@pytest.mark.parametrize(
    "value", [{"battery": 1.5}, {"link": "2g"}, {"storage": -1}, {"cores": 1 << 20}, {"owner": "x"}]
)
def test_a_condition_that_no_machine_has_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(value)


def _files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


ROUTE = "Iface\tDestination\tGateway\nlo\t0000007F\t0\nwlan0\t00000000\t0101A8C0\n"
LAPTOP = {
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/BAT0/capacity": "37\n",
    "sys/class/power_supply/BAT0/status": "Discharging\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/AC/online": "0\n",
    "proc/net/route": ROUTE,
    "sys/class/net/wlan0/wireless/empty": "",
    "proc/meminfo": "MemTotal: 2000 kB\nMemAvailable:    1000 kB\n",
}


def test_a_laptop_is_read(tmp_path: Path) -> None:
    condition = own_condition(tmp_path, _files(tmp_path, LAPTOP))
    assert condition.battery == 0.37
    assert condition.charging is False
    assert condition.link == "wifi"
    assert condition.memory == 1_024_000
    assert condition.storage
    assert condition.cores
    charging = {**LAPTOP, "sys/class/power_supply/BAT0/status": "Charging"}
    assert own_condition(tmp_path, _files(tmp_path, charging)).charging is True


def test_what_a_machine_does_not_state_is_unknown(tmp_path: Path) -> None:
    condition = own_condition(tmp_path / "missing", tmp_path)
    assert condition == Condition(cores=condition.cores)
    odd = {
        "proc/net/route": "x\n\n",
        "proc/meminfo": "MemAvailable:\n",
        "sys/class/power_supply/B/type": "Battery",
        "sys/class/power_supply/B/capacity": "??",
    }
    condition = own_condition(tmp_path, _files(tmp_path, odd))
    assert (condition.link, condition.memory, condition.battery) == (None, None, None)


def test_a_wired_route_and_a_modem(tmp_path: Path) -> None:
    wired = {"proc/net/route": ROUTE.replace("wlan0", "eth0"), "sys/class/net/eth0/type": "1\n"}
    assert own_condition(tmp_path, _files(tmp_path, wired)).link == "wired"
    modem = {"proc/net/route": ROUTE.replace("wlan0", "wwan0"), "sys/class/net/wwan0/type": "1\n"}
    assert own_condition(tmp_path, _files(tmp_path, modem)).link is None


def test_this_machine_has_a_condition() -> None:
    condition = own_condition()
    assert condition.storage is not None
    assert condition.cores
