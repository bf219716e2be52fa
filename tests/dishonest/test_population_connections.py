"""Members, and strangers, who keep a population's server busy: over TLS, unchanged server."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.channel.identity.certificates import pem
from atoll.channel.outbound import certificates, tls
from atoll.cli.client.folder import CERTIFICATE, KEY, ClientFolder
from atoll.cli.client.session import MemberSession
from atoll.core.errors import AtollError, NetworkError
from atoll.flow.api import accepting
from atoll.flow.populations import server
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.population import messages
from tests.flow.populations.helpers import RULES, Serving, enrolled, population, serving

SECONDS = 30.0
# A piece of the model is 4 MiB.
WIDE = {"hidden": (4096, 256), "rounds": 1, "weighting": "equal"}
PATIENT = RULES.model_copy(update={"fetch": 500.0})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Serving, list[ClientFolder]]]:
    """Two members of a round that waits for both."""
    made = population(tmp_path / "p", {**WIDE, "minimum_clients": 2})
    rules = PATIENT.model_copy(
        update={"closing": PATIENT.closing.model_copy(update={"limit": 600})}
    )
    with serving(made, rules=rules) as found:
        yield found, [enrolled(tmp_path / f"c{n}", found.code()) for n in range(2)]


def tasks(served: Serving, joined: list[ClientFolder]) -> list[messages.Task]:
    """Have all members check in until each has its task."""
    ask = messages.CheckIn.of(served.population.terms.digest, Condition(), frozenset())
    found: dict[int, messages.Task] = {}
    waiting = threading.Event()
    while len(found) < len(joined):
        for number, folder in enumerate(joined):
            with contextlib.closing(MemberSession(folder)) as session:
                answer = session("check-in", ask, messages.Stay, messages.Task)
            if isinstance(answer, messages.Task):
                found[number] = answer
        waiting.wait(0.05)
    return [found[number] for number in range(len(joined))]


def connection(folder: ClientFolder) -> ssl.SSLSocket:
    joined, authority = folder.joined, pem(folder.authority()).decode()
    context = tls.member_context(folder.root / CERTIFICATE, folder.root / KEY, authority)
    host, port = joined.address.split(":")
    plain = socket.socket()
    # Little of what it does not read is taken.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(SECONDS)
    plain.connect((host, int(port)))
    return context.wrap_socket(plain, server_hostname=certificates.server_name("phones"))


def begun(folder: ClientFolder, what: str, length: int, body: bytes) -> ssl.SSLSocket:
    """Send a request, or the beginning of one."""
    secured = connection(folder)
    head = f"POST /population/v1/{what} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    secured.sendall(head.encode() + body)
    return secured


def status(secured: ssl.SSLSocket) -> int:
    with http.client.HTTPResponse(secured) as response:
        response.begin()
        return response.status


def refusals(served: Serving) -> dict[tuple[str, str], int]:
    """Stop a population, and return from its log who was refused how often with which code."""
    served.stop()
    store = served.population.store()
    with contextlib.closing(store):
        lines = store.lines(1000, what="refused")
    return {(line.who, line.detail): line.times for line in lines}


def test_who_has_no_task_takes_no_place_of_those_who_send(
    place: tuple[Serving, list[ClientFolder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, one member kept all 32 places by requests that it did not go on with."""
    monkeypatch.setattr(server, "LARGE", 1)
    served, joined = place
    with contextlib.ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(begun(joined[0], "piece", 4_000_000, b"x" * 10))
        late = begun(joined[1], "piece", 4_000_000, b"x" * 4_000_000)
        opened.enter_context(late)
        # Its body is dropped as it comes, and it learns that it is late.
        assert status(late) == 200
    assert refusals(served)[("client 1", "ATL-HOR-034")] == 1


