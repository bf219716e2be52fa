#!/bin/sh
# nvflare 2.9.0: a site that reports 0 training steps takes part in the average with the weight of one step.
#
# Expected: an average weighted by each site's steps leaves out a site that did none: (99 · 1 + 0 · 101) / 99 = 1.
# Seen: 2.0, which is (99 · 1 + 1 · 101) / 100: its weight of 0 counts as 1 (as missing, negative and non-finite ones do),
# without a line in the log. A site without a row for this round moves the model by what it was sent or holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet nvflare==2.9.0
cd "$folder"
cat > client.py <<'PYTHON'
import numpy as np
import nvflare.client as flare
from nvflare.apis.fl_constant import FLMetaKey

flare.init()
steps, value = (99, 1.0) if flare.get_site_name() == "site-1" else (0, 101.0)
while flare.is_running():
    model = flare.receive()
    params = {name: np.full_like(array, value, dtype=float) for name, array in model.params.items()}
    flare.send(flare.FLModel(params=params, meta={FLMetaKey.NUM_STEPS_CURRENT_ROUND: steps}))
PYTHON
cat > job.py <<'PYTHON'
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv

if __name__ == "__main__":
    recipe = NumpyFedAvgRecipe(
        name="steps", model=[0.0, 0.0], min_clients=2, num_rounds=1, train_script="client.py"
    )
    recipe.execute(SimEnv(num_clients=2, workspace_root="work"))
PYTHON
env/bin/python job.py > log 2>&1 || { tail -40 log >&2; exit 1; }
env/bin/python - <<'PYTHON'
from pathlib import Path

import numpy as np

(saved,) = Path("work").rglob("server.npy")
mean = float(np.load(saved).mean())
print(f"nvflare 2.9.0: 99 steps with 1.0 and 0 steps with 101.0 average to {mean:.2f}")
assert abs(mean - 2.0) < 1e-9, "the weight of a site without steps has changed"
PYTHON
