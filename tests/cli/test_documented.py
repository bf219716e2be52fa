"""What the pages tell people to type is what the commands take; the reference names them all."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from atoll.cli import outputs
from atoll.cli.commands import COMMANDS
from atoll.cli.completion import root
from atoll.flow.policy.grants import GrantTerms

TOP = Path(__file__).resolve().parents[2]
PAGES = sorted([TOP / "README.md", *(TOP / "docs" / "guide").glob("*.md")])
REFERENCE = TOP / "docs" / "reference" / "cli.md"
FIELD = "minimum_intersection"


def typed(page: Path) -> list[list[str]]:
    """Return the words of every ``atoll …`` line in the page's blocks of code."""
    found = []
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line):
                printed = re.match(r"(?:[a-z]+\$ |\$ )?(?:\.venv/bin/)?atoll (\S.*)", part.strip())
                if printed:
                    words = shlex.split(printed[1], comments=True)
                    end = next(
                        (at for at, word in enumerate(words) if word[:1] in ("<", ">")), len(words)
                    )
                    found.append(words[:end])
    return found


def parse(words: list[str]) -> None:
    """Parse a command as click would, without running it."""
    command: click.Command = root()
    context = click.Context(command, info_name="atoll")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=name)
        if words[:1] == ["--help"]:
            return
    command.make_context(context.info_name, list(words), parent=context.parent)


@pytest.mark.parametrize("page", [*PAGES, REFERENCE], ids=lambda page: page.name)
def test_what_a_page_says_can_be_typed(page: Path) -> None:
    for words in typed(page):
        if words[0] not in ("--help", "--version"):
            parse(words)


def test_some_pages_say_something() -> None:
    assert sum(len(typed(page)) for page in PAGES) > 20


def test_the_reference_names_every_command() -> None:
    text = REFERENCE.read_text()
    named = set(re.findall(r"^\| `([a-z ]+)[^`]*` \|", text, re.MULTILINE))
    named = {name.strip() for name in named}
    assert named >= outputs.COMMANDS.keys()
    assert {name.split()[0] for name in named} == set(COMMANDS)


def test_the_reference_names_every_exit_code() -> None:
    codes = re.findall(r"^\| (\d+) \|", REFERENCE.read_text(), re.MULTILINE)
    assert codes[:11] == [str(code) for code in range(11)]


def options(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Option]]:
    """Give all options of all commands, each with its command's name."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from options(inner, f"{path} {name}".strip())
    yield from ((path, one) for one in command.params if isinstance(one, click.Option))


def test_a_default_that_the_help_tells_is_the_one_in_force() -> None:
    shown = 0
    for path, option in options(root()):
        stated = re.search(r"\(([^()]*)\)$", option.help or "")
        if stated is None or not isinstance(option.default, str | int | float) or option.is_flag:
            continue
        held = option.default
        words = {",": "a comma"}.get(str(held), f"{held:g}" if not isinstance(held, str) else held)
        assert stated[1] == words, (path, option.name)
        shown += 1
    assert shown > 20


def test_the_least_intersection_of_a_grant_is_told_as_it_is() -> None:
    (option,) = (o for p, o in options(root()) if (p, o.name) == ("data grant", FIELD))
    assert option.help is not None
    assert option.help.endswith(f"({GrantTerms.model_fields[FIELD].default})")
