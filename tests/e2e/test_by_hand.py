"""Two people at two terminals: they make a plan, approve its digest, and run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import site
from tests.e2e.site import BANK, OTHER, SHOP


@dataclass
class Terminal:
    """One party's command and what it said."""

    process: subprocess.Popen[str]

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@contextmanager
def both(folder: Path, verb: str, **options: list[str]) -> Iterator[dict[str, Terminal]]:
    """Start the command at the shop, which listens, then at the bank, which dials."""
    address, terminals = "", dict[str, Terminal]()
    try:
        for party in (SHOP, BANK):
            place = ["--folder", str(folder / party), "--job", str(folder / "job.json")]
            way = ["--listen", "127.0.0.1:0"]
            if party == BANK:
                way = ["--peer", f"{OTHER[BANK]}={address}"]
            process = subprocess.Popen(
                [sys.executable, "-m", "atoll.cli.main", "job", verb, *place, *way]
                + options[party],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **site.QUICK},
            )
            terminals[party] = Terminal(process)
            if party == SHOP:
                assert process.stderr is not None
                address = process.stderr.readline().rpartition(" ")[2].strip()
        yield terminals
    finally:
        for terminal in terminals.values():
            terminal.process.kill()
            terminal.process.communicate()


def test_a_plan_is_made_approved_by_digest_and_run(tmp_path: Path) -> None:
    folder = site.found(tmp_path)
    (folder / "job.json").write_text(json.dumps(site.job().model_dump(mode="json")))
    with both(folder, "plan", bank=["--json"], shop=[]) as terminals:
        code, out, err = terminals[BANK].end()
        assert code == 0, err
        planned = json.loads(out)
        code, out, err = terminals[SHOP].end()
        assert code == 0, err
        assert planned["digest"] in out
        for text in ("120 rows", "what is revealed", "warning: ", "minimum intersection of psi"):
            assert text in out
    assert not list(folder.glob("*/runs/*"))
    assert (folder / SHOP / "plans" / f"{planned['digest']}.json").is_file()
    approve = ["--approve", planned["digest"]]
    with both(folder, "run", bank=[*approve, "--json"], shop=approve) as terminals:
        code, out, err = terminals[BANK].end()
        assert code == 0, err
        outputs = Path(json.loads(out)["outputs"])
        assert (outputs / "evaluation" / "metrics.json").is_file()
        assert terminals[SHOP].end()[0] == 0
    # The one run that was approved is used up.
    with both(folder, "run", bank=approve, shop=["--yes"]) as terminals:
        code, _, err = terminals[BANK].end()
        assert code == 4
        assert "ATL-PLN-004" in err
        code, _, err = terminals[SHOP].end()
        assert code == 1
        assert "ATL-NET-004" in err


def test_nobody_at_the_terminal_approves_nothing(tmp_path: Path) -> None:
    folder = site.found(tmp_path)
    (folder / "job.json").write_text(json.dumps(site.job().model_dump(mode="json")))
    with both(folder, "run", bank=[], shop=["--approve", "0" * 64]) as terminals:
        code, _, err = terminals[BANK].end()
        assert code in (1, 4)
        code, _, shop = terminals[SHOP].end()
        assert code in (1, 4)
        assert "ATL-PLN-006" in err + shop
    assert not list(folder.glob("*/runs/*"))
