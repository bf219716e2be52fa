"""How the node writes its own log: lines for people, or JSON lines for programs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from atoll.flow.node.log_files import BoundedLog
from atoll.flow.node.settings import LogSection

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


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
        return json.dumps(line, ensure_ascii=False)


def begin_log(chosen: LogSection, file: Path | None = None) -> None:
    """Log to standard error as the settings state, in place of what was set up before.

    Where standard error is ``file``, that is bounded in size.
    """
    handler = BoundedLog(file, chosen.bytes, chosen.files)
    handler.setFormatter(JsonLines() if chosen.format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=chosen.level.upper(), handlers=[handler], force=True)
