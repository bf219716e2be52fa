"""HTTPS: a node is believed by the authority that a profile names, or by its own folder."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from atoll.core.errors import AtollError, NetworkError
from atoll.flow.node.folder import NodeFolder
from atoll.sdk import Client
from atoll.sdk.profiles import Profile, Profiles, write_profiles
from atoll.sdk.target import Target
from tests.sdk.site import site


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "chain.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files[1].write_bytes(secret)
    return files


def test_a_profile_names_the_authority(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, "localhost")
    with site(tmp_path, certificate=chain, key=key) as node:
        url = node.url.replace("127.0.0.1", "localhost")
        with Client(url, token=node.token, attempts=1) as stranger, pytest.raises(NetworkError):
            stranger.jobs.list()
        write_profiles(Profiles({"it": Profile(url, node.token, ca=str(chain))}, "it"))
        with Client(attempts=1) as client:
            assert client.me.show().user == "admin"
        other = Target(node.url, node.token, ca=str(tmp_path / "none.pem"))
        with pytest.raises(AtollError, match="ATL-SDK-025"):
            Client(target=other)


def test_the_nodes_own_folder_is_enough_whatever_its_name(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, "node.bank.example")
    folder = NodeFolder(tmp_path / "node")
    folder.make()
    folder.settings.write_text(f'[http]\ncertificate = "{chain}"\nkey = "{key}"\n')
    with site(tmp_path, certificate=chain, key=key) as node, folder.locked():
        folder.write_http(node.url, node.token)
        with Client(folder=folder.root, attempts=1) as client:
            assert client.me.show().user == "admin"
        (tmp_path / "other").mkdir()
        another, _ = certificate(tmp_path / "other", "node.bank.example")
        liar = Target(node.url, node.token, ca=str(another), pinned=True)
        with Client(target=liar, attempts=1) as client, pytest.raises(NetworkError):
            client.me.show()
