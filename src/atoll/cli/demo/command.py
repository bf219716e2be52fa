"""``atoll demo``: two nodes on this machine, from tables to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from atoll.cli.console import amount, print_json, print_text, table
from atoll.cli.demo.stage import KEPT, REPORT, Options, kept, running
from atoll.cli.demo.stage import run as run_on
from atoll.learning.vertical.boosting import BoostingParameters

_int = click.IntRange
_FORMS = BoostingParameters.model_json_schema()["properties"]


def _boosting(name: str) -> Callable[[Any], Any]:
    """Return the option of a parameter of the training, as its class declares it."""
    form = _FORMS[name]
    return click.option(
        f"--{name.replace('_', '-')}",
        type=_int(form["minimum"], form["maximum"]),
        default=form["default"],
        help=f"{form['description']} ({form['default']})",
    )


@click.command()
@click.option(
    "--data",
    type=click.Choice(["breast", "credit", "synthetic"]),
    help="which table is split between the parties (breast, or synthetic where --rows is given)",
)
@click.option("--rows", type=_int(100, 10_000_000), help="rows of synthetic data (10000)")
@click.option("--guest-columns", type=_int(1, 1000), default=10, help="of synthetic data (10)")
@click.option("--host-columns", type=_int(1, 1000), default=10, help="of synthetic data (10)")
@_boosting("trees")
@_boosting("depth")
@_boosting("bins")
@_boosting("minimum_rows")
@click.option(
    "--seed",
    type=_int(0, (1 << 32) - 1),
    default=7,
    help="of the tables and the job: the same seed gives the same figures (7)",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="keep the nodes' folders and the outputs here (a new folder)",
)
@click.option(
    "--keep",
    is_flag=True,
    help=f"leave the nodes running, and print addresses and first passwords (in {KEPT})",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"where the HTML report goes ({REPORT}, or into --folder)",
)
@click.option(
    "--horizontal",
    is_flag=True,
    help="another demo: four owners of digits and an aggregator train by sums (--rounds)",
)
@click.option("--rounds", type=_int(1, 1000), default=20, help="of --horizontal (20)")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on standard output")
def command(as_json: bool, horizontal: bool, rounds: int, **chosen: Any) -> None:
    """Let two nodes intersect, train and evaluate on this machine.

    Each party has its own keys, node, database and table; the nodes are joined by mTLS on loopback
    alone. Shows the federated model beside the guest's own and the centralised one.
    """
    options = _options(chosen)
    if horizontal:
        from atoll.cli.demo import horizontal_run

        result = horizontal_run.run(options, rounds)
        text = horizontal_run.summary(result)
    else:
        result = run(options)
        text = summary(result)
    if as_json:
        print_json(result)
    else:
        print_text(text)


def _options(chosen: dict[str, Any]) -> Options:
    data, rows = chosen["data"], chosen["rows"]
    if rows is not None and data not in (None, "synthetic"):
        raise click.UsageError("--rows is for synthetic data only")
    data = data or ("synthetic" if rows is not None else "breast")
    names = ("trees", "depth", "bins", "minimum_rows")
    return Options(
        data,
        rows or 10_000,
        (chosen["guest_columns"], chosen["host_columns"]),
        {name: chosen[name] for name in names},
        chosen["seed"],
        chosen["folder"],
        chosen["report"],
        chosen["keep"],
    )


def run(options: Options) -> dict[str, Any]:
    """Run the demo and return its result; nothing but the report stays without a folder."""
    return run_on(options, _play)


def _play(options: Options, folder: Path, report: Path) -> dict[str, Any]:
    from atoll.cli.demo import compare, data, page, progress, work
    from atoll.cli.demo.nodes import nodes
    from atoll.report.page import write_html
    from atoll.table import write_csv

    shares = data.make(options.data, options.rows, options.columns, options.seed)
    compare.require()
    parameters = BoostingParameters(**options.boosting)
    files = {party: folder / party / "data" / f"{work.TABLE}.csv" for party in shares.tables}
    with progress.display() as shown:
        shown.note(f"{shares.about}: {data.GUEST} and {data.HOST}, one node each")
        parties = (data.GUEST, data.HOST)
        with nodes(folder, parties, keep=options.keep) as made, made.clients() as clients:
            for party, table in shares.tables.items():
                write_csv(table, files[party])
            work.bring(clients, files)
            shown.note("both nodes are up and trust each other; submitting the job")
            started = time.monotonic()
            job = work.run(clients, work.pipeline(options.boosting, options.seed), shown)
            measured = work.figures(clients, job, time.monotonic() - started)
            trained = job.report("boosting")
            work.save(clients, job.id, folder / "outputs")
        shown.note("training the guest's own and the centralised model for comparison")
        compared = compare.compare(shares, folder / "outputs" / data.GUEST, parameters)
    result = compare.figures(shares, compared) | measured | {"report": str(report)}
    if options.keep:
        result["nodes"] = kept(made)
    report.parent.mkdir(parents=True, exist_ok=True)
    pages = page.reports(result, compared, trained, shares.about)
    write_html(pages, report)
    return result


def summary(result: dict[str, Any]) -> str:
    """Return the result for people."""
    rows, columns = result["rows"], result["columns"]
    parts = [
        table(
            [
                ("", "rows", "columns"),
                ("guest", str(rows["guest"]), str(columns["guest"])),
                ("host", str(rows["host"]), str(columns["host"])),
                ("in common", str(rows["common"]), ""),
            ]
        ),
        table([("model", "AUC", "KS", "AUC in training"), *map(_scores(result), _MODELS)]),
        "The guest alone and the centralised model are XGBoost with the same settings on the same\n"
        "bins. The joined table exists in this process only, because it made both tables.",
        table(_costs(result)),
        *(_learned(result, party) for party in ("guest", "host")),
        *(f"warning: {text}" for text in result["warnings"]),
        f"report: {result['report']}",
        *running(result.get("nodes", {})),
    ]
    return "\n\n".join(parts)


_MODELS = ("guest", "federated", "centralised")
_TITLES = {"guest": "guest alone", "federated": "federated", "centralised": "centralised"}


def _scores(result: dict[str, Any]) -> Any:
    def row(name: str) -> tuple[str, ...]:
        figures = (result[key][name] for key in ("auc", "ks", "auc_train"))
        return (_TITLES[name], *(f"{value:.4f}" for value in figures))

    return row


def _costs(result: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = [("phase", "seconds", "guest → host", "host → guest")]
    for name, moved in result["bytes"].items():
        seconds = result["seconds"].get(name)
        rows.append(
            (
                name,
                "" if seconds is None else f"{seconds:.2f}",
                amount(moved["guest_to_host"]),
                amount(moved["host_to_guest"]),
            )
        )
    return [*rows, ("total", f"{result['seconds']['total']:.2f}", "", "")]


def _learned(result: dict[str, Any], party: str) -> str:
    lines = [f"what the {party} learned (values, sentence):"]
    lines += [
        f"  {line['step']:<11} {line['elements']:>10}  {line['what']}"
        for line in result["reveals"][party]
    ]
    return "\n".join(lines)
