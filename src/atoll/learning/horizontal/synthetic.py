"""Tasks whose clients' rows are drawn by the client's number, when they are asked for.

So a million clients take no memory. Equal numbers give equal rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atoll.core.errors import UserError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.selection.pool import Clients, Floats


@dataclass(frozen=True)
class Synthetic:
    """Synthetic(α, β): each client has a model (α) and inputs (β) of its own.

    At client k, labels are argmax(W x + b) with W, b ~ N(u_k, 1), u_k ~ N(0, α); inputs x ~ N(v_k,
    Σ) with v_k ~ N(B_k, 1), B_k ~ N(0, β), Σ diagonal with j^-1.2. α and β are standard deviations,
    as in the authors' code. u_k adds the same to each class, so α changes no label: W's own noise
    makes the models differ. Sizes are 50 + lognormal(4, 2), at most ``most_rows``. With ``alike``
    all clients share W and b, and inputs are N(0, Σ). Rows are float64[n, columns], targets
    int64[n]. Source: Li et al., "Federated Optimization in Heterogeneous Networks" (MLSys
    2020), section 5.1. Errors: ATL-HOR-048 a parameter out of range.
    """

    alpha: float
    beta: float
    public: PublicRandom
    columns: int = 60
    classes: int = 10
    most_rows: int = 2000
    alike: bool = False

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta) < 0 or self.columns < 1 or self.classes < 2:
            raise UserError("ATL-HOR-048", "a synthetic task has parameters out of range")

    def __call__(self, number: int) -> ClientRows:
        """Return the rows of a client."""
        generator, rows = self._begun(number)
        own = self._common() if self.alike else generator
        centre = 0.0 if self.alike else generator.normal(0, self.alpha)
        shift = 0.0 if self.alike else generator.normal(0, self.beta)
        weight = own.normal(centre, 1, (self.columns, self.classes))
        bias = own.normal(centre, 1, self.classes)
        means = np.zeros(self.columns) if self.alike else generator.normal(shift, 1, self.columns)
        spread = np.arange(1, self.columns + 1) ** -0.6
        values = means + spread * generator.normal(size=(rows, self.columns))
        return ClientRows(values, np.argmax(values @ weight + bias, axis=1))

    def rows(self, numbers: Clients) -> Floats:
        """Return how many rows clients have, float64[n], without drawing them."""
        return np.array([self._begun(number)[1] for number in numbers.tolist()], dtype=np.float64)

    def _begun(self, number: int) -> tuple[np.random.Generator, int]:
        generator = self.public.generator(f"client {number}", 0, "synthetic")
        return generator, min(self.most_rows, 50 + int(generator.lognormal(4, 2)))

    def _common(self) -> np.random.Generator:
        return self.public.generator("all clients", 0, "synthetic")


@dataclass(frozen=True)
class Clusters:
    """Classes as clouds of points around common centres; each client has its own mix of classes.

    Mixes are drawn from Dirichlet(``alpha``): the smaller, the fewer classes at a client. Rows are
    float32[``size``, columns] or float64, targets int64[``size``]. Errors: ATL-HOR-040.
    """

    public: PublicRandom
    classes: int = 10
    columns: int = 20
    size: int = 50
    alpha: float = 0.5
    spread: float = 1.0
    dtype: type[np.floating] = np.float64

    def __post_init__(self) -> None:
        if self.alpha <= 0:
            raise UserError("ATL-HOR-040", "alpha of a Dirichlet partition must be above 0")

    def __call__(self, number: int) -> ClientRows:
        """Return the rows of a client."""
        centres = self.public.generator("all clients", 0, "clusters").normal(
            size=(self.classes, self.columns)
        )
        generator = self.public.generator(f"client {number}", 0, "clusters")
        mix = generator.dirichlet(np.full(self.classes, self.alpha))
        labels = generator.choice(self.classes, self.size, p=mix)
        noise = self.spread * generator.normal(size=(self.size, self.columns))
        return ClientRows((centres[labels] + noise).astype(self.dtype), labels)
