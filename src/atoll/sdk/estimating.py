"""What all estimators share: scikit-learn's protocol, without scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self

from atoll.core.errors import UserError


class NotFittedError(UserError, AttributeError, ValueError):
    """The estimator was asked before it was fitted; scikit-learn knows it as its own kind."""


class Estimator:
    """Parameters by name, clones, tags, and whether it is fitted (``parts_`` is there).

    ``_estimator_type`` is classifier or regressor, ``_multi_class`` whether there may be more than
    two classes, ``_allow_nan`` whether values may be missing.
    """

    _estimator_type: str
    _multi_class = False
    _allow_nan = False

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

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        classifies = self._estimator_type == "classifier"
        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            regressor_tags=None if classifies else RegressorTags(),
            classifier_tags=ClassifierTags(multi_class=self._multi_class) if classifies else None,
            input_tags=InputTags(allow_nan=self._allow_nan),
        )
