"""What the route files share: paging, and the names in their addresses."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from atoll.flow.api import views

PAGE = 50
MOST = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="the most items of the page")]
After = Annotated[
    str | None, Query(max_length=1024, description="the page after this one: its next")
]
JobId = Annotated[str, Path(pattern=views.JOB_ID)]
StepName = Annotated[str, Path(pattern=views.ANY_STEP)]
ArtifactName = Annotated[str, Path(pattern=views.ARTIFACT_NAME)]
DataName = Annotated[str, Path(pattern=views.DATA_NAME)]
PartyName = Annotated[str, Path(pattern=views.PARTY_NAME)]
UserName = Annotated[str, Path(pattern=views.USER_NAME)]
ModelId = Annotated[str, Path(pattern=views.MODEL_ID)]
ModelVersion = Annotated[int, Path(ge=1, le=1 << 30)]
Attempt = Annotated[
    int | None, Query(ge=0, le=1 << 30, description="which attempt; absent: the last")
]
