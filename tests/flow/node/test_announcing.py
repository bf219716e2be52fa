"""Partners are shown a node's certificate until they have seen it."""

from __future__ import annotations

from atoll.core.errors import NetworkError
from atoll.flow.node.partners.announcing import Announcer
from tests.channel.grpc.nodes import until


class Partners:
    """Partners of which some are not there."""

    def __init__(self, *away: str) -> None:
        self.away = set(away)
        self.called: list[str] = []
        self.code = "ATL-NET-010"

    def show(self, party: str) -> None:
        self.called.append(party)
        if party in self.away:
            raise NetworkError(self.code, "not reached", party=party)


def test_who_was_not_reached_is_called_again_until_it_is() -> None:
    partners = Partners("mill")
    announcer = Announcer(partners.show, again_seconds=0.01)
    announcer.start(())
    assert announcer.announce(["shop", "mill"]) == ["mill"]
    until(lambda: partners.called.count("mill") > 2)
    partners.away.clear()
    until(lambda: not announcer.owed)
    assert partners.called.count("shop") == 1
    announcer.close()


def test_who_is_no_partner_any_more_is_not_called_again() -> None:
    partners = Partners("mill")
    partners.code = "ATL-NET-006"
    announcer = Announcer(partners.show, again_seconds=0.01)
    announcer.start(())
    assert announcer.announce(["mill"]) == []
    assert announcer.owed == set()
    announcer.close()
    assert partners.called == ["mill"]
