"""The inside of a fork server: one small process that has only imported, and splits on demand.

Each message on its socket (the standard input) brings the three pipes of a worker to be; the answer
is the worker's number. Before the split there is no thread, no other socket, no open file and no
secret; the first three are checked.

A worker is made by a process in between that ends at once, so that it becomes the child of the
pool's process (a subreaper): that one waits for it as for any other, and workers outlive their
server.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import time

READY, UNABLE, MADE, FAILED = "ready", "unable", "made", "failed"
MESSAGE_BYTES = 256
PIPES = 3
_POLL_SECONDS = 0.0005
_PARENT_POLLS = 20_000
_THREAD_POLLS = 1_000
_MOST_FILES = 1 << 20


def serve(parent: int) -> None:
    """Make workers until the pool closes the socket; return in each worker, and only there.

    The worker has its pipes as standard input, output and error and nothing else open.
    """
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _settle()
    trouble = impure(control.fileno())
    if trouble:
        control.send(f"{UNABLE} {trouble}".encode()[:MESSAGE_BYTES])
        os._exit(0)
    gc.collect()
    # What is there now stays: the collector of a worker must not touch, hence copy, its pages.
    gc.freeze()
    with contextlib.suppress(BrokenPipeError):
        # The pool may be closed by now: then nothing more comes, either.
        control.send(READY.encode())
    while True:
        data, pipes, _, _ = socket.recv_fds(control, MESSAGE_BYTES, PIPES)
        if not data:
            os._exit(0)
        if len(pipes) == PIPES and _split(control, pipes):
            control.detach()
            _begin(parent, pipes)
            return
        for descriptor in pipes:
            os.close(descriptor)


def _settle() -> None:
    """End the threads that OpenBLAS started when it was loaded.

    It does so by itself before every split, and starts them again where they are needed next.
    """
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def impure(control: int) -> str:
    """Return what this process has that no worker may inherit; empty if there is nothing."""
    threads = len(os.listdir("/proc/self/task"))
    for _ in range(_THREAD_POLLS):
        if threads == 1:
            break
        # One that has been waited for may still be listed for a moment.
        time.sleep(_POLL_SECONDS)
        threads = len(os.listdir("/proc/self/task"))
    else:
        return f"{threads} threads"
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        # The last one is the folder that is being listed.
        if number > 2 and number != control and os.path.exists(f"/proc/self/fd/{name}"):
            return f"an open file: {os.readlink(f'/proc/self/fd/{name}')}"
    return ""


def _split(control: socket.socket, pipes: list[int]) -> bool:
    """Make one worker and report its number; True in the worker."""
    try:
        incoming, outgoing = os.pipe()
        middle = os.fork()
    except OSError as error:
        control.send(f"{FAILED} {error.errno or 0}".encode())
        return False
    if middle == 0:
        return _in_between(outgoing)
    os.close(outgoing)
    number = os.read(incoming, MESSAGE_BYTES)
    os.close(incoming)
    # Once this one is gone the worker is the pool's child.
    os.waitpid(middle, 0)
    control.send(f"{MADE} ".encode() + number if number else f"{FAILED} 0".encode())
    return False


def _in_between(outgoing: int) -> bool:
    me = os.getpid()
    try:
        worker = os.fork()
    except OSError:
        os._exit(1)
    if worker:
        os._exit(0)
    os.setsid()
    # By now it can be killed with all that it starts.
    os.write(outgoing, str(os.getpid()).encode())
    # Only then does it have the parent with which it is to die.
    for _ in range(_PARENT_POLLS):
        if os.getppid() != me:
            return True
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def _begin(parent: int, pipes: list[int]) -> None:
    """Become a worker of its own: its pipes, nothing else open, its own random state."""
    if os.getppid() != parent:
        os._exit(1)
    for number, descriptor in enumerate(pipes):
        os.dup2(descriptor, number)
    os.closerange(PIPES, _MOST_FILES)
    gc.enable()
    _reseed()


def _reseed() -> None:
    """Give this process random numbers of its own, where a library has a generator at hand.

    Python's own and OpenSSL's do so by themselves at a split; ours ask the system each time.
    """
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()
