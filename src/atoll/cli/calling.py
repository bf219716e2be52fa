"""Runs a click command and turns whatever ends it into an exit code and one message."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback

import click

from atoll.cli import console
from atoll.cli.console import print_json, show_error
from atoll.core.errors import AtollError, InternalError, UserError

INTERRUPTED = 128 + signal.SIGINT


def call(module: str, name: str, arguments: list[str]) -> int:
    """Import the module of a command, run it, and return the exit code.

    With ``--json`` an error goes to standard output, too, as ``{"error": …}``.
    """
    console.configure()
    try:
        place, _, attribute = module.partition(":")
        command: click.Command = getattr(importlib.import_module(place), attribute or "command")
        result = command.main(arguments, prog_name=f"atoll {name}", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        if "--json" in arguments:
            print_json({"error": _usage(error).to_dict()})
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except AtollError as error:
        return _failed(error, arguments)
    except Exception as error:
        unexpected = InternalError(
            "ATL-INT-001",
            f"an unexpected {type(error).__name__}",
            hint="run with ATOLL_TRACEBACK=1 to see where, and report it",
        )
        return _failed(unexpected, arguments)


def _usage(error: click.ClickException) -> AtollError:
    return UserError("ATL-CLI-027", error.format_message(), hint="--help has the options")


def _failed(error: AtollError, arguments: list[str]) -> int:
    if console.traces():
        console.info(traceback.format_exc())
    if "--json" in arguments:
        print_json({"error": error.to_dict()})
    show_error(error)
    return error.exit_code
