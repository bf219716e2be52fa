"""Which implementation of the histogram runs, decided before the plan is signed."""

from __future__ import annotations

from typing import get_args

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.operators.histogram.api import HistogramGuest, HistogramHost, Implementation
from atoll.operators.setting import Setting


def choose(setting: Setting, named: Implementation | None = None) -> Implementation:
    """Return the implementation that the parameters name, else EC-ElGamal, whatever the setting.

    Reveals: nothing. Errors: none.
    """
    return named or "elgamal"


def guest(party: Party, implementation: str) -> HistogramGuest:
    """Make the label holder's side. Reveals: nothing yet; see ``api.REVEALS``.

    Errors: ATL-HIS-001 unknown name, ATL-SET-001 for ``ideal`` outside tests.
    """
    if _known(implementation) == "ideal":
        from atoll.operators.histogram.ideal import IdealGuest

        return IdealGuest(party)
    from atoll.operators.histogram.elgamal.party import ElgamalGuest

    return ElgamalGuest(party)


def host(party: Party, implementation: str) -> HistogramHost:
    """Make a provider's side. Reveals: nothing yet; see ``api.REVEALS``.

    Errors: ATL-HIS-001 unknown name, ATL-SET-001 for ``ideal`` outside tests.
    """
    if _known(implementation) == "ideal":
        from atoll.operators.histogram.ideal import IdealHost

        return IdealHost(party)
    from atoll.operators.histogram.elgamal.party import ElgamalHost

    return ElgamalHost(party)


def _known(implementation: str) -> str:
    if implementation not in get_args(Implementation):
        raise UserError("ATL-HIS-001", "the histogram has no such implementation")
    return implementation
