"""Makes the vectors of a new format: ``python -m tests.vectors.make FORMAT…``.

What was made stays: a format's files are not made again while that format is read. Refuses to
overwrite; bad cases are good ones with one thing changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atoll.core import codec
from atoll.flow.node.models.archive import Manifest, PartFacts, pieces
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.jobs import approval as approvals
from atoll.jobs.approval import PrivateKey
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan
from atoll.models.boosting import GuestPart, HostPart, Split, Tree, part_to_bytes
from tests.vectors import files
from tests.vectors.formats import FORMATS, Refused, output, packed, tagged

Cases = dict[str, Any]
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"vectors").digest())
MODEL = "0123456789abcdef" * 2
PLAN_OF_THEN = {
    "parameters": {"reader": {"id": "id"}},
    "tables": {},
    "components": {"reader": {"version": "1", "code": "00"}},
    "implementations": {"reader": "local"},
    "trust_models": {"reader": "local"},
    "reveals": {"reader": ()},
    "minimums": {},
    "certificates": {"bank": "aa", "shop": "bb"},
    "estimated_bytes": {"reader": 0},
    "owners": {"reader.table": ("bank",)},
}


def codec_cases() -> tuple[Cases, Cases]:
    values = {
        "nothing": None,
        "truth": [True, False],
        "integers": [0, 127, 128, -1, -32, -33, 1 << 32, (1 << 64) - 1, -(1 << 63)],
        "floats": [0.0, -0.0, 1.5, float("inf"), 5e-324],
        "text and bytes": ["", "ä", "x" * 32, b"", b"\x00\xff", bytes(256)],
        "map in order": {"": 0, "a": [], "aa": {}, "b": {"deep": b"x"}},
    }
    good = {name: {"bytes": codec.encode(value).hex()} for name, value in values.items()}
    bad = {
        "empty": b"",
        "cut off": b"\x93\x01",
        "one in two bytes": b"\xcc\x01",
        "keys out of order": b"\x82\xa1b\x01\xa1a\x01",
        "a key twice": b"\x82\xa1a\x01\xa1a\x01",
        "a number as key": b"\x81\x01\x01",
        "an extension type": b"\xd4\x01\x00",
        "something behind": b"\x01\x01",
        "not UTF-8": b"\xa1\xff",
        "a list that is not there": b"\xdd\xff\xff\xff\xff",
        "too deep": b"\x91" * 2000 + b"\x01",
        "a float in four bytes": b"\xca\x3f\xc0\x00\x00",
        "text as bytes of old": b"\xda\x00\x01a",
    }
    return good, {name: {"bytes": data.hex()} for name, data in bad.items()}


def job_cases() -> tuple[Cases, Cases]:
    job = {
        "name": "loans",
        "parties": {"bank": "guest", "shop": "host"},
        "steps": {
            "train": {
                "component": "boosting",
                "inputs": {"train": "psi.table"},
                "parameters": {"trees": 5},
            },
            "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
            "reader": {"component": "reader"},
        },
    }
    good = {"without a seed": {"job": job}, "with a seed": {"job": {**job, "seed": 7}}}
    bad = {
        "another field": {"job": {**job, "extra": 1}},
        "another version": {"job": {**job, "version": 2}},
        "a seed below nought": {"job": {**job, "seed": -1}},
        "a name that is none": {"job": {**job, "parties": {"Bank": "guest", "shop": "host"}}},
    }
    return good, bad


def plan(**changes: Any) -> Plan:
    """Return the plan of a small job."""
    steps = {"reader": {"component": "reader"}}
    parties = {"bank": "guest", "shop": "host"}
    job = parse_job({"name": "loans", "parties": parties, "steps": steps})
    return Plan.model_validate({"job": job, **PLAN_OF_THEN, **changes})


def _table(name: str) -> dict[str, Any]:
    return {"name": name, "digest": "1" * 64, "rows": 7, "columns": ("a",), "id_rule": "bytes"}


def plan_v1_cases() -> tuple[Cases, Cases]:
    rich = plan(
        tables={"bank": {"reader": _table("loans")}, "shop": {"reader": _table("visits")}},
        warnings=("reader: mind this",),
        party_parameters={"reader": {"shop": {"id": "customer"}}},
        seats={"reader": ("bank:guest", "shop:host")},
        edges={"reader": ()},
        quorum={"reader": {"host": 0}},
    )
    good = {"plain": {"plan": plan().canonical()}, "rich": {"plan": rich.canonical()}}
    whole = plan().canonical()
    bad = {
        "another field": {"plan": {**whole, "extra": 1}},
        "another version": {"plan": {**whole, "version": 3}},
        "without certificates": {"plan": {k: v for k, v in whole.items() if k != "certificates"}},
    }
    return good, bad


def plan_v2_cases() -> tuple[Cases, Cases]:
    history = files.read(files.FOLDER / "histories" / "hidden_steps.json")
    held = [entry for entry in history["plans"].values() if entry["version"] == 2]
    complete = [p for p in held if None not in p["hidden"].values()]
    names = {str(sorted(p["hidden"])): p for p in complete or held}
    good, bad = {}, {}
    for steps, entry in names.items():
        known = {step: hashlib.sha256(step.encode()).hexdigest() for step in entry["hidden"]}
        good[f"hidden: {steps}"] = {"plan": {**entry, "hidden": known}}
        bad[f"not known: {steps}"] = {"plan": {**entry, "hidden": dict.fromkeys(known)}}
    return good, bad


def approval_cases() -> tuple[Cases, Cases]:
    p256 = ec.generate_private_key(ec.SECP256R1())
    made = approvals.make(plan(), "shop", nonce=bytes(range(32)), expires=1_000_060)
    fields = dataclasses.asdict(made)

    def case(document: bytes, key: PrivateKey = KEY, **more: Any) -> dict[str, Any]:
        held = {"party": "shop", "now": 1_000_000, "plan": plan().canonical(), "key": _der(key)}
        signed = approvals.sign(document, key).hex()
        return {"document": document.hex(), "signature": signed, **held, **more}

    def changed(**changes: Any) -> dict[str, Any]:
        return case(codec.encode([approvals.TYPE, {**fields, **changes}]))

    whole = made.encode()
    good = {"Ed25519": case(whole), "P-256": case(whole, p256)}
    bad = {
        "another key": case(whole, key=KEY) | {"key": _der(p256)},
        "another document": case(whole) | {"signature": case(whole + b"x")["signature"]},
        "another type": case(codec.encode(["atoll/approval/v2", fields])),
        "not canonical": case(b"\xff"),
        "another field": changed(extra=1),
        "a short nonce": changed(nonce=b"short"),
        "runs as a truth": changed(runs=True),
        "another plan": changed(plan="0" * 64),
        "another job": changed(job="0" * 64),
        "another party": changed(approver="bank"),
        "another role": changed(role="guest"),
        "other keys": changed(keys={"bank": "aa", "shop": "cc"}),
        "no run": changed(runs=0),
        "expired": case(whole, now=1_000_060),
    }
    return good, bad


def _der(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()


def archive_cases() -> tuple[Cases, Cases]:
    part = b'{"kind":"made up"}'
    facts = PartFacts(digest=hashlib.sha256(part).hexdigest(), bytes=len(part))
    manifest = Manifest(
        party="bank", id="m", version=1, kind="boosting.model", created=1.0, part=facts
    )
    whole = _archive(manifest, part)

    def case(data: bytes) -> dict[str, Any]:
        return {"archive": packed(data), "key": _der(KEY)}

    link = tarfile.TarInfo("manifest.json")
    link.type, link.linkname, link.mode = tarfile.SYMTYPE, "/etc/passwd", 0o600
    spaced = json.dumps(json.loads(manifest.encode()), sort_keys=True).encode()
    negative = manifest.encode().replace(b'"bytes":18', b'"bytes":-8')
    bad = {
        "cut off": whole[:-1],
        "something behind": whole + bytes(512),
        "a link in place of the manifest": link.tobuf(tarfile.USTAR_FORMAT) + whole[512:],
        "a manifest with spaces": _archive(manifest, part, body=spaced),
        "a manifest with a size below nought": _archive(manifest, part, body=negative),
        "another manifest under the signature": whole.replace(b'"id":"m"', b'"id":"n"'),
        "another part": whole.replace(b"made up", b"made-up"),
        "a part of another size": _archive(manifest, part + b"x"),
    }
    return {"a part": case(whole)}, {name: case(data) for name, data in bad.items()}


def _archive(manifest: Manifest, part: bytes, body: bytes | None = None) -> bytes:
    """Return an archive, of a manifest that says it in other bytes if so asked."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "part").write_bytes(part)
        declared: Any = manifest
        if body is not None:
            declared = SimpleNamespace(encode=lambda: body, members=manifest.members)
        signer: Any = SimpleNamespace(sign=KEY.sign, certificate=b"a certificate")
        return b"".join(pieces(declared, signer, lambda digest: Path(folder, "part")))


