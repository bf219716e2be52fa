"""An aggregator that sends clients different results, against the unchanged clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from atoll.channel.party import Party
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.boosting.result import result
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.parties import agreement
from atoll.learning.horizontal.parties.aggregator import PartyClients
from atoll.learning.horizontal.parties.messages import Agreed, Begin, Signed
from atoll.learning.horizontal.parties.step_aggregator import StepClients
from tests.dishonest import test_horizontal, test_horizontal_steps
from tests.learning.horizontal.test_parties import CLIENTS
from tests.learning.horizontal.test_parties import work as training
from tests.learning.horizontal.test_step_parties import STEP, simulated, work

Shown = Callable[[str, Mapping[str, bytes]], Mapping[str, bytes]]
ALONE = "c1"


def everything(_: str, signatures: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return signatures


def of_its_group(name: str, signatures: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {n: made for n, made in signatures.items() if (n == ALONE) == (name == ALONE)}


def under_other_names(name: str, signatures: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return dict.fromkeys(signatures, signatures[name])


def one_more(name: str, signatures: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Show a seat that is no client of the step beside its group."""
    return {**of_its_group(name, signatures), "c8": b"\0" * 64, "c9": b"\0" * 64}


def passed_on(party: Party, shown: Shown) -> None:
    """Pass signatures on that were not looked at."""
    found = party.gather(CLIENTS, agreement.TAG, Signed)
    signatures = {name: found[name].signature for name in sorted(found)}
    for name in CLIENTS:
        seen = dict(sorted(shown(name, signatures).items()))
        party.channel.send(name, agreement.TAG, Agreed(tuple(seen), tuple(seen.values())))


def of_a_step(shown: Shown) -> Any:
    def hub(party: Party) -> None:
        clients = StepClients(party, work())
        made: dict[str, Vector] = {
            k: np.asarray(v, np.float64) for k, v in result(STEP, simulated(STEP)).items()
        }
        other = {**made, "thresholds": made["thresholds"] - 1e4}
        clients.here = [name for name in CLIENTS if name != ALONE]
        clients._send(0, (), made, last=True)
        clients.here, clients._former = [ALONE], {}
        clients._send(0, (), other, last=True)
        passed_on(party, shown)

    return test_horizontal_steps.play("plain", hub=hub)


def of_a_training(shown: Shown) -> Any:
    def hub(party: Party) -> None:
        of = training("plain")
        clients = PartyClients(party, of)
        for here, shift in (([n for n in CLIENTS if n != ALONE], 0.0), ([ALONE], 1.0)):
            clients.here = here
            sent: Vectors = {name: vector + shift for name, vector in of.start(party).items()}
            clients.begin(Begin(of.rounds, (), False, True), sent)
        passed_on(party, shown)

    return test_horizontal.play("plain", hub=hub)


@pytest.mark.parametrize("play", [of_a_step, of_a_training])
@pytest.mark.parametrize("shown", [everything, of_its_group, under_other_names, one_more])
def test_no_client_goes_on_with_a_result_of_its_own(
    play: Callable[[Shown], Any], shown: Shown
) -> None:
    """Later sums would be of the one client whose columns the result leaves as they are."""
    done = play(shown)
    assert test_horizontal.codes(done)[ALONE] == "ATL-HOR-170"
    # The others have one result, and are as many as must stay; or none of them goes on.
    there = set(done.results) - {"hub"}
    assert there == ({*CLIENTS} - {ALONE} if shown is of_its_group else set())
