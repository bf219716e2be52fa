"""Refusals of this floor that have an exit code of their own on the command line."""

from __future__ import annotations

from atoll.core.errors import InternalError, UserError


class NotFoundError(UserError):
    """Something that was named does not exist."""

    exit_code = 3


class DeniedError(UserError):
    """An approval is missing, refused, forged or used up."""

    exit_code = 4


class ConflictError(UserError):
    """What was agreed and what is there now are not the same."""

    exit_code = 5


class EnvironmentFault(UserError):
    """The machine lacks something: an extra, a folder, a free port."""

    exit_code = 10


class TamperedError(InternalError):
    """A file of ours was changed by someone else."""

    exit_code = 5
