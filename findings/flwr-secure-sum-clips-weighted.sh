#!/bin/sh
# flwr 1.42.0: its secure sum multiplies by rows / 1000 before it clips at 8, so more rows narrow the range of a model's values.
#
# Expected: five clients that all send 7.9, within the documented clipping range of 8, have a mean of 7.9, however many rows
# each has.
# Seen: with 500 or 1000 rows each the mean is 7.9; with 2000 it is 4.0, by a successful round. The update is weighted first
# (7.9 · 2000 / 1000 = 15.8), then clipped to 8, and the sum is divided by the weights. A warning in the client's log speaks
# of an overflow that "may" happen; nothing reaches the server.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "flwr[simulation]==1.42.0"
cat > "$folder/sum.py" <<'PYTHON'
import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.simulation import run_simulation

CLIENTS, SENT = 5, 7.9


def mean_of(rows):
    """Return what one round of the secure sum makes of clients with so many rows each."""
    kept = []

    class Client(NumPyClient):
        def fit(self, parameters, config):
            return [np.full(4, SENT)], rows, {}

    class Kept(FedAvg):
        def aggregate_fit(self, number, results, failures):
            made = super().aggregate_fit(number, results, failures)
            kept.append(parameters_to_ndarrays(made[0])[0])
            return made

    server = ServerApp()

    @server.main()
    def main(grid, context):
        start = ndarrays_to_parameters([np.zeros(4)])
        strategy = Kept(
            min_fit_clients=CLIENTS,
            min_available_clients=CLIENTS,
            fraction_evaluate=0.0,
            initial_parameters=start,
        )
        whole = LegacyContext(context=context, config=ServerConfig(num_rounds=1), strategy=strategy)
        work = SecAggPlusWorkflow(num_shares=CLIENTS, reconstruction_threshold=4)
        DefaultWorkflow(fit_workflow=work)(grid, whole)

    client = ClientApp(client_fn=lambda context: Client().to_client(), mods=[secaggplus_mod])
    run_simulation(server_app=server, client_app=client, num_supernodes=CLIENTS)
    return float(kept[0].mean())


found = {rows: mean_of(rows) for rows in (500, 1000, 2000)}
for rows, mean in found.items():
    print(f"flwr 1.42.0, secure sum, {CLIENTS} clients of {rows} rows send {SENT}: mean {mean:.2f}")
assert abs(found[500] - SENT) < 0.01 and abs(found[1000] - SENT) < 0.01, "few rows have changed"
assert abs(found[2000] - 4.0) < 0.01, "many rows have changed"
PYTHON
"$folder/env/bin/python" "$folder/sum.py" 2> "$folder/log" || { tail -40 "$folder/log" >&2; exit 1; }
