"""The next token of a text from those before it, by embeddings and a fully connected network.

Source: Bengio et al., "A Neural Probabilistic Language Model" (JMLR 2003), without its direct
connections and with ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError
from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.models.api import Rows, Targets
from atoll.learning.horizontal.models.mlp import MLP, MLPGradient
from atoll.learning.horizontal.models.outputs import Softmax

Tokens = npt.NDArray[np.int64]
# Rows are float32, which holds whole numbers exactly up to here.
MOST_TOKENS = 1 << 24


@dataclass(frozen=True)
class NextToken:
    """``context`` tokens of 0 to vocabulary - 1, each as ``width`` values, then hidden layers.

    A row has the tokens' numbers in their order; its target is the number of the next. The array
    ``embedding`` (vocabulary, width) lies before those of ``MLP``. Errors: ATL-HOR-201 for sizes
    below 1 or too many tokens.
    """

    vocabulary: int
    context: int
    width: int
    hidden: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.vocabulary, self.context, self.width) < 1 or self.vocabulary > MOST_TOKENS:
            raise UserError(
                "ATL-HOR-201",
                f"a model of tokens needs a vocabulary of 1 to {MOST_TOKENS}, a context and a "
                "width of 1 at least",
            )

    @cached_property
    def output(self) -> Softmax:
        """The distribution of the next token."""
        return Softmax(self.vocabulary)

    @cached_property
    def dense(self) -> MLP:
        """The network behind the embeddings."""
        return MLP(self.context * self.width, self.hidden, self.output)

    @cached_property
    def layout(self) -> Layout:
        """See ``Model.layout``."""
        table = ("embedding", (self.vocabulary, self.width))
        return Layout((table, *self.dense.layout.arrays))

    def initial(self, generator: np.random.Generator) -> Vector:
        """See ``Model.initial``; the embeddings start as normal values of variance 1."""
        vector = np.zeros(self.layout.size, dtype=np.float32)
        table = self.embedding(vector)
        table[:] = generator.normal(0, 1, table.shape)
        vector[table.size :] = self.dense.initial(generator)
        return vector

    def embedding(self, vector: Vector) -> Vector:
        """Return the view of ``vector`` with a row for each token."""
        self.layout.check(vector)
        return vector[: self.vocabulary * self.width].reshape(self.vocabulary, self.width)

    def gradient_of(self, weights: Vector) -> NextTokenGradient:
        """See ``Model.gradient_of``."""
        return NextTokenGradient(self, weights)

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """See ``Model.predict``."""
        return self.output.predict(self.gradient_of(weights).linear(rows))


class NextTokenGradient:
    """Losses and gradients at weights that change in place. Errors of all: ATL-HOR-202.

    Only the embeddings of tokens that occur have a slope: the others are set to 0 and not computed.
    """

    def __init__(self, model: NextToken, weights: Vector) -> None:
        self._model = model
        self._embedding = model.embedding(weights)
        self._dense = MLPGradient(model.dense, weights[self._embedding.size :])
        self._into: Vector | None = None

    def linear(self, rows: Rows) -> Rows:
        """Return the linear values of the output, float[n, vocabulary]."""
        return self._dense.forward(self._entered(self._tokens(rows)))[-1]

    def __call__(self, rows: Rows, targets: Targets, into: Vector) -> None:
        """See ``Gradient.__call__``."""
        if into is not self._into:
            self._into, table = into, self._model.embedding(into)
            self._slopes = (table, into[table.size :])
        table, rest = self._slopes
        tokens = self._tokens(rows)
        values = self._dense.forward(self._entered(tokens))
        error = self._model.output.derivative(values.pop(), targets)
        error = self._dense.back(values, error, rest)
        table[:] = 0
        if not tokens.size:
            return
        # Sums by token: a sort and one pass, where adding one by one costs a step for each.
        flat = tokens.reshape(-1)
        order = np.argsort(flat, kind="stable")
        found, starts = np.unique(flat[order], return_index=True)
        slopes = error.reshape(-1, self._model.width)[order]
        table[found] = np.add.reduceat(slopes, starts, axis=0)

    def loss(self, rows: Rows, targets: Targets) -> float:
        """See ``Gradient.loss``."""
        return self._model.output.loss(self.linear(rows), targets)

    def _tokens(self, rows: Rows) -> Tokens:
        tokens = rows.astype(np.int64)
        known = self._model.vocabulary
        if tokens.size and (
            (tokens != rows).any() or not 0 <= tokens.min() <= tokens.max() < known
        ):
            raise DataError(
                "ATL-HOR-202",
                f"tokens are whole numbers from 0 to {known - 1}",
                hint="number the words by the vocabulary that all clients share",
            )
        return tokens

    def _entered(self, tokens: Tokens) -> Rows:
        columns = self._model.context * self._model.width
        return self._embedding[tokens].reshape(len(tokens), columns)
