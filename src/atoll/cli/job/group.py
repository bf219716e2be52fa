"""``atoll job``: the table of its commands."""

from __future__ import annotations

from atoll.cli.lazy import Lazy

command = Lazy(
    {
        "check": ("atoll.cli.job.planning:check", "check a job's file; asks no node"),
        "plan": ("atoll.cli.job.planning:plan", "show what a job would read, send and reveal"),
        "submit": ("atoll.cli.job.submitting:submit", "submit a job to the node"),
        "list": ("atoll.cli.job.looking:list_", "list jobs"),
        "show": ("atoll.cli.job.looking:show", "show a job: state, reason, steps"),
        "watch": ("atoll.cli.job.watching:watch", "follow a job until it has ended"),
        "log": ("atoll.cli.job.looking:log", "print the log of a step"),
        "metrics": ("atoll.cli.job.looking:metrics", "print the metrics of a step"),
        "report": ("atoll.cli.job.looking:report", "print the report of a step, or all as HTML"),
        "traffic": ("atoll.cli.job.looking:traffic", "show what was sent and received"),
        "artifacts": ("atoll.cli.job.looking:artifacts", "list what a job has made here"),
        "get": ("atoll.cli.job.looking:get", "save an artifact to a file"),
        "stop": ("atoll.cli.job.steering:stop", "stop a job at all parties"),
        "retry": ("atoll.cli.job.steering:retry", "try a failed job again from where it failed"),
        "rerun": ("atoll.cli.job.steering:rerun", "run a job again from a step on"),
        "approve": ("atoll.cli.job.steering:approve", "approve the plan of a partner's job"),
        "refuse": ("atoll.cli.job.steering:refuse", "refuse a partner's job"),
        "annotate": ("atoll.cli.job.steering:annotate", "change a job's tags or notes"),
    },
    gone={
        "run": "jobs run at nodes: `atoll job submit FILE`; the partners approve its plan with "
        "`atoll job approve`",
    },
    help="Submit, follow and steer jobs of a node.",
)