def checkpoint_cases() -> tuple[Cases, Cases]:
    state = {
        "text": "ä",
        "none": None,
        "deep": {"numbers": [1, -2, 1 << 40], "bytes": b"\x00\xff", "float": 0.1},
        "weights": np.array([[0.5, -0.0], [1.0, 2.0]]),
    }
    context = ("plan", "step", "code")
    with tempfile.TemporaryDirectory() as name:
        store = FileCheckpoints(Path(name), "bank", context)
        store.enter(None, b"1" * 32)
        store.save(3, state)
        whole = Path(name, "bank.3").read_bytes()

    def case(data: bytes, **more: Any) -> dict[str, Any]:
        held = {"seat": "bank", "round": 3, "context": list(context), "file": data.hex()}
        return {**held, **more}

    other = codec.encode([2, *codec.decode(whole[32:])[1:]])
    bad = {
        "cut off": case(whole[:-1]),
        "its head alone": case(whole[:32]),
        "empty": case(b""),
        "a bit flipped": case(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]),
        "another digest": case(bytes(32) + whole[32:]),
        "another round's": case(whole, round=4),
        "another seat's": case(whole, seat="shop"),
        "another plan's": case(whole, context=["other", "step", "code"]),
        "another version": case(hashlib.sha256(other).digest() + other),
        "not canonical": case(hashlib.sha256(b"\xcc\x01").digest() + b"\xcc\x01"),
    }
    return {"a state": case(whole)}, bad


