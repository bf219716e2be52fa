"""Private set intersection."""

from atoll.operators.psi.api import PsiParameters, PsiResult, cost, reveals
from atoll.operators.psi.choose import choose, run

__all__ = ["PsiParameters", "PsiResult", "choose", "cost", "reveals", "run"]
