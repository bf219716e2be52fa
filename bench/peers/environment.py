"""Other projects beside ours: each in an environment of its own, from the package index, pinned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import ROOT

FOLDER = ROOT / ".do" / "peers"
# What is installed for each; PyTorch comes with all that it needs, some 5 GB.
PACKAGES: dict[str, tuple[str, ...]] = {
    "flwr": ("flwr[simulation]==1.41.0",),
    "pfl": ("pfl[pytorch]==0.6.0", "torch==2.13.0"),
}
SECONDS = 900


class PeerError(Exception):
    """A peer cannot be installed or run; the text states why."""


def require(peer: str) -> Path:
    """Return the interpreter of a peer's environment, which is made once. Errors: PeerError."""
    if peer not in PACKAGES:
        raise PeerError(f"there is no peer {peer!r}: choose one of {', '.join(PACKAGES)}")
    home = FOLDER / "_".join((peer, *(p.rpartition("==")[2] for p in PACKAGES[peer])))
    python, ready = home / "bin" / "python", home / "ready"
    if ready.exists():
        return python
    own = ROOT / ".do" / "uv" / "bin" / "uv"
    uv = str(own) if own.exists() else shutil.which("uv")
    if uv is None:
        raise PeerError("uv is not installed here; any ./do command installs it")
    shutil.rmtree(home, ignore_errors=True)
    print(f"bench: installing {' '.join(PACKAGES[peer])} (once)", file=sys.stderr)
    _checked([uv, "venv", "--quiet", "--python", sys.executable, str(home)])
    _checked([uv, "pip", "install", "--quiet", "--python", str(python), *PACKAGES[peer]])
    ready.touch()
    return python


def rounds(
    peer: str, model: str, rows: np.ndarray, labels: np.ndarray, ends: np.ndarray, count: int
) -> dict[str, Any]:
    """Return the figures that a peer's script prints for these clients. Errors: PeerError."""
    python = require(peer)
    script = Path(__file__).with_name(f"{peer}_rounds.py")
    with tempfile.TemporaryDirectory(prefix="atoll-peer-") as folder:
        data = Path(folder) / "data.npz"
        np.save(data.with_suffix(".rows.npy"), rows)
        np.savez(data, labels=labels, ends=ends)
        printed = _checked([str(python), str(script), str(data), model, str(count)], cwd=folder)
    figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return figures


def _checked(command: Sequence[str], cwd: str | None = None) -> str:
    # One thread, as ours has; and nothing about who runs it is sent home.
    quiet = {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    run = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
    )
    if run.returncode:
        raise PeerError(f"{command[0]} failed:\n{run.stderr[-2000:]}")
    return run.stdout
