"""Which node is meant, and the file that holds the tokens."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.jobs.errors import DeniedError
from atoll.sdk.profiles import Profile, Profiles, config_file, read_profiles, write_profiles
from atoll.sdk.target import resolve

HERE = Profile("http://127.0.0.1:8090", token='se"cr\\et', user="ann", expires=3.5)


def save(**profiles: Profile) -> None:
    whole = Profiles({})
    for name, profile in profiles.items():
        whole = whole.with_profile(name, profile)
    write_profiles(whole)


def test_profiles_round_trip_in_a_private_file() -> None:
    there = Profile("https://shop.example", ca="/etc/ca.pem", plain=True)
    save(bank=HERE, shop=there)
    assert read_profiles() == Profiles({"bank": HERE, "shop": there}, "bank")
    assert stat.S_IMODE(config_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(config_file().parent.stat().st_mode) == 0o700
    left = read_profiles().without("bank")
    write_profiles(left)
    assert read_profiles() == Profiles({"shop": there}, None)


def test_secrets_are_not_in_representations() -> None:
    assert "secr" not in repr(HERE)
    save(bank=HERE)
    assert "cr" not in repr(resolve()).replace("http", "")


def test_a_file_that_others_can_read_is_refused() -> None:
    save(bank=HERE)
    config_file().chmod(0o640)
    with pytest.raises(DeniedError) as caught:
        resolve()
    assert (caught.value.code, caught.value.exit_code) == ("ATL-SDK-022", 4)


@pytest.mark.parametrize(
    "text",
    ["default = 3", "[profile.x]", "[profiles.x]\nurl=3", "[profiles.x]\nurl='u'\ntokn='t'", "["],
)
def test_a_malformed_file_is_refused(text: str) -> None:
    save(bank=HERE)
    config_file().write_text(text)
    with pytest.raises(AtollError, match="ATL-SDK-021"):
        resolve()


def test_the_order_of_what_names_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AtollError, match="ATL-SDK-020"):
        resolve()
    save(bank=HERE, shop=Profile("http://127.0.0.1:2"))
    assert resolve().url == HERE.url
    assert resolve(profile="shop").url == "http://127.0.0.1:2"
    with pytest.raises(AtollError, match="did you mean shop"):
        resolve(profile="shpo")
    monkeypatch.setenv("ATOLL_PROFILE", "shop")
    assert resolve().url == "http://127.0.0.1:2"
    monkeypatch.setenv("ATOLL_URL", "http://127.0.0.1:3/")
    assert resolve().url == "http://127.0.0.1:3"
    assert resolve(profile="bank").token == HERE.token
    monkeypatch.setenv("ATOLL_TOKEN", "other")
    assert resolve(profile="bank").token == "other"
    assert resolve("127.0.0.1:4", "mine").token == "mine"


def test_a_token_never_travels_in_the_clear() -> None:
    with pytest.raises(DeniedError, match="ATL-SDK-024"):
        resolve("http://node.example:8090", "token")
    assert resolve("https://node.example", "token").token == "token"
    assert resolve("http://node.example:8090").token is None
    assert resolve("http://[::1]:8090", "token").token == "token"
    save(far=Profile("http://node.example", token="t", plain=True))
    assert resolve(profile="far").token == "t"


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://u:p@x", "http://x?y", "http://x:port", "http://[x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(AtollError, match="ATL-SDK-023"):
        resolve(url)


def test_a_node_of_this_machine_is_found_in_its_folder(tmp_path: Path) -> None:
    from atoll.flow.node.folder import NodeFolder

    with pytest.raises(AtollError, match="ATL-NOD-003"):
        resolve(folder=tmp_path)
    folder = NodeFolder(tmp_path)
    folder.make()
    with folder.locked():
        folder.write_http("http://127.0.0.1:5", "local")
        found = resolve(folder=tmp_path)
        assert (found.url, found.token) == ("http://127.0.0.1:5", "local")
