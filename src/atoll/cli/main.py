"""``atoll``: finds the command, runs it, and turns errors into one message and an exit code.

``atoll --help`` must start in a blink, so nothing is imported before a command is chosen.
"""

from __future__ import annotations

import sys

COMMANDS = {
    "demo": ("atoll.cli.demo.command", "two parties on this machine: intersect, train, evaluate"),
    "party": ("atoll.cli.party", "make a party's keys, show them, trust a peer"),
    "data": ("atoll.cli.data", "check a table before it is used"),
    "job": ("atoll.cli.job", "check, plan and run a job as one party"),
    "report": ("atoll.cli.report", "draw the reports of a run on one HTML page"),
    "ledger": ("atoll.cli.ledger", "show and verify what a party has agreed to and revealed"),
}
USAGE = 2

_HEAD = """\
usage: atoll COMMAND [OPTIONS]

Federated learning in which no row leaves home.

commands:
"""
_TAIL = """
  --version  show the version and leave
  --help     this text; after a command: that command's own

Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 2 usage,
3 not found, 4 denied, 5 conflict, 6 peer not reached, 8 cancelled, 9 bad data, 10 environment.
"""


def usage() -> str:
    """Return the text of ``atoll --help``."""
    lines = "".join(f"  {name:<9}  {text}\n" for name, (_, text) in COMMANDS.items())
    return _HEAD + lines + _TAIL


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        sys.stdout.write(usage())
        return 0
    if arguments[0] == "--version":
        from atoll import __version__

        sys.stdout.write(f"atoll {__version__}\n")
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
