"""Intersections with a party that masks each row by a scalar of its own."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.crypto.dh import DhScalar
from atoll.crypto.reference import curve25519
from atoll.operators import psi
from atoll.operators.psi.ecdh.core import _HALVES
from atoll.operators.psi.ecdh.messages import Links, Points, Tags
from tests.dishonest.lying import speaking
from tests.dishonest.test_psi import PARAMETERS, ROLES, ROWS, Lying, Rows, against, ids, refused

PLACES = [("bank", "shop"), ("shop", "bank")]
Position = tuple[int, int]


class Scalars(Lying):
    """Holds a list of ids in which one may stand more than once, and a scalar for each row."""

    def __init__(
        self, party: Party, table: list[bytes], parameters: psi.PsiParameters = PARAMETERS
    ) -> None:
        super().__init__(party, ids(5000, len(table)), parameters)
        self.table = table
        self.scalars = [DhScalar(party.secret_rng) for _ in table]
        self.domain: bytes = vars(self.core)["_domain"]
        self.label: bytes = vars(self.core)["_tag_label"]

    def hashed(self, name: bytes) -> int:
        """Return the point (its u) of an id."""
        return curve25519.hash_to_curve(name, self.domain)[0]

    def meet(self) -> None:
        """Send points; keep the tags of each row and each point of the other, in both halves."""
        self.greet()
        made = [
            scalar.mask(coordinates([self.hashed(name)]))
            for scalar, name in zip(self.scalars, self.table, strict=True)
        ]
        theirs = self.points(Points(0, np.concatenate(made))).points
        hashes = [scalar.mask_and_hash(theirs, self.label, 1) for scalar in self.scalars]
        self.hashes: Rows = np.stack(hashes)

    def halves(self, role: Role) -> Rows:
        """Return the tags that this role would send of row i and point j: [i, j]."""
        return self.hashes[:, :, _HALVES[role]][:, :, : self.width]

    def named(self, theirs: Tags) -> list[Position]:
        """Return the rows whose ids the other holds, and which of its points each is."""
        seen = {bytes(row) for row in theirs.tags}
        tags = self.halves(ROLES[self.peer])
        return [at for at in np.ndindex(tags.shape[:2]) if bytes(tags[at]) in seen]

    def made_up(self) -> Rows:
        rng = np.random.default_rng(1)
        return rng.integers(0, 256, (ROWS, self.width), dtype=np.uint8)


def coordinates(points: list[int]) -> Rows:
    return np.frombuffer(b"".join(u.to_bytes(32, "little") for u in points), np.uint8).reshape(
        -1, 32
    )


def names(first: int, rows: int) -> list[bytes]:
    found: list[bytes] = ids(first, rows).to_pylist()
    return found


@pytest.mark.parametrize(("honest", "liar"), PLACES)
@pytest.mark.parametrize("receivers", ["honest", "none"])
def test_which_ids_the_other_holds_shows_without_a_verdict(
    honest: str, liar: str, receivers: str
) -> None:
    """The liar is entitled to nothing, and 3 ids of its 20 are held, below the minimum of 20.

    The gain, as stated: it takes the other's tags, knows by name which 3 those are, and leaves. As
    many answers as its table has rows.
    """
    entitled = str(ROLES[honest]) if receivers == "honest" else "none"
    parameters = PARAMETERS.model_copy(update={"receivers": entitled})
    table = names(40, 3) + names(7000, 17)

    def lie(party: Party) -> list[bytes]:
        made = Scalars(party, table, parameters)
        made.meet()
        made.commit(made.made_up())
        found = made.named(made.take("tags", Tags))
        party.channel.transport.abort("ATL-PSI-004", "psi")
        return [table[row] for row, _ in found]

    world = against(honest, ids(0), lie, parameters)
    assert world.results[liar] == names(40, 3)
    assert honest in world.errors


@pytest.mark.parametrize("honest", ["bank", "shop"])
def test_one_id_under_many_scalars_does_not_pass_the_minimum(honest: str) -> None:
    """The liar knows one id of the other and masks it 20 times; it waits for the other's tags,
    which show its place, and returns 20 tags of that id.

    The other counted 20 ids in common, and went on. Rule: each commits to its tags before it sees
    any, ATL-PSI-012.
    """

    def lie(party: Party) -> int:
        made = Scalars(party, names(7, 1) * 20)
        made.meet()
        opened = made.commit(made.made_up())
        found = made.named(made.take("tags", Tags))
        assert len(found) == 20
        tags = opened.tags.copy()
        tags[:20] = [made.halves(party.role)[at] for at in found]
        made.send("tags", Tags(0, opened.opening, tags))
        return made.finish(20)

    refused(against(honest, ids(0), lie), honest, "ATL-PSI-012")


@pytest.mark.parametrize(("known", "passes"), [(3, True), (5, False), (60, False)])
def test_one_id_under_many_scalars_passes_by_luck(
    known: int, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The liar commits blindly: to 20 tags of its id for each of 5 of the other's 100 points.

    The gain, as stated: the other counts 20, the minimum, where the id is one of the 5: a chance
    of 1 in the minimum. Otherwise it ends by ATL-PSI-004, and a run is charged.
    """
    monkeypatch.setattr(SecretRandom, "permutation", lambda self, count: np.arange(count))

    def lie(party: Party) -> int:
        made = Scalars(party, names(known, 1) * 20)
        made.meet()
        placed = made.halves(party.role)[:, :5].reshape(ROWS, made.width)
        made.tags(made.commit(np.ascontiguousarray(placed)))
        return made.finish(20)

    world = against("bank", ids(0), lie)
    if passes:
        assert world.check().results["bank"].count == 20
    else:
        refused(world, "bank", "ATL-PSI-004")


