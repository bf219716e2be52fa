"""What each address declares of itself, at its own function: who may use it, and how it is treated.

``PUBLIC`` addresses take anyone, ``OWN`` ones anyone who is logged in (they concern the asking
user alone), also one who must first change the password. Every other ``permission`` is one of
``atoll.flow.access`` or of an extension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PUBLIC = "public"
OWN = "own"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

Body = Literal["json", "small", "upload", "archive"]


@dataclass(frozen=True)
class Endpoint:
    """One method of one address (``path`` with its prefix).

    ``body``: JSON, JSON of a few bytes (anybody may send it), or the bytes of a file (``upload``,
    ``archive``), which are streamed. ``secret``: the answer holds what is shown once, so it is
    never kept to be repeated. ``watched``: it only reads, but what leaves the house through it is
    noted in the audit log. ``recorded``: its service writes the audit line of a change itself, in
    the change's transaction. ``download``: the answer may be long, and is made while it is sent.
    ``quiet``: it changes and reveals nothing that is worth a line of the audit log (it looks, or
    its service counts what it does).
    """

    method: str
    path: str
    permission: str
    body: Body = "json"
    secret: bool = False
    watched: bool = False
    recorded: bool = False
    download: bool = False
    quiet: bool = False

    @property
    def place(self) -> str:
        """``METHOD /path``."""
        return f"{self.method} {self.path}"

    @property
    def noted(self) -> bool:
        """Whether the audit log notes each request."""
        return self.watched or (self.method not in SAFE and not self.quiet)

    @property
    def streamed(self) -> bool:
        """Whether the body is bytes that go to a file."""
        return self.body in {"upload", "archive"}
