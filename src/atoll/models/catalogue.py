"""The literal table of the platform's kinds of trained things."""

from __future__ import annotations

from atoll.models.binning import BINNING_TRANSFORM
from atoll.models.boosting.kind import BOOSTING_MODEL
from atoll.models.clusters import CLUSTERS_TRANSFORM
from atoll.models.forest.kind import HORIZONTAL_TREES
from atoll.models.imputation import IMPUTATION_TRANSFORM
from atoll.models.kinds import Kinds, table_of
from atoll.models.network.kind import HORIZONTAL_MODEL
from atoll.models.scaling import SCALE_TRANSFORM

KINDS: Kinds = table_of(
    (
        BINNING_TRANSFORM,
        BOOSTING_MODEL,
        CLUSTERS_TRANSFORM,
        HORIZONTAL_MODEL,
        HORIZONTAL_TREES,
        IMPUTATION_TRANSFORM,
        SCALE_TRANSFORM,
    )
)
# Of jobs that name a registered model and do not state its kind: there was no other one.
UNSTATED = BOOSTING_MODEL.name
