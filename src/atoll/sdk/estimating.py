"""What all estimators share: scikit-learn's protocol, without scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self

from atoll.core.errors import UserError


class NotFittedError(UserError, AttributeError, ValueError):
    """The estimator was asked before it was fitted; scikit-learn knows it as its own kind."""


class Estimator:
    """Parameters by name, clones, and whether it is fitted: ``parts_`` is there after ``fit``."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters. Errors: ATL-JOB-005 unknown."""
        for name, value in parameters.items():
            if name not in self._names():
                raise UserError("ATL-JOB-005", f"there is no parameter {name!r}", place=name)
            setattr(self, name, value)
        return self

    def __sklearn_clone__(self) -> Self:
        return type(self)(**self.get_params())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "parts_")
