"""``./do test [PATHS…] [pytest options]``: the Rust tests, then the Python tests.

With PATHS only these: folders or files of ``tests``, or ``native`` (all crates), or
``native/CRATE``. ``./do drill`` runs the longer tests instead.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from tools import programs
from tools.common import ROOT, Step, info, run_step, summarise

NATIVE = ROOT / "native"


def announce_levels() -> None:
    """Print which instruction levels are real on this machine and which are emulated."""
    try:
        import atoll_native
    except ImportError as error:
        info(f"the native core does not load: {error}")
        return
    levels = getattr(atoll_native, "simd_levels", None)
    if levels is None:
        return
    real = [name for name, kind in levels() if kind == "real"]
    emulated = [name for name, kind in levels() if kind != "real"]
    level_names = f"real {', '.join(real)}; by emulation only {', '.join(emulated) or 'none'}"
    info(f"instruction levels: {level_names}")


def rust_step(crates: list[str]) -> Step:
    """Return the step that tests these crates, or the whole workspace.

    ``atoll-bind`` is an extension module: it has no tests of its own and does not link outside
    Python; its tests are the Python ones.
    """
    chosen = [part for crate in crates for part in ("--package", f"atoll-{crate}")]
    which = chosen or ["--workspace", "--exclude", "atoll-bind"]
    return Step("rust", ["cargo", "test", "--locked", "--quiet", *which], NATIVE)


def python_step(arguments: list[str], folder: str, *, drill: bool) -> Step:
    """Return the step that runs pytest; its temporary files lie below ``folder``."""
    kind = ["-m", "drill", "--hypothesis-profile", "drill"] if drill else []
    workers = [] if any(a.startswith(("-n", "--pdb")) for a in arguments) else ["-n", "2"]
    command = [sys.executable, "-m", "pytest", *kind, *workers, "--dist", "worksteal"]
    # Nodes in deep folders put their sockets into the latter; some are killed and leave them.
    environment = os.environ | {"TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
    return Step("python", [*command, *arguments], environment=environment)


def needs_servers(paths: list[str]) -> bool:
    """Return whether these paths (none: all tests) hold tests against database servers."""
    return not paths or any(
        Path(programs.TESTS).is_relative_to(p.split("::")[0].rstrip("/"))
        or p.startswith(programs.TESTS)
        for p in paths
    )


def native_crates(paths: list[str]) -> list[str]:
    """Return the crates that these paths name; ``native`` alone names none in particular."""
    return [Path(p).parts[1] for p in paths if len(Path(p).parts) > 1]


def main() -> int:
    """Run what the command line names."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    # So that the temporary folder goes away, too, when someone ends us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    drill = "--drill" in arguments
    arguments = [a for a in arguments if a != "--drill"]
    paths = [a for a in arguments if not a.startswith("-") and (ROOT / a.split("::")[0]).exists()]
    native = [p for p in paths if Path(p).parts[0] == "native"]
    others = [a for a in arguments if a not in native]
    announce_levels()
    if not os.environ.get("ATOLL_DATA"):
        info("ATOLL_DATA is not set: tests that need the public tables are skipped")
    outcomes = []
    if native or not (paths or drill):
        outcomes.append(run_step(rust_step(native_crates(native)), quiet=False))
    if not native or len(native) < len(paths):
        if needs_servers([p for p in paths if p not in native]):
            programs.provide()
        with tempfile.TemporaryDirectory(prefix="atoll-test-") as folder:
            outcomes.append(run_step(python_step(others, folder, drill=drill), quiet=False))
    return summarise(outcomes)


if __name__ == "__main__":
    sys.exit(main())
