"""The entries: train a model together, score rows together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.learning.vertical.boosting import checks
from atoll.learning.vertical.boosting.api import BoostingInputs, TrainingResult
from atoll.learning.vertical.boosting.guest import GuestTrainer
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.models.boosting import Part, score


def train(party: Party, inputs: BoostingInputs, parameters: BoostingParameters) -> TrainingResult:
    """Train boosted trees over the parties' columns; return this party's part and the history.

    The guest learns the sums of its own g and h over the rows left of the hosts' cuts, hosts learn
    each tree's shape and partitions (``api.REVEALS``). Errors: ATL-BST-001 to 005 and
    007 to 012.
    """
    if not party.hosts:
        raise UserError("ATL-BST-001", "vertical boosting needs at least one host")
    checks.check_rows(parameters, inputs.features.shape[0])
    if inputs.validation is not None:
        checks.check_validation(parameters, inputs.validation.features.shape[0])
    if party.role == Role.GUEST and party.name == party.guest:
        return GuestTrainer(party, inputs, parameters).run()
    if party.role == Role.HOST:
        return HostTrainer(party, inputs, parameters).run()
    raise UserError("ATL-BST-001", "boosting has a guest and hosts, no other role")


def predict(
    party: Party, part: Part, features: npt.NDArray[np.float64], names: Sequence[str]
) -> npt.NDArray[np.float64] | None:
    """Score aligned rows: float64[rows] probabilities at the guest, None at hosts.

    ``features`` is float64[rows, names]; the part's columns are found by ``names``. See
    ``models.boosting.score`` for what is revealed and the errors.
    """
    return score(party, part, features, names)
