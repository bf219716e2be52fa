"""A node's clock jumps by an hour while a job runs: nothing expires, nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.drills.acts import Pair
from tests.drills.checks import check_once, same_end
from tests.e2e.nodes import training_job, until

SOURCE = Path(__file__).with_name("clock.c")
HOUR = 3600


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build what moves a process's clock."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc), as the native core does")
    made = tmp_path_factory.mktemp("clock") / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return made


@pytest.mark.drill
@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
@pytest.mark.parametrize("who", ["bank", "shop"])
def test_the_clock_jumps_while_a_job_runs(
    two: Pair, shim: Path, tmp_path: Path, who: str, seconds: int
) -> None:
    hand = tmp_path / "hand"
    hand.write_text("0")
    two[who].stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(shim))
        patch.setenv("ATOLL_DRILL_CLOCK", str(hand))
        two.start(who)
    job = two.submit(training_job("bank", "shop", trees=20))
    with two["bank"].client() as bank, two[who].client() as victim:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
        before = victim.jobs.get(job).view.updated
        hand.write_text(str(seconds))
        until(lambda: bank.jobs.get(job).view.state == "success")
        assert bank.jobs.get(job).view.steps["boost"].attempt == 1
        moved = until(lambda: victim.jobs.get(job).view.ended) - before
    assert abs(moved - seconds) < HOUR / 2, "the clock did not move"
    check_once(two.made, job)
    same_end(two.made, job)
    two.still_works()
    two[who].stop()
    two.start(who)
    two.still_works()
