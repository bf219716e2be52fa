"""Bad input: a 4xx with code and hint, and no trace but the line in the audit log."""

from __future__ import annotations

import copy
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from atoll.flow.api.settings import PREFIX
from atoll.flow.node.plain_services import own_memory
from tests.flow.api.site import JOB, Site

BIG = 100 << 20


def changed(**changes: Any) -> dict[str, Any]:
    job: dict[str, Any] = copy.deepcopy(JOB)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = job
        for part in way:
            place = place[part]
        place[last] = value
    return {"job": job}


JOBS: dict[str, dict[str, Any]] = {
    "no job": {},
    "unknown field": {"jop": JOB},
    "misspelt part": changed(stepss={}),
    "unknown component": changed(steps__match__component="psy"),
    "unknown parameter": changed(steps__match__parameters={"protokol": "ecdh"}),
    "a parameter out of bounds": changed(steps__match__parameters={"chunk_rows": -1}),
    "input of no step": changed(steps__match__inputs={"table": "red.table"}),
    "input of no output": changed(steps__match__inputs={"table": "read.tabel"}),
    "cycle": changed(steps__match__inputs={"table": "match.table"}),
    "no guest": changed(parties={"bank": "host", "shop": "host"}),
    "unknown party": changed(parties={"bank": "guest", "stranger": "host"}),
    "not in it": changed(parties={"shop": "guest", "store": "host"}),
    "a role that is none": changed(parties={"bank": "guest", "shop": "boss"}),
    "party id": changed(parties={"bank": "guest", "../shop": "host"}),
    "step name": changed(steps={"../x": {"component": "reader"}}),
    "integers without end": changed(steps__match__parameters={"chunk_rows": 1 << 70}),
    "many steps": changed(steps={f"s{i}": {"component": "reader"} for i in range(1000)}),
    "option": {**changed(), "options": {"retries": 1000}},
    "option of a wrong type": {**changed(), "options": {"retries": "3"}},
    "tags": {**changed(), "tags": ["x" * 1000]},
    "notes with control characters": {**changed(), "notes": "a\u001b[31mb"},
}


