"""A node that is hostile to whoever asks it: its answers reach a shell, a terminal, files, memory.

What a client takes of a node: docs/security/entrances.md.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest

from atoll.cli import completing, console, lines
from atoll.cli.job import watching
from atoll.cli.main import run
from atoll.core.errors import AtollError
from atoll.flow.api import views
from atoll.sdk import AsyncClient, Client, wire
from atoll.sdk.profiles import Profile, Profiles, config_file, read_profiles, write_profiles
from atoll.sdk.sse import ServerSentEvent
from atoll.sdk.wire import view

JOB = "20260101000000-0123abcd"
ROW = {"id": JOB, "name": "n", "state": "running", "created": 1.0}
EVENT = {"number": 1, "time": 1.0, "kind": "progress", "step": "s", "attempt": 1}


@dataclass
class Hostile:
    """A server that answers every request with the same."""

    url: str = ""
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, value: Any, **headers: str) -> None:
        """Answer with this from now on: bytes, or a value as JSON."""
        self.body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.headers = headers


@pytest.fixture(autouse=True)
def no_connection_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ATOLL_URL", "ATOLL_TOKEN", "ATOLL_PROFILE", "ATOLL_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ATOLL_CONFIG", str(tmp_path / "config.toml"))


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    made = Hostile()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(200)
            for name, value in made.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


# -- the shell ------------------------------------------------------------------------------------

COMMANDS = [
    "2026-$(touch${IFS}/tmp/x)",
    "`id`",
    "a;id",
    "a b",
    "-rf",
    "a\nb",
    "a'b",
    "~x",
    "*",
    "ä",
]


def completed(url: str, completer: completing.Completer, **given: str) -> list[str]:
    context = click.Context(click.Command("x"))
    context.params = {"url": url, "profile": None, "folder": None, **given}
    return [str(item.value) for item in completer(context, click.Option(["--x"]), "")]


@pytest.mark.parametrize("text", COMMANDS)
def test_no_shell_completes_a_command_of_the_nodes(hostile: Hostile, text: str) -> None:
    """Bash took `2026-$(touch${IFS}/tmp/x)` for a job's id into the line; the next Enter ran it."""
    plain = {"name": "aggregate", "version": "1"}
    hostile.answer({"items": [{"name": text, "version": "1"}, plain]})
    assert completed(hostile.url, completing.components) == ["aggregate"]
    hostile.answer({"items": [{**ROW, "id": text}, ROW], "next": None})
    assert completed(hostile.url, completing.jobs) == []
    hostile.answer({**ROW, "steps": {text: {"state": "running"}}})
    assert completed(hostile.url, completing.steps, job=JOB) == []


def test_what_nodes_call_things_is_completed(hostile: Hostile) -> None:
    hostile.answer({"items": [ROW], "next": None})
    assert completed(hostile.url, completing.jobs) == [JOB]
    model = {"id": f"{JOB}.train", "version": 2, "job": JOB, "step": "train", "role": "guest"}
    model |= {"kind": "a.b", "digest": "ab" * 32, "stage": "candidate", "created": 1.0}
    hostile.answer({"items": [model], "next": None})
    assert completed(hostile.url, completing.models) == [f"{JOB}.train:2"]


@pytest.mark.parametrize("text", COMMANDS)
def test_a_client_reads_no_such_name(text: str) -> None:
    """A name goes from one answer into the next command, by hand or by a script."""
    table = {"format": "csv", "digest": "ab" * 32, "id_column": "id", "columns": [], "rows": 1}
    table |= {"bytes": 1, "created": 1.0}
    for kind, value in (
        (views.JobRow, {**ROW, "id": text}),
        (views.JobView, {**ROW, "order": [text]}),
        (views.PartyView, {"party": text}),
        (views.UserView, {"name": text, "roles": []}),
        (views.DataView, {**table, "name": text}),
    ):
        with pytest.raises(AtollError, match="ATL-SDK-010"):
            view(kind, value)


# -- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_no_answer_is_compressed(hostile: Hostile, asynchronous: bool) -> None:
    """16 kB of gzip became 16 MiB of JSON, and these 2.5 GB of objects."""
    page = json.dumps({"items": [ROW], "next": None}).encode()
    hostile.answer(gzip.compress(page), content_encoding="gzip")

    async def later() -> None:
        async with AsyncClient(hostile.url, attempts=1) as client:
            await client.jobs.list()

    def at_once() -> None:
        with Client(hostile.url, attempts=1) as client:
            client.jobs.list()

    with pytest.raises(AtollError, match="ATL-SDK-010"):
        asyncio.run(later()) if asynchronous else at_once()
    assert hostile.asked[0]["accept-encoding"] == "identity"
    hostile.answer(page)
    with Client(hostile.url, attempts=1) as client:
        assert client.jobs.list().items[0].id == JOB


@pytest.mark.parametrize(
    "inner", [b"[]," * 600_000 + b"[]", b"[" * 200 + b"]" * 200, b"1e999", b"NaN", b"1" * 30]
)
def test_an_answer_is_judged_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, inner: bytes
) -> None:
    monkeypatch.setattr(wire, "JSON_BYTES", 4 << 20)
    body = b'{"items":[' + inner + b'],"next":null}'
    with pytest.raises(AtollError, match="ATL-SDK-010"):
        wire.Answer(200, {}, body).value()
    with pytest.raises(AtollError, match="ATL-SDK-010"):
        ServerSentEvent("job", "1", body.decode() + " " * (4 << 20)).value()
    assert wire.Answer(200, {}, b'{"items":[[]],"next":null}').value() == {
        "items": [[]],
        "next": None,
    }


