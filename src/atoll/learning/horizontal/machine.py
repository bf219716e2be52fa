"""The condition of the machine that this process runs on, as far as it can be read.

Linux states it in files below /sys and /proc; elsewhere most of it is not known.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from atoll.learning.horizontal.conditions import Condition, Link

_POWER, _NETWORK, _ROUTES = "sys/class/power_supply", "sys/class/net", "proc/net/route"


def own_condition(folder: str | os.PathLike[str] = ".", system: Path = Path("/")) -> Condition:
    """Return this machine's condition; ``storage`` is what is free where ``folder`` lies.

    ``system`` is the root below which the machine's files are read. The generation of a mobile
    network is not known here.
    """
    battery, charging = _power(system / _POWER)
    return Condition(
        battery=battery,
        charging=charging,
        link=_link(system),
        storage=_storage(folder),
        memory=_memory(system / "proc/meminfo"),
        cores=_cores(),
    )


def _power(folder: Path) -> tuple[float | None, bool | None]:
    charges: list[float] = []
    mains: list[bool] = []
    for supply in sorted(folder.glob("*")):
        kind = _text(supply / "type")
        if kind == "Battery":
            charge = _number(supply / "capacity")
            charges += [] if charge is None else [min(1.0, max(0.0, charge / 100))]
            mains.append(_text(supply / "status") in ("Charging", "Full", "Not charging"))
        elif kind in ("Mains", "USB"):
            mains.append(_number(supply / "online") == 1)
    return min(charges, default=None), any(mains) if mains else None


def _link(system: Path) -> Link | None:
    for line in (_text(system / _ROUTES) or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) < 2 or fields[1].strip("0"):
            continue
        interface = system / _NETWORK / Path(fields[0]).name
        if (interface / "wireless").exists() or (interface / "phy80211").exists():
            return "wifi"
        # Ethernet by its hardware number; a modem may call itself that too.
        if _number(interface / "type") == 1 and not interface.name.startswith("ww"):
            return "wired"
        return None
    return None


def _storage(folder: str | os.PathLike[str]) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _memory(path: Path) -> int | None:
    for line in (_text(path) or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemAvailable" and words and words[0].isdecimal():
            return int(words[0]) * 1024
    return None


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _text(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 16).strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path) or ""
    return int(text) if text.isdecimal() and len(text) < 10 else None
