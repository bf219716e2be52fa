"""Parties that lie within well-formed messages, beside others that run what is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from atoll.channel.api import Channel
from atoll.channel.party import Party
from atoll.components.api import Catalogue, Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.components.code import component_code
from atoll.core.message import Message

Lie = Callable[[str, Message], Iterable[Message]]
Run = Callable[[Task, Any], Result]


def _honest(tag: str, message: Message) -> Iterable[Message]:
    return [message]


@dataclass
class LyingChannel(Channel):
    """Sends what ``lie`` makes of each message: another one, several or none."""

    lie: Lie = field(default=_honest)

    def send(self, receiver: str, tag: str, message: Message) -> None:
        for reported in self.lie(tag, message):
            super().send(receiver, tag, reported)

    def fork(self, name: str) -> Channel:
        inner = super().fork(name)
        return LyingChannel(**{**vars(inner), "lie": self.lie})


def speaking(party: Party, lie: Lie) -> Party:
    """Return the party with a channel that lies."""
    return replace(party, channel=LyingChannel(**{**vars(party.channel), "lie": lie}))


def lying(lies: Mapping[str, Run], catalogue: Catalogue = CATALOGUE) -> Catalogue:
    """Return a catalogue that runs lies, by component, and states the digests of honest code."""
    return {
        name: _lying(component, lies[name]) if name in lies else component
        for name, component in catalogue.items()
    }


def _lying(component: Any, lie: Run) -> Any:
    def run(task: Task, parameters: Any) -> Result:
        return lie(task, parameters)

    run.__module__ = component.run.__module__
    liar = replace(component, run=run)
    assert component_code(liar) == component_code(component)
    return liar
