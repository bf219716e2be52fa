"""Database servers and the browser of tests: where they are, and installing them where we may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.common import info

TESTS = "tests/flow"
_POLICY = Path("/usr/sbin/policy-rc.d")
_DO_NOT_START = "#!/bin/sh\n# Put here by ./do while it installs what tests need.\nexit 101\n"


@dataclass(frozen=True)
class MariaPrograms:
    """The programs of a MariaDB server."""

    server: Path
    install: Path


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's newest server programs, None if there are none."""
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda place: (len(place.parent.name), place.parent.name),
        reverse=True,
    )
    on_path = shutil.which("postgres")
    places += [Path(on_path).resolve().parent] if on_path else []
    return next((p for p in places if (p / "postgres").exists() and (p / "initdb").exists()), None)


def find_mariadb() -> MariaPrograms | None:
    """Return MariaDB's server programs, None if there are none."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    server, install = (shutil.which(n, path=path) for n in ("mariadbd", "mariadb-install-db"))
    return MariaPrograms(Path(server), Path(install)) if server and install else None


def find_chromium() -> Path | None:
    """Return Chromium's program, the one without a screen first; None if there is none."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def missing() -> dict[str, str]:
    """Return what is missing: name → Debian's package."""
    found = {
        "PostgreSQL": ("postgresql", find_postgres()),
        "MariaDB": ("mariadb-server", find_mariadb()),
        "Chromium": ("chromium-headless-shell", find_chromium()),
    }
    return {name: package for name, (package, where) in found.items() if where is None}


def provide() -> None:
    """Install what is missing where we may (root, Debian); say loudly what then is skipped."""
    wanted = missing()
    if wanted and os.geteuid() == 0 and shutil.which("apt-get") and _may_change():
        info(f"installing {', '.join(wanted)} for the tests (apt-get)")
        _install(list(wanted.values()))
    for name, package in missing().items():
        info(f"{name} IS MISSING: ITS TESTS ARE SKIPPED (apt-get install {package})")


def _may_change() -> bool:
    return os.environ.get("ATOLL_DO_SYNC", "1") != "0"


def _install(packages: Sequence[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    with _services_stay_off():
        for command in (install, ["apt-get", "update", "-q"], install):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if command is install and done.returncode == 0:
                return
    lines = done.stderr.strip().splitlines()
    info(f"apt-get failed: {lines[-1] if lines else done.returncode}")


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """Keep Debian from starting the servers as services; tests start their own."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_DO_NOT_START)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
