"""Parties that lie within well-formed messages, beside others that run what is shipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from atoll.components.api import Catalogue, Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.components.code import component_code

Lie = Callable[[Task, Any], Result]


def lying(lies: Mapping[str, Lie], catalogue: Catalogue = CATALOGUE) -> Catalogue:
    """Return a catalogue that runs lies, by component, and states the digests of honest code."""
    return {
        name: _lying(component, lies[name]) if name in lies else component
        for name, component in catalogue.items()
    }


def _lying(component: Any, lie: Lie) -> Any:
    def run(task: Task, parameters: Any) -> Result:
        return lie(task, parameters)

    run.__module__ = component.run.__module__
    liar = replace(component, run=run)
    assert component_code(liar) == component_code(component)
    return liar
