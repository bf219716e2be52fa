import numpy as np
import numpy.typing as npt

__version__: str

class NativeError(Exception):
    code: str
    position: int | None

def simd_level() -> str: ...
def simd_levels() -> list[tuple[str, str]]: ...
def hash_to_curve(
    values: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    domain: bytes,
    threads: int = 0,
) -> npt.NDArray[np.uint8]: ...
def x25519(scalar: bytes, points: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...

class DhScalar:
    @staticmethod
    def generate(entropy: bytes) -> DhScalar: ...
    def hash_and_mask(
        self,
        values: npt.NDArray[np.uint8],
        offsets: npt.NDArray[np.int64],
        domain: bytes,
        threads: int = 0,
    ) -> npt.NDArray[np.uint8]: ...
    def mask(
        self, points: npt.NDArray[np.uint8], threads: int = 0, truncate: int = 32
    ) -> npt.NDArray[np.uint8]: ...
