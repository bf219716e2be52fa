"""Artifact files: whole or not there, found by digest only, pruned only when nothing needs them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import UserError
from atoll.flow.store import ArtifactFiles, Pruned, Stored, valid_digest
from atoll.jobs.errors import EnvironmentFault, NotFoundError, TamperedError

LATER = 1e12


@pytest.fixture
def files(tmp_path: Path) -> ArtifactFiles:
    return ArtifactFiles(tmp_path / "artifacts")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def inside(files: ArtifactFiles) -> list[str]:
    return sorted(
        p.name for p in files.folder.rglob("*") if p.is_file() and not p.name.startswith(".")
    )


def test_put_and_read(files: ArtifactFiles) -> None:
    pieces: list[bytes | bytearray | memoryview] = [b"ab", bytearray(b"cd"), memoryview(b"ef")]
    assert files.put(pieces) == Stored(digest(b"abcdef"), 6) == files.put(b"abcdef")
    assert files.read(digest(b"abcdef")) == b"abcdef"
    assert files.size(digest(b"abcdef")) == 6
    assert inside(files) == [digest(b"abcdef")]
    assert files.path(digest(b"abcdef")).stat().st_mode & 0o777 == 0o600
    with files.open(digest(b"abcdef"), check=True) as file:
        assert file.read(3) == b"abc"


def test_an_error_on_the_way_leaves_nothing(files: ArtifactFiles) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise KeyError

    with pytest.raises(KeyError):
        files.put(pieces())
    assert inside(files) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A bound on file sizes stands for the full disk: the same path through the code."""
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from atoll.flow.store import ArtifactFiles\nfrom atoll.core.errors import AtollError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "files = ArtifactFiles(Path(sys.argv[1]))\n"
        "try:\n    files.put(b'x' * 1_000_000)\n"
        "except AtollError as error:\n    print(error.code)\n"
        "print(files.put(b'small').bytes)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["ATL-STO-004", "5"]
    assert inside(ArtifactFiles(tmp_path)) == [digest(b"small")]


def test_a_changed_file_is_noticed(files: ArtifactFiles) -> None:
    name = files.put(b"right").digest
    files.path(name).write_bytes(b"wrong")
    with pytest.raises(TamperedError, match="ATL-STO-022"):
        files.read(name)
    with pytest.raises(TamperedError, match="ATL-STO-022"):
        files.open(name, check=True)


def test_adopting(files: ArtifactFiles, tmp_path: Path) -> None:
    source = tmp_path / "made"
    source.write_bytes(b"content")
    with pytest.raises(TamperedError, match="ATL-STO-022"):
        files.adopt(source, digest(b"other"))
    assert source.read_bytes() == b"content"
    assert inside(files) == []
    assert files.adopt(source, digest(b"content")) == Stored(digest(b"content"), 7)
    assert not source.exists()
    source.write_bytes(b"content")
    files.adopt(source)
    assert not source.exists()
    # A file with a second name may still be written through it, so its bytes are copied.
    source.write_bytes(b"twice")
    os.link(source, tmp_path / "second")
    name = files.adopt(source).digest
    (tmp_path / "second").write_bytes(b"changed")
    assert files.read(name) == b"twice"


def test_links_are_not_followed(files: ArtifactFiles, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    name = digest(b"secret")
    files.path(name).parent.mkdir()
    files.path(name).symlink_to(secret)
    assert not files.has(name)
    with pytest.raises(EnvironmentFault, match="ATL-STO-024"):
        files.open(name)
    link = tmp_path / "link"
    link.symlink_to(secret)
    with pytest.raises(EnvironmentFault, match="ATL-STO-024"):
        files.adopt(link)
    assert secret.exists()


def test_a_linked_folder_is_not_entered(files: ArtifactFiles, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    name = digest(b"x")
    (outside / name).write_bytes(b"x")
    files.path(name).parent.symlink_to(outside)
    with pytest.raises(EnvironmentFault, match="ATL-STO-024"):
        files.put(b"x")
    with pytest.raises(EnvironmentFault, match="ATL-STO-024"):
        files.open(name)
    assert files.prune(set(), LATER) == Pruned(0, 0)
    assert list(files.digests()) == []
    assert (outside / name).exists()


@pytest.mark.parametrize(
    "name", ["", "..", "../" * 20 + "etc/passwd", "A" * 64, "a" * 63, "a" * 65]
)
def test_only_digests_are_names(files: ArtifactFiles, name: str) -> None:
    for use in (files.path, files.open, files.read, files.has, files.size):
        with pytest.raises(UserError, match="ATL-STO-023"):
            use(name)


@given(st.text(max_size=70))
def test_no_text_leads_outside(name: str) -> None:
    try:
        valid_digest(name)
    except UserError:
        return
    assert len(name) == 64
    assert not set(name) - set("0123456789abcdef")


def test_missing(files: ArtifactFiles) -> None:
    with pytest.raises(NotFoundError, match="ATL-STO-021"):
        files.open(digest(b"never"))


def test_prune_spares_what_is_named_or_young(files: ArtifactFiles) -> None:
    kept, old, young = (files.put(data).digest for data in (b"kept", b"older", b"young"))
    for name in (kept, old):
        os.utime(files.path(name), (1000, 1000))
    left = files.folder / "incoming" / "left-over"
    left.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    assert files.prune({kept}, 2000.0) == Pruned(1, 5)
    assert list(files.digests()) == sorted([kept, young])
    assert inside(files) == sorted([kept, young])
    # Putting the same bytes again makes them young again.
    os.utime(files.path(kept), (1000, 1000))
    files.put(b"kept")
    assert files.prune(set(), 2000.0) == Pruned(0, 0)
    assert files.prune(set(), LATER) == Pruned(2, 9)
