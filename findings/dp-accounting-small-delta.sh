#!/bin/sh
# dp-accounting 0.6.0: for a small δ the tight accountant gives more than the loose one, and then infinity.
#
# Expected: PLD accounting is tight up to its grid, so it gives no more than RDP whatever δ is.
# Seen: for 1,000 rounds of a Gaussian mechanism (multiplier 1) over Poisson samples of one in a hundred, PLD is below RDP
# at δ = 1e-10, above it at 1e-14, and infinite at 1e-15, where RDP still gives a finite ε: the default grid cuts off tails
# of that size and counts them as lost. Whoever takes PLD for the better of the two must take the lesser instead.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet dp-accounting==0.6.0
"$folder/env/bin/python" - <<'PYTHON'
import math

from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

relation = NeighboringRelation.ADD_OR_REMOVE_ONE
event = PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0))
pld, rdp = PLDAccountant(relation), RdpAccountant(range(2, 257), relation)
for accountant in (pld, rdp):
    accountant.compose(event, 1000)
found = {}
for delta in (1e-10, 1e-14, 1e-15):
    found[delta] = pld.get_epsilon(delta), rdp.get_epsilon(delta)
    print(f"delta {delta:g}: pld {found[delta][0]:.3f}, rdp {found[delta][1]:.3f}")
assert found[1e-10][0] < found[1e-10][1], "PLD is not the lesser at 1e-10 any more"
assert found[1e-14][0] > found[1e-14][1], "PLD is the lesser at 1e-14 now"
assert math.isinf(found[1e-15][0]) and math.isfinite(found[1e-15][1]), "PLD is finite at 1e-15 now"
PYTHON
