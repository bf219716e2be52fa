"""A scikit-learn estimator trained by five clients, none of whom has all classes."""

from __future__ import annotations

from common import Claim, Example, digits, halves, main, simulated, trained
from sklearn.linear_model import SGDClassifier

from atoll.learning.horizontal.algorithms.partial_fit import PartialFit
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.estimator import EstimatorModel

CLASSES = tuple(range(10))


def run(seed: int) -> Claim:
    """Compare with the same estimator on one client's rows."""
    data, held_out = halves(digits(seed, clients=5, classes=4))
    estimator = SGDClassifier(loss="log_loss", shuffle=False)
    model = EstimatorModel(estimator, 64, CLASSES)
    clients = simulated(PartialFit(local=LocalTraining(batch_size=40)), model, data, seed)
    together = model.at(trained(clients, seed, 20).weights)
    alone = estimator.fit(data[0].rows, data[0].targets)
    figures = {"together": right(together, held_out), "one client alone": right(alone, held_out)}
    return Claim(figures, figures["together"] > figures["one client alone"])


def right(estimator: SGDClassifier, parts: list[ClientRows]) -> float:
    """Return the accuracy on all held-out rows."""
    found = sum((estimator.predict(part.rows) == part.targets).sum() for part in parts)
    return float(found / sum(map(len, parts)))


ESTIMATORS = Example(
    "scikit-learn's estimators with `partial_fit` learn all classes from clients that have some",
    "McMahan et al. 2017",
    "accuracy on held-out rows of all",
    run,
)

if __name__ == "__main__":
    main(ESTIMATORS)
