"""Private set intersection."""

from atoll.operators.psi.api import EXPOSURE, RATE, PsiParameters, PsiResult, cost, reveals
from atoll.operators.psi.choose import choose, run

__all__ = ["EXPOSURE", "RATE", "PsiParameters", "PsiResult", "choose", "cost", "reveals", "run"]
