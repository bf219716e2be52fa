"""Users with few rights, and pages and programs that they run, against the API of a whole node.

What each user may hold of the node at once: docs/security/entrances.md.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from atoll.flow.access import local_actor
from atoll.flow.api.app import create_app
from atoll.flow.api.idempotency import Idempotency
from atoll.flow.api.server import Server
from atoll.flow.api.settings import PREFIX, ApiSettings
from atoll.flow.api.shares import Shares
from tests.flow.api.site import LIMITS, Site, site

SECONDS = 20.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("place")) as made:
        yield made


@contextlib.contextmanager
def served(place: Site, settings: ApiSettings = LIMITS) -> Iterator[Site]:
    """Serve the node's services once more, with bounds of a test's own."""
    with Server(create_app(place.node.services, settings), settings) as server:
        yield Site(place.node, server, place.tokens)


@contextlib.contextmanager
def held(
    monkeypatch: pytest.MonkeyPatch, place: Site, name: str
) -> Iterator[tuple[Callable[[int], None], threading.Event]]:
    """Let a method of the data service wait; give a wait for so many callers, and their release."""
    release, began = threading.Event(), threading.Semaphore(0)

    def slow(*_: Any, **__: Any) -> Any:
        began.release()
        assert release.wait(SECONDS)
        return ()

    def wait(callers: int) -> None:
        for _ in range(callers):
            assert began.acquire(timeout=SECONDS)

    monkeypatch.setattr(place.node.services.data, name, slow)
    try:
        yield wait, release
    finally:
        release.set()


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


# -- threads and connections ----------------------------------------------------------------------


def test_a_viewer_that_checks_again_and_again_stops_no_one(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 checks at once held every thread of the API, so that not even its health was answered."""
    release, began = threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        began.set()
        assert release.wait(SECONDS)
        return {"file": "f", "format": "csv", "bytes": 0, "rows": 0, "ok": True, "columns": (),
                "problems": (), "complete": True}  # fmt: skip

    monkeypatch.setattr(place.node.data, "check", slow)
    with (
        place.client("viewer") as viewer,
        place.client("administrator") as other,
        ThreadPoolExecutor(20) as pool,
    ):
        first = pool.submit(viewer.post, "/data/people/check")
        assert began.wait(SECONDS)
        more = [pool.submit(viewer.post, "/data/people/check") for _ in range(20)]
        refused = [one.result(SECONDS) for one in more]
        assert {(one.status_code, code(one)) for one in refused} == {(429, "ATL-API-021")}
        assert all(one.headers["retry-after"] for one in refused)
        assert other.get("/health/live").status_code == other.get("/status").status_code == 200
        release.set()
        assert first.result(SECONDS).status_code == 200
        assert viewer.post("/data/people/check").status_code == 200


