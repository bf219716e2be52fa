"""How commands behave: which node, what is asked, where output goes, exit codes, completion."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from atoll.cli.main import run
from atoll.flow.node.folder import NodeFolder
from atoll.sdk import Client
from atoll.sdk.pipeline import Pipeline
from atoll.sdk.profiles import read_profiles
from tests.sdk.site import PASSWORD, Site, make_job

Printed = tuple[int, str, str]


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    Pipeline.from_job(make_job()).save(file)
    return str(file)


def atoll(capsys: pytest.CaptureFixture[str], *arguments: str) -> Printed:
    code = run(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_data_goes_to_standard_output_and_talk_elsewhere(
    node: Site, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = atoll(capsys, "job", "submit", job_file)
    assert code == 0
    assert re.fullmatch(r"\d{14}-[0-9a-f]{8}\n", out)
    assert "atoll job watch" in err
    code, out, err = atoll(capsys, "job", "submit", job_file, "--quiet")
    assert out
    assert err == ""
    _, _, err = atoll(capsys, "job", "list", "--verbose")
    assert node.url in err


def test_how_a_job_ends_is_the_exit_code(
    node: Site, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for state, expected in (("success", 0), ("failed", 1), ("cancelled", 8), ("refused", 4)):
        key = f"key-{state}"
        with Client(node.url, token=node.token) as client:
            job = client.jobs.submit(make_job(), key=key)
        timer = threading.Timer(0.2, node.played.jobs.move, (job.id, state))
        timer.start()
        code, out, _ = atoll(
            capsys, "job", "submit", job_file, "--wait", "--idempotency-key", key, "-q"
        )
        timer.join()
        assert (code, state in out) == (expected, True)
        assert atoll(capsys, "job", "watch", job.id)[0] == expected


def test_waiting_has_an_end(node: Site, job_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = atoll(capsys, "job", "submit", job_file, "--wait", "--timeout", "0.3")
    assert code == 7
    assert "ATL-SDK-013" in err


def test_nothing_is_taken_away_without_a_yes(
    node: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = atoll(capsys, "party", "revoke", "shop")
    assert code == 4
    assert "ATL-CLI-020" in err
    assert "shop" in node.played.parties.known
    assert atoll(capsys, "party", "revoke", "shop", "--yes")[0] == 0


def test_errors_have_their_exit_codes(
    node: Site, job_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job()).approve()
    assert atoll(capsys, "job", "retry", job.id)[0] == 5
    assert atoll(capsys, "data", "show", "nothing")[0] == 3
    assert atoll(capsys, "job", "list", "--limit", "0")[0] == 2
    assert atoll(capsys, "model", "show", "credit")[0] == 2
    assert atoll(capsys, "job", "list", "--url", "http://127.0.0.1:1")[0] == 6
    assert atoll(capsys, "job", "submit", "nothing.yaml")[0] == 3


def test_secrets_come_from_files_or_standard_input_alone(
    node: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = atoll(capsys, "login", node.url)
    assert code == 2
    assert "ATL-CLI-021" in err
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    code, out, err = atoll(
        capsys, "login", node.url, "--password-file", str(file), "--profile", "bank"
    )
    assert code == 0, err
    token = read_profiles().get("bank").token
    assert token
    assert token not in out + err


def test_a_profile_is_used_and_ended(
    node: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    atoll(capsys, "login", node.url, "--password-file", str(file))
    monkeypatch.delenv("ATOLL_URL")
    monkeypatch.delenv("ATOLL_TOKEN")
    code, out, _ = atoll(capsys, "whoami")
    assert code == 0
    assert "administrator" in out
    token = read_profiles().get().token
    assert atoll(capsys, "logout")[0] == 0
    assert read_profiles().profiles == {}
    assert atoll(capsys, "whoami")[0] == 3
    assert atoll(capsys, "whoami", "--url", node.url)[0] == 4
    monkeypatch.setenv("ATOLL_TOKEN", str(token))
    assert atoll(capsys, "whoami", "--url", node.url)[0] == 4


def test_on_the_nodes_own_machine_its_folder_is_enough(
    node: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATOLL_URL")
    monkeypatch.delenv("ATOLL_TOKEN")
    folder = NodeFolder(tmp_path / "home" / ".atoll")
    folder.make()
    with folder.locked():
        folder.write_http(node.url, node.token)
        assert atoll(capsys, "job", "list", "--folder", str(folder.root))[0] == 0
        assert atoll(capsys, "job", "list")[0] == 0
        monkeypatch.setenv("ATOLL_HOME", str(folder.root))
        assert atoll(capsys, "job", "list")[0] == 0
    assert atoll(capsys, "job", "list")[0] == 6


def test_what_others_wrote_cannot_move_the_cursor(
    node: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    node.played.data._add(
        "evil", format="csv", bytes=1, id_column="id", owner="\x1b[2J\x1b]0;x\x07"
    )
    _, out, _ = atoll(capsys, "data", "list")
    assert "\x1b" not in out
    assert "\x07" not in out


def test_the_plan_is_shown_before_it_is_approved(
    node: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job())
    assert atoll(capsys, "job", "approve", job.id)[0] == 4
    assert node.played.jobs.jobs[job.id].view["state"] == "waiting"
    code, out, _ = atoll(capsys, "job", "approve", job.id, "--yes")
    assert (code, "running" in out) == (0, True)


def test_watching_without_a_terminal_gives_a_line_per_change(
    node: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job())
    jobs = node.played.jobs
    jobs.add_event(job.id, "step", "psi", state="running", own="running", peers={"shop": "waiting"})
    jobs.add_event(job.id, "progress", "psi", phase="mask", done=1, total=2)
    jobs.add_event(job.id, "step", "psi", state="success", own="success", peers={"shop": "success"})
    jobs.move(job.id, "success")
    code, out, _ = atoll(capsys, "job", "watch", job.id)
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[1] for line in lines] == ["credit", "psi", "psi", "credit"]
    assert "here running, shop waiting" in lines[1]


def environment(node: Site) -> dict[str, str]:
    return {**os.environ, "ATOLL_URL": node.url, "ATOLL_TOKEN": node.token, "TERM": "xterm"}


def test_watching_on_a_terminal_draws_a_picture(node: Site) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job())
    jobs = node.played.jobs
    main, side = pty.openpty()
    command = [sys.executable, "-m", "atoll", "job", "watch", job.id, "--no-color"]
    with subprocess.Popen(
        command, stdin=side, stdout=side, stderr=side, env=environment(node)
    ) as process:
        os.close(side)
        data = {"state": "running", "own": "running", "peers": {"shop": "waiting"}}
        jobs.add_event(job.id, "step", "psi", **data)
        jobs.add_event(job.id, "progress", "psi", phase="mask", done=1, total=2)
        shown = read_until(main, b"50%")
        jobs.move(job.id, "success")
        shown += read_until(main, b"success")
        while read_some(main):
            pass
        assert process.wait(20) == 0
    os.close(main)
    assert b"shop waiting" in shown
    assert b"\x1b[3" not in shown


def test_whoever_watches_may_leave_and_the_job_goes_on(node: Site) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job())
    with subprocess.Popen(
        [sys.executable, "-m", "atoll", "job", "watch", job.id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(node),
        text=True,
        # A shell that runs this in the background lets it ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        assert "waiting" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert node.played.jobs.jobs[job.id].view["state"] == "waiting"


def read_some(descriptor: int) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], 20)
    try:
        return os.read(descriptor, 65536) if ready else b""
    except OSError:
        return b""


def read_until(descriptor: int, wanted: bytes) -> bytes:
    shown, until = b"", time.monotonic() + 30
    while wanted not in shown and time.monotonic() < until:
        shown += read_some(descriptor)
    assert wanted in shown
    return shown


def completions(node: Site, words: str) -> list[str]:
    count = len(words.split(" ")) - 1
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(count), "_ATOLL_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "atoll"],
        env={**environment(node), **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_commands_and_what_the_node_knows(node: Site) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job())
    assert "submit" in completions(node, "atoll job su")
    assert completions(node, "atoll job show 2026") == [job.id]
    assert completions(node, f"atoll job log {job.id} p") == ["psi"]
    assert completions(node, "atoll party ping s") == ["shop"]
    assert "--password-file" in completions(node, "atoll login --pass")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = atoll(capsys, "completion", shell)
    assert code == 0
    assert "_ATOLL_COMPLETE" in out


def test_a_report_page_of_a_whole_job(
    node: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(node.url, token=node.token) as client:
        job = client.jobs.submit(make_job())
    page = tmp_path / "report.html"
    assert atoll(capsys, "job", "report", job.id, "--html", str(page))[0] == 0
    assert "Rows &amp; more" in page.read_text()
    assert "Rows & more" in atoll(capsys, "job", "report", job.id)[1]
