"""Who a party is: its folder with keys and certificates, and the authorities that it trusts.

A party folder holds ``party.json`` (written last: without it there is no party), the party's own
certificate authority, its node's key and certificate, and under ``peers/`` one pinned authority
for each partner. Private keys are readable by their owner alone.
"""

from atoll.channel.identity.certificates import Newest, fingerprint
from atoll.channel.identity.folder import (
    check_address,
    confirm,
    distrust,
    export_ca,
    init_party,
    install_certificate,
    keep_current,
    load_party,
    note_newest,
    renew,
    request_certificate,
    trust,
)
from atoll.channel.identity.party import Expiry, Identity, Peer

__all__ = [
    "Expiry",
    "Identity",
    "Newest",
    "Peer",
    "check_address",
    "confirm",
    "distrust",
    "export_ca",
    "fingerprint",
    "init_party",
    "install_certificate",
    "keep_current",
    "load_party",
    "note_newest",
    "renew",
    "request_certificate",
    "trust",
]
