"""httpx without the command line that it brings along.

With it come rich and pygments, which take longer to load than all the rest of a short command.
httpx does without where they are not installed; so they are hidden from it for a moment.
"""

from __future__ import annotations

import sys

_LINE = "httpx._main"
_HIDDEN = _LINE not in sys.modules
if _HIDDEN:
    sys.modules[_LINE] = None  # type: ignore[assignment]
try:
    import httpx
finally:
    if _HIDDEN:
        del sys.modules[_LINE]

__all__ = ["httpx"]
