"""``Server``: the app on an address, in a thread of its own, with a stop that waits for a while."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from typing import Any

import uvicorn
from fastapi import FastAPI

from atoll.flow.api.accepting import AcceptingServer, affordable
from atoll.flow.api.access_log import Warnings
from atoll.flow.api.protocol import PatientProtocol
from atoll.flow.api.settings import ApiSettings, is_loopback
from atoll.jobs.errors import EnvironmentFault

START_SECONDS = 30.0
_WARNINGS = Warnings()


class Server:
    """An app that is served while this is open.

    ``stop`` takes no more requests, gives those that are there ``drain_seconds``, and ends.
    """

    def __init__(self, app: FastAPI, settings: ApiSettings) -> None:
        """Prepare; nothing listens yet. Errors: ATL-API-015 the certificate, ATL-API-017 open."""
        if not settings.authentication and not is_loopback(settings.host):
            raise EnvironmentFault(
                "ATL-API-017",
                "without authentication the API listens on loopback only",
                place="http.host",
            )
        self._app = app
        self._settings = settings
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        logging.getLogger("uvicorn.error").addFilter(_WARNINGS)
        self._server = AcceptingServer(_config(app, settings), settings.header_seconds)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1]) if self._socket else self._settings.port

    @property
    def url(self) -> str:
        """Where the API is."""
        scheme = "https" if self._settings.certificate else "http"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{self.port}"

    def start(self) -> None:
        """Listen, and return once requests are answered. Errors: ATL-API-016 the address."""
        self._socket = listen(self._settings.host, self._settings.port)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="atoll-api", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self._socket.close()
                raise EnvironmentFault("ATL-API-016", "the API did not start")
            self._thread.join(0.01)

    def stop(self) -> None:
        """Stop taking requests, let those that are there end, and return when all is closed."""
        self._app.state.stopping.set()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(self._settings.drain_seconds + 5.0)
            self._thread = None
        if self._socket is not None:
            self._socket.close()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _config(app: FastAPI, settings: ApiSettings) -> uvicorn.Config:
    options: dict[str, Any] = {}
    if settings.certificate is not None:
        options["ssl_certfile"] = str(settings.certificate)
        options["ssl_keyfile"] = str(settings.key or settings.certificate)
    config = uvicorn.Config(
        app,
        http=PatientProtocol.within(settings.header_seconds, settings.stall_seconds),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=affordable(settings.connections),
        timeout_keep_alive=int(max(1, settings.header_seconds)),
        timeout_graceful_shutdown=int(settings.drain_seconds),
        h11_max_incomplete_event_size=32 << 10,
        **options,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise EnvironmentFault(
            "ATL-API-015", "the certificate of the API cannot be used", place="http.certificate"
        ) from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def listen(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Return a socket that listens. Errors: ATL-API-016 the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise EnvironmentFault(
            "ATL-API-016",
            f"the API cannot listen on {host}:{port}: {error.strerror}",
            place="http.port",
            hint="is another node running? choose another port: http.port",
        ) from error
    return listener
