"""A node enters what it alone hands to a task into the key of the outputs that it looks up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.components.references import ModelRef
from atoll.flow.node.jobs.tasks import TaskResources, TaskRunner
from atoll.flow.work.specification import InputArtifact
from atoll.jobs.commitment import Opening
from atoll.jobs.errors import NotFoundError
from tests.flow.control.test_reuse_key import BASE, STEP, record_of

MODEL = {**BASE, "component": "model", "parameters": {"model": "m", "version": 2}}


def runner(parts: dict[tuple[str, int], str]) -> TaskRunner:
    """Return a runner of a node whose registry holds these digests of parts."""

    def registered(reference: ModelRef) -> InputArtifact:
        model, version, _ = reference
        if (model, version) not in parts:
            raise NotFoundError("ATL-REG-001", "there is no such model here", place=model)
        digest = parts[model, version]
        return InputArtifact(kind="boosting.model", digest=digest, path=Path(digest))

    place = cast(TaskResources, SimpleNamespace(registered=registered, shares=None))
    return TaskRunner(place, lambda event: None)


def test_another_part_under_the_same_id_and_version_is_another_key() -> None:
    record = record_of(MODEL)
    first, second = (runner({("m", 2): digit * 64}) for digit in "12")
    assert first.own_key(record, STEP, "k") != second.own_key(record, STEP, "k")
    assert first.own_key(record, STEP, "k") == first.own_key(record, STEP, "k") != "k"


def test_a_party_s_own_choice_of_a_version_counts() -> None:
    held = runner({("m", 1): "1" * 64, ("m", 2): "2" * 64})
    own: dict[str, Any] = {"party_parameters": {"bank": {"model": "m", "version": 1}}}
    keys = {held.own_key(record_of(chosen), STEP, "k") for chosen in (MODEL, {**MODEL, **own})}
    assert len(keys) == 2


def test_a_part_that_is_gone_is_an_error_and_other_steps_need_none() -> None:
    held = runner({})
    assert held.own_key(record_of(BASE), STEP, "k") == "k"
    with pytest.raises(NotFoundError):
        held.own_key(record_of(MODEL), STEP, "k")


def test_another_content_of_the_own_table_is_another_key() -> None:
    table = {"name": "people", "rows": 3, "columns": ["a"], "label": None, "id_rule": "bytes"}
    record = record_of({**BASE, "tables": {"bank": table, "shop": table}})
    contents = [Opening("5" * 64, {STEP: digit * 64}) for digit in "12"]
    first, second = (runner({}).own_key(replace(record, opening=o), STEP, "k") for o in contents)
    assert first != second
    # Under another secret, as in another job, it is the same.
    again = replace(record, opening=Opening("6" * 64, {STEP: "1" * 64}))
    assert runner({}).own_key(again, STEP, "k") == first
