"""The pure heart of the job system: facts, sync, one machine per job and node, and the queue.

    events ──▶ step(record, event, rules) ──▶ record (save it first), commands (then do them)
    records ──▶ PeerSync(peer).message(records) ──▶ bytes ──▶ the peer's FactsReceived events

Nothing here does input or output, and nothing reads a clock. See ``docs/protocols/job-control.md``.
"""

from atoll.flow.control.commands import (
    Command,
    Complain,
    Decide,
    Declare,
    Ended,
    Enqueue,
    Explain,
    FindReusable,
    KillTask,
    Publish,
    Release,
    ReuseTask,
    StartTask,
)
from atoll.flow.control.events import (
    Admitted,
    Decided,
    Declared,
    DeclareFailed,
    Event,
    FactsReceived,
    Moment,
    Progressed,
    RerunAsked,
    Restarted,
    RetryAsked,
    ReusableFound,
    StaleRecord,
    StopAsked,
    Submitted,
    TaskReported,
    Tick,
)
from atoll.flow.control.facts import JobDocument, Options
from atoll.flow.control.machine import step
from atoll.flow.control.parsing import JOB_ID
from atoll.flow.control.plan_approval import awaits_decision, open_decision
from atoll.flow.control.queue import (
    Entry,
    Queue,
    QueueLimits,
    admit,
    check_open,
    enqueue,
    release,
)
from atoll.flow.control.reading import read_options
from atoll.flow.control.record import JobRecord
from atoll.flow.control.rules import Rules, Times, limited, may_retry
from atoll.flow.control.sync import PeerSync, SyncMessage, Update, encode_sync, parse_sync
from atoll.flow.control.view import JobView, StepView, rightly_commanded, view

__all__ = [
    "JOB_ID",
    "Admitted",
    "Command",
    "Complain",
    "Decide",
    "Decided",
    "Declare",
    "DeclareFailed",
    "Declared",
    "Ended",
    "Enqueue",
    "Entry",
    "Event",
    "Explain",
    "FactsReceived",
    "FindReusable",
    "JobDocument",
    "JobRecord",
    "JobView",
    "KillTask",
    "Moment",
    "Options",
    "PeerSync",
    "Progressed",
    "Publish",
    "Queue",
    "QueueLimits",
    "Release",
    "RerunAsked",
    "Restarted",
    "RetryAsked",
    "ReusableFound",
    "ReuseTask",
    "Rules",
    "StaleRecord",
    "StartTask",
    "StepView",
    "StopAsked",
    "Submitted",
    "SyncMessage",
    "TaskReported",
    "Tick",
    "Times",
    "Update",
    "admit",
    "awaits_decision",
    "check_open",
    "encode_sync",
    "enqueue",
    "limited",
    "may_retry",
    "open_decision",
    "parse_sync",
    "read_options",
    "release",
    "rightly_commanded",
    "step",
    "view",
]
