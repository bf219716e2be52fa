"""A worker whose components misbehave: for the pool's tests."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from atoll.components.api import (
    Component,
    Facts,
    Requests,
    Result,
    Standing,
    StandingTerms,
    Task,
    Terms,
)
from atoll.core.errors import AtollError, UserError
from atoll.core.random import SecretRandom


class Parameters(BaseModel):
    """What to do: see ``act``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    act: str
    path: str = ""


def inside() -> dict[str, Any]:
    """Tell the process, its group, threads and open files, and draws of three generators."""
    files = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            files[name] = os.readlink(f"/proc/self/fd/{name}")
    threads = [Path(f"/proc/self/task/{n}/comm") for n in os.listdir("/proc/self/task")]
    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "parent": os.getppid(),
        "threads": len(threads),
        "files": files,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "secret": SecretRandom().bytes(16).hex(),
        "numpy": int(np.random.randint(1 << 62)),
        "python": random.getrandbits(62),
    }


def _run(task: Task, parameters: Parameters) -> Result:
    party = task.party
    party.progress("act", 0, 2)
    match parameters.act:
        case "wait":
            # Until it is cancelled.
            while True:
                party.cancel.check()
                threading.Event().wait(0.005)
        case "hang":
            # Reading a pipe that nobody writes to: deaf to everything but a kill.
            Path(parameters.path).read_bytes()
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave a child":
            pid = os.fork()
            if pid == 0:
                os.execvp("sleep", ["sleep", "600"])
            Path(parameters.path).write_text(str(pid))
        case "talk":
            print("printed")
            sys.stderr.write("complained\n")
            logging.getLogger("component").warning("logged %d", 7)
            sys.stdin.read()
        case "fail":
            raise ValueError("a secret value")
        case "flood":
            for at in range(2_000):
                party.progress("act", at, 2_000)
    # What this process is and holds, as its component finds it.
    return Result({"thing": inside()})


def _serve(task: Task, parameters: Parameters, requests: Requests) -> None:
    """Answer each request with what it asked, for as many units as it says."""
    if parameters.act == "hang":
        Path(parameters.path).read_bytes()
    while True:
        request = requests.next(60.0)
        if request is None and requests.closing:
            return
        if request is None:
            continue
        if request.body.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            requests.spend(int(request.body.get("units", 0)))
        except AtollError as error:
            request.fail(error)
            continue
        if request.body.get("bad"):
            request.fail(UserError("ATL-AGR-006", "no such column", place="columns.x"))
        request.answer({"echo": request.body["text"]})


def _describe(facts: Facts, parameters: Parameters) -> Terms:
    return Terms(standing=StandingTerms(asks="guest", per_day=10, most=10, until="2999-12-31"))


ACT = Component(
    "act",
    "1",
    Parameters,
    _run,
    _describe,
    sources=("atoll.components",),
    outputs={"thing": "act.thing"},
    standing=Standing(_serve),
)

if __name__ == "__main__":
    from atoll.flow.work.__main__ import main

    code = main({"act": ACT})
    sys.stderr.flush()
    os._exit(code)
