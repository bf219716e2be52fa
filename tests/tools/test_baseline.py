"""Two trees are measured in turns and compared line by line; nothing is built here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import baseline
from bench.harness import ROOT

HERE, THERE = Path("here"), Path("there")


def line(name: str, params: dict[str, Any] | None = None, **figures: Any) -> dict[str, Any]:
    return {"name": name, "params": params or {}, "bytes": None, **figures}


class Trees:
    """Answers for both trees, and notes the order in which they were asked."""

    def __init__(self, here: list[list[Any]], there: list[list[Any]]) -> None:
        self.left = {HERE: here, THERE: there}
        self.asked: list[Path] = []

    def __call__(self, tree: Path, arguments: Sequence[str]) -> baseline.Lines:
        assert list(arguments) == ["flow", "--rows", "7"]
        self.asked.append(tree)
        return list(self.left[tree].pop(0))


def compared(
    here: list[list[Any]], there: list[list[Any]]
) -> tuple[dict[str, baseline.Compared], Trees]:
    trees = Trees(here, there)
    arguments = ["flow", "--rows", "7"]
    found = baseline.compare(HERE, THERE, arguments, rounds=len(here), run=trees)
    return {one.name: one for one in found}, trees


def test_trees_take_turns_and_the_better_figure_of_each_counts() -> None:
    here = [[line("a", seconds=3.0, rate=1.0)], [line("a", seconds=2.0, rate=5.0)]]
    there = [[line("a", seconds=4.0, rate=4.0)], [line("a", seconds=8.0, rate=2.0)]]
    found, trees = compared(here, there)
    assert trees.asked == [HERE, THERE, THERE, HERE]
    assert found["a"].here == {"seconds": 2.0, "rate": 5.0}
    assert found["a"].there == {"seconds": 4.0, "rate": 4.0}
    assert found["a"].ratios == {"seconds": 0.5, "rate": 1.25}


def test_more_seconds_less_rate_and_more_memory_are_worse() -> None:
    here = [line("a", seconds=1.1, cpu_seconds=1.04, rate=0.9, peak_memory={"x": 2, "y": 1})]
    there = [line("a", seconds=1.0, cpu_seconds=1.0, rate=1.0, peak_memory={"x": 1, "y": 1})]
    found, _ = compared([here], [there])
    assert found["a"].worse(5.0) == ["seconds", "peak_memory.x", "rate"]
    assert found["a"].worse(20.0) == ["peak_memory.x"]


def test_a_rate_that_is_a_cost_is_worse_when_it_grows_and_references_are_never_judged() -> None:
    here = [line("flow.idle_cpu", rate=2.0), line("a.reference", seconds=9.0)]
    there = [line("flow.idle_cpu", rate=1.0), line("a.reference", seconds=1.0)]
    found, _ = compared([here], [there])
    assert found["flow.idle_cpu"].worse(5.0) == ["rate"]
    assert found["a.reference"].worse(5.0) == []


def test_lines_of_one_name_are_paired_by_their_sizes_and_others_are_said() -> None:
    sizes = [{"rows": 1, "least": 0.25}, {"rows": 2, "least": 0.5}]
    here = [[line("a", size, seconds=1.0) for size in sizes] for _ in range(2)]
    here[1][0]["params"] = {"rows": 1, "least": 0.75}
    there = [[line("a", {"rows": 2}, seconds=4.0), line("old", seconds=1.0)] for _ in range(2)]
    trees = Trees(here, there)
    found = baseline.compare(HERE, THERE, ["flow", "--rows", "7"], rounds=2, run=trees)
    level_names = [(one.name, dict(one.params), one.only, one.ratios) for one in found]
    assert level_names == [
        ("a", {"rows": 1}, "this", {}),
        ("a", {"rows": 2, "least": 0.5}, None, {"seconds": 0.25}),
        ("old", {}, "the baseline", {}),
    ]
    assert "only in the baseline\n    seconds" in found[-1].row(5.0)


def test_the_only_line_of_a_name_is_paired_whatever_its_sizes() -> None:
    found, _ = compared([[line("q", {"n": 3}, rate=2.0)]], [[line("q", {"n": 1}, rate=1.0)]])
    assert found["q"].ratios == {"rate": 2.0}


def test_lines_that_were_not_run_are_left_out() -> None:
    found, _ = compared([[{**line("a"), "not_run": "no such host"}]], [[line("b")]])
    assert found.keys() == {"b"}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Put a slower tree of ours and another commit in place."""
    asked: list[list[str]] = []

    def measure(tree: Path, arguments: Sequence[str]) -> baseline.Lines:
        asked.append(list(arguments))
        return [line("flow.job", seconds=2.0 if tree == ROOT else 1.0)]

    monkeypatch.setattr(baseline, "prepare", lambda commit, notify: THERE)
    monkeypatch.setattr(baseline.compare, "__kwdefaults__", {"run": measure, "tell": print})
    return asked


def test_the_command_says_what_is_worse_and_fails(
    measured: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["flow", "--rows", "7", "--baseline", "abc", "--json"]
    monkeypatch.setattr("sys.argv", ["bench", *options])
    assert command.main() == 1
    assert measured == [["flow", "--rows", "7"]] * 4
    out = capsys.readouterr()
    (level_names,) = map(json.loads, out.out.splitlines())
    assert level_names["ratio"] == {"seconds": 2.0}
    assert level_names["worse"] == ["seconds"]
    assert "worse: flow.job seconds: 2.000 of the baseline" in out.err
    monkeypatch.setattr("sys.argv", ["bench", *options[:-1], "--tolerance", "150"])
    assert command.main() == 0
    out = capsys.readouterr()
    assert "WORSE" not in out.out
    assert "nothing is worse than abc by more than 150 %" in out.err


def repository(folder: Path, do: str | None) -> Path:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet")
    (folder / "file").write_text("")
    if do is not None:
        (folder / "do").write_text(do)
        (folder / "do").chmod(0o755)
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--message", "m")
    return folder


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (None, r"has no \./do"),
        ("#!/bin/sh\necho no compiler here\nexit 1\n", "no compiler here"),
    ],
)
def test_a_commit_that_cannot_be_built_is_refused_with_the_reason(
    tmp_path: Path, do: str | None, reason: str
) -> None:
    with pytest.raises(baseline.BaselineError, match=reason):
        baseline.prepare("HEAD", lambda text: None, repository(tmp_path, do))


def test_a_commit_is_built_once_and_the_checkout_stays(tmp_path: Path) -> None:
    do = "#!/bin/sh\nmkdir -p .venv/bin\ntouch .venv/bin/python\necho once >> ../count\n"
    root = repository(tmp_path, do)
    level_names: list[str] = []
    tree = baseline.prepare("HEAD", level_names.append, root)
    assert baseline.prepare("HEAD", level_names.append, root) == tree
    assert tree.parent == root / ".do" / "baseline"
    assert (tree.parent / "count").read_text() == "once\n"
    assert len(level_names) == 1
    with pytest.raises(baseline.BaselineError, match="there is no commit 'nothing'"):
        baseline.prepare("nothing", level_names.append, root)


def test_a_bench_that_fails_is_told(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 2\n")
    python.chmod(0o755)
    with pytest.raises(baseline.BaselineError, match="failed: no such option"):
        baseline.measure(tmp_path, ["flow"])
