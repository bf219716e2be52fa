"""From bytes to facts: every section parsed strictly. Errors: ATL-FLW-001 for any other form."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import NoneType
from typing import Any, cast, get_args, get_type_hints

from pydantic import ValidationError

from atoll.core.errors import AtollError, UserError
from atoll.core.strict import read, reason
from atoll.flow.control.facts import (
    CLEARED,
    LIMITS,
    JobDocument,
    Options,
    Proposal,
    encode_section,
)
from atoll.flow.control.parsing import decoded, malformed


def read_options(value: Any) -> Options:
    """Read options; all fields are there. Errors: ATL-FLW-001 unknown or out of bounds."""
    try:
        return read(Options, value)
    except ValidationError as error:
        raise malformed(f"options {reason(error)}") from error


def read_proposal(proposal: Proposal) -> Proposal:
    """Read an own proposal as every peer will. Errors: ATL-FLW-019 they would refuse it."""
    try:
        return cast(Proposal, read_section("proposal", encode_section(proposal)))
    except AtollError as error:
        raise UserError(
            "ATL-FLW-019", f"the job or its options cannot be proposed: {error.message}"
        ) from error


@functools.cache
def _kind(name: str) -> Any:
    hint = get_type_hints(JobDocument, include_extras=True)[name]
    kinds = get_args(hint)
    # A section that says nothing is not sent.
    return kinds[0] if NoneType in kinds else hint


def read_section(name: str, data: bytes) -> Any:
    """Read one section; an empty one of ``CLEARED`` is None. Errors: ATL-FLW-001."""
    if name not in LIMITS:
        raise malformed("an unknown section")
    if not data and name in CLEARED:
        return None
    value = decoded(data, LIMITS[name])
    try:
        return read(_kind(name), value)
    except ValidationError as error:
        raise malformed(f"{name} {reason(error)}") from error


def read_facts(job: str, party: str, version: int, sections: Mapping[str, bytes]) -> JobDocument:
    """Put a whole document together. Errors: ATL-FLW-001."""
    values = {name: read_section(name, data) for name, data in sections.items()}
    return JobDocument(job=job, party=party, version=version, **values)
