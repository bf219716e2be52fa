"""The prime-order group ristretto255 in batches: one secret scalar times many elements.

Source: RFC 9496. All arithmetic is native and constant in time.
"""

from __future__ import annotations

import atoll_native
import numpy as np
import numpy.typing as npt

from atoll.core.errors import InternalError, PeerError
from atoll.core.random import SecretRandom

ELEMENT_BYTES = 32
"""The size of an encoded element."""

UNIFORM_BYTES = 64
"""The uniform bytes that map to one element."""


def _translate(error: atoll_native.NativeError) -> PeerError | InternalError:
    place = None if error.position is None else f"row {error.position}"
    kind = PeerError if error.code == "ATL-CRY-008" else InternalError
    return kind(error.code, str(error), place=place)


class RistrettoScalar:
    """One secret scalar, for one run: drawn here, never shown, copied or stored.

    Holds: the scalar, in native memory that is cleared on release. Pickling and copying fail.
    """

    __slots__ = ("_handle",)

    def __init__(self, random: SecretRandom) -> None:
        self._handle = atoll_native.RistrettoScalar.generate(random.bytes(64))

    def multiply(self, elements: npt.NDArray[np.uint8], threads: int = 0) -> npt.NDArray[np.uint8]:
        """Multiply encoded elements, uint8[n, 32]; gives encodings of the same shape.

        Refuses the whole batch when an encoding is not canonical or the neutral element.
        Reveals: to whoever gets the result, which of the elements are equal.
        Errors: ATL-CRY-008 (the sender's fault, with the row), ATL-CRV-004, ATL-CRV-005.
        """
        try:
            return self._handle.multiply(elements, threads)
        except atoll_native.NativeError as error:
            raise _translate(error) from None

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret scalar is not serialisable")

    def __copy__(self) -> RistrettoScalar:
        raise TypeError("a secret scalar is not copied")

    def __deepcopy__(self, memo: object) -> RistrettoScalar:
        raise TypeError("a secret scalar is not copied")

    def __repr__(self) -> str:
        return "<RistrettoScalar>"


def from_uniform(uniform: npt.NDArray[np.uint8], threads: int = 0) -> npt.NDArray[np.uint8]:
    """Map rows of uniform bytes, uint8[n, 64], to elements, uint8[n, 32].

    The bytes come from a hash whose tag holds the session id. Never send the result unmasked.
    Errors: ATL-CRV-004, ATL-CRV-005. Source: RFC 9496, section 4.3.4.
    """
    try:
        return atoll_native.ristretto_from_uniform(uniform, threads)
    except atoll_native.NativeError as error:
        raise _translate(error) from None
