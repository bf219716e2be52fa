"""``python -m atoll.cli.node_process FOLDER [--set=key=value …]``: one node, until it is stopped.

With ``--attached`` it also stops when its standard input closes. It stands above everything else:
what a node mounts beside its own API is named here.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from atoll.core.errors import AtollError
from atoll.core.printable import clean
from atoll.flow.node.configuration import load
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.log_lines import begin_log
from atoll.flow.node.process import check_folder
from atoll.flow.work.own_process import many_files, no_core_dumps

if TYPE_CHECKING:
    from atoll.flow.api.extension import Extension

_LOG = logging.getLogger("atoll.node")


def extensions() -> tuple[Extension, ...]:
    """Return what a node mounts: a literal table, imported when a node is to start."""
    return ()


def command(folder: NodeFolder) -> list[str]:
    """Return the command that runs the node of a folder, to which flags may be added."""
    return [sys.executable, "-m", "atoll.cli.node_process", str(folder.root)]


def main(arguments: list[str]) -> int:
    """Run a node and return its exit code."""
    no_core_dumps()
    many_files()
    if not arguments:
        sys.stderr.write("usage: python -m atoll.cli.node_process FOLDER [--set=KEY=VALUE …]\n")
        return 2
    folder = NodeFolder(Path(arguments[0]).resolve())
    attached = "--attached" in arguments[1:]
    flags = dict(_flag(text) for text in arguments[1:] if text != "--attached")
    stopping = threading.Event()
    _listen(stopping)
    if attached:
        threading.Thread(target=_follow_input, args=(stopping,), daemon=True).start()
    try:
        check_folder(folder)
        configuration = load(folder.root, flags=flags)
        begin_log(configuration.settings.log, folder.log)
        for line in configuration.outdated:
            _LOG.warning("no setting any more, and without effect: %s", line)
        with folder.locked():
            # Heavy imports only once it is clear that this process is to be the node.
            gc.disable()
            from atoll.flow.node.node import Node

            with Node(folder, configuration, extensions()) as node:
                node.start()
                _keep_what_stays()
                stopping.wait()
                _LOG.info("stopping")
        return 0
    except AtollError as error:
        if os.environ.get("ATOLL_TRACEBACK") == "1":
            traceback.print_exc()
        sys.stderr.write(f"{clean(error)}\n")
        return error.exit_code


def _keep_what_stays() -> None:
    """Have no collection go through what was imported: it lives as long as the node."""
    gc.freeze()
    gc.enable()


def _flag(text: str) -> tuple[str, str]:
    key, _, value = text.removeprefix("--set=").partition("=")
    return key, value


def _listen(stopping: threading.Event) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _follow_input(stopping: threading.Event) -> None:
    """End when whoever started this process is gone: its end of our input closes."""
    while os.read(0, 4096):
        pass
    stopping.set()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread that hangs in a call must not keep the process.
    os._exit(code)
