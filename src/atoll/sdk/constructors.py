"""Constructors with the parameters of parameter classes: a default is written once, there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

_Init = Callable[..., None]


def taking(*classes: tuple[type[BaseModel], Iterable[str]]) -> Callable[[_Init], _Init]:
    """Give a constructor, in place of its ``**parameters``, these fields of parameter classes.

    Names, defaults and types are in its signature, bounds and help in its docstring. What is not
    given is handed on with its default; bounds are checked by whoever uses the values.
    """
    fields = {name: (owner, owner.model_fields[name]) for owner, names in classes for name in names}
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation
        )
        for name, (_, field) in fields.items()
    ]
    text = [_line(name, owner) for name, (owner, _) in fields.items()]

    def decorate(init: _Init) -> _Init:
        own = inspect.signature(init).parameters.values()
        kept = [one for one in own if one.kind is not inspect.Parameter.VAR_KEYWORD]
        signature = inspect.Signature([*kept, *added], return_annotation=None)

        @functools.wraps(init)
        def built(*arguments: Any, **named: Any) -> None:
            # An unknown name is a TypeError, as of any constructor.
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            init(*bound.args, **bound.kwargs)

        built.__signature__ = signature  # type: ignore[attr-defined]
        built.__doc__ = "\n".join([*filter(None, [inspect.getdoc(init)]), *text])
        return built

    return decorate


def _line(name: str, owner: type[BaseModel]) -> str:
    """Return what is declared of a field in one line: name, default, bounds, help."""
    form = owner.model_json_schema()["properties"][name]
    # A field that may be left empty has its bounds in the first of two forms.
    form = {**next(iter(form.get("anyOf", [{}]))), **form}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {form[key]:g}" for key, sign in signs.items() if key in form]
    bounds += [", ".join(map(str, form["enum"]))] if "enum" in form else []
    allowed = f"; {', '.join(bounds)}" if bounds else ""
    return f"{name} ({form['default']!r}{allowed}): {form['description']}"
