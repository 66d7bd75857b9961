"""A group of verbs of which some are loaded when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """Loads the verbs of modules that exports do not need when one of them is asked for.

    Args:
        later: Name of a verb → the module it is in, where it is `<name>_command`.
        others: What `click.Group` takes.
    """

    def __init__(self, *, later: Mapping[str, str], **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]
        self._later = dict(later)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, loaded or not."""
        return sorted({*super().list_commands(ctx), *self._later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of a name, or None where there is none."""
        if cmd_name in self._later and cmd_name not in self.commands:
            module = importlib.import_module(self._later[cmd_name])
            self.add_command(getattr(module, cmd_name.replace("-", "_") + "_command"), cmd_name)
        return super().get_command(ctx, cmd_name)
