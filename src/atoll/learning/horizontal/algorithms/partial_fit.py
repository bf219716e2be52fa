"""FedAvg of scikit-learn estimators: clients call ``partial_fit``, their arrays are averaged.

Source: McMahan et al. 2017, algorithm 1, with the estimator's own steps as the local ones.
"""

from __future__ import annotations

import numpy as np

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import WEIGHTS, ClientResult, ClientWork
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.models.estimator import EstimatorModel
from atoll.learning.horizontal.sums import Update

COUNTER = "t"


class PartialFit(FedAvg):
    """FedAvg where the model is an ``EstimatorModel``; its step is the estimator's own.

    Of ``local`` epochs, steps and batch size count: each batch is one call of ``partial_fit``.
    Summed: as FedAvg's. A client keeps the counter of its estimator's rate. Errors: ATL-HOR-092
    another model, ``proximal``, ``momentum``.
    """

    def model_post_init(self, _: object) -> None:
        """Refuse what an estimator's own steps do not take. Errors: ATL-HOR-092."""
        if self.proximal or self.local.momentum:
            raise UserError("ATL-HOR-092", "an estimator's own steps take no pull and no momentum")

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        model = work.model
        if not isinstance(model, EstimatorModel):
            raise UserError("ATL-HOR-092", "PartialFit trains scikit-learn estimators alone")
        start = work.sent[WEIGHTS]
        counter = work.kept.get(COUNTER)
        batches = self.local.batches(work.data, work.generator)
        begins = 1.0 if counter is None else float(counter[0])
        weights, after = model.trained(start, batches, begins)
        weights -= start
        weight = self.weight(len(work.data))
        weights *= weights.dtype.type(weight)
        return ClientResult(
            Update({CHANGE: weights}, {WEIGHT: weight}), {COUNTER: np.array([after])}
        )
