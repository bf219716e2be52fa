"""Bank's gateway as a process: ``node_process.py FOLDER LISTEN LABEL TOKEN`` prints its address."""

from __future__ import annotations

import sys
from pathlib import Path

from atoll.channel.grpc import Gateway
from atoll.channel.identity import load_party


def main() -> None:
    """Serve until the process is killed or its input ends."""
    folder, listen, label, token = Path(sys.argv[1]), *sys.argv[2:5]
    identity = load_party(folder / "bank")
    with Gateway(identity, folder / "bank.gate", listen=listen) as gateway:
        peers = list(identity.peers)
        gateway.register(label, bytes.fromhex(token), folder / "bank.work", peers)
        print(gateway.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
