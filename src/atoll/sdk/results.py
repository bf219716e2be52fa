"""What calls return beyond the API's own classes: the same, with a picture for notebooks."""

from __future__ import annotations

from typing import Any

from atoll.core import report
from atoll.flow.api import views


class Report(report.Report):
    """A step's report; notebooks draw it."""

    def _repr_html_(self) -> str:
        from atoll.report import notebook

        return notebook.render(self)


class JobPage(views.JobPage):
    """A page of jobs; notebooks draw it as a table."""

    def _repr_html_(self) -> str:
        from atoll.sdk import markup

        return markup.jobs(self.items)


class Scored(views.Given):
    """Scores in the order of the ids that were asked for, None for those that are ``missing``."""

    scores: tuple[float | None, ...]
    missing: tuple[str, ...] = ()


class JobState:
    """A base for handles of jobs: what they show of the job as it was last seen."""

    def __init__(self, view: views.JobView) -> None:
        self.view = view

    @property
    def id(self) -> str:
        """The job's id."""
        return self.view.id

    @property
    def name(self) -> str:
        """The job's name."""
        return self.view.name

    @property
    def state(self) -> str:
        """The job's state as it was last seen."""
        return self.view.state

    @property
    def reason(self) -> str | None:
        """What it waits for, or why it ended."""
        return self.view.reason

    def to_dict(self) -> dict[str, Any]:
        """Return everything that was last seen of it as plain values."""
        return self.view.model_dump(mode="json")

    def __repr__(self) -> str:
        why = f", {self.view.reason}" if self.view.reason else ""
        return f"<job {self.id} {self.name}: {self.state}{why}>"

    def _repr_html_(self) -> str:
        from atoll.sdk import markup

        return markup.job(self.view)
