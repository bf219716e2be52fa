"""``atoll``: finds the command, runs it, and turns errors into one message and an exit code.

``atoll --help`` must start in a blink, so nothing is imported before a command is chosen.
"""

from __future__ import annotations

import os
import sys

from atoll.cli.commands import COMMANDS

USAGE = 2
COMPLETE = "_ATOLL_COMPLETE"
# The versions of protocols; a test compares them with those in use.
API, JOBS = 1, 1
_GROUPS = {
    "demo": "a first look",
    "init": "this machine's node",
    "login": "people and partners",
    "data": "work",
    "ledger": "accounts",
    "schema": "help for programs",
}

_HEAD = """\
usage: atoll COMMAND [OPTIONS]

Federated learning in which no row leaves home.
"""
_TAIL = """
  --version  show the version and leave
  --help     this text; after a command: that command's own

Data goes to standard output, messages to standard error. Most commands take --json, --quiet,
--verbose, --no-color, and --url, --profile or --folder to choose the node.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 not reached,
7 not in time, 8 cancelled, 9 bad data, 10 environment.
"""


def usage() -> str:
    """Return the text of ``atoll --help``."""
    lines = []
    for name, (_, text) in COMMANDS.items():
        if name in _GROUPS:
            lines.append(f"\n{_GROUPS[name]}:\n")
        lines.append(f"  {name:<11}{text}\n")
    return _HEAD + "".join(lines) + _TAIL


def main() -> None:
    """Run the command line and leave with its exit code."""
    instruction = os.environ.get(COMPLETE)
    if instruction:
        from atoll.cli.completion import complete

        sys.exit(complete(instruction))
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        sys.stdout.write(usage())
        return 0
    if arguments[0] == "--version":
        from atoll import __version__

        sys.stdout.write(f"atoll {__version__}\nHTTP API {API}, job files {JOBS}\n")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        return _unknown(name)
    from atoll.cli.calling import call

    return call(COMMANDS[name][0], name, rest)


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "see atoll --help"
    sys.stderr.write(f"error: there is no command {name!r}\n  hint: {hint}\n")
    return USAGE


if __name__ == "__main__":
    main()
