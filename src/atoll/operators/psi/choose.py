"""Which intersection runs, decided before the plan is signed, and the entry that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atoll.channel.party import Party
from atoll.operators.psi import ideal, star
from atoll.operators.psi.api import Implementation, PsiParameters, PsiResult
from atoll.operators.psi.ecdh import party as ecdh
from atoll.operators.setting import Setting

if TYPE_CHECKING:
    import pyarrow as pa


def choose(setting: Setting, named: Implementation | None = None) -> Implementation:
    """Return the implementation that the parameters name, else ECDH, whatever the setting is.

    Reveals: nothing. Errors: none.
    """
    return named or "ecdh"


def run(party: Party, inputs: pa.Array | pa.ChunkedArray, parameters: PsiParameters) -> PsiResult:
    """Intersect the own distinct ids (Arrow binary) with those of the other party, or parties.

    Reveals: sizes and count to both; to the entitled, which of its ids are in common. With more
    than one host also what ``star`` describes.
    Errors: ATL-PSI-001 to 012, ATL-CRV-001 to 003, ATL-SET-001 for ``ideal`` outside tests.
    """
    if len(party.hosts) > 1:
        return star.run(party, inputs, parameters)
    if parameters.protocol == "ideal":
        return ideal.run(party, inputs, parameters)
    return ecdh.run(party, inputs, parameters)
