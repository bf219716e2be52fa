"""What a plan accepts runs to success, or ends with what no plan could foresee: 500 made-up jobs.

``python -m tests.simulation.graphs 0 500`` plays graphs by hand and says how they ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError, InternalError, NetworkError
from tests.simulation.graphs.maker import OF_CLIENTS, WEIGHTS, Graph, make
from tests.simulation.graphs.runs import Ending, accepted, play, upstream

pytestmark = pytest.mark.usefixtures("few_rows")

GRAPHS = 500
GROUP = 25
DRILL = 3000
DRILL_GROUP = 100

# What may end an accepted job, by code: which components leave it open, one of which must come
# before the failing step, and why no party could know it when it agreed. A plan knows tables by
# their facts, not row by row, so a draw is open even where a seed fixes it.
_DRAWN = "which rows an intersection, a split or a sample leaves is known once they are drawn"
_DRAWS = frozenset({"psi", "split", "sample"})
UNFORESEEABLE: Mapping[str, tuple[frozenset[str], str]] = {
    "ATL-PSI-004": (frozenset({"psi"}), "how many ids are in common is what the step finds out"),
    "ATL-PSI-003": (frozenset({"psi"}), "an earlier intersection left fewer rows than this needs"),
    "ATL-JOB-014": (frozenset({"psi"}), "an intersection left a single row"),
    "ATL-CMP-040": (_DRAWS, "fewer rows (of a class) were left than the sample takes"),
    "ATL-CMP-044": (_DRAWS, "fewer rows were left than a stratified sample is drawn from"),
    "ATL-CMP-070": (
        frozenset({"reader"}),
        "no party states how far apart the values of a column lie",
    ),
    "ATL-BST-010": (_DRAWS, _DRAWN),
    "ATL-BST-012": (_DRAWS, _DRAWN),
    "ATL-EVA-004": (_DRAWS, _DRAWN),
    "ATL-EVA-009": (
        frozenset({"evaluation"}),
        "whether scores are of the same rows is known once both are there",
    ),
}
# The step that ends is itself what finds it out.
ITSELF = frozenset({"ATL-PSI-004", "ATL-CMP-040", "ATL-EVA-009"})


def fault(ending: Ending) -> str | None:
    """Say what is wrong with an ending; None if nothing is."""
    found = (_wrong(ending, error) for error in ending.causes)
    first = next(filter(None, found), None)
    return None if first is None else f"graph {ending.graph.number}: {first}"


def _wrong(ending: Ending, error: BaseException) -> str | None:
    if not isinstance(error, AtollError):
        return repr(error)
    if isinstance(error, InternalError | NetworkError):
        return str(error)
    if ending.refused is not None:
        # What parties declare is well-formed, so that code would be a fault of ours.
        wrong = error.code == "ATL-PLN-005" or not error.place
        return f"{error} (refused, without a place)" if wrong else None
    opens = UNFORESEEABLE.get(error.code, (frozenset(), ""))[0]
    step = str(error.phase)
    if ending.job is None or step not in ending.job.steps:
        return f"{error} (outside of all steps)"
    before = upstream(ending.job, step)
    if error.code in ITSELF:
        before |= {ending.job.steps[step].component}
    return None if opens & before else f"{error} (the plan was accepted)"


def _play(numbers: range) -> Counter[str]:
    ends: Counter[str] = Counter()
    for number in numbers:
        graph = make(number)
        try:
            ending = play(graph)
        except Exception as error:
            raise AssertionError(_described(graph)) from error
        wrong = fault(ending)
        assert wrong is None, f"{wrong}\n{_described(graph)}"
        ends[ending.code] += 1
    for code, count in ends.most_common():
        print(f"{count:5}  {code}")
    return ends


def _described(graph: Graph) -> str:
    return f"graph {graph.number}: {graph.document}"


@pytest.mark.parametrize("first", range(0, GRAPHS, GROUP))
def test_accepted_graphs_run(first: int) -> None:
    ends = _play(range(first, first + GROUP))
    assert ends["success"] >= 3
    assert any(code.startswith("refused") for code in ends)


@pytest.mark.drill
@pytest.mark.parametrize("first", range(GRAPHS, GRAPHS + DRILL, DRILL_GROUP))
def test_many_more_accepted_graphs_run(first: int) -> None:
    assert _play(range(first, first + DRILL_GROUP))["success"] >= 20


def test_the_generator_knows_the_catalogue_and_is_not_too_tame() -> None:
    # What agrees to requests needs a registry, which no party has here, nor are there clients.
    known = {name for name, one in CATALOGUE.items() if one.standing is None}
    assert WEIGHTS.keys() == known - OF_CLIENTS
    used: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number in range(GRAPHS):
        job, error = accepted(make(number))
        if error is not None:
            refused[error.code] += 1
        elif job is not None:
            used["(accepted)"] += 1
            used.update({step.component for step in job.steps.values()})
    for name, count in (*used.most_common(), *refused.most_common()):
        print(f"{count:5}  {name}")
    assert used["(accepted)"] >= 180
    assert {name: used[name] for name in WEIGHTS if used[name] < 10} == {}
    assert len(refused) >= 15
    assert sum(refused.values()) >= 100


def test_a_number_makes_the_same_graph_again() -> None:
    one, again, other = make(7), make(7), make(8)
    assert (one.document, one.tables) == (again.document, again.tables)
    assert one.document != other.document
