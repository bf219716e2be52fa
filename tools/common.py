"""What the tools share: the checkout, running commands, findings."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a checker wants changed."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Step:
    """One command of a run, with its name and where it starts."""

    name: str
    command: Sequence[str]
    folder: Path = ROOT
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    step: Step
    code: int
    seconds: float


def info(text: str) -> None:
    """Write one line for the user, on standard error, so that output stays machine-readable."""
    print(f"do: {text}", file=sys.stderr, flush=True)


def run_step(step: Step, *, quiet: bool) -> Outcome:
    """Run one step; with ``quiet`` its output is shown only when it fails."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            step.command,
            cwd=step.folder,
            env=step.environment,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            check=False,
        )
        code, output = done.returncode, done.stdout or b""
    except FileNotFoundError:
        code, output = 127, f"{step.command[0]} is missing\n".encode()
    outcome = Outcome(step, code, time.monotonic() - start)
    if quiet:
        mark = "ok" if code == 0 else "FAILED"
        info(f"{step.name:<16} {mark} ({outcome.seconds:.1f} s)")
        if code != 0:
            sys.stderr.write(output.decode(errors="replace") + "\n")
    return outcome


def summarise(outcomes: Sequence[Outcome]) -> int:
    """Print which steps failed; return the exit status of the whole."""
    failed = [outcome.step.name for outcome in outcomes if outcome.code != 0]
    total = sum(outcome.seconds for outcome in outcomes)
    if failed:
        info(f"{len(failed)} of {len(outcomes)} steps failed: {', '.join(failed)} ({total:.0f} s)")
        return 1
    info(f"all {len(outcomes)} steps passed ({total:.0f} s)")
    return 0


def report(findings: Iterable[Finding], rule: str) -> int:
    """Print findings, sorted; return 1 if there are any."""
    found = sorted(set(findings))
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} findings; the rule: {rule}")
    return 1 if found else 0


def python_files(*folders: str) -> Iterator[Path]:
    """Return the Python files below these folders of the checkout, sorted."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def rust_files() -> Iterator[Path]:
    """Return the Rust files of the workspace, without build outputs."""
    target = ROOT / "native" / "target"
    yield from (p for p in sorted((ROOT / "native").rglob("*.rs")) if target not in p.parents)


def relative(path: Path) -> str:
    """Return a path as seen from the checkout's root."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def functions(tree: ast.AST, wanted: Callable[[FunctionNode], bool]) -> Iterator[FunctionNode]:
    """Return the functions of a tree that are wanted, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode) and wanted(node):
            yield node