def test_one_body_of_a_member_at_a_time_and_none_that_stands_still(
    place: tuple[Serving, list[ClientFolder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, joined = place
    tasks(served, joined)
    with contextlib.ExitStack() as opened:
        opened.enter_context(begun(joined[0], "piece", 4_000_000, b"x" * 10))
        second = opened.enter_context(begun(joined[0], "piece", 4_000_000, b"x" * 10))
        assert status(second) == 503
    monkeypatch.setattr(server, "PART_SECONDS", 0.2)
    with begun(joined[1], "piece", 4_000_000, b"x" * 10) as still:
        assert status(still) == 408
    assert ("client 0", "ATL-POP-018") in refusals(served)


def test_answers_that_are_not_read_are_few_and_made_as_they_are_taken(
    place: tuple[Serving, list[ClientFolder]],
) -> None:
    """Before, 300 answers of 4 MiB to one member filled 1.8 GB of memory."""
    served, joined = place
    token = tasks(served, joined)[0].token
    body = messages.Fetch(token, 0).encode()
    with contextlib.ExitStack() as opened:
        unread = opened.enter_context(begun(joined[0], "fetch", len(body), body))
        # Its answer has begun: from here on the place is taken.
        assert unread.recv(1)
        session = opened.enter_context(contextlib.closing(MemberSession(joined[0])))
        with pytest.raises(NetworkError) as caught:
            session("fetch", messages.Fetch(token, 0), messages.Weights)
        assert caught.value.code == "ATL-POP-018"
        waits = [one.transport.waits() for held in _held() for one in held]
        assert max(waits) < 1 << 20
        # Others are answered.
        other = opened.enter_context(contextlib.closing(MemberSession(joined[1])))
        second = tasks(served, joined[1:])[0].token
        assert len(other("fetch", messages.Fetch(second, 0), messages.Weights).values) == 1 << 20


def _held() -> list[list[server.MemberProtocol]]:
    return list(server.MemberProtocol.members.values())


def test_one_member_has_few_connections_and_the_oldest_goes(
    place: tuple[Serving, list[ClientFolder]],
) -> None:
    served, joined = place
    with contextlib.ExitStack() as opened:
        many = [opened.enter_context(connection(joined[0])) for _ in range(20)]
        for gone in many[: -server.CONNECTIONS_OF_ONE]:
            with contextlib.suppress(OSError):
                assert gone.recv(1) == b""
        ask = messages.CheckIn.of(served.population.terms.digest, Condition(), frozenset())
        last = many[-1]
        data = ask.encode()
        head = f"POST /population/v1/check-in HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}"
        last.sendall(head.encode() + b"\r\n\r\n" + data)
        assert status(last) == 200


def test_strangers_who_stay_silent_keep_no_member_out(
    place: tuple[Serving, list[ClientFolder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, 1,200 of them took all descriptors, for 60 s each."""
    monkeypatch.setattr(accepting, "UNFINISHED", 4)
    served, joined = place
    with contextlib.ExitStack() as opened:
        address = ("127.0.0.1", served.port)
        silent = [
            opened.enter_context(socket.create_connection(address, SECONDS)) for _ in range(20)
        ]
        assert len(tasks(served, joined)) == 2
        for gone in silent[:10]:
            with contextlib.suppress(ConnectionError):
                assert gone.recv(1) == b""


def test_counts_outlast_a_membership(place: tuple[Serving, list[ClientFolder]]) -> None:
    """Before, who left and joined again had done nothing yet, with the same ε stated."""
    served, joined = place
    folder = joined[0]
    folder.book().spend(b"t" * 16, "0" * 64)
    with contextlib.closing(MemberSession(folder)) as session:
        session.leave()
    folder.forget()
    assert not folder.has_joined()
    again = enrolled(folder.root, served.code())
    assert again.book().counts().tasks == 1
    with pytest.raises(AtollError), contextlib.closing(MemberSession(again)) as session:
        session("fetch", messages.Fetch(b"t" * 16, 0), messages.Weights)
