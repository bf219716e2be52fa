"""The node's memory: its database (one writer), typed rows, and files named by their digest."""

from __future__ import annotations

from atoll.flow.store.agreements import AgreementRow, Agreements, SessionRow
from atoll.flow.store.artifacts import ArtifactRow, Artifacts, Reuse
from atoll.flow.store.backup import BackupReport, backup
from atoll.flow.store.components import ComponentRow, Components
from atoll.flow.store.database import Database
from atoll.flow.store.datasets import DataRow, DataSets
from atoll.flow.store.events import EventRow, Events
from atoll.flow.store.files import ArtifactFiles, Incoming, Pruned, Stored, valid_digest
from atoll.flow.store.jobs import JobRow, Jobs, JobSummary
from atoll.flow.store.meta import Meta
from atoll.flow.store.models import ModelRow, Models, ServiceRow
from atoll.flow.store.paging import Page, every, page
from atoll.flow.store.restore import RestoreReport, restore
from atoll.flow.store.retention import PruneReport, Retention, prune
from atoll.flow.store.statements import Record, Repository, build, insert, selected, upsert
from atoll.flow.store.tasks import TaskRow, Tasks
from atoll.flow.store.tracking import MetricRow, Metrics, Traffic, TrafficRow
from atoll.flow.store.writer import after_commit

__all__ = [
    "AgreementRow",
    "Agreements",
    "ArtifactFiles",
    "ArtifactRow",
    "Artifacts",
    "BackupReport",
    "ComponentRow",
    "Components",
    "DataRow",
    "DataSets",
    "Database",
    "EventRow",
    "Events",
    "Incoming",
    "JobRow",
    "JobSummary",
    "Jobs",
    "Meta",
    "MetricRow",
    "Metrics",
    "ModelRow",
    "Models",
    "Page",
    "PruneReport",
    "Pruned",
    "Record",
    "Repository",
    "RestoreReport",
    "Retention",
    "Reuse",
    "ServiceRow",
    "SessionRow",
    "Stored",
    "TaskRow",
    "Tasks",
    "Traffic",
    "TrafficRow",
    "after_commit",
    "backup",
    "build",
    "every",
    "insert",
    "page",
    "prune",
    "restore",
    "selected",
    "upsert",
    "valid_digest",
]
