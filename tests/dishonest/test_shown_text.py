"""A partner, or a file of others, whose text is shown to a person: in the log, on the terminal."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.cli import console, lines, options
from atoll.cli.calling import call
from atoll.core.errors import PeerError, UserError
from atoll.core.printable import clean, clean_lines, to_json
from atoll.core.strict import read
from atoll.flow.api import views
from atoll.flow.control.facts import Declaration, Refusal, Stop
from atoll.flow.control.parsing import peer_phase
from atoll.flow.node.jobs.declaring import decode_declaration
from atoll.flow.node.jobs.refusals import Refusals
from atoll.flow.node.log_lines import JsonLines, TextLines
from atoll.flow.node.partners.invitations import Invitation
from atoll.jobs.plan import TableFacts

EVIL = (
    "\x1b]0;title\x07\x1b[2K\r\u009b8m\u202eabc\n2026-12-01 04:00:00,000 WARNING atoll all is well"
)


def steers(text: str) -> bool:
    """Return whether a text could steer a terminal, but for the ends of its lines."""
    return not text.replace("\n", "").isprintable()


@pytest.fixture
def log() -> Any:
    stream, logger = io.StringIO(), logging.getLogger("atoll.test.shown")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines())
    logger.addHandler(handler)
    try:
        yield logger, stream, handler
    finally:
        logger.removeHandler(handler)


def test_a_partner_writes_no_line_of_its_own_into_the_log(log: Any) -> None:
    """The place of a refusal may hold the name of a parameter, as the partner wrote it."""
    logger, stream, _ = log
    error = UserError("ATL-JOB-015", "there is no such parameter", place=f"steps.read.{EVIL}")
    Refusals(logger).log("shop", "a job", error)
    shown = stream.getvalue()
    assert shown.count("\n") == 1
    assert "steps.read." in shown
    assert not steers(shown)


def test_nor_by_the_text_of_an_exception(log: Any) -> None:
    logger, stream, _ = log
    try:
        raise PeerError("ATL-NET-001", EVIL)
    except PeerError:
        logger.exception("a call failed")
    first, *more = stream.getvalue().rstrip("\n").split("\n")
    assert first.endswith("a call failed")
    assert more
    assert all(line.startswith("    ") for line in more)
    assert not steers(stream.getvalue())


def test_nor_into_a_log_of_json_lines(log: Any) -> None:
    logger, stream, handler = log
    handler.setFormatter(JsonLines())
    logger.warning("refused: %s", EVIL)
    assert stream.getvalue().count("\n") == 1
    assert not steers(stream.getvalue())
    assert json.loads(stream.getvalue())["message"] == f"refused: {EVIL}"


@given(st.recursive(st.text(), lambda deeper: st.dictionaries(st.text(), deeper, max_size=3)))
def test_json_reads_as_before_and_steers_nothing(value: Any) -> None:
    for more in ({}, {"indent": 2}):
        shown = to_json(value, **more)
        assert json.loads(shown) == value
        assert not steers(shown)


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert clean(text).isprintable()
    assert not steers(clean_lines(text))
    assert not text.isprintable() or clean(text) == clean_lines(text) == text


@pytest.mark.parametrize("kind", [Refusal, Stop])
def test_a_phase_that_is_not_printable_is_refused(kind: Any) -> None:
    """The phase of a refusal was printed by `atoll job watch` as it came."""
    fields = {"kind": "stop", "code": "ATL-JOB-012"} if kind is Stop else {"code": "ATL-JOB-012"}
    assert read(kind, {**fields, "phase": "round 3"}).phase == "round 3"
    with pytest.raises(ValueError, match="printable"):
        read(kind, {**fields, "phase": EVIL})
    assert peer_phase("a\nb") == clean("a\nb")


def test_the_last_line_of_watch_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    row = views.JobRow.model_construct(state="failed", code="ATL-JOB-012", reason=EVIL)
    options.Output().info(lines.state(row))
    shown = capsys.readouterr().err
    assert "ATL-JOB-012" in shown
    assert shown.count("\n") == 1
    assert not steers(shown)


def test_an_error_of_anyone_is_shown_clean(capsys: pytest.CaptureFixture[str]) -> None:
    where: dict[str, Any] = {"place": EVIL, "party": EVIL, "phase": EVIL, "hint": EVIL}
    console.show_error(PeerError("ATL-NET-001", EVIL, **where))
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 5
    assert not steers(shown)
    console.print_json({"error": EVIL})
    shown = capsys.readouterr().out
    assert json.loads(shown)["error"] == EVIL
    assert not steers(shown)


def test_a_job_file_of_a_partner_is_checked_without_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {
        "name": "x",
        "parties": {"bank": "guest", "shop": "host"},
        "steps": {"read": {"component": "reader", "parameters": {EVIL: 1}}},
    }
    (tmp_path / "evil.json").write_text(json.dumps(job))
    assert call("atoll.cli.job.planning:check", "job check", [str(tmp_path / "evil.json")]) == 2
    shown = capsys.readouterr().err
    assert "title" in shown
    assert not steers(shown)


def test_a_report_of_a_partner_is_refused_without_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.json").write_text(json.dumps({"title": "x", "panels": [], EVIL: 1}))
    assert call("atoll.cli.report", "report", [str(tmp_path / "evil.json")])
    assert not steers(capsys.readouterr().err)


def test_a_question_is_asked_in_clean_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []

    def answer(text: str, **_: Any) -> bool:
        asked.append(text)
        return True

    monkeypatch.setattr("click.confirm", answer)
    options.confirm(f"Dial {EVIL}?", yes=False)
    assert asked
    assert asked[0].isprintable()


def test_an_address_of_a_code_is_judged_before_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code's address stood in the question, before anything was asked of the node."""
    made = Invitation("a1", "mall", "bank", f"mall.example:9370{EVIL}", bytes(32), bytes(16))
    (tmp_path / "code").write_text(made.code())
    monkeypatch.setattr("click.confirm", lambda *_, **__: pytest.fail("it was asked"))
    arguments = ["accept", "--code-file", str(tmp_path / "code"), "--folder", str(tmp_path)]
    assert call("atoll.cli.party", "party", arguments) == 2
    shown = capsys.readouterr().err
    assert "ATL-PTY-014" in shown
    assert not steers(shown)


