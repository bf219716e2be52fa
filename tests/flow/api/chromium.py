"""Debian's Chromium, driven over its own debugging pipe: no port, no driver in between."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tools.programs import find_chromium

# Chromium reads commands on descriptor 3 and writes on 4.
_PIPES = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)


class Page:
    """A tab. A failing script fails the test with what it said."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._commands = commands
        self._answers = answers
        self._number = 0
        self._session: str | None = None
        self.printed: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        opened = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(opened["sessionId"])
        for part in ("Page", "Runtime", "Log"):
            self._call(f"{part}.enable")

    def go(self, url: str) -> None:
        """Open an address and wait until it is there, scripts and all."""
        failed = self._call("Page.navigate", url=url).get("errorText")
        assert failed is None, failed
        self.run("new Promise(done => document.readyState == 'complete' ? done() : onload = done)")

    def run(self, script: str) -> Any:
        """Return the value of an expression (a promise's, too) in the page."""
        found = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def cookies(self) -> list[dict[str, Any]]:
        """Return the cookies that the browser holds, as no page sees them."""
        return list(self._call("Network.getAllCookies")["cookies"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            asked["sessionId"] = self._session
        self._commands.write(json.dumps(asked).encode() + b"\0")
        self._commands.flush()
        while True:
            reported = self._next()
            if reported.get("id") == self._number:
                assert "error" not in reported, reported["error"]
                return dict(reported["result"])
            if reported.get("method") == "Log.entryAdded":
                self.printed.append(reported["params"]["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        read = bytearray()
        while (one := self._answers.read(1)) != b"\0":
            assert one, "Chromium ended"
            read += one
        return dict(json.loads(read))


def _key_of(chain: Path) -> str:
    key = x509.load_pem_x509_certificate(chain.read_bytes()).public_key()
    plain = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(plain).digest()).decode()


@contextmanager
def chromium(folder: Path, chain: Path) -> Iterator[Page]:
    """Run a browser that trusts this certificate's key, with a profile of its own."""
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is missing (apt-get install chromium-headless-shell)")
    trusted = f"--ignore-certificate-errors-spki-list={_key_of(chain)}"
    apart = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [str(program), *_FLAGS, *apart, trusted, f"--user-data-dir={folder}"]
    read, commands = os.pipe()
    answers, write = os.pipe()
    # Above the two numbers that they will have.
    inner, outer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (read, write))
    os.close(read)
    os.close(write)
    process = subprocess.Popen(
        [sys.executable, "-c", _PIPES, str(inner), str(outer), *command],
        pass_fds=(inner, outer),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(inner)
    os.close(outer)
    try:
        with os.fdopen(commands, "wb") as writing, os.fdopen(answers, "rb") as reading:
            yield Page(writing, reading)
    finally:
        # A browser whose pipe has closed ends.
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
