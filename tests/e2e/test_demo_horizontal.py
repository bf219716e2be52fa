"""``atoll demo --horizontal`` as a program runs it."""

from __future__ import annotations

import json
from pathlib import Path

from atoll.cli.demo.horizontal import ALGORITHMS, OWNERS
from tests.e2e.test_demo import demo


def test_four_owners_train_by_sums_alone(tmp_path: Path) -> None:
    done = demo(tmp_path, "--horizontal", "--rounds", "6", "--json", "--report", "r.html")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result["classes"]) == set(OWNERS)
    skew = [max(counts) / sum(counts) for counts in result["classes"].values()]
    assert max(skew) > 0.25
    assert set(result["algorithms"]) == set(ALGORITHMS)
    for found in result["algorithms"].values():
        assert len(found["curve"]) == 7
        assert found["curve"][0] < 0.3
        assert found["accuracy"] > 0.7
        assert found["bytes_received"] > 0
    private = result["privacy"]
    assert len(private["curve"]) == 7
    assert private["accuracy"] > 0.5
    for name in ("aggregator", "other clients"):
        spent = private["epsilon"][name]
        assert len(spent) == 6
        assert spent == sorted(spent)
        assert 2.9 < spent[-1] <= 3.0
    assert any("differential privacy of one row" in text for text in private["warnings"])
    sent = {(line["from"], line["to"], line["what"]) for line in result["reveals"]}
    to_the_hub = [
        what for sender, receiver, what in sent if (sender, receiver) == ("owners", "hub")
    ]
    assert any("sum of the survivors" in what for what in to_the_hub)
    assert not any("own update" in what for what in to_the_hub)
    page = Path(result["report"]).read_text()
    for text in ("SCAFFOLD", "FedAvg", "Rows of each digit", "What ε means here"):
        assert text in page
