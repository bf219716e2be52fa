"""Bank as a process of its own: ``process.py FOLDER echo|sleep``; prints where it listens."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.channel.identity import export_ca, init_party, load_party, trust
from atoll.core.errors import AtollError
from atoll.core.names import Scope

SETTINGS = WireSettings(
    silence_seconds=1.5, heartbeat_seconds=0.1, connect_seconds=20.0, window_bytes=8 << 20
)
SCOPE = Scope("job", "task", 0)


def prepare(folder: Path) -> None:
    """Make both parties' folders."""
    for party in ("shop", "bank"):
        init_party(folder / party, party)
    trust(folder / "shop", "bank", export_ca(folder / "bank"))
    trust(folder / "bank", "shop", export_ca(folder / "shop"))


def connect(folder: Path, address: str) -> GrpcTransport:
    """Start shop, which dials."""
    return GrpcTransport(
        load_party(folder), ["bank"], addresses={"bank": address}, settings=SETTINGS
    )


def resident() -> int:
    """Return the highest resident memory of this process so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """Echo until the peer leaves, or wait for a line without reading from the peer."""
    identity = load_party(Path(sys.argv[1]))
    with GrpcTransport(identity, ["shop"], listen="127.0.0.1:0", settings=SETTINGS) as bank:
        print(bank.address, flush=True)
        if sys.argv[2] == "sleep":
            print(resident(), flush=True)
            sys.stdin.readline()
            print(resident(), flush=True)
            return
        while True:
            try:
                body = bank.receive("shop", SCOPE, "t", 30.0)
            except AtollError as error:
                if error.code == "ATL-NET-003":
                    return
                raise
            bank.send("shop", SCOPE, "t", body, 30.0)


if __name__ == "__main__":
    main()
