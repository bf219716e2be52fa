"""Which node is meant, and what both clients know of HTTP: addresses, tokens, errors, files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from atoll import __version__
from atoll.core.errors import NetworkError, UserError
from atoll.jobs.errors import EnvironmentFault, NotFoundError
from atoll.sdk.errors import TimedOutError
from atoll.sdk.flows import Lost
from atoll.sdk.http_import import httpx
from atoll.sdk.profiles import check_token_travels, checked_url, loopback, read_profiles
from atoll.sdk.wire import Request, unexpected

CONNECT_SECONDS = 10.0
CHUNK = 1 << 20
UNAUTHENTICATED = 401


@dataclass(frozen=True)
class Target:
    """A node's address, and the token that is shown to it.

    ``ca`` is a file with the authority of its HTTPS certificate (PEM); where ``pinned``, it is the
    very certificate, and the node's name does not matter. ``folder`` is that of a node on this
    machine, of which address and token (unless ``given``) change when it starts again.
    """

    url: str
    token: str | None = None
    ca: str | None = None
    plain: bool = False
    pinned: bool = False
    folder: Path | None = None
    given: bool = False

    def __repr__(self) -> str:
        return f"Target({self.url!r}, token={'<token>' if self.token else None})"


def resolve(
    url: str | None = None,
    token: str | None = None,
    profile: str | None = None,
    folder: str | Path | None = None,
) -> Target:
    """Return the node that is meant.

    In this order: an address, the folder of a node on this machine, a profile, ``ATOLL_URL``,
    ``ATOLL_PROFILE``, ``ATOLL_HOME`` (a node's folder), the default profile, a node that runs in
    ``~/.atoll``; a token that is given or in ``ATOLL_TOKEN`` goes before others. Errors:
    ATL-SDK-020 no profile, ATL-SDK-023 no address, ATL-SDK-024 the token would be seen,
    ATL-NOD-003 no node runs in the folder.
    """
    token = token or os.environ.get("ATOLL_TOKEN") or None
    if url is None and folder is None and profile is None:
        url = os.environ.get("ATOLL_URL") or None
        profile = os.environ.get("ATOLL_PROFILE") or None
        if url is None and profile is None:
            folder = _own_folder()
    if url is not None:
        target = Target(checked_url(url), token)
    elif folder is not None:
        found = of_folder(Path(folder))
        return replace(found, token=token, given=True) if token else found
    else:
        chosen = read_profiles().get(profile)
        target = Target(checked_url(chosen.url), token or chosen.token, chosen.ca, chosen.plain)
    if target.token:
        check_token_travels(target.url, plain=target.plain)
    return target


def _own_folder() -> Path | None:
    """Return the folder of this machine's node, unless a profile goes before it."""
    home = os.environ.get("ATOLL_HOME")
    if home:
        return Path(home)
    usual = Path.home() / ".atoll"
    # Only a node that has run has this file; nothing is imported to look for it.
    return usual if not read_profiles().profiles and (usual / "run" / "http").exists() else None


def of_folder(folder: Path) -> Target:
    """Return the node that runs in a folder of this machine. Errors: ATL-NOD-003."""
    from atoll.flow.node.folder import NodeFolder
    from atoll.flow.node.process import require

    found = require(NodeFolder(folder))
    if not found.url.startswith("https://"):
        return Target(found.url, found.token, folder=folder)
    from atoll.flow.node.configuration import load

    certificate = load(folder).settings.http.certificate
    ca = str(certificate) or None
    return Target(found.url, found.token, ca=ca, pinned=True, folder=folder)


def renewed(target: Target) -> Target:
    """Return where a node of this machine is now; the same as long as it is not up again."""
    if target.folder is None:
        return target
    from atoll.flow.node.folder import NodeFolder
    from atoll.flow.node.process import find

    found = find(NodeFolder(target.folder))
    if found is None:
        return target
    return replace(target, url=found.url, token=target.token if target.given else found.token)


def check_answer(target: Target, status: int, encoding: str | None) -> None:
    """Have a request sent again of which the token is that of a process before this one.

    Errors: ``Lost``, ATL-SDK-010 the answer is compressed, though none was asked for.
    """
    if (encoding or "identity").strip().lower() != "identity":
        raise unexpected(status)
    if status == UNAUTHENTICATED and renewed(target) != target:
        raise Lost(unreached(target, "it was started again"), unsent=True)


def options(target: Target, timeout: float) -> dict[str, Any]:
    """Return what both of httpx's clients are made with."""
    return {
        "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
        # A few compressed bytes can become any number: none of an answer is compressed.
        "headers": {"User-Agent": f"atoll/{__version__}", "Accept-Encoding": "identity"},
        "follow_redirects": False,
        # A proxy of the environment must not see what stays on this machine.
        "trust_env": not loopback(target.url),
        "verify": _verification(target),
    }


def _verification(target: Target) -> Any:
    if target.ca is None:
        return True
    import ssl

    try:
        context = ssl.create_default_context(cafile=target.ca)
        if target.pinned:
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context
    except (OSError, ssl.SSLError) as error:
        raise NotFoundError(
            "ATL-SDK-025", "the authority's certificate cannot be read", place=target.ca
        ) from error


def timeout_for(request: Request, timeout: float, *, stream: bool = False) -> httpx.Timeout:
    """Return how long to wait for this request; a stream may be silent for longer."""
    reading = max(timeout, 60.0) if stream else timeout + request.patience
    return httpx.Timeout(timeout, read=reading, connect=min(timeout, CONNECT_SECONDS))


@contextmanager
def translated_errors(target: Target) -> Iterator[None]:
    """Turn what httpx raises into what flows understand."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Lost(unreached(target, type(error).__name__), unsent=True) from error
    except httpx.TimeoutException as error:
        raise Lost(
            TimedOutError("ATL-SDK-013", "the node did not answer in time", place=target.url),
            unsent=False,
        ) from error
    except httpx.TransportError as error:
        raise Lost(unreached(target, type(error).__name__), unsent=False) from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UserError("ATL-SDK-023", "this is not a node's address", place=target.url) from error


def unreached(target: Target, what: str) -> NetworkError:
    """Return the error for a node that does not answer."""
    return NetworkError(
        "ATL-SDK-012",
        f"the node cannot be reached ({what})",
        place=target.url,
        hint="is it up (atoll status), and is the address right?",
    )


def open_content(file: Path) -> IO[bytes]:
    """Open a file that is sent. Errors: ATL-SDK-026."""
    try:
        return file.open("rb")
    except OSError as error:
        raise NotFoundError(
            "ATL-SDK-026", f"the file cannot be read: {error.strerror}", place=str(file)
        ) from error


class Draft:
    """A file that appears under its name once it is whole. Errors: ATL-SDK-026."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        self.size = 0
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Draft:
        with self._named():
            self._stream = self._draft.open("xb")
        return self

    def write(self, data: bytes) -> None:
        """Take some bytes."""
        if self._stream is not None:
            with self._named():
                self._stream.write(data)
            self.size += len(data)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._stream is None:
            return
        try:
            with self._named():
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._stream.close()
                if kind is None:
                    self._draft.replace(self._file)
        finally:
            with suppress(OSError):
                self._stream.close()
            self._draft.unlink(missing_ok=True)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentFault(
                "ATL-SDK-026",
                f"the file cannot be written: {error.strerror}",
                place=str(self._file),
            ) from error
