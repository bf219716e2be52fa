#!/bin/sh
# flwr 1.42.0 and nvflare 2.9.0: a model of two classes is averaged into one of three, by broadcasting.
#
# Expected: one site's table has two of the three classes, so scikit-learn makes coefficients of shape (1, n) there and (3, n)
# elsewhere. Arrays of unlike shapes have no average: both frameworks refuse them, in whatever order they arrive.
# Seen: Flower averages when the larger arrives first, and raises NumPy's error about broadcasting when it arrives second.
# FLARE's weighted average takes both orders. The result has shape (3, n), with the two-class row in each class.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/models.py" <<'PYTHON'
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

rows, labels = load_iris(return_X_y=True)


def coefficients(chosen):
    return LogisticRegression(max_iter=1000).fit(rows[chosen], labels[chosen]).coef_


three, two = coefficients(labels >= 0), coefficients(labels > 0)
broadcast = (three + two) / 2
assert three.shape == (3, 4) and two.shape == (1, 4)
PYTHON
cat > "$folder/flower.py" <<'PYTHON'
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg
from models import broadcast, np, three, two


def average(arrays):
    done = Status(Code.OK, "")
    results = [(None, FitRes(done, ndarrays_to_parameters([a]), 100, {})) for a in arrays]
    return parameters_to_ndarrays(FedAvg().aggregate_fit(1, results, [])[0])[0]


first = average([three, two])
print("flwr 1.42.0, three classes first:", first.shape, np.abs(first - broadcast).max())
assert np.allclose(first, broadcast), "the average has changed"
try:
    average([two, three])
except ValueError as error:
    print("flwr 1.42.0, two classes first:", type(error).__name__)
else:
    raise SystemExit("the order does not matter any more")
PYTHON
cat > "$folder/flare.py" <<'PYTHON'
from models import broadcast, np, three, two
from nvflare.app_common.aggregators.weighted_aggregation_helper import WeightedAggregationHelper

for order in ((three, two), (two, three)):
    helper = WeightedAggregationHelper()
    for at, array in enumerate(order):
        helper.add({"coef": array}, 100.0, f"site-{at + 1}", 0)
    found = helper.get_result()["coef"]
    shapes = " and ".join(str(array.shape) for array in order)
    print(f"nvflare 2.9.0, {shapes}:", found.shape, np.abs(found - broadcast).max())
    assert np.allclose(found, broadcast), "the average has changed"
PYTHON
for pair in "flwr==1.42.0 flower" "nvflare==2.9.0 flare"; do
    package=${pair% *} script=${pair#* }
    python3 -m venv "$folder/$script-env"
    "$folder/$script-env/bin/pip" install --quiet "$package" scikit-learn==1.7.2
    (cd "$folder" && "$script-env/bin/python" "$script.py")
done
