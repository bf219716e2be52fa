"""Our own formats as lists of steps: what reads a case, one named step after the other.

A step takes the case's input and what the steps before it left, and adds to that. The steps of a
good case leave its ``output``; a bad case is refused at the step that it names, with its code.
"""

from __future__ import annotations

import base64
import io
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.node.models.archive import Opened, copy_parts, open_archive
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.flow.work.messages import RoundMark
from atoll.jobs import approval as approvals
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan
from atoll.models.boosting import part_from_bytes, part_to_bytes
from atoll.table import Table

Input = Mapping[str, Any]
Step = Callable[[Input, dict[str, Any]], None]


class Refused(Exception):
    """A case was refused: at which step, with which code."""

    def __init__(self, step: str, code: str) -> None:
        super().__init__(f"{step}: {code}")
        self.step, self.code = step, code


class NotHeld(Exception):
    """A reader that passes over what is damaged did so."""


class Other(Exception):
    """What is said of the content is not what it gives."""


def output(steps: tuple[Step, ...], given: Input) -> Any:
    """Run a case through all steps. Errors: Refused."""
    left: dict[str, Any] = {}
    for step in steps:
        name = step.__name__.lstrip("_")
        try:
            step(given, left)
        except AtollError as error:
            raise Refused(name, error.code) from error
        except (ValueError, TypeError, NotHeld, Other) as error:
            raise Refused(name, type(error).__name__) from error
    return left["output"]


# -- values in JSON -------------------------------------------------------------------------------


def tagged(value: Any) -> Any:
    """Return a value of the codec as JSON; what JSON does not know, or not exactly, has a tag."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, np.ndarray):
        return {"array": [value.dtype.str, list(value.shape), value.tobytes().hex()]}
    if isinstance(value, dict):
        return {"map": {name: tagged(inner) for name, inner in value.items()}}
    return [tagged(inner) for inner in value] if isinstance(value, list) else value


def untagged(value: Any) -> Any:
    """Return the value of its tagged form."""
    if isinstance(value, list):
        return [untagged(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    ((tag, inner),) = value.items()
    match tag:
        case "bytes":
            return bytes.fromhex(inner)
        case "float":
            return float.fromhex(inner)
        case "array":
            return np.frombuffer(bytes.fromhex(inner[2]), inner[0]).reshape(inner[1])
    return {name: untagged(entry) for name, entry in inner.items()}


# -- the canonical codec --------------------------------------------------------------------------


def _decode(given: Input, left: dict[str, Any]) -> None:
    left["value"] = codec.decode(bytes.fromhex(given["bytes"]))


def _encode(given: Input, left: dict[str, Any]) -> None:
    if codec.encode(left["value"]).hex() != given["bytes"]:
        raise Other
    left["output"] = tagged(left["value"])


# -- jobs, plans, approvals -----------------------------------------------------------------------


def _parse_job(given: Input, left: dict[str, Any]) -> None:
    left["output"] = parse_job(given["job"]).digest()


def _read_plan(given: Input, left: dict[str, Any]) -> None:
    left["plan"] = Plan.model_validate(given["plan"])
    if codec.encode(left["plan"].canonical()) != codec.encode(given["plan"]):
        raise Other


def _digest_plan(given: Input, left: dict[str, Any]) -> None:
    left["output"] = {"digest": left["plan"].digest(), "parts": left["plan"].parts()}


def _check_signature(given: Input, left: dict[str, Any]) -> None:
    key: Any = load_der_public_key(bytes.fromhex(given["key"]))
    document, signature = bytes.fromhex(given["document"]), bytes.fromhex(given["signature"])
    approvals.check_signature(document, signature, key, given["party"])


def _decode_approval(given: Input, left: dict[str, Any]) -> None:
    left["approval"] = approvals.Approval.decode(bytes.fromhex(given["document"]))
    if left["approval"].encode().hex() != given["document"]:
        raise Other


def _check_approval(given: Input, left: dict[str, Any]) -> None:
    plan = Plan.model_validate(given["plan"])
    approvals.check(left["approval"], plan, given["party"], now=given["now"])
    left["output"] = left["approval"].to_line()


# -- what is stored -------------------------------------------------------------------------------


def packed(data: bytes) -> str:
    """Return bytes that are mostly zeros as text."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def _open_archive(given: Input, left: dict[str, Any]) -> None:
    data = zlib.decompress(base64.b64decode(given["archive"]))
    key: Any = load_der_public_key(bytes.fromhex(given["key"]))
    # Whose certificate it is has tests of its own; here the signer's key is known.
    identity: Any = SimpleNamespace(public_key=lambda party, certificate, kept: key)
    left["file"] = io.BytesIO(data)
    left["opened"] = open_archive(left["file"], len(data), identity)


def _copy_parts(given: Input, left: dict[str, Any]) -> None:
    opened: Opened = left["opened"]
    with tempfile.TemporaryDirectory() as folder:
        copy_parts(left["file"], opened, lambda name: Path(folder, name.replace("/", "+")))
        names = sorted(path.name for path in Path(folder).iterdir())
    left["output"] = {"manifest": opened.manifest.encode().decode(), "parts": names}


def _read_checkpoint(given: Input, left: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), bytes.fromhex(given["file"])
        seat, round_ = given["seat"], given["round"]
        (folder / f"{seat}.{round_}").write_bytes(data)
        store = FileCheckpoints(folder, seat, tuple(given["context"]))
        if not store.held():
            raise NotHeld
        (held,) = store.held()
        store.enter(RoundMark(held.round, held.mark), held.mark)
        found = store.resume_point()
        assert found is not None
        left["state"] = found[1]
        store.save(held.round, found[1])
        if (folder / f"{seat}.{round_}").read_bytes() != data:
            raise Other
    left["output"] = {"mark": held.mark.hex(), "state": tagged(dict(found[1]))}


def _read_part(given: Input, left: dict[str, Any]) -> None:
    data = bytes.fromhex(given["bytes"])
    part = part_from_bytes(data)
    if part_to_bytes(part) != data:
        raise Other
    left["output"] = part.model_dump(mode="json", exclude_none=True)


# -- tables ---------------------------------------------------------------------------------------


def _digest_table(given: Input, left: dict[str, Any]) -> None:
    ids = pa.array([bytes.fromhex(row) for row in given["ids"]], pa.binary())
    columns = {
        name: pa.array([None if v is None else untagged(v) for v in held["values"]], held["type"])
        for name, held in given["columns"].items()
    }
    whole = Table.from_columns(ids, columns, label=given["label"])
    pieces = [whole.to_arrow().slice(at, 1) for at in range(whole.num_rows)]
    joined = Table.from_arrow(pa.concat_tables(pieces), label=given["label"])
    found = {whole.digest(), joined.digest()}
    if given.get("digest", next(iter(found))) not in found or len(found) != 1:
        raise Other
    (left["output"],) = found


FORMATS: dict[str, tuple[Step, ...]] = {
    "atoll.codec/v1": (_decode, _encode),
    "atoll.job/v1": (_parse_job,),
    "atoll.plan/v1": (_read_plan, _digest_plan),
    "atoll.plan/v2": (_read_plan, _digest_plan),
    "atoll.approval/v1": (_check_signature, _decode_approval, _check_approval),
    "atoll.model-archive/v1": (_open_archive, _copy_parts),
    "atoll.checkpoint/v1": (_read_checkpoint,),
    "atoll.boosting-part/v1": (_read_part,),
    "atoll.table-digest/v1": (_digest_table,),
}
