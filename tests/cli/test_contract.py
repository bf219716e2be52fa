"""With ``--json`` each command prints what its published schema says, and errors are JSON, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from atoll.channel.identity import export_ca, init_party
from atoll.cli import outputs
from atoll.cli.client.folder import ClientFolder
from atoll.cli.commands import COMMANDS
from atoll.cli.main import run
from atoll.flow.populations.folder import load
from atoll.sdk import Client
from atoll.sdk.pipeline import Pipeline
from tests.flow.populations.helpers import Clients, serving, write_rows
from tests.learning.horizontal.population.helpers import terms_with
from tests.sdk.agreements import AGREEMENT
from tests.sdk.site import PASSWORD, Site, make_job
from tests.sdk.small import DIGEST

Check = Callable[..., Any]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Run a command with ``--json`` and hold its output against its schema."""

    def act(name: str, *arguments: str, code: int = 0) -> Any:
        found = run([*name.split(), *arguments, "--json"])
        printed = capsys.readouterr()
        assert found == code, printed.err
        lines = printed.out.splitlines() if name == "job watch" else [printed.out]
        for line in lines:
            value = json.loads(line)
            jsonschema_rs.validate(outputs.schema(name), value)
        return json.loads(lines[-1])

    return act


# These need a node's folder or process; they are tried where those are.
ELSEWHERE = {
    *("init", "up", "down", "restart", "doctor"),
    *("admin backup", "admin migrate", "admin prune", "admin restore"),
}


