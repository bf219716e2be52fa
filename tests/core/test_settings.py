"""Settings of a process come from the environment."""

from __future__ import annotations

import pytest

from atoll.core.errors import UserError
from atoll.core.settings import Settings


def test_the_environment_is_heard_and_what_is_not_there_has_its_default() -> None:
    found = Settings.of_environment({"ATOLL_THREADS": "3", "ATOLL_DATA": "/x", "THREADS": "4"})
    assert found == Settings(threads=3)
    assert Settings.of_environment({}).threads == 0


@pytest.mark.parametrize(("key", "value"), [("ATOLL_THREADS", "-1"), ("ATOLL_THREADS", "many")])
def test_what_cannot_be_used_is_named(key: str, value: str) -> None:
    with pytest.raises(UserError, match="ATL-SET-011") as caught:
        Settings.of_environment({key: value})
    assert caught.value.place == key
    assert value not in str(caught.value)
