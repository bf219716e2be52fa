"""Jobs in Python: checked call by call, and the same again after YAML and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError, UserError
from atoll.sdk import Pipeline, documents, read_job


def credit() -> Pipeline:
    p = Pipeline("credit", guest="bank", host="shop")
    rows = p.reader(tables={"bank": "loans", "shop": "visits"})
    common = p.psi(rows.table)
    parts = p.split(common.table, fraction=0.25, seed=3)
    model = p.boosting(train=parts.train, trees=5)
    scores = p.prediction(model.model, parts.test)
    p.evaluation(scores=scores.scores, train=model.scores)
    return p


def refused(action: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        action()
    return caught.value


def test_a_pipeline_becomes_the_job_that_a_person_would_write() -> None:
    job = credit().to_job()
    assert job.parties == {"bank": ("guest",), "shop": ("host",)}
    assert list(job.steps) == ["reader", "psi", "split", "boosting", "prediction", "evaluation"]
    assert job.steps["prediction"].inputs == {"model": "boosting.model", "table": "split.test"}
    assert job.steps["boosting"].parameters == {"trees": 5}


def test_a_second_step_of_a_component_gets_a_number_and_a_name_may_be_chosen() -> None:
    p = credit()
    again = p.split(p.step("psi").table)
    named = p.split(p.step("psi"), name="other")
    assert (again.name, named.name) == ("split_2", "other")
    assert refused(lambda: p.split(p.step("psi").table, name="other")).code == "ATL-SDK-003"


def test_mistakes_are_found_at_once_with_the_nearest_name() -> None:
    p = Pipeline("credit", guest="bank", host="shop")
    rows = p.reader(tables={"bank": "loans", "shop": "visits"})
    error = refused(lambda: p.boostin(train=rows.table))
    assert (error.code, error.hint) == ("ATL-JOB-004", "did you mean boosting?")
    error = refused(lambda: p.boosting(train=rows.table, tres=3))
    assert (error.code, error.hint) == ("ATL-JOB-005", "did you mean trees?")
    error = refused(lambda: p.boosting(train=rows.table, trees=0))
    assert (error.code, error.place) == ("ATL-JOB-006", "steps.boosting.parameters.trees")
    error = refused(lambda: rows.tabel)
    assert (error.code, error.hint) == ("ATL-SDK-001", "did you mean table?")
    assert p.steps == ("reader",)


def test_inputs_of_another_kind_or_pipeline_are_refused() -> None:
    p, other = credit(), credit()
    model = p.step("boosting")
    assert refused(lambda: p.psi(model.model)).code == "ATL-JOB-007"
    assert refused(lambda: p.psi()).code == "ATL-JOB-007"
    assert refused(lambda: p.psi(p.step("reader").table, p.step("reader").table)).code
    other.split(other.step("psi"), name="mine")
    assert "another pipeline" in refused(lambda: p.psi(other.step("mine").train)).message
    assert refused(lambda: p.psi("reader.table")).code == "ATL-JOB-007"


def test_it_looks_like_python() -> None:
    p = credit()
    assert not hasattr(p, "nothing")
    assert not hasattr(p.step("psi"), "nothing")
    assert {"boosting", "psi"} <= set(dir(p))
    assert "table" in dir(p.step("psi"))
    assert "trees" in (p.boosting.__doc__ or "")
    assert "credit" in repr(p)


def test_a_party_may_have_several_roles() -> None:
    p = Pipeline("x", guest="a", host=["b", "c"], arbiter="b")
    assert p.parties == {"a": ("guest",), "b": ("host", "arbiter"), "c": ("host",)}
    p.reader(tables={"a": "t", "b": "t", "c": "t"})
    assert p.to_job().canonical()["parties"] == {
        "a": "guest",
        "b": ["host", "arbiter"],
        "c": "host",
    }


@pytest.mark.parametrize("ending", ["yaml", "yml", "json"])
def test_a_file_gives_the_same_job_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"job.{ending}"
    credit().save(path)
    assert Pipeline.load(path).to_job().digest() == credit().to_job().digest()
    assert read_job(path) == credit().to_job()


@pytest.mark.parametrize("seed", [None, 0, 7, (1 << 63) - 1])
def test_a_seed_is_kept_and_left_out_where_there_is_none(tmp_path: Path, seed: int | None) -> None:
    p = Pipeline("credit", guest="bank", host="shop", seed=seed)
    p.psi(p.reader(tables={"bank": "loans", "shop": "visits"}))
    job = p.to_job()
    assert (p.seed, job.seed) == (seed, seed)
    assert Pipeline.from_job(job).to_job() == job
    for form in ("yaml", "json"):
        assert Pipeline.from_text(p.to_text(form), form).to_job() == job
        assert ("seed" in p.to_text(form)) == (seed is not None)
    p.save(tmp_path / "job.yaml")
    assert read_job(tmp_path / "job.yaml") == job
    (tmp_path / "job.toml").write_text(
        'name = "credit"\nseed = 5\n[parties]\nbank = "guest"\nshop = "host"\n'
        '[steps.reader]\ncomponent = "reader"\n'
    )
    assert read_job(tmp_path / "job.toml").seed == 5


def test_a_seed_out_of_bounds_is_refused() -> None:
    p = Pipeline("credit", guest="bank", host="shop", seed=-1)
    p.reader(tables={"bank": "loans", "shop": "visits"})
    assert refused(p.to_job).code == "ATL-JOB-003"


def test_a_loaded_pipeline_goes_on() -> None:
    p = Pipeline.from_text(credit().to_text())
    p.evaluation(p.step("boosting").scores, name="again")
    assert p.to_job().steps["again"].inputs == {"scores": "boosting.scores"}


def test_a_file_of_another_ending_or_none_is_refused(tmp_path: Path) -> None:
    assert refused(lambda: credit().save(tmp_path / "job.txt")).code == "ATL-SDK-004"
    assert refused(lambda: Pipeline.load(tmp_path / "job.yaml")).code == "ATL-JOB-003"


fraction = st.floats(0.001, 0.999)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
labels = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(names, st.lists(labels, min_size=2, max_size=4, unique=True), fraction, texts, st.data())
def test_any_pipeline_round_trips(
    name: str, parties: list[str], share: float, table: str, data: st.DataObject
) -> None:
    guest, *hosts = parties
    p = Pipeline(name, guest=guest, host=hosts)
    at = p.reader(tables=dict.fromkeys(parties, table), id=data.draw(texts))
    for _ in range(data.draw(st.integers(0, 3))):
        at = p.psi(at.table, minimum_intersection=data.draw(st.integers(1, 1000)))
    parts = p.split(at.table, fraction=share, name=data.draw(names.filter(lambda n: n != "reader")))
    p.boosting(parts.train, validation=parts.test, learning_rate=share, name="last-step")
    job = p.to_job()
    for form in ("yaml", "json"):
        assert Pipeline.from_text(p.to_text(form), form).to_job() == job


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_any_plain_value_round_trips(value: Any) -> None:
    for form in ("yaml", "json"):
        assert documents.loads(documents.dumps(value, form), form) == value


@pytest.mark.parametrize("text", ["no", "yes", "0123", "1e5", "2026-01-01", "~", "=", "<<", "1_0"])
def test_text_stays_text(text: str) -> None:
    assert documents.loads(documents.dumps({text: text}, "yaml"), "yaml") == {text: text}


def test_yaml_by_hand_has_no_surprises() -> None:
    found = documents.loads("a: no\nb: 2026-01-01\n9999: 0x10\nc: 1e-3\nd: 'null'", "yaml")
    assert found == {"a": "no", "b": "2026-01-01", "9999": "0x10", "c": 0.001, "d": "null"}


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 7)
)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        LAUGHS,
        "a: &a [*a]",
        "a: !!python/object/apply:os.system [ls]",
        "!!set {a, b}",
        "a: !thing 3",
        "? [a, b]\n: c",
        "<<: {a: 1}",
        "[" * 200 + "]" * 200,
        "a: [",
        "a: 1e999",
        "a\n---\nb",
        "\x00",
        b"\xff",
        "a" * ((1 << 20) + 1),
    ],
)
def test_yaml_that_could_harm_is_refused(text: str | bytes) -> None:
    assert refused(lambda: documents.loads(text, "yaml")).code == "ATL-SDK-005"


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100_000, "{", b"\xff", '{"a": Infinity}']
)
def test_json_that_could_harm_is_refused(text: str | bytes) -> None:
    assert refused(lambda: documents.loads(text, "json")).code == "ATL-SDK-005"


def test_numbers_that_are_none_are_not_written() -> None:
    for form in ("yaml", "json"):
        with pytest.raises(AtollError):
            documents.dumps({"a": float("nan")}, form)
