"""What kinds of fitted parts have in common that a party keeps of its own columns or rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from atoll.core.errors import UserError

PartT = TypeVar("PartT", bound=BaseModel)


def encode(part: BaseModel) -> bytes:
    """Return a part as JSON with sorted keys: equal parts have equal bytes."""
    return encoded(part.model_dump(mode="json"))


def encoded(plain: Mapping[str, Any]) -> bytes:
    """Return the JSON of a part's fields."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def decoder(form: type[PartT], what: str) -> Callable[[bytes], PartT]:
    """Return what reads a part of this form that ``encode`` wrote, "a fitted scaling" for example.

    Errors of what is returned: ATL-MOD-001 for anything else.
    """

    def decode(data: bytes) -> PartT:
        try:
            return form.model_validate_json(data, strict=True)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise UserError(
                "ATL-MOD-001",
                f"this is not {what}: {first['msg']}",
                place=".".join(str(step) for step in first["loc"]),
            ) from None

    return decode


def rename(part: Any, names: Mapping[str, str]) -> Any:
    """Return a part with another party id."""
    return part.model_copy(update={"party": names.get(part.party, part.party)})