def part_cases() -> tuple[Cases, Cases]:
    split = Split(column=0, threshold=1.5, missing_left=True)
    tree = Tree(
        owner=(0, -1, -1),
        split=(0, 0, 0),
        left=(1, 0, 0),
        right=(2, 0, 0),
        weight=(0.0, -0.25, 0.5),
        gain=(2.5, 0.0, 0.0),
        rows=(9, 4, 5),
    )
    host = HostPart(model=MODEL, party="shop", guest="bank", columns=("a",), splits=(split,))
    guest = GuestPart(
        model=MODEL,
        party="bank",
        hosts=("shop",),
        columns=("age",),
        base_margin=-0.5,
        splits=(split,),
        host_splits=(1,),
        trees=(tree,),
    )
    good = {"guest": part_to_bytes(guest), "host": part_to_bytes(host)}

    def changed(**fields: Any) -> bytes:
        whole = host.model_dump(mode="json", exclude_none=True) | fields
        return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()

    bad = {
        "empty": b"",
        "a pickle": b"\x80\x04K\x01.",
        "a list": b"[]",
        "another kind": b'{"kind":"os.system"}',
        "a guest's kind": changed(kind="boosting.guest"),
        "another version": changed(version=2),
        "a model that is a path": changed(model="../../etc"),
        "another field": changed(extra=1),
        "a column that is a number": changed(columns=["a", 1]),
        "a column that is not there": changed(
            splits=[{"column": 1, "threshold": 1.0, "missing_left": False}]
        ),
        "a threshold as text": changed(
            splits=[{"column": 0, "threshold": "1.0", "missing_left": False}]
        ),
        "a threshold that is no number": good["host"].replace(b"1.5", b"NaN"),
        "a threshold beyond all": good["host"].replace(b"1.5", b"1e999"),
    }
    return _hexed(good), _hexed(bad)


