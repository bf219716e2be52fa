"""The server itself: HTTPS, deadlines, idempotency, events, pages, headers, log, figures."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from atoll.flow.api.app import create_app
from atoll.flow.api.protocol import PatientProtocol
from atoll.flow.api.server import Server
from atoll.flow.api.settings import PREFIX, ApiSettings
from atoll.flow.node.data.service import DataService
from atoll.jobs.errors import EnvironmentFault
from tests.flow.api.site import JOB, LIMITS, Site, certificate


@pytest.fixture
def client(node_site: Site) -> Iterator[httpx.Client]:
    with node_site.client("everybody") as opened:
        yield opened


@contextlib.contextmanager
def served(site: Site, settings: ApiSettings, **services: Any) -> Iterator[Server]:
    chosen = replace(site.node.services, **services)
    with Server(create_app(chosen, settings), settings) as server:
        yield server


# -- starting, stopping, HTTPS --------------------------------------------------------------------


def test_https(node_site: Site, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    settings = replace(LIMITS, certificate=chain, key=key)
    with served(node_site, settings) as server:
        assert server.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(chain))
        with httpx.Client(verify=trusting) as client:
            assert client.get(f"{server.url}{PREFIX}/health/live").json() == {"status": "live"}
        with httpx.Client() as client, pytest.raises(httpx.ConnectError):
            client.get(f"{server.url}{PREFIX}/health/live")


def test_what_cannot_be_served_is_said_at_the_start(node_site: Site, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="ATL-API-015"):
        Server(create_app(node_site.node.services), replace(LIMITS, certificate=tmp_path / "no"))
    taken = replace(LIMITS, port=node_site.server.port)
    with pytest.raises(EnvironmentFault, match="ATL-API-016"):
        Server(create_app(node_site.node.services), taken).start()
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        open_to_all = replace(LIMITS, authentication=False, host=host)
        app = create_app(node_site.node.services)
        with pytest.raises(EnvironmentFault, match="ATL-API-017"):
            Server(app, open_to_all)


def test_answers_do_not_wait_for_acknowledgements(
    node_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nagle's algorithm and delayed acknowledgements would add 40 ms to each answer."""
    seen = []
    made = PatientProtocol.connection_made

    def look(self: PatientProtocol, transport: Any) -> None:
        connection = transport.get_extra_info("socket")
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(PatientProtocol, "connection_made", look)
    httpx.get(f"{node_site.server.url}{PREFIX}/health/live")
    assert seen == [1]


def test_without_authentication_loopback_is_administrator(node_site: Site) -> None:
    with served(node_site, replace(LIMITS, authentication=False)) as server:
        answer = httpx.get(f"{server.url}{PREFIX}/me")
        assert answer.json()["user"] == "local"
        assert "administrator" in answer.json()["roles"]


def test_a_stop_does_not_wait_for_watchers(node_site: Site, client: httpx.Client) -> None:
    job = client.post("/jobs", json={"job": JOB}).json()["id"]
    headers = {"Authorization": client.headers["Authorization"], "Accept": "text/event-stream"}
    server = Server(create_app(node_site.node.services, LIMITS), LIMITS)
    server.start()
    url = f"{server.url}{PREFIX}/jobs/{job}/events"
    seen = threading.Event()

    def watch() -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("GET", url, headers=headers, timeout=20) as answer,
        ):
            for line in answer.iter_lines():
                if line:
                    seen.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert seen.wait(10)
    started = time.monotonic()
    server.stop()
    watcher.join(10)
    assert not watcher.is_alive()
    assert time.monotonic() - started < LIMITS.drain_seconds + 5
    client.post(f"/jobs/{job}/stop").raise_for_status()


@dataclass
class SlowStatus:
    """A status that takes its time."""

    release: threading.Event

    def ready(self) -> bool:
        return self.release.wait(20)

    def view(self) -> dict[str, Any]:
        self.release.wait(20)
        return {"late": True}


