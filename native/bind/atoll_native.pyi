from typing import Any, final

import numpy as np
import numpy.typing as npt

__version__: str

class NativeError(Exception):
    code: str
    position: int | None

def source_digest() -> str: ...
def check_msgpack(data: bytes | bytearray | memoryview, memory: int) -> int: ...
def check_json(data: bytes | bytearray | memoryview, depth: int, memory: int) -> int: ...
def simd_level() -> str: ...
def simd_levels() -> list[tuple[str, str]]: ...
def hash_to_curve(
    values: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    domain: bytes,
    threads: int = 0,
) -> npt.NDArray[np.uint8]: ...
def x25519(scalar: bytes, points: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...

@final
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
    def mask(self, points: npt.NDArray[np.uint8], threads: int = 0) -> npt.NDArray[np.uint8]: ...
    def mask_and_hash(
        self, points: npt.NDArray[np.uint8], label: bytes, threads: int = 0
    ) -> npt.NDArray[np.uint8]: ...

@final
class WireEndpoint:
    def __new__(
        cls,
        party: str,
        certificate_pem: str,
        key_pem: str,
        peers: list[tuple[str, str, str | None]],
        listen: str | None = None,
        *,
        silence_s: float = 30.0,
        heartbeat_s: float = 2.0,
        connect_s: float = 60.0,
        handshake_s: float = 10.0,
        linger_s: float = 30.0,
        window_bytes: int = ...,
    ) -> WireEndpoint: ...
    @staticmethod
    def through(
        party: str,
        peers: list[tuple[str, bool]],
        gateway: str,
        socket: str,
        token: bytes,
        label: str,
        *,
        silence_s: float = 30.0,
        heartbeat_s: float = 2.0,
        connect_s: float = 60.0,
        handshake_s: float = 10.0,
        linger_s: float = 30.0,
        window_bytes: int = ...,
    ) -> WireEndpoint: ...
    def address(self) -> str | None: ...
    def send(
        self, peer: str, scope: tuple[str, str, int], tag: str, body: Any, timeout: float
    ) -> None: ...
    def receive(
        self, peer: str, scope: tuple[str, str, int], tag: str, timeout: float
    ) -> memoryview: ...
    def receive_any(
        self, peers: list[str], scope: tuple[str, str, int], tag: str, timeout: float
    ) -> tuple[str, memoryview]: ...
    def counters(self) -> dict[str, dict[str, int]]: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...
    def abort(self, code: str, phase: str) -> None: ...

@final
class WireGateway:
    def __new__(
        cls,
        party: str,
        certificate_pem: str,
        key_pem: str,
        listen: str | None,
        socket: str,
        *,
        authority_pem: str | None = None,
        handshake_s: float = 10.0,
        answer_s: float = 120.0,
    ) -> WireGateway: ...
    def address(self) -> str | None: ...
    def set_peer(
        self,
        party: str,
        authority_pem: str,
        address: str | None = None,
        newest: tuple[int, bytes] | None = None,
    ) -> None: ...
    def remove_peer(self, party: str) -> None: ...
    def renew(self, certificate_pem: str, key_pem: str) -> None: ...
    def set_enrolment(self, is_open: bool) -> None: ...
    def register(self, label: str, token: bytes, socket: str, peers: list[str]) -> None: ...
    def unregister(self, label: str) -> dict[str, dict[str, int]]: ...
    def call(self, peer: str, kind: str, body: Any, timeout: float) -> memoryview: ...
    def next_call(self, timeout: float) -> tuple[int, str, str, memoryview] | None: ...
    def answer(self, number: int, body: Any) -> bool: ...
    def refuse(self, number: int, code: str) -> bool: ...
    @staticmethod
    def enrol(
        address: str, party: str, authority_sha256: bytes, body: Any, timeout: float
    ) -> memoryview: ...
    def counters(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

@final
class PairSecretKey:
    @staticmethod
    def generate(entropy: bytes) -> PairSecretKey: ...
    def public_key(self) -> PairPublicKey: ...
    def encrypt(
        self,
        g: npt.NDArray[np.int32],
        h: npt.NDArray[np.int32],
        entropy: bytes,
        threads: int = 0,
    ) -> npt.NDArray[np.uint8]: ...
    def decrypt(
        self,
        cells: npt.NDArray[np.uint8],
        g_low: int,
        g_high: int,
        h_low: int,
        h_high: int,
        threads: int = 0,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]: ...

@final
class PairPublicKey:
    @staticmethod
    def from_bytes(data: bytes) -> PairPublicKey: ...
    def to_bytes(self) -> bytes: ...
    def encrypt(
        self,
        g: npt.NDArray[np.int32],
        h: npt.NDArray[np.int32],
        entropy: bytes,
        threads: int = 0,
    ) -> npt.NDArray[np.uint8]: ...

@final
class PairVector:
    @staticmethod
    def parse(data: npt.NDArray[np.uint8], threads: int = 0) -> PairVector: ...
    def __len__(self) -> int: ...
    def histogram(
        self,
        rows: npt.NDArray[np.uint32],
        bins: npt.NDArray[np.uint8],
        width: int,
        threads: int = 0,
    ) -> PairCells: ...

@final
class PairCells:
    def __len__(self) -> int: ...
    def cut_sums(
        self,
        columns: npt.NDArray[np.uint32],
        cuts: npt.NDArray[np.uint16],
        missing_left: npt.NDArray[np.bool_],
    ) -> PairCells: ...
    def add(self, other: PairCells) -> PairCells: ...
    def subtract(self, other: PairCells) -> PairCells: ...
    def finish(
        self,
        key: PairPublicKey,
        entropy: bytes,
        noise_g: npt.NDArray[np.int64] | None = None,
        noise_h: npt.NDArray[np.int64] | None = None,
        threads: int = 0,
    ) -> npt.NDArray[np.uint8]: ...

@final
class RistrettoScalar:
    @staticmethod
    def generate(entropy: bytes) -> RistrettoScalar: ...
    def multiply(
        self, elements: npt.NDArray[np.uint8], threads: int = 0
    ) -> npt.NDArray[np.uint8]: ...

def ristretto_from_uniform(
    uniform: npt.NDArray[np.uint8], threads: int = 0
) -> npt.NDArray[np.uint8]: ...
def train_epoch(
    weights: npt.NDArray[np.float32],
    widths: list[int],
    output: str,
    rows: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64] | npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    batch: int,
    rate: float,
    penalty: float = 0.0,
) -> None: ...

@final
class PaillierSecretKey:
    @staticmethod
    def generate(bits: int, entropy: bytes) -> PaillierSecretKey: ...
    @staticmethod
    def from_primes(first: bytes, second: bytes) -> PaillierSecretKey: ...
    def modulus(self) -> bytes: ...
    def prove(self, context: bytes, entropy: bytes, threads: int = 0) -> bytes: ...
    def decrypt(
        self, ciphertexts: npt.NDArray[np.uint8], threads: int = 0
    ) -> npt.NDArray[np.uint8]: ...

@final
class PaillierPublicKey:
    @staticmethod
    def prepare(modulus: bytes, entropy: bytes) -> PaillierPublicKey: ...
    def encrypt(
        self, plaintexts: npt.NDArray[np.uint8], entropy: bytes, threads: int = 0
    ) -> PaillierVector: ...
    def parse(self, data: npt.NDArray[np.uint8], threads: int = 0) -> PaillierVector: ...

@final
class PaillierVector:
    def __len__(self) -> int: ...
    def to_bytes(self, threads: int = 0) -> npt.NDArray[np.uint8]: ...
    def add(self, other: PaillierVector, threads: int = 0) -> PaillierVector: ...
    def by_column(
        self, weights: npt.NDArray[np.int64], width: int, threads: int = 0
    ) -> PaillierVector: ...
    def by_row(
        self, weights: npt.NDArray[np.int64], width: int, threads: int = 0
    ) -> PaillierVector: ...

def verify_paillier_modulus(
    modulus: bytes, context: bytes, proof: bytes, threads: int = 0
) -> bool: ...
