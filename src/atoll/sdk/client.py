"""The blocking client of a node.

    with Client("http://127.0.0.1:8470", token=…) as client:
        job = client.jobs.submit(pipeline, key="monday")
        for event in job.stream():
            print(event.kind, event.step)
        print(job.wait().check().report("evaluation"))

Reads and keyed requests are repeated when the connection breaks; all others are sent once.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from atoll.sdk import flows, sse
from atoll.sdk import target as wiring
from atoll.sdk.drive import Done, Driver
from atoll.sdk.flows import Flow, Lost
from atoll.sdk.http_import import httpx
from atoll.sdk.resources import Resources
from atoll.sdk.wire import JSON_BYTES, Answer, Call, Request, unexpected

T = TypeVar("T")


class Client(Resources):
    """A connection to one node; see ``wiring.resolve`` for how the node is found.

    ``timeout`` is in seconds for each request, ``attempts`` how often one is sent at most. Errors
    of its calls are ``AtollError`` with the node's code, place and hint; ATL-SDK-012 the node
    cannot be reached, ATL-SDK-013 no answer in time.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        profile: str | None = None,
        folder: str | Path | None = None,
        target: wiring.Target | None = None,
        timeout: float = 30.0,
        attempts: int = flows.ATTEMPTS,
    ) -> None:
        self.target = target or wiring.resolve(url, token, profile, folder)
        self._timeout = timeout
        self.attempts = max(attempts, 1)
        self._http = httpx.Client(**wiring.options(self.target, timeout))
        super().__init__()

    def send(self, call: Call[T]) -> T:
        """Send a call and return its result."""
        return self.run(flows.send(call, self.attempts))

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return its result; what it emits is left out."""
        steps = self._steps(flow)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def iterate(self, flow: Flow[Any]) -> Iterator[Any]:
        """Drive a flow and give what it emits, as it comes."""
        yield from self._steps(flow)

    def _steps(self, flow: Flow[T]) -> Generator[Any, None, T]:
        driver, opened = Driver(flow), _Opened(self)
        try:
            while True:
                effect = driver.step()
                if isinstance(effect, Done):
                    return effect.value
                if isinstance(effect, flows.Emit):
                    yield effect.value
                    continue
                try:
                    driver.reply = opened.perform(effect)
                except Lost as lost:
                    self.target = wiring.renewed(self.target)
                    driver.problem = lost
        finally:
            driver.close()
            opened.close()

    def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer whole. Errors: ``Lost``."""
        with ExitStack() as stack:
            response = self.open(request, stack, stream=False)
            return self.whole(response)

    def open(self, request: Request, stack: ExitStack, *, stream: bool) -> httpx.Response:
        """Send one request; its answer's body stays open with ``stack``. Errors: ``Lost``."""
        # Another thread may find the node elsewhere meanwhile: this request is about this target.
        target = self.target
        content: Any = request.payload()
        if request.content is not None:
            content = stack.enter_context(wiring.open_content(request.content))
        with wiring.translated_errors(target):
            response = stack.enter_context(
                self._http.stream(
                    request.method,
                    request.url(target.url),
                    headers=request.headers(target.token),
                    content=content,
                    timeout=wiring.timeout_for(request, self._timeout, stream=stream),
                )
            )
        encoding = response.headers.get("content-encoding")
        wiring.check_answer(target, response.status_code, encoding)
        return response

    def whole(self, response: httpx.Response) -> Answer:
        """Read an answer. Errors: ``Lost``, ATL-SDK-010 too large."""
        body = bytearray()
        with wiring.translated_errors(self.target):
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > JSON_BYTES:
                    raise unexpected(response.status_code)
        return Answer(response.status_code, response.headers, bytes(body))

    def status(self) -> dict[str, Any]:
        """Ask how the node does."""
        return self.node.status()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<client of {self.target.url}>"


class _Opened:
    """Performs effects, and holds the stream that is open."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stack = ExitStack()
        self._response: httpx.Response | None = None
        self._lines: Iterator[str] = iter(())

    def close(self) -> None:
        """Close the stream, if one is open."""
        self._stack.close()
        self._response = None

    def perform(self, effect: flows.Effect) -> Any:
        """Do what a flow asks for and return the result. Errors: ``Lost``."""
        match effect:
            case flows.Send(request=request):
                return self._client.exchange(request)
            case flows.Pause(seconds=seconds):
                time.sleep(seconds)
                return None
            case flows.Now():
                return time.monotonic()
            case flows.Open(request=request):
                return self._open(request)
            case flows.Line():
                with wiring.translated_errors(self._client.target):
                    return next(self._lines, None)
            case flows.Save(file=file):
                return self._save(file)
        return None

    def _open(self, request: Request) -> Answer:
        self.close()
        response = self._client.open(request, self._stack, stream=True)
        if response.status_code >= 300:
            return self._client.whole(response)
        self._response, self._lines = response, _lines(response)
        return Answer(response.status_code, response.headers)

    def _save(self, file: Path) -> int:
        if self._response is None:
            return 0
        with wiring.Draft(file) as draft, wiring.translated_errors(self._client.target):
            for chunk in self._response.iter_raw(wiring.CHUNK):
                draft.write(chunk)
        return draft.size


def _lines(response: httpx.Response) -> Iterator[str]:
    cutter = sse.Lines()
    for chunk in response.iter_raw():
        yield from cutter.feed(chunk)
