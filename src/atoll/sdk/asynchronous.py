"""The asynchronous client of a node: the same calls as ``Client``, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from atoll.sdk import flows, sse
from atoll.sdk import target as wiring
from atoll.sdk.drive import Done, Driver
from atoll.sdk.flows import Flow, Lost
from atoll.sdk.http_import import httpx
from atoll.sdk.wire import JSON_BYTES, Answer, Call, Request, unexpected

if TYPE_CHECKING:
    # The same methods as ``resources`` and ``jobs``, with results that are awaited.
    from atoll.sdk.awaited import AsyncJob, Resources
else:
    from atoll.sdk.jobs import Job as AsyncJob
    from atoll.sdk.resources import Resources

__all__ = ["AsyncClient", "AsyncJob"]

T = TypeVar("T")


class AsyncClient(Resources):
    """``Client`` for asyncio, see there: what its methods return is awaited."""

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
        self._http = httpx.AsyncClient(**wiring.options(self.target, timeout))
        super().__init__()

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its result."""
        return await self.run(flows.send(call, self.attempts))

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return its result; what it emits is left out."""
        driver, opened = Driver(flow), _Opened(self)
        try:
            while True:
                effect = await _next(driver, opened)
                if isinstance(effect, Done):
                    return effect.value
        finally:
            driver.close()
            await opened.close()

    async def iterate(self, flow: Flow[Any]) -> AsyncIterator[Any]:
        """Drive a flow and give what it emits, as it comes."""
        driver, opened = Driver(flow), _Opened(self)
        try:
            while True:
                effect = await _next(driver, opened)
                if isinstance(effect, Done):
                    return
                yield effect.value
        finally:
            driver.close()
            await opened.close()

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer whole. Errors: ``Lost``."""
        async with AsyncExitStack() as stack:
            response = await self.open(request, stack, stream=False)
            return await self.whole(response)

    async def open(
        self, request: Request, stack: AsyncExitStack, *, stream: bool
    ) -> httpx.Response:
        """Send one request; its answer's body stays open with ``stack``. Errors: ``Lost``."""
        # Another task may find the node elsewhere meanwhile: this request is about this target.
        target = self.target
        content: Any = request.payload()
        if request.content is not None:
            content = _pieces(stack.enter_context(wiring.open_content(request.content)))
        with wiring.translated_errors(target):
            response = await stack.enter_async_context(
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

    async def whole(self, response: httpx.Response) -> Answer:
        """Read an answer. Errors: ``Lost``, ATL-SDK-010 too large."""
        body = bytearray()
        with wiring.translated_errors(self.target):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > JSON_BYTES:
                    raise unexpected(response.status_code)
        return Answer(response.status_code, response.headers, bytes(body))

    async def status(self) -> dict[str, Any]:
        """Ask how the node does."""
        return await self.node.status()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<asynchronous client of {self.target.url}>"


async def _next(driver: Driver[T], opened: _Opened) -> Done[T] | flows.Emit:
    """Perform a flow's effects up to the next thing that it emits, or its end."""
    while True:
        effect = driver.step()
        if isinstance(effect, Done | flows.Emit):
            return effect
        try:
            driver.reply = await opened.perform(effect)
        except Lost as lost:
            opened.renew()
            driver.problem = lost


class _Opened:
    """Performs effects, and holds the stream that is open."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._stack = AsyncExitStack()
        self._response: httpx.Response | None = None
        self._lines: AsyncIterator[str] | None = None

    async def close(self) -> None:
        """Close the stream, if one is open."""
        await self._stack.aclose()
        self._response = self._lines = None

    def renew(self) -> None:
        """Look where the node is now, after a request was lost."""
        self._client.target = wiring.renewed(self._client.target)

    async def perform(self, effect: flows.Effect) -> Any:
        """Do what a flow asks for and return the result. Errors: ``Lost``."""
        match effect:
            case flows.Send(request=request):
                return await self._client.exchange(request)
            case flows.Pause(seconds=seconds):
                await asyncio.sleep(seconds)
                return None
            case flows.Now():
                return time.monotonic()
            case flows.Open(request=request):
                return await self._open(request)
            case flows.Line():
                with wiring.translated_errors(self._client.target):
                    return None if self._lines is None else await anext(self._lines, None)
            case flows.Save(file=file):
                return await self._save(file)
        return None

    async def _open(self, request: Request) -> Answer:
        await self.close()
        response = await self._client.open(request, self._stack, stream=True)
        if response.status_code >= 300:
            return await self._client.whole(response)
        self._response, self._lines = response, _lines(response)
        return Answer(response.status_code, response.headers)

    async def _save(self, file: Path) -> int:
        if self._response is None:
            return 0
        with wiring.Draft(file) as draft, wiring.translated_errors(self._client.target):
            async for chunk in self._response.aiter_raw(wiring.CHUNK):
                draft.write(chunk)
        return draft.size


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(wiring.CHUNK):
        yield chunk


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    cutter = sse.Lines()
    async for chunk in response.aiter_raw():
        for line in cutter.feed(chunk):
            yield line
