"""Named connections in a file of the user's: an address, a token, the default one.

The file is ``ATOLL_CONFIG``, else ``atoll/config.toml`` below ``XDG_CONFIG_HOME`` or
``~/.config``. It holds tokens, so it is refused when others can read it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from atoll.core.errors import AtollError, UserError
from atoll.jobs.errors import DeniedError, NotFoundError
from atoll.jobs.validation import near

_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 -- names


@dataclass(frozen=True)
class Profile:
    """A connection. ``ca`` is a file with the authority of the node's HTTPS certificate (PEM);
    ``plain`` allows a token over HTTP to another machine.
    """

    url: str
    token: str | None = None
    user: str | None = None
    expires: float | None = None
    ca: str | None = None
    plain: bool = False

    def __repr__(self) -> str:
        return (
            f"Profile({self.url!r}, user={self.user!r}, token={'<token>' if self.token else None})"
        )


@dataclass(frozen=True)
class Profiles:
    """All connections by name, and which one is meant where none is named."""

    profiles: Mapping[str, Profile]
    default: str | None = None

    def get(self, name: str | None = None) -> Profile:
        """Return a profile, or the default one. Errors: ATL-SDK-020 there is none."""
        wanted = name or self.default
        if wanted is None or wanted not in self.profiles:
            problem = f"there is no profile {wanted!r}" if wanted else "no node is named"
            raise NotFoundError(
                "ATL-SDK-020",
                problem,
                place=str(config_file()),
                hint=near(wanted, self.profiles)
                if wanted and self.profiles
                else "atoll login URL, or --url, or --folder of a node on this machine",
            )
        return self.profiles[wanted]

    def with_profile(self, name: str, profile: Profile, *, default: bool = False) -> Profiles:
        """Return these with one more or changed. Errors: ATL-SDK-021 not a name."""
        if not _NAME.fullmatch(name):
            raise UserError("ATL-SDK-021", "a profile's name is letters, digits, - and _")
        chosen = name if default or self.default is None else self.default
        return Profiles({**self.profiles, name: profile}, chosen)

    def without(self, name: str) -> Profiles:
        """Return these without one."""
        left = {key: value for key, value in self.profiles.items() if key != name}
        return Profiles(left, self.default if self.default in left else None)


def config_file() -> Path:
    """Return where the profiles are."""
    chosen = os.environ.get("ATOLL_CONFIG")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "atoll" / "config.toml"


def read_profiles(path: Path | None = None) -> Profiles:
    """Read the profiles; none where there is no file.

    Errors: ATL-SDK-021 of another form, ATL-SDK-022 others can read it.
    """
    file = path or config_file()
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            value = tomllib.loads(stream.read(_FILE_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return Profiles({})
    except (OSError, ValueError) as error:
        raise _malformed(file) from error
    if mode & 0o077:
        raise DeniedError(
            "ATL-SDK-022",
            "others can read the file with your tokens",
            place=str(file),
            hint=f"make it yours alone: chmod 600 {file}",
        )
    return _profiles(value, file)


def _profiles(value: Mapping[str, Any], file: Path) -> Profiles:
    found = value.get("profiles", {})
    default = value.get("default")
    if set(value) - {"profiles", "default"} or not isinstance(found, dict):
        raise _malformed(file)
    if not isinstance(default, str | None):
        raise _malformed(file)
    return Profiles({name: _profile(entry, file) for name, entry in found.items()}, default)


_FIELDS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "url": str,
    "token": str,
    "user": str,
    "expires": (float, int),
    "ca": str,
    "plain": bool,
}


def _profile(entry: Any, file: Path) -> Profile:
    if not isinstance(entry, dict) or "url" not in entry:
        raise _malformed(file)
    for name, value in entry.items():
        if name not in _FIELDS or not isinstance(value, _FIELDS[name]):
            raise _malformed(file, name)
    return Profile(**entry)


def _malformed(file: Path, field: str = "") -> UserError:
    place = f"{file}: {field}" if field else str(file)
    return UserError("ATL-SDK-021", "the file of profiles cannot be read", place=place)


def write_profiles(profiles: Profiles, path: Path | None = None) -> Path:
    """Write the profiles, readable by this user alone, whole or not at all.

    Errors: ATL-SDK-021 a value of them that the file cannot hold; the file stays as it was.
    """
    # Reading them needs no cryptography, which comes with this.
    from atoll.channel.identity.files import write_atomic

    file = path or config_file()
    data = _written(profiles, file)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(file, data, 0o600)
    return file


def _written(profiles: Profiles, file: Path) -> bytes:
    """Return the file's bytes, which read back as the same. Errors: ATL-SDK-021."""
    lines = [f"default = {_toml(profiles.default)}"] if profiles.default else []
    for name, profile in profiles.profiles.items():
        lines += ["", f"[profiles.{name}]"]
        for key, value in asdict(profile).items():
            if value is not None and value is not False:
                lines.append(f"{key} = {_toml(value)}")
    text = "\n".join(lines).lstrip("\n") + "\n"
    try:
        data = text.encode()
        again = _profiles(tomllib.loads(text), file) if len(data) <= _FILE_BYTES else None
    except (AtollError, ValueError):
        again = None
    if again != profiles:
        raise UserError(
            "ATL-SDK-021",
            "the file of profiles cannot hold a value of these",
            place=str(file),
            hint="the file stays as it was",
        )
    return data


def _toml(value: str | float | bool) -> str:
    """Return a value as TOML: as JSON, which writes text beyond U+FFFF in another way, though."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def checked_url(url: str) -> str:
    """Return an address without its last slash. Errors: ATL-SDK-023 not http(s)://host[:port]."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        right, parts = None, urlsplit("")
    if not right or parts.username or parts.query or parts.fragment:
        raise UserError(
            "ATL-SDK-023", "this is not a node's address", hint="write http://host:port"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def loopback(url: str) -> bool:
    """Return whether an address is on this machine."""
    return urlsplit(url).hostname in _LOOPBACK


def check_token_travels(url: str, *, plain: bool) -> None:
    """Refuse to show a token to everyone on the way. Errors: ATL-SDK-024."""
    if url.startswith("http://") and not loopback(url) and not plain:
        raise DeniedError(
            "ATL-SDK-024",
            "a token would travel unencrypted to another machine",
            place=url,
            hint="use https://, or an SSH tunnel, or set plain = true in the profile",
        )
