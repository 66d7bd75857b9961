"""Share among the verbs: options, settings, and printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from connectors.errors import printable
from connectors.storage import StorageOptions
from pipeline.cli.failures import current_invocation, redaction
from pipeline.config import (
    ExportConfig,
    load_config,
    parse_config,
    registry_block,
    single_run_config,
)
from pipeline.config.loading import read_stream
from pipeline.config.values import parse_duration, passwords_in
from pipeline.errors import ConfigError
from pipeline.registry.session import RegistrySession

_Command = TypeVar("_Command", bound=Callable[..., Any])

STDIN = "<stdin>"
config_argument = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override a config value."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
storage_option = click.option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option for the storage, e.g. endpoint_url=http://127.0.0.1:9000.",
)


def registry_option(*, required: bool = False) -> Callable[[_Command], _Command]:
    """Return the option `--registry`.

    Args:
        required: Whether the verb is of no use without it.
    """
    return click.option(
        "--registry",
        required=required,
        metavar="URL",
        envvar="FLOWTIME_EXPORT_REGISTRY",
        help="sqlite:///FILE or postgresql+psycopg://…; default $FLOWTIME_EXPORT_REGISTRY.",
    )


def registry_session(url: str | None) -> RegistrySession | None:
    """Return the session of a registry that is named on the command line, if one is.

    Raises:
        ConfigError: The URL is none of a registry.
    """
    if url is None:
        return None
    redaction.learn(passwords_in(url))
    return RegistrySession.of(registry_block(url))


class DurationType(click.ParamType[float]):
    """A duration as the config writes one."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(f"{value!r} is no duration: {error}", param, ctx)
        assert seconds is not None
        return seconds


def print_json(data: Any) -> None:
    """Print a value on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def print_text(text: str, *, err: bool = False) -> None:
    """Print lines for people, with what could change a terminal escaped: runs are untrusted.

    Args:
        text: The lines.
        err: Whether they go to stderr.
    """
    click.echo(printable(text, lines=True), err=err)


class _Shown(Protocol):
    def as_json(self) -> dict[str, Any]: ...

    def as_text(self) -> str: ...


def print_report(report: _Shown, *, as_json: bool, err: bool = False) -> None:
    """Print a report for people or machines.

    Args:
        report: The report.
        as_json: Whether machines read it.
        err: Whether it goes to stderr, as rows went to stdout.
    """
    if as_json:
        print_json(report.as_json())
    else:
        print_text(report.as_text(), err=err)


def storage_of(url: str, pairs: Sequence[str]) -> StorageOptions | None:
    """Return the options of a URL's storage, by `KEY=VALUE` each.

    Raises:
        ConfigError: An option is wrong.
    """
    settings = single_run_config(url, ["csv"], None, pairs)
    redaction.learn(settings.secrets())
    return settings.storage_options("source")


def settings_of(path: Path, overrides: Sequence[str]) -> ExportConfig:
    """Return the settings of a config file; `-` is standard input.

    Raises:
        ConfigError: What the file or an override says is wrong.
    """
    if str(path) == "-":
        settings = parse_config(read_stdin(), filename=STDIN, overrides=overrides)
    else:
        settings = load_config(path, overrides=overrides)
    current_invocation().name = settings.name
    redaction.learn(settings.secrets())
    return settings


def read_stdin() -> str:
    """Return the text of standard input.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return read_stream(sys.stdin.buffer, STDIN)
    except (OSError, ValueError, AttributeError) as error:  # closed, or not there at all
        raise ConfigError(f"{STDIN}: cannot be read: {error}") from error
