"""Certificates that are rotated or end while nodes run, and trust that is withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from atoll.channel.identity import export_ca, renew
from atoll.channel.identity.certificates import NODE_LIFE, present
from tests.drills.acts import Pair
from tests.drills.checks import PEER_LOST, check, same_end, wait_ended
from tests.e2e import nodes
from tests.e2e.nodes import fill, training_job, until

REVOKED = "ATL-NOD-040"
# Whoever was not told any more that it is over finds its certificate refused, or waits too long.
LOST = (PEER_LOST, "ATL-NET-016")
# A node needs some time to start; then the certificate's last seconds run out.
LAST_SECONDS = 40.0


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes whose certificates are ours to spoil."""
    root = tmp_path_factory.mktemp("certificates")
    made = nodes.make(root, "bank", "shop")
    two = Pair(made)
    try:
        two.start()
        fill(made, root)
        yield two
    finally:
        for node in made.values():
            node.stop()


def running(two: Pair) -> str:
    job = two.submit(training_job("bank", "shop", trees=60))
    with two["bank"].client() as bank:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
    return job


@pytest.mark.parametrize("who", ["shop", pytest.param("bank", marks=pytest.mark.drill)])
def test_a_rotation_while_a_job_runs_costs_nothing(apart: Pair, who: str) -> None:
    job = running(apart)
    with apart[who].client() as client:
        client.parties.rotate()
    check(apart.made, job)
    apart.still_works()
    apart[who].stop()
    apart.start(who)
    apart.still_works()


@pytest.mark.drill
@pytest.mark.parametrize("who", ["bank", "shop"])
def test_trust_withdrawn_while_a_job_runs_ends_it_at_both(apart: Pair, who: str) -> None:
    other = {"bank": "shop", "shop": "bank"}[who]
    job = running(apart)
    with apart[who].client() as client:
        client.parties.revoke(other)
    try:
        state, _ = same_end(apart.made, job, 40.0, LOST)
        assert state == "failed"
        with apart[who].client() as client:
            view = client.jobs.get(job).view
            assert (view.code, view.party) in ((REVOKED, who), (REVOKED, other))
        with apart[other].client() as client:
            assert client.jobs.get(job).view.code in (REVOKED, *LOST)
        check(apart.made, job, success=False, lost=LOST)
    finally:
        with apart[who].client() as client:
            authority = export_ca(apart[other].folder.root).decode()
            client.parties.add(other, authority, f"127.0.0.1:{apart[other].port}")
    apart.still_works()


@pytest.mark.drill
def test_a_partner_whose_certificate_has_ended_is_refused(apart: Pair) -> None:
    shop = apart["shop"]
    shop.stop()
    ends = present() + timedelta(seconds=LAST_SECONDS)
    renew(shop.folder.root, now=ends - NODE_LIFE)
    # Without its authority's key the node cannot renew it by itself.
    key = shop.folder.root / "ca.key.pem"
    away = key.rename(key.with_name("away.pem"))
    apart.start("shop")
    until(lambda: present() > ends + timedelta(seconds=1))
    job = apart.submit()
    view = wait_ended(apart["bank"], job)
    assert (view.state, view.code, view.party) == ("failed", "ATL-NET-013", "shop")
    away.rename(key)
    with shop.client() as client:
        client.parties.rotate()
    apart.still_works()