def test_a_late_answer_is_given_up(node_site: Site) -> None:
    release = threading.Event()
    settings = replace(LIMITS, request_seconds=0.3)
    with served(node_site, settings, status=SlowStatus(release)) as server:
        headers = {"Authorization": f"Bearer {node_site.tokens['viewer']}"}
        started = time.monotonic()
        answer = httpx.get(f"{server.url}{PREFIX}/status", headers=headers, timeout=10)
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "ATL-API-007"
        assert time.monotonic() - started < 10
        release.set()
        again = httpx.get(f"{server.url}{PREFIX}/status", headers=headers, timeout=10)
        assert again.json() == {"late": True}


def test_a_fault_is_logged_by_place_and_not_by_text(
    node_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def ready(self) -> bool:
            raise RuntimeError(" ".join(["row", "7"]))

    with caplog.at_level(logging.ERROR), served(node_site, LIMITS, status=Broken()) as server:
        answer = httpx.get(f"{server.url}{PREFIX}/health/ready")
    assert answer.json()["error"]["code"] == "ATL-INT-001"
    assert answer.headers["x-request-id"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert "row 7" not in caplog.text + answer.text


def test_an_unready_node_says_so(node_site: Site) -> None:
    class Starting:
        def ready(self) -> bool:
            return False

    with served(node_site, LIMITS, status=Starting()) as server:
        answer = httpx.get(f"{server.url}{PREFIX}/health/ready")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ATL-API-012")
        assert httpx.get(f"{server.url}{PREFIX}/health/live").status_code == 200


def test_the_page_for_people_is_off_unless_asked_for(node_site: Site) -> None:
    assert httpx.get(f"{node_site.server.url}{PREFIX}/docs").status_code == 404
    with served(node_site, replace(LIMITS, documentation=True)) as server:
        answer = httpx.get(f"{server.url}{PREFIX}/docs")
    assert "/api/v1/jobs/{id}/stop" in answer.text
    assert "<script" not in answer.text
    assert "https://" not in answer.text


# -- idempotency ----------------------------------------------------------------------------------

TERMS = {"partners": ["shop"], "components": ["psi"]}


def test_the_same_key_and_body_get_the_same_answer(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "grant-1"}
    first = client.post("/data/people/grants", json=TERMS, headers=headers)
    again = client.post("/data/people/grants", json=TERMS, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replay"] == "true"
    other = client.post("/data/people/grants", json={**TERMS, "roles": ["host"]}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "ATL-API-006")
    items = client.get("/data/people/grants").json()["items"]
    assert [one["id"] for one in items if one["revoked"] is None] == [first.json()["id"]]
    client.delete(f"/grants/{first.json()['id']}").raise_for_status()


def test_keys_are_each_users_own_and_refusals_use_none_up(
    node_site: Site, client: httpx.Client
) -> None:
    headers = {"Idempotency-Key": "grant-2"}
    refused = client.post("/data/people/grants", json={"partners": []}, headers=headers)
    assert refused.status_code == 422
    first = client.post("/data/people/grants", json=TERMS, headers=headers)
    with node_site.client("data owner") as owner:
        second = owner.post("/data/people/grants", json=TERMS, headers=headers)
    assert first.json()["id"] != second.json()["id"]
    for made in (first, second):
        client.delete(f"/grants/{made.json()['id']}").raise_for_status()
    for key in ("", "x" * 129, "a\tb"):
        bad = client.post("/data/people/grants", json=TERMS, headers={"Idempotency-Key": key})
        assert (bad.status_code, bad.json()["error"]["code"]) == (400, "ATL-API-011")


def test_a_secret_is_not_kept_to_be_told_again(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "token-1"}
    body = {"name": "robot", "scopes": ["job.read"], "days": 1}
    made = client.post("/tokens", json=body, headers=headers)
    assert made.json()["token"].startswith("atoll_")
    again = client.post("/tokens", json=body, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ATL-API-006")
    client.delete(f"/tokens/{made.json()['id']}").raise_for_status()


def test_a_strangers_key_is_nobodys(node_site: Site) -> None:
    body = {"user": "nobody", "password": "wrong"}
    with node_site.client(None) as client:
        for _ in range(2):
            answer = client.post("/login", json=body, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 401


def test_a_job_is_submitted_once(node_site: Site, client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "job-1"}
    body = {"job": JOB, "tags": ["nightly"], "notes": "first\nsecond"}
    first = client.post("/jobs", json=body, headers=headers).json()
    assert client.post("/jobs", json=body, headers=headers).json()["id"] == first["id"]
    # Another app over the same node remembers nothing, but the job does.
    with served(node_site, LIMITS) as server:
        sent = {"Authorization": client.headers["Authorization"], **headers}
        again = httpx.post(f"{server.url}{PREFIX}/jobs", json=body, headers=sent).json()
    assert again["id"] == first["id"]
    client.post(f"/jobs/{first['id']}/stop").raise_for_status()


# -- jobs and their events ------------------------------------------------------------------------


def test_pages_lead_from_one_to_the_next(client: httpx.Client) -> None:
    made = {client.post("/jobs", json={"job": JOB, "tags": ["p"]}).json()["id"] for _ in range(3)}
    seen, after = [], None
    while True:
        asked: dict[str, Any] = {"limit": 2, "tag": "p"} | ({"after": after} if after else {})
        page = client.get("/jobs", params=asked).json()
        seen += [row["id"] for row in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert set(seen) == made
    assert len(seen) == 3
    assert client.get("/jobs", params={"after": "nonsense"}).status_code == 422
    for job in made:
        client.post(f"/jobs/{job}/stop").raise_for_status()


def test_events_by_long_poll_and_stream(client: httpx.Client) -> None:
    job = client.post("/jobs", json={"job": JOB}).json()["id"]
    first = client.get(f"/jobs/{job}/events", params={"wait": 10}).json()
    assert first["items"]
    assert first["next"] == first["items"][-1]["number"]
    stopper = threading.Timer(0.3, lambda: client.post(f"/jobs/{job}/stop"))
    stopper.start()
    numbers, kinds = [], []
    with client.stream(
        "GET", f"/jobs/{job}/events", headers={"Accept": "text/event-stream"}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                numbers.append(int(value))
            elif name == "event":
                kinds.append(value)
    stopper.join()
    assert kinds[-1] == "end"
    assert numbers == sorted(set(numbers))
    with client.stream(
        "GET",
        f"/jobs/{job}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": str(numbers[-2])},
    ) as answer:
        text = answer.read().decode()
    assert f"id: {numbers[-1]}\n" in text
    assert f"id: {numbers[-2]}\n" not in text


def test_an_unknown_job_has_no_stream(client: httpx.Client) -> None:
    answer = client.get(
        "/jobs/20200101000000-00000000/events", headers={"Accept": "text/event-stream"}
    )
    assert answer.status_code == 404


# -- what is told around the answers --------------------------------------------------------------


def test_answers_carry_safe_headers_and_no_permission_for_other_sites(
    client: httpx.Client,
) -> None:
    for path in ("/me", "/nothing", "/openapi.json"):
        answer = client.get(path, headers={"Origin": "https://evil.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.headers["x-request-id"]) == 16
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers
    assert client.options("/me").status_code in {401, 405}


def test_the_log_has_a_line_a_request_and_no_secret(
    node_site: Site, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="atoll.api.access"):
        answer = client.get("/data/nothing%0d%0aFAKE", params={"token": "hidden"})
        client.post("/login", json={"user": "nobody", "password": "my secret password"})
    # Lines of requests that were answered before may still come in.
    lines = {json.loads(record.message)["id"]: record.message for record in caplog.records}
    ours = lines[answer.headers["x-request-id"]]
    assert "\n" not in ours
    line = json.loads(ours)
    assert (line["status"], line["user"]) == (422, "everybody")
    for secret in (node_site.tokens["everybody"], "hidden", "my secret password"):
        assert secret not in caplog.text


def test_figures_count_by_operation(client: httpx.Client) -> None:
    client.get("/me")
    text = client.get("/metrics").text
    assert 'atoll_http_requests_total{operation="session_me",status="200"}' in text
    assert "atoll_memory_bytes" in text
    assert "/data" not in text


def test_the_schema_is_sound_and_describes_what_is_sent(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, schema in (
        ("/me", "Me"),
        ("/jobs", "JobPage"),
        ("/data", "DataPage"),
        ("/parties", "PartyPage"),
        ("/parties/invitations", "InvitationPage"),
        ("/components", "ComponentList"),
        ("/settings", "Settings"),
        ("/users", "UserPage"),
        ("/tokens", "TokenPage"),
        ("/audit", "AuditPage"),
        ("/ledger", "LedgerPage"),
        ("/nothing", "ErrorAnswer"),
    ):
        whole = {"$ref": f"#/components/schemas/{schema}", **document}
        jsonschema_rs.Draft202012Validator(whole).validate(client.get(path).json())


def test_published_schemas_are_schemas(client: httpx.Client) -> None:
    names = client.get("/schemas").json()["items"]
    assert {"job", "plan", "report", "job-view"} <= set(names)
    for name in names:
        jsonschema_rs.meta.validate(client.get(f"/schemas/{name}").json())
    job = client.get("/schemas/job").json()
    jsonschema_rs.Draft202012Validator(job).validate(JOB)


def test_changes_refusals_and_looks_at_rows_are_audited(node_site: Site) -> None:
    owner = node_site.person("ann", "data owner")
    looker = node_site.person("bob", "viewer")
    before = node_site.audited()
    with node_site.client(owner) as client:
        client.get("/data/people/preview", params={"rows": 2}).raise_for_status()
        client.get("/data/people").raise_for_status()
        assert client.delete("/data/nothing").status_code == 404
    with node_site.client(looker) as viewer:
        assert viewer.delete("/data/people").status_code == 403
    page = node_site.node.access.audit.page(limit=3, newest_first=True)
    reported = [(line["actor"], line["action"], line["outcome"]) for line in reversed(page.rows)]
    assert node_site.audited() == before + 3
    assert reported == [
        ("ann", "data.preview", "done"),
        ("ann", "data.delete", "refused"),
        ("bob", "data.write", "refused"),
    ]


# -- data over HTTP -------------------------------------------------------------------------------


def test_an_upload_is_checked_previewed_and_deleted(client: httpx.Client) -> None:
    body = b"id,x\n=1+1,1\nb,2\n"
    made = client.put("/data/upload/content", params={"description": "two"}, content=body)
    assert made.status_code == 200
    assert (made.json()["rows"], made.json()["uploaded"]) == (2, True)
    assert "path" not in made.json()
    shown = client.get("/data/upload/preview", params={"rows": 1}).json()
    assert shown["rows"] == [["'=1+1", 1.0]]
    assert client.post("/data/upload/check").json()["ok"]
    assert client.delete("/data/upload").status_code == 204
    assert client.get("/data/upload").status_code == 404


def test_a_large_upload_takes_little_memory(node_site: Site, tmp_path: Path) -> None:
    from atoll.flow.node.data.service import DataSettings
    from atoll.flow.node.plain_services import own_memory

    folder = tmp_path / "data"
    folder.mkdir()
    node = node_site.node
    roomy = DataService(node.database, node.access, folder, DataSettings(upload_bytes=1 << 30))
    rows = 2_000_000
    settings = replace(LIMITS, upload_bytes=1 << 30, body_seconds=60.0)

    def pieces() -> Iterator[bytes]:
        yield b"id,x\n"
        for start in range(0, rows, 50_000):
            yield "".join(f"row{at:012d},{at}\n" for at in range(start, start + 50_000)).encode()

    memory = own_memory()
    with served(node_site, settings, data=roomy) as server:
        headers = {"Authorization": f"Bearer {node_site.tokens['data owner']}"}
        url = f"{server.url}{PREFIX}/data/large/content"
        answer = httpx.put(url, headers=headers, content=pieces(), timeout=120)
        assert answer.json()["rows"] == rows
        assert own_memory() - memory < 48 << 20
        assert httpx.delete(f"{server.url}{PREFIX}/data/large", headers=headers).is_success