def test_jobs(node: Site, check: Check, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    Pipeline.from_job(make_job()).save(file)
    check("job check", str(file))
    check("job plan", str(file))
    made = check("job submit", str(file), "--tag", "t", "--idempotency-key", "k")
    assert check("job submit", str(file), "--tag", "t", "--idempotency-key", "k") == made
    job = made["id"]
    check("job list", "--state", "waiting", "--limit", "1")
    check("job show", job, "--plan")
    check("job annotate", job, "--notes", "hm")
    check("job approve", job, "--digest", DIGEST)
    check("job log", job, "psi")
    check("job metrics", job, "psi")
    check("job report", job, "psi")
    check("job report", job)
    check("job traffic", job)
    check("job artifacts", job)
    check("job get", job, "psi", "table", "--output", str(tmp_path / "t.bin"))
    check("job plan", "--of", job)
    check("job stop", job, "--yes")
    check("job watch", job, code=8)
    check("job retry", job)
    check("job rerun", job, "--from", "psi")
    check("job rerun", job, "psi")
    check("job refuse", job, "--yes")


def test_populations(check: Check, tmp_path: Path) -> None:
    root = tmp_path / "population"
    terms = tmp_path / "terms.json"
    terms.write_text(terms_with({"rounds": 1}).model_dump_json())
    made = check("population create", str(terms), "--folder", str(root))
    assert made["population"] == "phones"
    with serving(load(root), count=1) as found:
        address = f"127.0.0.1:{found.port}"
        listed = check("population invite", "--folder", str(root), "--address", address)
        code = tmp_path / "code"
        code.write_text(listed["items"][0]["code"])
        data = write_rows(tmp_path / "rows.csv", 1)
        joined = ("--folder", str(tmp_path / "client"))
        more = ("--data", str(data), "--code-file", str(code), "--yes", "--only")
        assert check("client join", *joined, *more)["number"] == 0
        with Clients([ClientFolder(tmp_path / "client")]):
            found.wait()
    assert check("population serve", "--folder", str(root), "--host", "127.0.0.1")["finished"]
    shown = check("client status", *joined)
    assert (shown["tasks"], shown["answered"], shown["today_at_most"]) == (1, 1, 24)
    assert (shown["epsilon"], [part["tasks"] for part in shown["data"]]) == (None, [1])
    assert shown["sent"] > 0
    lines = check("population log", "--folder", str(root), "--what", "joined")["items"]
    assert [(line["client"], line["times"]) for line in lines] == [(0, 1)]
    assert check("population members", "--folder", str(root))["count"] == 1
    check("population remove", "0", "--folder", str(root), "--yes")
    assert run(["client", "leave", *joined, "--yes"]) == 6
    check("client leave", *joined, "--yes", "--forget")
    left = sorted(path.name.partition("-")[0] for path in (tmp_path / "client").iterdir())
    assert left == ["counts", "lock"]


def test_tables(node: Site, check: Check, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,x0\na,1\nb,2\n")
    check("data check", str(file))
    check("data register", "people", str(file))
    check("data register", "loans", "/data/loans.csv", "--in-place")
    check("data check", "people", "--registered")
    check("data list", "--limit", "1")
    check("data show", "people")
    check("data preview", "people", "--rows", "1")
    terms = ["--partner", "shop", "--component", "psi", "--runs", "3", "--until", "2030-01-01"]
    grant = check("data grant", "people", *terms)
    check("data grants", "people")
    check("data limit", "people", "--partner", "shop", "--psi-runs", "3")
    check("data limits", "people")
    check("data revoke", grant["id"], "--yes")
    check("data delete", "people", "--yes")


def test_standing_agreements(node: Site, check: Check, tmp_path: Path) -> None:
    check("agreement list", "--live")
    check("agreement show", AGREEMENT)
    check("agreement score", AGREEMENT, "ab", "nobody")
    rows = tmp_path / "rows.csv"
    rows.write_text("id,x0\na,1.5\nb,\n")
    check("agreement score", AGREEMENT, "--file", str(rows))
    bounds = ["--per-day", "5", "--most", "9", "--until", "2030-01-31"]
    check("agreement propose", "credit:1", "--table", "shop=visits", *bounds)
    check("agreement end", AGREEMENT, "--reason", "enough", "--yes")


def test_models_partners_and_components(node: Site, check: Check, tmp_path: Path) -> None:
    check("model list")
    check("model show", "credit:1")
    check("model card", "credit:1")
    check("model stage", "credit:1", "archived")
    check("model publish", "credit:1")
    check("model bind", "credit:1", "score")
    check("model services")
    check("model rollback", "score")
    file = str(tmp_path / "m.tar")
    check("model export", "credit:1", "--output", file)
    check("model import", file)
    check("model migrate", "credit:1", "--party", "bank=bank2")
    check("model predict", "credit:1", "--table", "bank=people")
    check("party list")
    check("party invite", "mill")
    check("party invitations")
    check("party withdraw", "0f", "--yes")
    code = tmp_path / "code"
    code.write_text("secret\n")
    check("party accept", "--code-file", str(code), "--address", "bank.example:9370")
    check("party confirm", "shop", "--address", "shop.example:9370")
    check("party ping", "shop")
    check("party rotate", "--yes")
    check("party revoke", "shop", "--yes")
    init_party(tmp_path / "keys", "bank")
    check("party show", "--folder", str(tmp_path / "keys"))
    authority = tmp_path / "mill.pem"
    init_party(tmp_path / "mill", "mill")
    authority.write_bytes(export_ca(tmp_path / "mill"))
    check("party trust", "mill", str(authority), "--folder", str(tmp_path / "keys"))
    check("party trust", "mill", str(authority), "--address", "mill.example:9000")
    check("component list")
    check("component show", "psi")
    check("component approve", "psi", "--digest", DIGEST)
    check("component revoke", "psi", "--yes")
    check("component new", "swap", "--folder", str(tmp_path / "swap"))


def test_people_and_accounts(node: Site, check: Check, tmp_path: Path) -> None:
    check("user add", "ann", "--role", "viewer")
    check("user list")
    check("user roles", "ann", "--role", "modeller")
    check("user disable", "ann", "--yes")
    check("user enable", "ann")
    check("user delete", "ann", "--yes")
    token = check("token new", "script", "--days", "1")
    check("token list")
    check("token revoke", token["id"], "--yes")
    check("whoami")
    check("selftest")
    check("selftest", "--with", "sick", code=1)
    check("audit show", "--limit", "2")
    assert check("audit verify")["lines"] > 5
    check("ledger show")
    assert check("ledger verify")["lines"] == 0
    check("schema")
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    check("login", node.url, "--password-file", str(file), "--profile", "here")
    check("logout", "--profile", "here")
    new = tmp_path / "new"
    new.write_text("another battery staple horse")
    arguments = ["--current-file", str(file), "--password-file", str(new)]
    check("user password", *arguments)


def test_every_command_is_held_against_its_schema() -> None:
    tried = set(re.findall(r'check\("([a-z ]+)"', Path(__file__).read_text()))
    assert tried == outputs.COMMANDS.keys() - ELSEWHERE


def test_every_schema_is_a_schema_and_every_command_has_one() -> None:
    known = outputs.names()
    for name in (*known.documents, *known.commands):
        jsonschema_rs.validator_for(outputs.schema(name))
    plain = {"demo", "completion", "config", "status", "report"}
    assert {name.split()[0] for name in known.commands} == COMMANDS.keys() - plain


def test_an_error_is_json_too(node: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "show", "20260101000000-0000000f", "--json"]) == 3
    printed = capsys.readouterr()
    value = json.loads(printed.out)
    jsonschema_rs.validate(outputs.schema("error"), value)
    assert value["error"]["code"] == "ATL-JOB-010"
    assert "ATL-JOB-010" in printed.err


@pytest.mark.parametrize("words", [["job", "list", "--limit", "0"], ["job", "shwo", "x"]])
def test_a_wrong_option_is_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--json"]) == 2
    value = json.loads(capsys.readouterr().out)
    jsonschema_rs.validate(outputs.schema("error"), value)
    assert value["error"]["code"] == "ATL-CLI-027"


def test_the_audit_log_of_a_node_that_was_changed_is_refused(
    node: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from atoll.cli import chains
    from atoll.cli.audit import WORDS
    from atoll.core.errors import AtollError

    with Client(node.url, token=node.token) as client:
        client.users.add("ann", ["viewer"])
        lines = list(client.audit.all())
    assert chains.verify(lines, WORDS, "audit log")["lines"] == len(lines)
    for broken in (
        lines[1:],
        [*lines[:1], *lines[2:]],
        [lines[0].model_copy(update={"actor": "mallory"}), *lines[1:]],
    ):
        with pytest.raises(AtollError, match="ATL-CLI-025"):
            chains.verify(broken, WORDS, "audit log")