def test_the_first_thing_wrong_ends_the_reading() -> None:
    """Pydantic would keep an error of half a kilobyte for each of the empty lists."""
    with pytest.raises(AtollError) as caught:
        view(views.JobPage, {"items": [[]] * 10_000, "next": None})
    cause: Any = caught.value.__cause__
    assert cause.error_count() == 1


def test_an_error_states_no_more_than_a_page() -> None:
    error = {"code": "A" * 10_000, "message": "m" * 100_000, "hint": "h" * 100_000}
    found = wire.Answer(400, {}, json.dumps({"error": error}).encode()).error()
    assert (len(found.code), len(found.message), len(found.hint or "")) == (64, 4096, 4096)


def test_one_long_name_does_not_make_every_row_long(
    hostile: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    """539 kB of a list were 301 MB on the terminal, and 1.8 GB in memory."""
    rows = [{**ROW, "name": "n" * 20_000}, *([ROW] * 199)]
    hostile.answer({"items": rows, "next": None})
    assert run(["job", "list", "--url", hostile.url]) == 0
    shown = capsys.readouterr().out
    assert "n" * 255 + "…" in shown
    assert len(shown) < 200 * 400
    assert len(lines.facts(("n" * 5000, 1), *((f"k{at}", at) for at in range(50)))) < 51 * 300
    assert console.table([("a" * 256, "1")]) == "a" * 256 + "  1"


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(-30_000_000, 1, 0.0), (1, -1, None), (5, 2, 1.0), (1, 4, 0.25), (1e308, 1e-308, 1.0)],
)
def test_progress_is_a_share_of_one(done: float, total: float, share: float | None) -> None:
    """`done` of -30,000,000 drew a bar of 300 million characters."""
    picture = watching.Picture(JOB)
    event = view(views.Event, EVENT | {"data": {"done": done, "total": total, "phase": "p" * 9999}})
    picture.take(event)
    step = picture.steps["s"]
    assert step.share == share
    step.state = "running"
    assert len(watching._bar(step)) < 300


def test_a_picture_has_so_many_steps() -> None:
    picture = watching.Picture(JOB)
    for at in range(watching.STEPS + 50):
        picture.take(view(views.Event, EVENT | {"step": f"s{at}", "data": {"phase": "p"}}))
    assert len(picture.steps) == watching.STEPS


@pytest.mark.parametrize("moment", [1e300, -1e300, 1e17])
def test_no_time_of_the_nodes_breaks_a_command(moment: float) -> None:
    assert lines.moment(moment) == "–"
    state = {"kind": "state", "step": None, "time": moment, "data": {"state": "running"}}
    assert watching.Picture(JOB).take(view(views.Event, EVENT | state))


# -- the file of profiles -------------------------------------------------------------------------

GOOD = Profile("http://127.0.0.1:1", token="fine", user="ann", expires=5.0)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"token":"\\ud83d\\ude00","expires":1.0}',
        b'{"token":"\\ud83d","expires":1.0}',
        b'{"token":"a b","expires":1.0}',
        b'{"token":"","expires":1.0}',
        b'{"token":"fine","expires":1e999}',
        b'{"token":"fine","expires":NaN}',
        b'{"token":"fine","expires":1e300}',
        b'{"token":"' + b"x" * 2_000_000 + b'","expires":1.0}',
    ],
)
def test_no_login_breaks_the_file_of_profiles(
    hostile: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    """An emoji as token, or an end at 1e999, made the file unreadable for good, for all nodes."""
    write_profiles(Profiles({"good": GOOD}, "good"))
    before = config_file().read_bytes()
    password = tmp_path / "password"
    password.write_text("correct horse battery\n")
    password.chmod(0o600)
    hostile.answer(answer)
    code = run(["login", hostile.url, "--profile", "evil", "--password-file", str(password)])
    assert (code, "ATL-SDK-010" in capsys.readouterr().err) != (0, False)
    assert config_file().read_bytes() == before
    assert read_profiles().get("good") == GOOD


@pytest.mark.parametrize("text", ["\N{GRINNING FACE}", "a\x7fb", "\x00", 'a"\\\n\t', "ä\u2028"])
def test_what_is_written_reads_back(text: str) -> None:
    whole = Profiles({"good": GOOD, "odd": Profile("http://x", token=text, user=text)}, "good")
    write_profiles(whole)
    assert read_profiles() == whole


@pytest.mark.parametrize(
    "odd", [{"token": "\ud83d"}, {"expires": float("nan")}, {"ca": "x" * 2_000_000}]
)
def test_what_would_not_read_back_is_not_written(odd: dict[str, Any]) -> None:
    write_profiles(Profiles({"good": GOOD}, "good"))
    before = config_file().read_bytes()
    with pytest.raises(AtollError, match="ATL-SDK-021"):
        write_profiles(Profiles({"good": GOOD, "odd": Profile("http://x", **odd)}, "good"))
    assert config_file().read_bytes() == before
