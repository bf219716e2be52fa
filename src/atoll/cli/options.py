"""What commands have in common: which node, how to print, how long to wait, and being sure."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atoll.cli import console
from atoll.core.errors import UserError
from atoll.core.printable import clean
from atoll.jobs.errors import DeniedError

if TYPE_CHECKING:
    from atoll.sdk.client import Client

F = TypeVar("F", bound=Callable[..., Any])
REQUEST_SECONDS = 30.0
_NODE = ("url", "profile", "folder", "timeout")
_PRINT = ("as_json", "quiet", "verbose", "no_color")


@dataclass
class Output:
    """How a command prints: JSON or text to standard output, messages to standard error."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False

    def show(self, value: Any, text: Callable[[], str] | str | None = None) -> None:
        """Write a result: as JSON, or as text made of it."""
        if self.as_json:
            console.print_json(plain(value))
        elif text is not None:
            shown = text if isinstance(text, str) else text()
            if shown:
                console.print_text(shown)

    def info(self, text: str) -> None:
        """Write a message for the user, unless ``--quiet`` was given."""
        if not self.quiet:
            console.info(text)

    def more(self, text: str) -> None:
        """Write a message for the user if ``--verbose`` was given."""
        if self.verbose:
            console.info(text)


@dataclass
class Session(Output):
    """How a command prints, and the node that it asks."""

    url: str | None = None
    profile: str | None = None
    folder: Path | None = None
    timeout: float | None = None
    _client: list[Client] = field(default_factory=list)

    @property
    def client(self) -> Client:
        """The connection to the node; opened when it is first used."""
        if not self._client:
            from atoll.sdk.client import Client

            seconds = min(self.timeout or REQUEST_SECONDS, REQUEST_SECONDS)
            made = Client(
                self.url, profile=self.profile, folder=self.folder, timeout=seconds, attempts=3
            )
            self.more(f"asking {made.target.url}")
            self._client.append(made)
        return self._client[0]

    def close(self) -> None:
        """Close the connection, if one is open."""
        for client in self._client:
            client.close()


def plain(value: Any) -> Any:
    """Return a result as values that JSON knows."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _print_options(function: F) -> F:
    for option in (
        click.option("--no-color", is_flag=True, help="no colours (also: NO_COLOR)"),
        click.option("--verbose", "-v", is_flag=True, help="print details; show where a fault was"),
        click.option("--quiet", "-q", is_flag=True, help="print errors only"),
        click.option("--json", "as_json", is_flag=True, help="one JSON value on standard output"),
    ):
        function = option(function)
    return function


def _node_options(function: F) -> F:
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            help="seconds to wait at most (30 for an answer, no limit for a job)",
        ),
        click.option(
            "--folder",
            type=click.Path(path_type=Path),
            help="the folder of a node on this machine",
        ),
        click.option(
            "--profile",
            help="a connection made by atoll login (else ATOLL_PROFILE, else the default)",
        ),
        click.option("--url", help="the node's address (else ATOLL_URL)"),
    ):
        function = option(function)
    return function


def printed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of printing, as one ``Output``."""

    def wrapped(*args: Any, **named: Any) -> Any:
        chosen = {name: named.pop(name) for name in _PRINT}
        return function(_output(Output, chosen), *args, **named)

    return _print_options(functools.update_wrapper(wrapped, function))


def connected(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of printing and of a node, as one ``Session``."""

    def wrapped(*args: Any, **named: Any) -> Any:
        chosen = {name: named.pop(name) for name in (*_PRINT, *_NODE)}
        session = _output(Session, chosen)
        try:
            return function(session, *args, **named)
        finally:
            session.close()

    return _print_options(_node_options(functools.update_wrapper(wrapped, function)))


O = TypeVar("O", bound=Output)  # noqa: E741 -- an Output


def _output(kind: type[O], chosen: dict[str, Any]) -> O:
    console.configure(colour=not chosen.pop("no_color"), traces=chosen["verbose"])
    return kind(**chosen)


def keyed(function: F) -> F:
    """Add ``--idempotency-key``: the same key does the same thing once."""
    return click.option(
        "--idempotency-key", "key", help="repeating the command with this key changes nothing more"
    )(function)


def sure(function: F) -> F:
    """Add ``--yes``: do not ask."""
    return click.option("--yes", "-y", is_flag=True, help="do not ask")(function)


def confirm(question: str, yes: bool) -> None:
    """Ask a person before something is lost. Errors: ATL-CLI-020 no, or no one to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise DeniedError(
            "ATL-CLI-020", "the terminal is not interactive", hint="confirm with --yes"
        )
    if not click.confirm(clean(question), err=True):
        raise DeniedError("ATL-CLI-020", "you answered no")


def paged(function: F) -> F:
    """Add ``--limit`` and ``--after``."""
    function = click.option("--after", help="go on after this cursor")(function)
    return click.option(
        "--limit", type=click.IntRange(1, 200), default=50, help="rows at most (50)"
    )(function)


def secret(file: Path | None, question: str, *, twice: bool = False) -> str:
    """Return a secret: of a file, of standard input (``-``), or asked for without an echo.

    Errors: ATL-CLI-021 no file, none given, or no one to ask.
    """
    if file is not None:
        return _secret_of(file)
    if not sys.stdin.isatty():
        raise UserError(
            "ATL-CLI-021",
            "the terminal is not interactive",
            hint=f"name a file, or - for standard input, with {_file_options()}",
        )
    found: str = click.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    return found


def _file_options() -> str:
    """Name the options of the present command that take the file of a secret."""
    known = [name for option in click.get_current_context().command.params for name in option.opts]
    return " or ".join(name for name in known if name.endswith("-file"))


def _secret_of(file: Path) -> str:
    try:
        if str(file) == "-":
            text = sys.stdin.readline(1 << 16)
        else:
            with file.open(encoding="utf-8") as stream:
                text = stream.readline(1 << 16)
    except (OSError, ValueError) as error:
        raise UserError("ATL-CLI-021", "the secret cannot be read", place=str(file)) from error
    found = text.strip("\r\n")
    if not found:
        raise UserError("ATL-CLI-021", "the secret is empty", place=str(file))
    return found


def secret_file(name: str, about: str) -> Callable[[F], F]:
    """Add an option that names the file of a secret."""
    return click.option(
        name, "secret_at", type=click.Path(path_type=Path), help=f"{about} (- for standard input)"
    )


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return NAME=VALUE options by name. Errors: ATL-CLI-006."""
    found = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not (name and mark and value):
            raise UserError("ATL-CLI-006", f"{option} takes NAME=VALUE", place=option)
        found[name] = value
    return found
