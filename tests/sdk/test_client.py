"""The blocking client against the real API on a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atoll.core.errors import AtollError, NetworkError
from atoll.jobs.errors import ConflictError, DeniedError, NotFoundError
from atoll.sdk import Client, Job
from atoll.sdk.errors import JobFailedError, TimedOutError, UnauthenticatedError
from tests.sdk.site import PASSWORD, Site, make_job, site
from tests.sdk.small import DIGEST


def test_a_job_is_submitted_waited_for_and_read(node: Site, client: Client) -> None:
    job = client.jobs.submit(make_job(), tags=["monday"], notes="first")
    assert isinstance(job, Job)
    assert (job.state, job.view.tags) == ("waiting", ("monday",))
    later = threading.Timer(0.1, node.played.jobs.move, (job.id, "success"))
    later.start()
    assert job.wait(10).check().state == "success"
    later.join()
    assert job.log("psi").items[0].message == "begun"
    assert job.metrics("psi", attempt=1).items[0].value == 0.75
    assert job.report("psi").title == "Rows & more"
    assert set(job.reports()) == {"psi"}
    assert job.artifacts().items[0].name == "table"
    assert job.traffic().items[0].peer == "shop"
    assert job.plan().digest == DIGEST


def test_the_same_key_submits_once(node: Site, client: Client) -> None:
    first = client.jobs.submit(make_job(), key="monday")
    assert client.jobs.submit(make_job(), key="monday").id == first.id
    assert client.jobs.submit(make_job()).id != first.id
    assert len(node.played.jobs.jobs) == 2


def test_jobs_are_paged(client: Client) -> None:
    ids = [client.jobs.submit(make_job()).id for _ in range(5)]
    page = client.jobs.list(limit=2)
    assert [row.id for row in page.items] == ids[:2:-1]
    assert page.next
    assert [row.id for row in client.jobs.all(limit=2)] == ids[::-1]
    assert "<table>" in page._repr_html_()


def test_a_job_is_steered(node: Site, client: Client) -> None:
    job = client.jobs.submit(make_job())
    assert job.approve().state == "running"
    with pytest.raises(ConflictError) as caught:
        job.retry()
    assert (caught.value.code, caught.value.place) == ("ATL-FLW-009", job.id)
    assert not caught.value.retryable
    assert job.stop().state == "cancelled"
    assert job.rerun("psi").state == "running"
    assert job.annotate(notes="again").view.notes == "again"
    assert job.refuse("not today").state == "refused"
    with pytest.raises(JobFailedError) as failed:
        job.check()
    assert failed.value.code == "ATL-POL-002"


def test_errors_keep_class_code_place_and_hint(client: Client) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.jobs.get("20260101000000-0000000f")
    assert caught.value.exit_code == 3
    assert caught.value.place == "20260101000000-0000000f"
    job = make_job().canonical()
    job["partys"] = job.pop("parties")
    with pytest.raises(AtollError) as wrong:
        client.jobs.submit(job)
    assert wrong.value.code == "ATL-API-001"
    with pytest.raises(AtollError, match="ATL-SDK-011"):
        client.jobs.get("..")


def test_without_a_valid_token_nothing_is_told(node: Site) -> None:
    with Client(node.url) as anonymous:
        assert anonymous.node.version().api == 1
        with pytest.raises(UnauthenticatedError) as caught:
            anonymous.jobs.list()
    assert caught.value.exit_code == 4
    with Client(node.url, token="wrong") as anonymous, pytest.raises(UnauthenticatedError):
        anonymous.jobs.list()


def test_logging_in_gives_a_token_that_works(node: Site) -> None:
    with Client(node.url) as anonymous:
        token = anonymous.me.login("admin", PASSWORD).token
    with Client(node.url, token=token) as client:
        assert client.me.show().user == "admin"
        client.me.logout()
        with pytest.raises(UnauthenticatedError):
            client.me.show()


def test_users_and_tokens(node: Site, client: Client) -> None:
    made = client.users.add("ann", ["viewer"])
    assert made.password
    assert {user.name for user in client.users.all()} == {"admin", "ann"}
    assert client.users.change("ann", disabled=True).disabled
    token = client.tokens.new("script", scopes=["job.read"], days=1)
    assert token.id in {entry.id for entry in client.tokens.list().items}
    with Client(node.url, token=token.token) as script:
        assert script.jobs.list().items == ()
        with pytest.raises(DeniedError):
            script.jobs.submit(make_job())
    client.tokens.revoke(token.id)
    client.users.delete("ann")
    assert any(line.action == "user.add" for line in client.audit.all(limit=2))


def test_tables_grants_models_and_partners(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    file.write_bytes(b"x" * 3_000_000)
    assert client.data.upload("people", file, label="y").bytes == 3_000_000
    assert client.data.register("loans", "/data/loans.csv", id="k").id_column == "k"
    assert [row.name for row in client.data.all(limit=1)] == ["loans", "people"]
    assert client.data.preview("people", rows=1).rows == (("a", 1.5),)
    assert client.data.check("people").ok
    grant = client.data.grant("people", ["shop"], ["psi"], automatic=True, limits={"runs": 3})
    assert client.data.grants("people").items[0].limits.runs == 3
    with pytest.raises(ConflictError):
        client.data.delete("people")
    client.data.revoke(grant.id)
    client.data.delete("people")
    assert client.models.list().items[0].id == "credit"
    assert client.models.stage("credit", 1, "published").stage == "published"
    assert client.models.bind("credit", 1, "score").name == "score"
    assert client.models.export("credit", 1, tmp_path / "m.tar") == 18
    assert client.models.import_(tmp_path / "m.tar").version == 1
    assert client.models.predict_job("credit", 1, {"bank": "people"}).name == "credit"
    assert client.parties.ping("shop").reachable
    assert client.parties.invite("mill").code
    client.parties.revoke("shop")
    assert client.parties.accept("code").party == "inviter"
    assert client.components.get("psi").version == "1"
    assert client.settings.list().items[0].key == "http.port"
    assert client.node.selftest(["sick"]).passed is False
    assert client.node.status()["party"] == "bank"
    assert "job" in client.node.schemas().items


def test_a_download_is_there_whole_or_not_at_all(client: Client, tmp_path: Path) -> None:
    job = client.jobs.submit(make_job())
    place = tmp_path / "out"
    place.mkdir()
    assert job.download("psi", "table", place / "t.bin") == 100_000
    assert (place / "t.bin").stat().st_size == 100_000
    with pytest.raises(NotFoundError):
        job.download("nothing", "table", place / "u.bin")
    with pytest.raises(AtollError, match="ATL-SDK-026"):
        job.download("psi", "table", place / "no" / "u.bin")
    assert [file.name for file in place.iterdir()] == ["t.bin"]


def test_events_come_live_and_once(node: Site, client: Client) -> None:
    job = client.jobs.submit(make_job())

    def work() -> None:
        for at in range(20):
            node.played.jobs.add_event(job.id, "progress", "psi", done=at)
        node.played.jobs.move(job.id, "success")

    thread = threading.Thread(target=work)
    thread.start()
    found = list(job.stream())
    thread.join()
    assert [event.number for event in found] == list(range(1, 23))
    assert job.state == "success"
    assert [event.number for event in job.stream(after=20)] == [21, 22]


class Breaking:
    """A port that passes connections on, and breaks each after some bytes of the answer."""

    def __init__(self, port: int, breaks: list[int]) -> None:
        self._port, self._breaks = port, breaks
        self._stack = contextlib.ExitStack()
        self._listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._threads: list[threading.Thread] = []
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self._start(self._serve)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            try:
                here = self._stack.enter_context(self._listener.accept()[0])
            except OSError:
                return
            self.connections += 1
            left = self._breaks.pop(0) if self._breaks else 1 << 40
            address = ("127.0.0.1", self._port)
            there = self._stack.enter_context(socket.create_connection(address))
            self._start(self._pump, here, there, 1 << 40)
            self._start(self._pump, there, here, left)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, left: int) -> None:
        with contextlib.suppress(OSError):
            while left > 0 and (data := source.recv(min(left, 65536))):
                sink.sendall(data)
                left -= len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Breaking:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join()
        self._stack.close()


def through(breaking: Breaking, node: Site) -> Client:
    return Client(f"http://127.0.0.1:{breaking.port}", token=node.token, timeout=10)


def test_a_stream_goes_on_after_broken_connections(node: Site, client: Client) -> None:
    job = client.jobs.submit(make_job())
    for at in range(30):
        node.played.jobs.add_event(job.id, "progress", "psi", done=at)
    node.played.jobs.move(job.id, "success")
    port = int(node.url.rpartition(":")[2])
    with Breaking(port, [900, 100, 2500, 30]) as breaking, through(breaking, node) as far:
        found = list(far.jobs.get(job.id).stream())
        assert breaking.connections > 3
    assert [event.number for event in found] == list(range(1, 33))


def test_a_keyed_request_is_sent_again_when_its_answer_is_lost(node: Site) -> None:
    port = int(node.url.rpartition(":")[2])
    with Breaking(port, [20]) as breaking, through(breaking, node) as far:
        job = far.jobs.submit(make_job())
        assert breaking.connections == 2
    assert list(node.played.jobs.jobs) == [job.id]


def test_a_request_that_may_not_be_repeated_is_sent_once(node: Site) -> None:
    port = int(node.url.rpartition(":")[2])
    with Breaking(port, [20, 20]) as breaking, through(breaking, node) as far:
        with pytest.raises(NetworkError) as caught:
            far.users.add("ann", ["viewer"])
        assert breaking.connections == 1
    assert (caught.value.code, caught.value.retryable) == ("ATL-SDK-012", True)


def test_a_node_that_restarts_is_waited_for(tmp_path: Path) -> None:
    with site(tmp_path) as first:
        port = int(first.url.rpartition(":")[2])
        client = Client(first.url, token=first.token, timeout=10)
        job = client.jobs.submit(make_job())
        played = first.played
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(job.stream()))
        thread.start()
        played.jobs.add_event(job.id, "progress", "psi", done=1)
        first.server.stop()
    with site(tmp_path, port, former=first) as second:
        second.played.jobs.move(job.id, "success")
        thread.join(30)
        assert not thread.is_alive()
    client.close()
    assert [event.number for event in found] == [1, 2, 3]


def test_nobody_there_is_a_network_error_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", attempts=1) as client,
        pytest.raises(NetworkError) as caught,
    ):
        client.node.version()
    assert caught.value.code == "ATL-SDK-012"
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_waiting_ends_with_its_time(client: Client) -> None:
    job = client.jobs.submit(make_job())
    with pytest.raises(TimedOutError) as caught:
        job.wait(0.2)
    assert (caught.value.code, caught.value.exit_code) == ("ATL-SDK-013", 7)


def test_another_program_is_not_taken_for_a_node() -> None:
    # Said to close: otherwise the second request may be written to the connection as it goes.
    closing = b"Connection: close\r\n\r\n"
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + closing + b"hi",
        b"HTTP/1.1 302 F\r\n" + closing,
    ]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with Client(f"http://127.0.0.1:{listener.getsockname()[1]}", attempts=1) as client:
        for _ in answers:
            with pytest.raises(AtollError) as caught:
                client.jobs.list()
            assert (caught.value.code, caught.value.exit_code) == ("ATL-SDK-010", 10)
    thread.join()
    listener.close()


def test_a_job_is_drawn_without_letting_text_become_markup(client: Client) -> None:
    job = client.jobs.submit(make_job(), notes="<b>")
    job.view = job.view.model_copy(update={"name": "<script>"})
    assert "<script>" not in job._repr_html_()
    assert "&lt;own&gt;" in job.report("psi")._repr_html_()
    assert job.id in repr(job)
