"""The next word of scikit-learn's docstrings, where each client holds those of one module.

Words are numbered by a list that all know beforehand: NumPy's most frequent ones. What is not on it
is one word of its own, the unknown one, which counts as any other.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sklearn
from common import Claim, Example, main, simulated, trained

from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.local import train as fit
from atoll.learning.horizontal.metrics import measure_clients
from atoll.learning.horizontal.models.tokens import NextToken
from atoll.learning.horizontal.server import ServerStep

UNKNOWN, WORDS, WORD = 0, 500, re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")
MODEL = NextToken(WORDS, context=3, width=16, hidden=(48,))
TEXT, PASSAGE, ROUNDS = 4000, 200, 8
LOCAL = LocalTraining(batch_size=32, learning_rate=0.2)
OWN = LocalTraining(epochs=2, batch_size=32, learning_rate=0.1)
Losses = npt.NDArray[np.float64]


def words(folder: Path) -> Iterator[str]:
    """Yield the words of all docstrings of a package's folder, without its tests."""
    for path in sorted(folder.rglob("*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield from WORD.findall((ast.get_docstring(node) or "").lower())


@cache
def modules() -> tuple[list[ClientRows], list[ClientRows]]:
    """Return each module's text in passages: three to train on, one held out, and so on."""
    frequent = Counter(words(Path(np.__file__).parent / "_core")).most_common(WORDS - 1)
    numbers = {word: number for number, (word, _) in enumerate(frequent, UNKNOWN + 1)}
    train, held_out = [], []
    for folder in sorted(Path(sklearn.__file__).parent.iterdir()):
        text = [numbers.get(word, UNKNOWN) for word in words(folder)] if folder.is_dir() else []
        if len(text) >= TEXT:
            passages = np.array(text[:TEXT]).reshape(-1, PASSAGE)
            held = np.arange(len(passages)) % 4 == 3
            train.append(rows(passages[~held]))
            held_out.append(rows(passages[held]))
    return train, held_out


def rows(passages: npt.NDArray[np.int64]) -> ClientRows:
    """Return each word of a passage with those before it there."""
    size = MODEL.context + 1
    windows = np.lib.stride_tricks.sliding_window_view(passages, size, axis=1).reshape(-1, size)
    return ClientRows(windows[:, :-1].astype(np.float32), windows[:, -1].copy())


def losses(weights: Callable[[int], Vector]) -> Losses:
    """Return the mean loss of each client's held-out text, with the weights that it uses itself."""
    _, held_out = modules()
    return measure_clients(MODEL, weights, held_out.__getitem__, range(len(held_out))).loss


def trained_by(algorithm: FedAvg, seed: int) -> Vector:
    """Return the common weights."""
    train, _ = modules()
    return trained(simulated(algorithm, MODEL, train, seed), seed, ROUNDS).weights


def fitted(common: Vector, seed: int, number: int) -> Vector:
    """Return the common weights after more steps over one client's own text, which stay there."""
    weights, generator = common.copy(), np.random.default_rng((seed, number))
    fit(MODEL, weights, modules()[0][number], OWN, generator)
    return weights


def by_frequency() -> Losses:
    """Return the loss of each client where a word's share of all training text is predicted."""
    train, held_out = modules()
    every = np.concatenate([part.targets for part in train])
    counts = np.bincount(every, minlength=WORDS) + 1
    logs = np.log(counts / counts.sum())
    return np.array([-logs[part.targets].mean() for part in held_out])


def run(seed: int) -> Claim:
    """Compare models of the next word; every client has as much text."""
    adam = ServerStep(method="adam", rate=0.05)
    weights = trained_by(FedAvg(local=LOCAL), seed)
    adapted = trained_by(FedAvg(local=LOCAL, server=adam), seed)
    named = {
        "words' frequency": by_frequency(),
        "FedAdam": losses(lambda _: adapted),
        "FedAvg": losses(lambda _: weights),
        "FedAvg, then own text": losses(partial(fitted, weights, seed)),
    }
    unigram, adaptive, common, own = named.values()
    figures = {name: float(np.exp(found.mean())) for name, found in named.items()}
    figures["clients better off"] = float((own < common).mean())
    most = max(common.mean(), adaptive.mean()) < unigram.mean() and own.mean() < common.mean()
    return Claim(figures, bool(most and (own < common).mean() >= 0.9))


NEXT_WORD = Example(
    "A common model of the next word beats frequency, and one fitted to own text the common one",
    "McMahan et al. 2017, Reddi et al. 2021, Yu et al. 2020",
    "perplexity on held-out text",
    run,
)

if __name__ == "__main__":
    main(NEXT_WORD)
