"""Notices that a session has ended: sent beside all other work, so that no partner's silence holds
up another's requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from atoll.channel.grpc.gateway import Gateway
from atoll.core.errors import AtollError

_LOG = logging.getLogger(__name__)
# A partner that answers at all answers this within milliseconds.
_CALL_SECONDS = 3.0
# So many wait for each partner. What does not fit is dropped: a silent seat ends by itself.
_WAITING = 32


class Notices:
    """One call at a time to each partner, on a thread that lives while any waits. Any thread."""

    def __init__(self, gateway: Gateway, kind: str, seconds: float) -> None:
        self._gateway = gateway
        self._kind = kind
        self._seconds = min(seconds, _CALL_SECONDS)
        self._lines: dict[str, deque[bytes]] = {}
        self._changed = threading.Condition()

    def send(self, peer: str, message: bytes) -> None:
        """Have a partner notified, and return at once; dropped where too many wait for it."""
        with self._changed:
            line = self._lines.get(peer)
            if line is None:
                self._lines[peer] = deque([message])
                self._begin(peer)
            elif len(line) < _WAITING:
                line.append(message)

    def _begin(self, peer: str) -> None:
        thread = threading.Thread(target=self._run, args=(peer,), name="notices", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread is left: the notice is dropped, too.
            del self._lines[peer]

    def _run(self, peer: str) -> None:
        while True:
            with self._changed:
                line = self._lines[peer]
                if not line:
                    del self._lines[peer]
                    self._changed.notify_all()
                    return
                message = line.popleft()
            try:
                self._gateway.call(peer, self._kind, message, self._seconds)
            except AtollError as error:
                _LOG.info("%s was not notified that a session ended: %s", peer, error)
            except Exception:
                _LOG.exception("%s was not notified that a session ended", peer)

    def close(self, seconds: float = _CALL_SECONDS) -> None:
        """Send what waits as far as the time allows, and drop the rest; may be called again."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._lines and self._changed.wait(max(deadline - time.monotonic(), 0.0)):
                pass
            for line in self._lines.values():
                line.clear()