# -- names in plans -------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "name": "visits",
    "digest": "0" * 64,
    "rows": 3,
    "columns": ["x"],
    "label": None,
    "id_rule": "bytes",
}
LONG = "visits" + " " * 4000 + "reveals: nothing"


@pytest.mark.parametrize("text", [LONG, EVIL, "a\nb"])
@pytest.mark.parametrize("field", ["name", "label", "id_rule", "digest", "columns"])
def test_names_that_a_partner_declares_are_short_and_printable(field: str, text: str) -> None:
    """One column name of 4,050 characters stood in the plan that a person was shown."""
    wrong = {**FACTS, field: ["x", text] if field == "columns" else text}
    with pytest.raises(ValueError, match=r"printable|256"):
        read(TableFacts, wrong)
    received = Declaration({"read": read(TableFacts, FACTS)}, {}, b"certificate")
    lying = received.encoded.replace(b"\xa6visits", b"\xa6vi\x1b\x1bts")
    assert decode_declaration(received.encoded, "shop").tables["read"].name == "visits"
    with pytest.raises(PeerError, match=r"ATL-PLN-005|ATL-FLW-001"):
        decode_declaration(lying, "shop")


@pytest.mark.parametrize("name", ["年齢 (歳)", "a" * 256, "x\N{BRAILLE PATTERN BLANK}y"])
def test_names_that_an_own_table_may_have_are_read(name: str) -> None:
    facts = read(TableFacts, {**FACTS, "name": name, "columns": [name], "label": name})
    assert (facts.name, facts.columns, facts.label) == (name, (name,), name)