def test_all_users_together_leave_threads_for_what_is_no_look(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(LIMITS, lookers=2)
    with (
        served(place, settings) as busy,
        held(monkeypatch, place, "preview") as (wait, release),
        busy.client("data owner") as owner,
        busy.client("viewer") as viewer,
        ThreadPoolExecutor(2) as pool,
    ):
        for _ in range(2):
            pool.submit(owner.get, "/data/people/preview")
        wait(2)
        answer = viewer.post("/data/people/check")
        assert (answer.status_code, code(answer)) == (503, "ATL-API-022")
        assert viewer.get("/data").status_code == 200
        release.set()


def test_requests_of_one_user_wait_for_each_other_and_no_one_for_them(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is slow to be served holds a share of the threads; who asks is seen on others."""
    settings = replace(LIMITS, user_threads=3)
    with (
        served(place, settings) as busy,
        held(monkeypatch, place, "grants") as (wait, release),
        busy.client("viewer", limits=httpx.Limits(max_connections=20)) as viewer,
        busy.client("auditor") as other,
        ThreadPoolExecutor(20) as pool,
    ):
        asked = [pool.submit(viewer.get, "/data/people/grants") for _ in range(20)]
        wait(3)
        assert other.get("/data").status_code == 200
        assert not any(one.done() for one in asked)
        release.set()
        assert all(one.result(SECONDS).status_code == 200 for one in asked)


def test_one_user_has_half_of_the_connections(place: Site) -> None:
    """600 long polls of one viewer gave everyone else 503."""
    with (
        served(place, replace(LIMITS, connections=12)) as busy,
        busy.client("modeller") as user,
        busy.client("viewer") as other,
    ):
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(_stalled(busy, "modeller", 4096))
            _held(busy, "requests", 6)
            answer = user.get("/me")
            assert (answer.status_code, code(answer)) == (429, "ATL-API-021")
            assert answer.headers["connection"] == "close"
            assert other.get("/status").status_code == 200
        _held(busy, "requests", 0)
        assert user.get("/me").status_code == 200


def _held(busy: Site, kind: str, count: int) -> None:
    """Wait until users hold so many of a kind."""
    shares: Shares = busy.server._app.state.shares
    end = time.monotonic() + SECONDS
    while sum(n for (_, one), n in list(shares._held.items()) if one == kind) != count:
        assert time.monotonic() < end
        threading.Event().wait(0.01)


@contextlib.contextmanager
def _stalled(busy: Site, who: str, length: int) -> Iterator[socket.socket]:
    """Send the head of a request, and of its body nearly all."""
    head = (
        f"POST {PREFIX}/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {busy.tokens[who]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", busy.server.port), timeout=SECONDS) as sent:
        sent.sendall(head.encode() + b" " * (length - 1))
        yield sent


def test_large_bodies_of_one_user_are_few_at_once(place: Site) -> None:
    """80 unfinished bodies of 8 MiB took as much memory as they are long."""
    settings = replace(LIMITS, body_bytes=8 << 20, stall_seconds=SECONDS, body_seconds=SECONDS)
    large = (64 << 10) + 1
    with served(place, settings) as busy, contextlib.ExitStack() as stack:
        for _ in range(settings.user_bodies):
            stack.enter_context(_stalled(busy, "viewer", large))

        _held(busy, "bodies", settings.user_bodies)
        with _stalled(busy, "viewer", large) as more:
            answer = b"".join(iter(lambda: more.recv(1 << 16), b""))
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"ATL-API-021" in answer
        with busy.client("auditor") as other:
            padded = b'{"name": "x", "scopes": ["job.read"]' + b" " * large + b"}"
            kind = {"Content-Type": "application/json"}
            assert other.post("/tokens", content=padded, headers=kind).status_code == 201


def test_uploads_of_one_user_are_few_at_once(place: Site) -> None:
    settings = replace(LIMITS, user_uploads=1, stall_seconds=SECONDS)
    began, release = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"id,x\n"
        began.set()
        assert release.wait(SECONDS)
        yield b"a,1\n"

    with (
        served(place, settings) as busy,
        busy.client("data owner") as owner,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(owner.put, "/data/slow/content", content=pieces())
        assert began.wait(SECONDS)
        _held(busy, "uploads", 1)
        assert _second(owner) == "ATL-API-021"
        release.set()
        assert first.result(SECONDS).status_code == 200
        assert _second(owner) == ""


def _second(owner: httpx.Client) -> str:
    answer = owner.put("/data/second/content", content=iter([b"id,x\n", b"a,1\n"]))
    return "" if answer.status_code == 200 else code(answer)


# -- values of rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["viewer", "auditor", "administrator", "modeller", "approver"])
def test_who_may_not_see_rows_sees_no_extreme_and_no_bare_digest(place: Site, who: str) -> None:
    """`check` gave the extremes of each column; labels can be tried against a digest."""
    with place.client("data owner") as owner, place.client(who) as user:
        bare, whole = owner.get("/data/people").json(), owner.post("/data/people/check").json()
        assert {one["maximum"] for one in whole["columns"]} == {1.0, 3.0}
        assert user.get("/data/people/preview").status_code == 403
        seen = user.post("/data/people/check").json()
        assert [one["name"] for one in seen["columns"]] == ["id", "y", "x"]
        assert all(one["minimum"] is one["maximum"] is None for one in seen["columns"])
        shown = user.get("/data/people").json()
        assert shown["digest"] != bare["digest"]
        assert {**shown, "digest": ""} == {**bare, "digest": ""}
        assert shown in user.get("/data").json()["items"]


class Stated:
    """Services of jobs and models that state digests, as a node's own do."""

    digest = "ab" * 32
    signature = "ef" * 64

    def artifacts(self, job: str) -> list[dict[str, Any]]:
        row = {"step": "match", "name": "table", "kind": "table", "digest": self.digest}
        return [{**row, "bytes": 1}]

    def log(self, job: str, step: str, attempt: int | None) -> list[dict[str, Any]]:
        text = f"output table: 1 bytes, digest {self.digest}"
        return [{"time": 1.0, "level": "info", "message": text}]

    def get(self, model: str, version: int) -> dict[str, Any]:
        came = {"from": {"version": 1, "digest": self.digest}, "signature": self.signature}
        lineage = {"plan": "cd" * 32, "migrated": came, "several": [[self.digest]]}
        lineage["fitted"] = {"scale": {"digest": self.digest}}
        row = {"id": "m", "version": 1, "job": "j", "step": "s", "role": "guest", "kind": "a.b"}
        more = {"digest": self.digest, "stage": "candidate", "lineage": lineage, "created": 1.0}
        return row | more


def test_digests_of_outputs_are_bare_for_those_alone_who_may_read_them(place: Site) -> None:
    stated: Any = Stated()
    services = replace(place.node.services, jobs=stated, models=stated)
    addresses = ("artifacts", "steps/match/log")
    job = "20260101000000-0123abcd"
    with Server(create_app(services, LIMITS), LIMITS) as server:
        busy = Site(place.node, server, place.tokens)
        for who, bare in (("viewer", False), ("auditor", False), ("modeller", True)):
            with busy.client(who) as user:
                shown = [user.get(f"/jobs/{job}/{one}").text for one in addresses]
                shown.append(user.get("/models/m/1").text)
                assert ["digest" in one for one in shown] == [True] * 3
                assert [Stated.digest in one for one in shown] == [bare] * 3
                # A guessed part could be tried against a signature over its digest.
                assert (Stated.signature in shown[2]) is bare
                assert "cd" * 32 in shown[2]


# -- keys of repeated requests --------------------------------------------------------------------


def test_keys_of_one_user_push_out_no_one_elses(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4096 keyed requests of a viewer made the owner's repeated request a second grant."""
    kept = Idempotency(entries=4)
    with served(place) as busy, busy.client("data owner") as owner, busy.client("viewer") as viewer:
        busy.server._app.state.idempotency = kept
        terms = {"partners": ["shop"], "components": ["psi"]}
        once = {"Idempotency-Key": "once"}
        first = owner.post("/data/people/grants", json=terms, headers=once)
        assert first.status_code == 201
        for number in range(9):
            named = {"name": f"t{number}", "scopes": ["job.read"]}
            made = viewer.post("/tokens", json=named, headers={"Idempotency-Key": f"k{number}"})
            assert made.status_code == 201
            viewer.delete(f"/tokens/{made.json()['id']}")
        again = owner.post("/data/people/grants", json=terms, headers=once)
        assert again.headers["idempotent-replay"] == "true"
        assert again.json()["id"] == first.json()["id"]
        assert all(len(mine) <= 4 for mine in kept._users.values())


def test_a_narrow_token_gets_no_answer_of_its_users_other_token(place: Site) -> None:
    """A token without `data.preview` got extremes by the key of one that has it."""
    once = {"Idempotency-Key": "nightly"}
    owner = place.person("nightly", "data owner")
    place.tokens["narrow one"] = place.token(owner, frozenset({"data.read"}), 3600.0)
    with place.client(owner) as wide, place.client("narrow one") as narrow:
        first = wide.post("/data/people/check", headers=once)
        assert {one["maximum"] for one in first.json()["columns"]} == {1.0, 3.0}
        seen = narrow.post("/data/people/check", headers=once)
        assert "idempotent-replay" not in seen.headers
        assert {one["maximum"] for one in seen.json()["columns"]} == {None}
        assert wide.post("/data/people/check", headers=once).headers["idempotent-replay"] == "true"


def test_a_user_gets_no_answer_of_roles_that_were_removed(place: Site) -> None:
    once = {"Idempotency-Key": "nightly"}
    name = place.person("demoted", "data owner", "viewer")
    with place.client(name) as user:
        first = user.post("/data/people/check", headers=once)
        place.node.access.set_roles(local_actor(), name, ["viewer"])
        seen = user.post("/data/people/check", headers=once)
    assert {one["maximum"] for one in first.json()["columns"]} == {1.0, 3.0}
    assert {one["maximum"] for one in seen.json()["columns"]} == {None}


def test_what_is_refused_is_not_done(place: Site) -> None:
    """`POST /users` by a token with `user.write` alone was answered 403, and the user was made."""
    admin = place.person("halfway", "administrator")
    place.tokens["writing"] = place.token(admin, frozenset({"user.write"}), 3600.0)
    with place.client("writing") as user, place.client(admin) as whole:
        refused = user.post("/users", json={"name": "made-anyway", "roles": ["data owner"]})
        assert (refused.status_code, code(refused)) == (403, "ATL-ACC-003")
        assert "made-anyway" not in whole.get("/users").text
        assert whole.post("/users", json={"name": "made-anyway"}).status_code == 201


def test_the_key_of_a_request_that_runs_is_not_dropped(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        served(place) as busy,
        held(monkeypatch, place, "check") as (wait, release),
        busy.client("viewer") as viewer,
        ThreadPoolExecutor(1) as pool,
    ):
        busy.server._app.state.idempotency = Idempotency(entries=1)
        once = {"Idempotency-Key": "once"}
        first = pool.submit(viewer.post, "/data/people/check", headers=once)
        wait(1)
        for number in range(3):
            named = {"name": f"r{number}", "scopes": ["job.read"]}
            keyed = {"Idempotency-Key": f"k{number}"}
            assert viewer.post("/tokens", json=named, headers=keyed).status_code == 201
        again = viewer.post("/data/people/check", headers=once)
        assert (again.status_code, code(again)) == (409, "ATL-API-006")
        release.set()
        first.result(SECONDS)


# -- archives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["first block", "length", "manifest", "signature"])
def test_of_an_archive_that_is_none_nothing_is_written(place: Site, wrong: str) -> None:
    """60 MiB of an archive were on the disk whose first block was garbage."""
    incoming = place.node.folder.run / "incoming"
    went: list[int] = []

    def entry(name: str, data: bytes) -> bytes:
        made = tarfile.TarInfo(name)
        made.size, made.mode = len(data), 0o600
        padding = bytes(-len(data) % 512)
        return made.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict") + data + padding

    part = {"digest": "ab" * 32, "bytes": 1 << 19}
    stated = {"form": "atoll/model/v1", "party": "bank", "id": "m", "version": 1, "job": None}
    stated |= {"step": None, "role": None, "kind": "a.b", "parameters_digest": None}
    stated |= {"lineage": {}, "created": 1.0, "part": part}
    manifest = json.dumps(stated, sort_keys=True, separators=(",", ":")).encode()
    heads = {
        "first block": b"\xff" * 512,
        "length": entry("manifest.json", bytes(5 << 20))[:512],
        "manifest": entry("manifest.json", b"{}") + entry("signature", bytes(64)),
        "signature": entry("manifest.json", manifest) + entry("signature", bytes(64)),
    }
    whole = heads[wrong] + entry("certificate.pem", place.node.identity().certificate)

    def size(path: Path) -> int:
        """A refused archive may be removed between its listing and this look."""
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_size
        return 0

    def pieces() -> Iterator[bytes]:
        yield whole
        for _ in range(64):
            went.append(sum(map(size, incoming.glob("*"))))
            yield bytes(64 << 10)

    with served(place, replace(LIMITS, archive_bytes=64 << 20)) as busy:
        with busy.client("modeller") as user:
            try:
                answer = user.post("/models/import", content=pieces())
            except httpx.TransportError:
                answer = None
        assert answer is None or code(answer) in {"ATL-REG-006", "ATL-PLN-002"}
    assert not any(went)


# -- pages of others ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_page_whose_name_leads_here_is_no_administrator(place: Site, host: str) -> None:
    """Without access control a page that rebinds its name added users and saw rows."""
    page = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    user = {"name": "mallory", "roles": ["administrator"], "password": "a very long pass 9"}
    with served(place, replace(LIMITS, authentication=False)) as busy, busy.client(None) as client:
        answers = [
            client.get("/me", headers=page),
            client.get("/data/people/preview", headers=page),
            client.post("/users", headers=page, json=user),
            client.get("/version", headers=page),
        ]
        assert {(one.status_code, code(one)) for one in answers} == {(403, "ATL-API-023")}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8090", "LocalHost:1", "[::1]:9", "[::1]"])
def test_names_of_this_machine_are_answered_without_access_control(place: Site, host: str) -> None:
    with served(place, replace(LIMITS, authentication=False)) as busy, busy.client(None) as client:
        assert client.get("/me", headers={"Host": host}).json()["user"] == "local"
    with place.client("viewer") as behind_a_proxy:
        assert behind_a_proxy.get("/me", headers={"Host": "atoll.example"}).status_code == 200


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_that_a_token_made_ends_with_it(place: Site) -> None:
    """Whoever had a token for a while made another with it, which outlived its revocation."""
    place.person("carla", "modeller")
    url, scopes = place.server.url + PREFIX, ["token.write", "job.read"]

    def sent(token: str) -> httpx.Client:
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    made = []
    by = place.tokens["carla"]
    for name in ("parent", "child", "grandchild"):
        with sent(by) as client:
            answer = client.post("/tokens", json={"name": name, "scopes": scopes, "days": 0.01})
            assert answer.status_code == 201, answer.text
            shown = answer.json()
            assert sorted(shown["scopes"]) == sorted(scopes)
            made.append(shown)
            by = shown["token"]
    with place.client("carla") as owner:
        other = owner.post("/tokens", json={"name": "other", "scopes": scopes, "days": 0.01}).json()
        assert owner.delete(f"/tokens/{made[0]['id']}").status_code == 204
        assert owner.get("/jobs").status_code == 200
    for one in made:
        with sent(one["token"]) as client:
            assert client.get("/jobs").status_code == 401
    with sent(other["token"]) as client:
        assert client.get("/jobs").status_code == 200