def _hexed(cases: dict[str, bytes]) -> Cases:
    return {name: {"bytes": data.hex()} for name, data in cases.items()}


def table_cases() -> tuple[Cases, Cases]:
    def case(**changes: Any) -> dict[str, Any]:
        x = {"type": "float64", "values": [tagged(0.0), tagged(-1.5), None]}
        y = {"type": "int64", "values": [0, 1, 1]}
        ids = [row.encode().hex() for row in ("a", "bb", "ü")]
        return {"ids": ids, "columns": {"x": x, "y": y}, "label": "y", **changes}

    whole = case()
    steps = FORMATS["atoll.table-digest/v1"]
    wanted = output(steps, whole)
    x, y = whole["columns"]["x"], whole["columns"]["y"]
    first = case(columns={"y": y, "x": x})
    good = {"with a label": whole, "its label first": first, "without": case(label=None)}
    bad = {
        "another id": case(ids=["61", "6263", "c3bc"]),
        "rows in another order": case(ids=whole["ids"][::-1]),
        "another label": case(label=None),
        "another name": case(columns={"z": x, "y": y}),
        "nought for missing": case(
            columns={"x": {**x, "values": [*x["values"][:2], tagged(0.0)]}, "y": y}
        ),
        "nought below nought": case(
            columns={"x": {**x, "values": [tagged(-0.0), *x["values"][1:]]}, "y": y}
        ),
        "another type": case(
            columns={
                "x": x,
                "y": {**y, "type": "float64", "values": [tagged(float(v)) for v in y["values"]]},
            }
        ),
    }
    return good, {name: {**entry, "digest": wanted} for name, entry in bad.items()}


MAKERS: dict[str, tuple[str, str, Callable[[], tuple[Cases, Cases]]]] = {
    "atoll.codec/v1": ("codec", "Canonical bytes of values; all other bytes.", codec_cases),
    "atoll.job/v1": ("job", "Digests of jobs.", job_cases),
    "atoll.plan/v1": ("plan_v1", "Digests of plans in which no step is hidden.", plan_v1_cases),
    "atoll.plan/v2": ("plan_v2", "Digests of plans with hidden steps.", plan_v2_cases),
    "atoll.approval/v1": ("approval", "Approvals, signed.", approval_cases),
    "atoll.model-archive/v1": ("model_archive", "A part as signed archive.", archive_cases),
    "atoll.checkpoint/v1": ("checkpoint", "A state kept by a seat.", checkpoint_cases),
    "atoll.boosting-part/v1": ("boosting_part", "Parts of boosted trees.", part_cases),
    "atoll.table-digest/v1": ("table_digest", "Digests of tables' content.", table_cases),
}


def main(chosen: list[str]) -> None:
    """Write the files of these formats."""
    for name in chosen:
        stem, about, cases = MAKERS[name]
        path = files.FOLDER / "formats" / f"{stem}.json"
        if path.exists():
            raise SystemExit(f"{path} is there: what was made stays")
        steps, (good, bad) = FORMATS[name], cases()
        rows: dict[str, dict[str, Any]] = {"good": {}, "bad": {}}
        for case, given in good.items():
            rows["good"][case] = {"input": given, "output": output(steps, given)}
        for case, given in bad.items():
            try:
                output(steps, given)
            except Refused as refused:
                rows["bad"][case] = {"input": given, "step": refused.step, "code": refused.code}
            else:
                raise SystemExit(f"{name}: {case} is not refused")
        made_by = f"python -m tests.vectors.make {name}"
        head = {"format": name, "about": about, "made_by": made_by, "commit": files.commit()}
        files.write(path, head, dict(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
