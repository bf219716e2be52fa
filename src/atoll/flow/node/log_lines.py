"""How the node writes its own log: lines for people, or JSON lines for programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from atoll.core.printable import clean, clean_lines, to_json
from atoll.flow.node.log_files import BoundedLog
from atoll.flow.node.settings import LogSection

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class TextLines(logging.Formatter):
    """A line a record; of an exception further ones, which begin with spaces.

    A message may hold text of a partner: it cannot end its line, nor steer a terminal.
    """

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- of the base
        """Return the record's own line."""
        return clean(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- of the base
        """Return an exception's lines, none of which looks like a record's."""
        lines = clean_lines(super().formatException(ei)).split("\n")
        return "\n".join(f"    {line}" for line in lines)


class JsonLines(logging.Formatter):
    """One JSON object a line, with the keys of a step's log: time, level, message, logger."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line; ``time`` is in seconds since 1970."""
        line: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return to_json(line)


def begin_log(chosen: LogSection, file: Path | None = None) -> None:
    """Log to standard error as the settings state, in place of what was set up before.

    Where standard error is ``file``, that is bounded in size.
    """
    handler = BoundedLog(file, chosen.bytes, chosen.files)
    handler.setFormatter(JsonLines() if chosen.format == "json" else TextLines())
    logging.basicConfig(level=chosen.level.upper(), handlers=[handler], force=True)
