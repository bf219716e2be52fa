"""``--baseline COMMIT``: the same measurement here and at another commit, in turns, side by side.

The commit gets a git work tree and an environment of its own below ``.do/baseline`` (minutes at the
first time, nothing later); this checkout stays as it is. Rounds alternate which tree goes first, so
that a machine that slows down or is shared slows both. Of the rounds the better figure counts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.harness import ROOT

Lines = list[dict[str, Any]]
Run = Callable[[Path, Sequence[str]], Lines]

# Less is better, but for the rate of most lines.
FIGURES = ("seconds", "cpu_seconds", "node_cpu_seconds", "bytes", "rounds", "peak_memory")
RATE = "rate"
# Their rate is what something costs.
_COSTS = frozenset({"flow.idle_cpu"})
_TAIL_LINES = 12


class BaselineError(Exception):
    """The other commit cannot be built or measured; the text states why."""


@dataclass
class Compared:
    """One line in both trees, or in one: ``only``: in which, if it is not in both."""

    name: str
    params: Mapping[str, Any]
    here: dict[str, float] = field(default_factory=dict)
    there: dict[str, float] = field(default_factory=dict)
    only: str | None = None

    @property
    def ratios(self) -> dict[str, float]:
        """What is here over what is there, where both have a figure that is not zero."""
        return {n: v / self.there[n] for n, v in self.here.items() if self.there.get(n)}

    def worse(self, tolerance: float) -> list[str]:
        """Return the figures that are worse here by more than ``tolerance`` per cent."""
        if self.name.endswith(".reference"):
            return []
        most = 1 + tolerance / 100
        return [n for n, ratio in self.ratios.items() if _cost(self.name, n, ratio) > most]

    def to_dict(self, tolerance: float) -> dict[str, Any]:
        """Return the JSON form."""
        whole: dict[str, Any] = {"name": self.name, "params": dict(self.params)}
        if self.only:
            return {**whole, "only_in": self.only, "figures": self.here or self.there}
        whole |= {"this": self.here, "baseline": self.there, "ratio": self.ratios}
        return {**whole, "worse": self.worse(tolerance)}

    def row(self, tolerance: float) -> str:
        """Return the readable form."""
        sizes = " ".join(f"{k}={v}" for k, v in self.params.items() if _plain(v))
        head = f"{self.name} {sizes}".strip()
        if self.only:
            listed = [f"    {n:<24} {v:>14,.6g}" for n, v in (self.here or self.there).items()]
            return "\n".join([f"{head}   only in {self.only}", *listed])
        worse = self.worse(tolerance)
        rows = [head]
        for name, ratio in self.ratios.items():
            mark = "  WORSE" if name in worse else ""
            here, there = self.here[name], self.there[name]
            rows.append(f"    {name:<24} {here:>14,.6g} {there:>14,.6g}   {ratio:.3f}{mark}")
        return "\n".join(rows)


def _cost(name: str, figure: str, ratio: float) -> float:
    more_is_better = figure == RATE and name not in _COSTS
    return 1 / ratio if more_is_better and ratio else ratio


def _plain(value: Any) -> bool:
    return isinstance(value, str | int)


# -- running ------------------------------------------------------------------------------------


def prepare(commit: str, notify: Callable[[str], None], root: Path = ROOT) -> Path:
    """Return the work tree of a commit, built. Errors: BaselineError."""
    whole = _git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").strip()
    if not whole:
        raise BaselineError(f"there is no commit {commit!r} here")
    tree = root / ".do" / "baseline" / whole
    built = tree.with_name(f"{whole}.built")
    if built.exists() and (tree / ".venv/bin/python").exists():
        return tree
    if not (tree / "do").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        _git(root, "worktree", "prune")
        _git(root, "worktree", "add", "--force", "--detach", str(tree), whole)
        if not (tree / "do").exists():
            raise BaselineError(f"{whole[:12]} has no ./do to build it with")
    notify(f"building {whole[:12]} in {tree} (minutes, once)")
    _build(tree)
    built.touch()
    return tree


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode and done.stderr.strip():
        raise BaselineError(f"git {arguments[0]}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def _build(tree: Path) -> None:
    """Have the tree's own ``./do`` build its environment."""
    log = tree.with_name(f"{tree.name}.log")
    environment = {k: v for k, v in os.environ.items() if k not in _OURS}
    with log.open("wb") as file:
        done = subprocess.run(
            ["nice", "-n", "10", "./do", "bench", "--help"],
            cwd=tree,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise BaselineError(f"{tree.name[:12]} cannot be built; {log} ends in\n{_tail(log)}")


# What names this checkout's environment must not name the other's.
_OURS = frozenset({"ATOLL_DO_SYNC", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"})


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)


def measure(tree: Path, arguments: Sequence[str]) -> Lines:
    """Run a tree's own bench and return its lines. Errors: BaselineError."""
    python = sys.executable if tree == ROOT else str(tree / ".venv/bin/python")
    environment = {k: v for k, v in os.environ.items() if k not in _OURS}
    done = subprocess.run(
        [python, "-m", "bench", *arguments, "--json"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise BaselineError(f"the bench of {tree} failed: {last}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


# -- comparing ----------------------------------------------------------------------------------


def compare(
    here: Path,
    there: Path,
    arguments: Sequence[str],
    *,
    rounds: int,
    run: Run = measure,
    notify: Callable[[str], None] = lambda text: None,
) -> list[Compared]:
    """Measure both trees in turns, ``rounds`` times each, and return their lines side by side."""
    taken: dict[Path, list[Lines]] = {here: [], there: []}
    for number in range(rounds):
        order = (here, there) if number % 2 == 0 else (there, here)
        for tree in order:
            notify(f"round {number + 1} of {rounds}: {'this' if tree == here else 'the baseline'}")
            taken[tree].append([line for line in run(tree, arguments) if "not_run" not in line])
    return list(_paired(_best(taken[here]), _best(taken[there])))


def _best(rounds: Sequence[Lines]) -> list[Compared]:
    """Put the rounds of one tree together: for each line its better figures, its fixed sizes."""
    found: dict[tuple[str, int], Compared] = {}
    for lines in rounds:
        seen: dict[str, int] = {}
        for line in lines:
            name = line["name"]
            seen[name] = seen.get(name, -1) + 1
            key = (name, seen[name])
            figures, params = _figures(line), line.get("params") or {}
            known = found.get(key)
            if known is None:
                found[key] = Compared(name, params, figures)
                continue
            known.params = {k: v for k, v in known.params.items() if params.get(k) == v}
            for figure, value in figures.items():
                former = known.here.get(figure, value)
                better = min if _cost(name, figure, 2.0) > 1 else max
                known.here[figure] = better(former, value)
    return list(found.values())


def _figures(line: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in (*FIGURES, RATE):
        value = line.get(name)
        if isinstance(value, Mapping):
            found |= {f"{name}.{k}": float(v) for k, v in value.items()}
        elif value is not None:
            found[name] = float(value)
    return found


def _paired(here: Sequence[Compared], there: Sequence[Compared]) -> Iterator[Compared]:
    """Pair the lines of one name: the only one with the only one, several by the same sizes."""
    left = list(there)
    for mine in here:
        named = [other for other in left if other.name == mine.name]
        alone = len(named) == 1 and sum(one.name == mine.name for one in here) == 1
        other = next((o for o in named if alone or _same(mine, o)), None)
        if other is None:
            yield Compared(mine.name, mine.params, mine.here, only="this")
            continue
        left.remove(other)
        yield Compared(mine.name, mine.params, mine.here, other.here)
    for other in left:
        yield Compared(other.name, other.params, {}, other.here, only="the baseline")


def _same(one: Compared, other: Compared) -> bool:
    """Return whether two lines measured the same sizes, as far as both have them."""
    both = one.params.keys() & other.params.keys()
    return all(one.params[k] == other.params[k] for k in both)


# -- sending ------------------------------------------------------------------------------------


def report(
    found: Sequence[Compared], *, as_json: bool, tolerance: float
) -> tuple[list[str], list[str]]:
    """Return the rows to print, and one sentence for each figure that is worse."""
    rows = [
        json.dumps(line.to_dict(tolerance)) if as_json else line.row(tolerance) for line in found
    ]
    worse = [
        f"{line.name} {figure}: {line.ratios[figure]:.3f} of the baseline"
        for line in found
        for figure in line.worse(tolerance)
    ]
    return rows, worse


def run(area: str, options: Mapping[str, Any], chosen: Mapping[str, Any], *, as_json: bool) -> int:
    """Compare an area with ``chosen["baseline"]``; 1: something is worse, 2: it cannot be."""

    def notify(text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    arguments = [area]
    for name, value in options.items():
        if value is not None:
            arguments += ["--" + name.replace("_", "-"), str(value)]
    tolerance = chosen["tolerance"]
    try:
        tree = prepare(chosen["baseline"], notify)
        found = compare(ROOT, tree, arguments, rounds=chosen["rounds"], notify=notify)
    except BaselineError as error:
        notify(str(error))
        return 2
    rows, worse = report(found, as_json=as_json, tolerance=tolerance)
    if not as_json:
        print(f"{'':<28} {'this':>14} {'baseline':>14}   ratio")
    for row in rows:
        print(row, flush=True)
    for sentence in worse:
        notify(f"worse: {sentence}")
    if not worse:
        notify(f"nothing is worse than {chosen['baseline']} by more than {tolerance:g} %")
    return 1 if worse else 0
