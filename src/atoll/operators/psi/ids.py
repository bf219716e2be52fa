"""A party's own ids: what they must be, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError
from atoll.core.limits import ID_BYTES, Limits

if TYPE_CHECKING:
    import pyarrow as pa

_SLICE = 1 << 20


class OwnIds:
    """Distinct ids as one Arrow binary array, with the order of their bytes (uint32 rows).

    Errors: ATL-PSI-001 not binary, missing, too long or too many; ATL-PSI-002 an id twice.
    """

    def __init__(self, ids: pa.Array | pa.ChunkedArray, limits: Limits) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = ids.type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise UserError("ATL-PSI-001", "ids must be an Arrow array of binary values")
        if len(ids) > min(limits.rows, (1 << 32) - 1):
            raise UserError("ATL-PSI-001", "more ids than the limits of this job allow")
        if ids.null_count:
            raise UserError("ATL-PSI-001", "an id is missing", hint="check the table's id column")
        self.array = _whole(ids)
        if len(ids) and pc.max(pc.binary_length(self.array)).as_py() > ID_BYTES:
            raise UserError("ATL-PSI-001", f"an id is longer than {ID_BYTES} bytes")
        self.order: npt.NDArray[np.uint32] = (
            pc.sort_indices(self.array).to_numpy().astype(np.uint32)
        )
        self._refuse_repeated()

    def __len__(self) -> int:
        return len(self.array)

    def _refuse_repeated(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        for start in range(0, len(self) - 1, _SLICE):
            rows = self.order[start : start + _SLICE + 1]
            ordered = self.array.take(pa.array(rows))
            same = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
            if same.any():
                at = int(np.argmax(same))
                row = int(max(rows[at], rows[at + 1]))
                raise DataError("ATL-PSI-002", "an id occurs twice", place=f"row {row}")

    def take(
        self, rows: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return the bytes of these rows' ids, uint8, and where each begins, int64[n + 1]."""
        import pyarrow as pa

        part = self.array.take(pa.array(rows))
        _, offsets, data = part.buffers()
        width = np.int64 if pa.types.is_large_binary(part.type) else np.int32
        starts = np.frombuffer(offsets, dtype=width, count=len(part) + part.offset + 1)
        starts = starts[part.offset :].astype(np.int64)
        values = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
        return values[starts[0] : starts[-1]], starts - starts[0]

    def sorted(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the chosen rows, bool[n], as int64 in the order of their ids' bytes."""
        rows: npt.NDArray[np.int64] = self.order[chosen[self.order]].astype(np.int64)
        return rows


def _whole(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    if isinstance(ids, pa.Array):
        return ids
    if ids.num_chunks == 1:
        return ids.chunk(0)
    # 32-bit offsets end at 2 GiB of id bytes.
    if pa.types.is_binary(ids.type) and ids.nbytes >= 1 << 31:
        ids = ids.cast(pa.large_binary())
    return pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], ids.type)
