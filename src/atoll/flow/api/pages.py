"""Static files of an extension, with headers that state how long they hold and what they load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.extension import Pages

_YEAR = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


class StaticPages(StaticFiles):
    """The files of one folder; links that lead out of it are not followed."""

    def __init__(self, name: str, pages: Pages) -> None:
        super().__init__(directory=pages.directory())
        self._operation = f"{name}_pages"
        self._pages = pages

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or the first page where no file is meant."""
        HttpExchange.of(scope).operation = self._operation
        wanted = self._pages.index if path in {"", "."} else path
        try:
            response = await super().get_response(wanted, scope)
        except HTTPException as error:
            is_file = "." in path.rsplit("/", 1)[-1]
            if error.status_code != 404 or is_file or not self._pages.fallback:
                raise
            wanted = self._pages.index
            response = await super().get_response(wanted, scope)
        kept = wanted.startswith(f"{self._pages.immutable}/")
        response.headers["Cache-Control"] = _YEAR if kept else _ASK_AGAIN
        response.headers["Content-Security-Policy"] = self._pages.policy
        return response


def to_the_first(at: str) -> Callable[[Request], Awaitable[Response]]:
    """Return what leads from ``/board`` to ``/board/``, so that the pages' own links hold."""

    async def lead(request: Request) -> Response:
        return RedirectResponse(f"{at}/", 308)

    return lead
