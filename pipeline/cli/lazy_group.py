"""A group of verbs whose modules are loaded when they are run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from pipeline.cli.signals import keep_interruptible
from pipeline.wording import suggestion


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A verb that is not loaded yet.

    Attributes:
        module: The module that has it under the name `<verb>_command`.
        summary: The first sentence of its help, so that a list of verbs loads none of them.
    """

    module: str
    summary: str


class LazyGroup(click.Group):
    """Loads a verb when it is run, or when its own help is shown.

    Args:
        lazy: Verbs by name.
        shared: Options that every verb takes besides its own.
        others: What `click.Group` takes.
    """

    def __init__(
        self,
        *,
        lazy: Mapping[str, LazyCommand],
        shared: Sequence[click.Option] = (),
        **others: object,
    ) -> None:
        super().__init__(**others)  # type: ignore[arg-type]
        self.lazy = dict(lazy)
        self._shared = tuple(shared)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs, loaded or not."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb of a name, or None where there is none."""
        if cmd_name in self.lazy and cmd_name not in self.commands:
            module = importlib.import_module(self.lazy[cmd_name].module)
            keep_interruptible()
            command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
            known = {name for parameter in command.params for name in parameter.opts}
            command.params += [one for one in self._shared if known.isdisjoint(one.opts)]
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that the arguments begin with, loaded.

        Raises:
            click.UsageError: There is none of that name; the message names the nearest one.
        """
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(
                f"No such command {args[0]!r}; {suggestion(args[0], names)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs with their summaries, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lazy[name].summary) for name in sorted(self.lazy)])
