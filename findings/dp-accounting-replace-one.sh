#!/bin/sh
# dp-accounting 0.6.0: under "replace one", its two accountants read the same Gaussian event differently.
#
# Expected: for one Gaussian mechanism, with a noise multiplier of 1 at δ = 1e-5 and replaced records, RDP gives an upper
# bound on ε and PLD, the tight one, a little less.
# Seen: PLD gives 10.0 and RDP 4.7. PLD takes the multiplier by the sensitivity to adding or removing a record, so a replaced
# one moves the sum twice as far; RDP takes it by the sensitivity to replacing one. Whoever takes the lesser of the two
# "upper bounds" halves the noise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet dp-accounting==0.6.0
"$folder/env/bin/python" - <<'PYTHON'
from dp_accounting import GaussianDpEvent, NeighboringRelation
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

replaced = NeighboringRelation.REPLACE_ONE
found = {}
for name, accountant in (
    ("pld", PLDAccountant(replaced)),
    ("rdp", RdpAccountant(neighboring_relation=replaced)),
):
    accountant.compose(GaussianDpEvent(1.0))
    found[name] = accountant.get_epsilon(1e-5)
    print(f"dp-accounting 0.6.0, replace one, multiplier 1, delta 1e-5: {name} {found[name]:.2f}")
assert 9.9 < found["pld"] < 10.2, "PLD has changed"
assert 4.5 < found["rdp"] < 4.9, "RDP has changed"
PYTHON
