"""What the native ciphers refuse, as errors of the house."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import atoll_native

from atoll.core.errors import InternalError, PeerError

_PEER_CODES = {"ATL-CRY-004", "ATL-CRY-005"}


@contextmanager
def translated() -> Iterator[None]:
    """Turn a refusal into an error: the peer's fault where its points, numbers or key are wrong.

    Errors: ATL-CRY-002 to ATL-CRY-006. Source: docs/errors.
    """
    try:
        yield
    except atoll_native.NativeError as error:
        kind = PeerError if error.code in _PEER_CODES else InternalError
        raise kind(error.code, str(error)) from None
