"""Minutes of fuzzing: what reads bytes of others, under libFuzzer and atheris.

An input that is a fault, or costs too much, lies in the folder that the failure names; put into
``tests/fuzz/corpora`` as ``found-…`` it is replayed by every run of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.bounds import CORPORA
from tests.fuzz.readers import READERS

ROOT = Path(__file__).parents[2]
CRATE = ROOT / "tests" / "fuzz" / "native"
FOUND = ROOT / "build" / "fuzz"
TARGETS = ("codec", "frames", "handshakes", "certificates")
# Of each target of the native core, and of each of the many readers.
NATIVE_SECONDS, READER_SECONDS = 60, 15
# What cargo-fuzz says to a compiler, less what only nightly ones understand.
COVERAGE = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
]


@pytest.fixture(scope="module")
def programs() -> Path:
    """Build the native targets with coverage; return where they lie."""
    host = (
        subprocess.run(["rustc", "-vV"], cwd=CRATE, check=True, capture_output=True, text=True)
        .stdout.split("host: ")[1]
        .split()[0]
    )
    target = ROOT / "native" / "target" / "fuzz"
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--target", host],
        cwd=CRATE,
        check=True,
        env=os.environ | {"RUSTFLAGS": " ".join(COVERAGE), "CARGO_TARGET_DIR": str(target)},
    )
    return target / host / "release"


def fuzz(command: list[str], name: str, seconds: int) -> None:
    """Run a fuzzer for so long, from a corpus that it may add to."""
    grown, faults = FOUND / name, FOUND / f"{name}-faults"
    for folder in (grown, faults):
        folder.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [
            *command,
            f"-max_total_time={seconds}",
            "-timeout=5",
            "-rss_limit_mb=2048",
            "-max_len=8192",
            f"-artifact_prefix={faults}/",
            str(grown),
            str(CORPORA / name),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 120,
    )
    output = run.stderr[-4000:]
    assert run.returncode == 0, f"{name}: the input lies in {faults}\n{output}"
    assert " DONE " in output or "Done " in output, output


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", TARGETS)
def test_the_native_core_judges_whatever_comes(programs: Path, target: str) -> None:
    fuzz([str(programs / target)], target, NATIVE_SECONDS)


@pytest.mark.drill
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_reads_or_refuses_whatever_comes(reader: str) -> None:
    fuzz([sys.executable, "-m", "tests.fuzz.run", reader], reader, READER_SECONDS)
