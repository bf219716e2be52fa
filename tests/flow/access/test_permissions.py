from __future__ import annotations

import pytest

from atoll.flow.access import PERMISSIONS, ROLES, Access, Actor, local_actor, permissions_of
from atoll.flow.access.errors import DeniedError, UnauthenticatedError
from tests.flow.access.support import person

# V viewer, M modeller, O data owner, P approver, U auditor, A administrator: said once more here,
# so that a slip in the table shows.
_LETTERS = dict(zip("VMOPUA", ROLES, strict=True))
EXPECTED = """
job.read           V M O P U A
job.submit           M
job.stop             M O P   A
job.approve              P
report.read        V M O P
artifact.read        M O
data.read          V M O P U A
data.write             O
data.grant             O
data.preview           O
model.read         V M O P U A
model.write          M
model.publish        M   P
agreement.read     V M O P U A
agreement.ask        M
agreement.end        M O P   A
party.read         V M O P U A
party.write                  A
component.read     V M O P U A
component.approve            A
user.read                  U A
user.write                   A
token.write        V M O P U A
audit.read                 U A
ledger.read            O P U A
settings.read              U A
metrics.read               U A
admin                        A
"""
MATRIX = {
    line.split()[0]: {_LETTERS[letter] for letter in line.split()[1:]}
    for line in EXPECTED.strip().splitlines()
}
CELLS = [(permission, role) for permission in PERMISSIONS for role in ROLES]


def test_the_roles_and_permissions_are_the_expected_ones() -> None:
    assert ROLES == ("viewer", "modeller", "data owner", "approver", "auditor", "administrator")
    assert PERMISSIONS.keys() == MATRIX.keys()


@pytest.mark.parametrize(("permission", "role"), CELLS)
def test_each_role_may_do_what_the_table_says(permission: str, role: str) -> None:
    actor = Actor("somebody", frozenset({role}))
    assert actor.allows(permission) == (role in MATRIX[permission])


def test_every_cell_holds_for_people_who_logged_in(access: Access, admin: Actor) -> None:
    for number, role in enumerate(ROLES):
        actor = person(access, admin, f"user{number}", [role])
        for permission in PERMISSIONS:
            if role in MATRIX[permission]:
                assert access.require(actor, permission) is actor
            else:
                with pytest.raises(DeniedError, match="ATL-ACC-003"):
                    access.require(actor, permission)


def test_roles_add_up_and_unknown_ones_add_nothing() -> None:
    both = permissions_of(["viewer", "data owner"])
    assert both == permissions_of(["viewer"]) | permissions_of(["data owner"])
    assert permissions_of(["emperor"]) == frozenset()
    assert permissions_of([]) == frozenset()


def test_nobody_may_do_nothing(access: Access) -> None:
    for permission in PERMISSIONS:
        with pytest.raises(UnauthenticatedError, match="ATL-ACC-002"):
            access.require(None, permission)


def test_whoever_must_change_the_password_may_do_nothing_else(access: Access) -> None:
    first = access.bootstrap()
    assert first is not None
    actor = access.authenticate(access.login("admin", first).token)
    assert actor.must_change
    for permission in PERMISSIONS:
        with pytest.raises(DeniedError, match="ATL-ACC-006"):
            access.require(actor, permission)


def test_an_unknown_permission_is_a_fault_of_the_program(access: Access, admin: Actor) -> None:
    with pytest.raises(KeyError):
        access.require(admin, "job.explode")


def test_with_access_control_off_somebody_local_holds_every_role() -> None:
    assert local_actor().permissions == PERMISSIONS.keys()


def test_a_refusal_leaves_a_line_and_a_permission_does_not(access: Access, admin: Actor) -> None:
    actor = person(access, admin, "eve", ["viewer"])
    before = access.audit.page(limit=200)
    access.require(actor, "job.read", "some-job")
    assert access.audit.page(limit=200) == before
    with pytest.raises(DeniedError):
        access.require(actor, "data.grant", "some-table")
    line = access.audit.page(limit=1, newest_first=True).rows[0]
    assert (line["actor"], line["action"], line["target"]) == ("eve", "data.grant", "some-table")
    assert (line["outcome"], line["detail"]) == ("refused", {"code": "ATL-ACC-003"})