class Watch:
    """Compares what is there before and after, and the audit log."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.before = site.trace()
        self.lines = site.audited()

    def refused(self, answer: httpx.Response, *statuses: int, code: str = "ATL-") -> dict[str, Any]:
        assert 400 <= answer.status_code < 500
        assert not statuses or answer.status_code in statuses
        error: dict[str, Any] = answer.json()["error"]
        assert error["code"].startswith(code)
        assert error["message"]
        assert self.site.trace() == self.before
        assert self.site.audited() in {self.lines, self.lines + 1}
        return error


@pytest.fixture
def watch(node_site: Site) -> Watch:
    return Watch(node_site)


@pytest.fixture
def client(node_site: Site) -> Iterator[httpx.Client]:
    with node_site.client("everybody") as opened:
        yield opened


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("address", ["/jobs", "/jobs/plan"])
def test_broken_jobs(client: httpx.Client, watch: Watch, name: str, address: str) -> None:
    asked = dict(JOBS[name])
    if address == "/jobs/plan":
        asked.pop("tags", None)
        asked.pop("notes", None)
    if address == "/jobs/plan" and name in {"tags", "notes with control characters"}:
        return
    error = watch.refused(client.post(address, json=asked))
    assert error.get("place") or error.get("party") or error["code"] == "ATL-API-005"


def test_what_was_meant_is_hinted_at(client: httpx.Client, watch: Watch) -> None:
    def hint(asked: dict[str, Any]) -> str:
        watch.lines = watch.site.audited()
        found = watch.refused(client.post("/jobs", json=asked)).get("hint", "")
        return str(found)

    assert "stepss" not in hint(JOBS["misspelt part"])
    assert "steps" in hint(JOBS["misspelt part"])
    assert "job" in hint(JOBS["unknown field"])
    assert "psi" in hint(JOBS["unknown component"])
    assert "protocol" in hint(JOBS["unknown parameter"])
    assert "read" in hint(JOBS["input of no step"])
    assert "guest" in hint(JOBS["a role that is none"])


def test_a_table_that_is_not_here(client: httpx.Client, watch: Watch) -> None:
    asked = changed(steps__read__parameters={"tables": {"bank": "peple", "shop": "people"}})
    error = watch.refused(client.post("/jobs/plan", json=asked), 404, code="ATL-JOB-010")
    assert "people" in error["hint"]


NAMES = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc",
    "%2e%2e%2fpasswd",
    "%252e%252e%252f",
    "a%00b",
    "a%5cb",
    "C:%5cx",
    "a" * 5000,
    "Gro%C3%9F",
    "%F0%9F%92%A9",
    "a%0ab",
    "*",
    "'%20or%201=1",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_addresses(node_site: Site, watch: Watch, name: str) -> None:
    for method, path in (
        ("GET", f"/data/{name}"),
        ("GET", f"/data/{name}/preview"),
        ("DELETE", f"/data/{name}"),
        ("GET", f"/jobs/{name}"),
        ("GET", f"/jobs/20200101000000-00000000/artifacts/{name}/model"),
        ("GET", f"/models/{name}/1/export"),
        ("GET", f"/components/{name}"),
        ("GET", f"/schemas/{name}"),
        ("DELETE", f"/users/{name}"),
    ):
        watch.lines = node_site.audited()
        watch.refused(raw(node_site, method, PREFIX + path))


def raw(site: Site, method: str, path: str, body: bytes = b"", *more: str) -> httpx.Response:
    """Send a request whose path nobody normalises."""
    where = urlsplit(site.server.url)
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {where.netloc}",
        f"Authorization: Bearer {site.tokens['everybody']}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *more,
    ]
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    return httpx.Response(int(head.split()[1]), content=rest)


@pytest.mark.parametrize("name", ["../people", "a/b", "..", "A", "", "a\u0000", "é", "x" * 5000])
def test_names_in_bodies(client: httpx.Client, watch: Watch, name: str) -> None:
    watch.refused(client.post("/data", json={"name": name, "path": "people.csv"}), 400, 422)


@pytest.mark.parametrize(
    "path", ["../atoll.db", "/etc/passwd", "../keys", "a/../../atoll.toml", "/proc/self/environ"]
)
def test_paths_out_of_the_folder(client: httpx.Client, watch: Watch, path: str) -> None:
    error = watch.refused(client.post("/data", json={"name": "x", "path": path}), 403)
    assert error["code"] == "ATL-DAT-102"


BODIES = {
    "not JSON": b'{"job": ',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "a key twice": b'{"name": "x", "name": "y"}',
    "NaN": b'{"job": NaN}',
    "beyond floats": b'{"job": 1e999}',
    "a huge integer": b'{"job": ' + b"9" * 10_000 + b"}",
    "deep lists": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 8_000 + b"1" + b"}" * 8_000,
    "NUL": b'{"job": "\\u0000"}',
    "half a surrogate": b'{"job": "\\ud800"}',
    "a list": b"[]",
    "null": b"null",
    "nothing": b"",
    "too large": b'{"job": "' + b"x" * (128 << 10) + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(client: httpx.Client, watch: Watch, name: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/jobs", content=BODIES[name], headers=headers)
    error = watch.refused(answer, 400, 413, 422, code="ATL-API-")
    assert error.get("hint")


def test_other_types_of_body(client: httpx.Client, watch: Watch) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"):
        watch.lines = watch.site.audited()
        answer = client.post("/jobs", content=b"job=1", headers={"Content-Type": kind})
        watch.refused(answer, 400, code="ATL-API-005")


@pytest.mark.parametrize("address", ["/jobs", "/login", "/data/big/content", "/models/import"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_a_hundred_megabytes(
    node_site: Site, watch: Watch, address: str, declared: bool
) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        piece = b" " * (1 << 16)
        while sent < BIG:
            sent += len(piece)
            yield piece

    memory = own_memory()
    headers = {"Content-Type": "application/json"} | (
        {"Content-Length": str(BIG)} if declared else {}
    )
    method = "PUT" if address.startswith("/data") else "POST"
    with node_site.client("everybody") as client:
        client.headers.update(headers)
        answer = client.request(method, address, content=pieces())
    if address == "/models/import" and not declared:
        # Its first block is no archive's.
        watch.refused(answer, 422, code="ATL-REG-006")
    else:
        watch.refused(answer, 413, code="ATL-API-004")
    # What waits in the buffers of two sockets, and not more, was sent in vain.
    assert sent < BIG // 2
    assert own_memory() - memory < 32 << 20


UPLOADS = {
    "quote": b'id,x\na,"1\nb,2\n',
    "one field without end": b"id,x\na," + b"1" * (1 << 20) + b"1\n",
    "columns without end": b"id," + b",".join(b"x%d" % i for i in range(70_000)) + b"\na\n",
    "empty": b"",
    "formula": b"id,x\na,=cmd|' /C calc'!A0\n",
    "zip": b"PK\x03\x04" + bytes(1000),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads(client: httpx.Client, watch: Watch, name: str) -> None:
    error = watch.refused(client.put("/data/upload/content", content=UPLOADS[name]), 422)
    assert error.get("hint")


def test_an_upload_that_breaks_off(node_site: Site) -> None:
    owner = node_site.person("carol", "data owner")
    watch = Watch(node_site)
    where = urlsplit(node_site.server.url)
    head = (
        f"PUT {PREFIX}/data/half/content HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        f"Authorization: Bearer {node_site.tokens[owner]}\r\n\r\nid,x\r\n"
    )
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(head.encode())
    until = time.monotonic() + 10
    while node_site.trace() != watch.before or node_site.audited() == watch.lines:
        assert time.monotonic() < until
    (line,) = node_site.node.access.audit.page(limit=1, newest_first=True).rows
    assert (line["actor"], line["action"], line["outcome"]) == ("carol", "data.upload", "refused")


def test_a_slow_sender_is_sent_away(node_site: Site, watch: Watch) -> None:
    started = time.monotonic()
    where = urlsplit(node_site.server.url)
    head = (
        f"PUT {PREFIX}/data/slow/content HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer {node_site.tokens['everybody']}\r\n\r\ni"
    )
    for text, wanted in ((head.encode(), b"408"), (b"GET /api", b"")):
        with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
            connection.sendall(text)
            assert wanted in connection.recv(1 << 16)
    assert time.monotonic() - started < 9
    assert node_site.trace() == watch.before


def test_a_table_is_not_replaced_by_an_upload(client: httpx.Client, watch: Watch) -> None:
    answer = client.put("/data/people/content", content=b"id,x\na,1\n")
    watch.refused(answer, 409, code="ATL-DAT-107")


def test_unknown_addresses_and_methods(node_site: Site, watch: Watch) -> None:
    for method, path, wanted in (
        ("GET", "/", 404),
        ("GET", "/api/v2/jobs", 404),
        ("GET", "/api/v1/docs", 404),
        ("GET", "/api/v1/jobs/", 404),
        ("PUT", "/api/v1/jobs", 405),
        ("TRACE", "/api/v1/jobs", 405),
        ("GET", "//etc/passwd", 404),
        ("GET", "/api/v1/../../etc/passwd", 404),
    ):
        watch.refused(raw(node_site, method, path), wanted)


def test_no_fault_tells_of_itself(
    node_site: Site, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret text of a fault")

    monkeypatch.setattr(node_site.node.data, "get", broken)
    answer = client.get("/data/people")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "ATL-INT-001"
    assert "secret" not in json.dumps(dict(answer.headers)) + answer.text
