"""One node for the tests of the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flow.api.site import Site, site


@pytest.fixture(scope="session")
def node_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made
