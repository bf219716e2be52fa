"""When a process of this machine began: a later one of the same number is another."""

from __future__ import annotations

from pathlib import Path

# In a process's stat line, after its name: its state, and its start in ticks since boot.
_STATE, _START = 0, 19


def start_time(number: int) -> int | None:
    """Return when a process began, in ticks since the machine's start; None if there is none."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE] in ("Z", "X") else int(fields[_START])
