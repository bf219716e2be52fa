"""What a driver's error means: one code per thing that an administrator can do something about.

Texts of the databases stay out of the messages (they may quote values); the driver's own error is
the cause of ours. ``retry`` states that the same transaction may well succeed a moment later.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    PendingRollbackError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from atoll.core.errors import AtollError, InternalError, UserError
from atoll.jobs.errors import ConflictError, EnvironmentFault


@dataclass(frozen=True)
class Fault:
    """A kind of failure: its code, its message, and whether to try again."""

    code: str
    message: str
    hint: str
    retry: bool = False
    lost: bool = False


LOCKED = Fault(
    "ATL-STO-002",
    "the database stayed locked",
    "end whatever else holds it open (a shell, a backup), then try again",
    retry=True,
)
LOST = Fault(
    "ATL-STO-003",
    "the connection to the database was lost and did not come back",
    "see whether the database server runs and can be reached; the node goes on by itself then",
    retry=True,
    lost=True,
)
FULL = Fault(
    "ATL-STO-004",
    "the disk of the database is full; nothing of this change was written",
    "make room (atoll admin prune, or a larger disk); nothing needs repair",
)
READ_ONLY = Fault(
    "ATL-STO-005",
    "the database cannot be written",
    "give the node's user write access to the file and its folder, or the server's role its rights",
)
DAMAGED = Fault(
    "ATL-STO-006",
    "the database file is damaged or is no database",
    "stop the node, keep a copy of the file, and restore the last backup (atoll admin restore)",
)
UNREACHABLE = Fault(
    "ATL-STO-001",
    "the database cannot be opened",
    "check the address, name, user and password of the setting database.url",
)
DISK = Fault(
    "ATL-STO-014",
    "reading or writing the disk of the database failed",
    "look at the system's log for errors of this disk, and at the free space and quotas",
)
CONFLICT = Fault(
    "ATL-STO-012", "a row like this exists already, or one that it belongs to is missing", ""
)
BUSY_POOL = Fault(
    "ATL-STO-015",
    "too many readers of the database at once",
    "ask again in a moment; if it lasts, a query hangs: see the log",
    retry=True,
)
UNFIT = Fault("ATL-STO-011", "a value does not fit what it is compared with or stored in", "")
OTHER = Fault(
    "ATL-STO-016", "the database refused a statement of ours", "report it with the node's log"
)

_SQLITE = {
    5: LOCKED,
    6: LOCKED,
    8: READ_ONLY,
    3: READ_ONLY,
    10: DISK,
    11: DAMAGED,
    13: FULL,
    14: UNREACHABLE,
    26: DAMAGED,
}
_POSTGRES = {
    "53100": FULL,
    "25006": READ_ONLY,
    "42501": READ_ONLY,
    "40001": LOCKED,
    "40P01": LOCKED,
    "55P03": LOCKED,
    "57014": LOCKED,
    "53300": LOST,
    "57P01": LOST,
    "57P02": LOST,
    "57P03": LOST,
    "25P03": LOST,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
    "28P01": UNREACHABLE,
    "28000": UNREACHABLE,
    "3D000": UNREACHABLE,
}
_MARIADB = {
    1021: FULL,
    1114: FULL,
    1290: READ_ONLY,
    1792: READ_ONLY,
    1836: READ_ONLY,
    1142: READ_ONLY,
    1205: LOCKED,
    1213: LOCKED,
    1020: LOCKED,
    1040: LOST,
    1053: LOST,
    1927: LOST,
    2002: LOST,
    2003: LOST,
    2006: LOST,
    2013: LOST,
    1034: DAMAGED,
    1194: DAMAGED,
    1712: DAMAGED,
    1044: UNREACHABLE,
    1045: UNREACHABLE,
    1049: UNREACHABLE,
}


def fault_of(error: BaseException) -> Fault:
    """Name the kind of a failure of SQLAlchemy or a driver."""
    if isinstance(error, PoolTimeout):
        return BUSY_POOL
    if isinstance(error, IntegrityError):
        return CONFLICT
    if isinstance(error, DataError):
        return UNFIT
    if isinstance(error, PendingRollbackError | OSError):
        # A driver may let the bare error of its socket through, as when it gives a connection back.
        return LOST
    if isinstance(error, DBAPIError):
        return _fault_of_driver(error)
    return OTHER


def _fault_of_driver(error: DBAPIError) -> Fault:
    origin = error.orig
    number = getattr(origin, "sqlite_errorcode", None)
    if isinstance(number, int):
        return _SQLITE.get(number & 0xFF, OTHER)
    first = origin.args[0] if origin is not None and origin.args else None
    if isinstance(first, dict):
        state = str(first.get("C"))
        known = {"23": CONFLICT, "22": UNFIT}.get(state[:2]) or _POSTGRES.get(state)
    else:
        known = _MARIADB.get(first) if isinstance(first, int) else None
    if known is not None:
        return known
    lost = error.connection_invalidated or isinstance(error, InterfaceError)
    return LOST if lost or isinstance(origin, OSError) else OTHER


def translate(error: SQLAlchemyError | OSError, place: str | None = None) -> AtollError:
    """Return the error of ours that stands for a database's. Errors: ATL-STO-001 to ATL-STO-016."""
    return error_of(fault_of(error), place)


def error_of(fault: Fault, place: str | None) -> AtollError:
    """Return the error of ours for a kind of failure."""
    if fault is CONFLICT:
        return ConflictError(fault.code, fault.message, place=place)
    if fault is UNFIT:
        return UserError(fault.code, fault.message, place=place)
    if fault is OTHER:
        return InternalError(fault.code, fault.message, place=place, hint=fault.hint)
    found = EnvironmentFault(fault.code, fault.message, place=place, hint=fault.hint)
    found.retryable = fault.retry or fault is FULL
    return found
