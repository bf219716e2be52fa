"""The client's end: requests over one kept connection, which it opens again where it broke.

Every request may be sent twice, so one whose answer was lost is.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable

from atoll.channel.outbound.tls import PROTOCOL
from atoll.core import codec
from atoll.core.errors import AtollError, NetworkError, PeerError

ANSWER_BYTES = 8 << 20
PATH = "/population/v1/"
TYPE = "application/x-atoll-message"
BUSY = "ATL-POP-018"
_ERROR_BYTES = 1024

Check = Callable[[ssl.SSLSocket], None]


class _Connection(http.client.HTTPConnection):
    """HTTP in TLS towards a name that is not the address; ``proxy`` is asked for a tunnel."""

    def __init__(self, dialer: Dialer) -> None:
        host, _, port = (dialer.proxy or dialer.address).rpartition(":")
        super().__init__(host.strip("[]"), int(port), timeout=dialer.seconds)
        if dialer.proxy is not None:
            target, _, number = dialer.address.rpartition(":")
            self.set_tunnel(target.strip("[]"), int(number))
        self._dialer = dialer

    def connect(self) -> None:
        """Connect, shake hands, and look at the other end before anything is sent."""
        super().connect()
        plain: socket.socket = self.sock
        secured = self._dialer.context.wrap_socket(plain, server_hostname=self._dialer.name)
        self.sock = secured
        if secured.version() != "TLSv1.3" or secured.selected_alpn_protocol() != PROTOCOL:
            raise PeerError("ATL-POP-017", "the server does not speak TLS 1.3 and HTTP/1.1")
        self._dialer.check(secured)


class Dialer:
    """Asks a population's server at ``address`` (host:port), whose certificate names ``name``.

    ``check`` looks at a new connection before anything is sent; ``seconds`` bounds every wait.
    ``sent`` are the bytes of all requests' bodies so far, also of those that were sent again.
    """

    def __init__(
        self,
        address: str,
        name: str,
        context: ssl.SSLContext,
        check: Check = lambda _: None,
        *,
        seconds: float = 60.0,
        proxy: str | None = None,
    ) -> None:
        self.address, self.name, self.context, self.check = address, name, context, check
        self.seconds, self.proxy = seconds, proxy
        self.sent = 0
        self._connection: _Connection | None = None

    def call(self, what: str, body: bytes) -> bytes:
        """Send a request and return the answer's bytes.

        Errors: ATL-POP-017 the server cannot be reached in time, or answers otherwise than it
        should; ATL-POP-016 its key; what the server refused with.
        """
        for attempt in range(2):
            fresh = self._connection is None
            try:
                return self._ask(what, body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have ended at the other side meanwhile.
                if fresh or attempt:
                    raise _unreached(error) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, what: str, body: bytes) -> bytes:
        if self._connection is None:
            made = _Connection(self)
            try:
                made.connect()
            except BaseException:
                made.close()
                raise
            self._connection = made
        connection = self._connection
        self.sent += len(body)
        connection.request("POST", PATH + what, body, {"Content-Type": TYPE})
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES + 1)
        if response.status == 200 and len(answer) <= ANSWER_BYTES:
            return answer
        if not response.isclosed():
            self.close()
        raise _refusal(response.status, answer)


def _refusal(status: int, answer: bytes) -> AtollError:
    """Return the error of a refusal: the server sends its code and nothing else."""
    try:
        code = codec.decode(answer, limit=_ERROR_BYTES)
    except PeerError:
        code = None
    if isinstance(code, str) and len(code) == 11 and code.startswith("ATL-"):
        if code == BUSY:
            return NetworkError(code, "the population's server is too busy now")
        return PeerError(code, "the population's server refused", phase="population")
    return NetworkError("ATL-POP-017", f"the population's server answered with status {status}")


def _unreached(error: Exception) -> NetworkError:
    certificate = isinstance(error, ssl.SSLCertVerificationError)
    why = "its certificate does not fit" if certificate else type(error).__name__
    return NetworkError(
        "ATL-POP-017",
        f"the population's server was not reached: {why}",
        hint="is it running, and may this machine connect to it?",
    )
