from __future__ import annotations

from pathlib import Path

from atoll.flow.access import PERMISSIONS, ROLES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "permissions.md"


def test_the_page_shows_the_table_of_the_program() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if "|" in line]
    head = [cell.strip() for cell in rows[0]]
    assert tuple(head[1:-1]) == ROLES
    shown = {
        cells[0].strip().strip("`"): {
            role for role, cell in zip(ROLES, cells[1:-1], strict=True) if cell.strip() == "●"
        }
        for cells in rows
        if len(cells) == len(head) and cells[0].strip().startswith("`")
    }
    assert shown == {name: set(roles) for name, roles in PERMISSIONS.items()}
