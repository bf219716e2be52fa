"""``atoll completion``: the script that lets a shell complete commands, options, ids and names."""

from __future__ import annotations

import click

from atoll.cli.commands import COMMANDS
from atoll.cli.console import print_text
from atoll.cli.lazy import Lazy

VARIABLE = "_ATOLL_COMPLETE"
_WHERE = {
    "bash": 'eval "$(atoll completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(atoll completion zsh)" in ~/.zshrc',
    "fish": "atoll completion fish > ~/.config/fish/completions/atoll.fish",
}


_HELP = "Print the completion script of a SHELL.\n\n\b\n" + "\n".join(
    f"{shell}: {where}" for shell, where in _WHERE.items()
)


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(list(_WHERE)))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}")
    print_text(made(root(), {}, "atoll", VARIABLE).source())


def root() -> click.Group:
    """Return all commands as one group."""
    return Lazy({name: (module, about) for name, (module, about) in COMMANDS.items()})


def complete(instruction: str) -> int:
    """Answer a shell that completes. Return the exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(root(), {}, "atoll", VARIABLE, instruction)