def lifted(u: int) -> Position:
    v = curve25519.square_root(u**3 + curve25519.MONTGOMERY_A * u**2 + u)
    assert v is not None
    return u, v


def sums(left: Position, right: Position) -> list[int]:
    """Return the u of both, which of the two is not known where only u travels."""
    negative = (right[0], -right[1] % curve25519.PRIME)
    both = [curve25519._add_montgomery(left, other) for other in (right, negative)]
    return [point[0] for point in both if point is not None]


class Pairs(Scalars):
    """Asks in each row for two ids: the sum of their points."""

    def hashed(self, name: bytes) -> int:
        one, other = (lifted(super(Pairs, self).hashed(part)) for part in name.split(b"+"))
        return sums(one, other)[0]

    def held(self, points: Points, theirs: Tags) -> list[bytes]:
        seen = {bytes(row) for row in theirs.tags}
        listed = [lifted(int.from_bytes(bytes(point), "little")) for point in points.points]
        tried = coordinates([u for pair in combinations(listed, 2) for u in sums(*pair)])
        half = _HALVES[ROLES[self.peer]]
        found = []
        for scalar, name in zip(self.scalars, self.table, strict=True):
            hashed = scalar.mask_and_hash(tried, self.label, 1)[:, half][:, : self.width]
            if any(bytes(row) in seen for row in hashed):
                found.append(name)
        return found


def test_one_row_asks_whether_two_ids_are_held() -> None:
    """The liar compares the other's tags with those of the sums of any two of its points.

    The gain, as stated: one answer a row, but one that may say that both of two ids are held.
    """
    rows = 12
    parameters = PARAMETERS.model_copy(update={"minimum_intersection": 4})
    own = names(0, rows)
    both = [b"+".join(own[at : at + 2]) for at in (0, 2, 4)]
    table = [*both, own[6] + b"+nobody", b"no one+nobody"]

    def lie(party: Party) -> Any:
        made = Pairs(party, table, parameters)
        made.greet()
        sent = [
            scalar.mask(coordinates([made.hashed(name)]))
            for scalar, name in zip(made.scalars, table, strict=True)
        ]
        points = made.points(Points(0, np.concatenate(sent)))
        made.commit(made.made_up())
        found = made.held(points, made.take("tags", Tags))
        party.channel.transport.abort("ATL-PSI-004", "psi")
        return found

    assert against("shop", ids(0, rows), lie, parameters).results["bank"] == both


def test_a_host_that_points_at_other_rows_learns_which_all_others_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tele shares 20 ids with the guest, 10 of them with all, and points at 35 to 54 instead.

    The gain, as stated: the joint minimum of 15 passes, and it learns which of these rows of the
    guest all others hold. As many answers as ids were counted with the guest.
    """
    monkeypatch.setattr(SecretRandom, "permutation", lambda self, count: np.arange(count))
    held = {"bank": ids(0), "shop": ids(0, 50), "tele": ids(40, 20)}

    def lie(tag: str, message: Any) -> list[Any]:
        if isinstance(message, Links):
            return [Links(0, np.arange(35, 55, dtype=np.uint32))]
        return [message]

    def play(party: Party) -> psi.PsiResult:
        endpoint = speaking(party, lie) if party.name == "tele" else party
        parameters = PARAMETERS.model_copy(update={"minimum_intersection": 15})
        return psi.run(endpoint, held[party.name], parameters)

    roles = {**ROLES, "tele": Role.HOST}
    world = run(roles, play).check()
    assert world.results["tele"].count == len(world.results["tele"].indices) == 15
    assert world.results["bank"].indices.tolist() == list(range(35, 50))
