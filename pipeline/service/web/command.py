"""The verb `serve`: options to settings, and the server that is loaded only then."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.service.settings import ServiceSettings, read_secret, read_tokens

_file = click.Path(path_type=Path, dir_okay=False)


def _env(name: str) -> str:
    return f"FLOWTIME_EXPORT_{name}"


@click.command("serve")
@click.option("--runs", required=True, metavar="URL", envvar=_env("RUNS"), help="Run directories.")
@click.option("--exports", metavar="URL", envvar=_env("EXPORTS"), help="Default each run's gold/.")
@click.option("--host", default="127.0.0.1", show_default=True, envvar=_env("HOST"))
@click.option("--port", type=int, default=8080, show_default=True, envvar=_env("PORT"))
@click.option("--token-file", type=_file, envvar=_env("TOKEN_FILE"), help="Tokens, one a line.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=_env("STATE"),
    help="Folder of the job history; default below ~/.local/state.",
)
@click.option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option for the storage, e.g. endpoint_url=http://127.0.0.1:9000.",
)
@click.option("--workers", type=int, default=2, show_default=True, help="Jobs at a time.")
@click.option("--queue", type=int, default=100, show_default=True, help="Jobs that wait.")
@click.option("--memory-limit", type=int, metavar="BYTES", help="Of each export; default 512 MB.")
@click.option("--job-timeout", type=float, metavar="SECONDS", help="Of a job; default 3600.")
@click.option("--refresh", type=float, metavar="SECONDS", help="List runs anew; default 30.")
@click.option("--max-upload", type=int, metavar="BYTES", help="Default 1 GB; 0 for no uploads.")
@click.option("--rate", type=float, help="Requests a second of a client; default 50.")
@click.option("--burst", type=int, help="Requests of a client at once; default 200.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, help="Of the Host header.")
@click.option("--cors-origin", "cors_origins", multiple=True, help="Web origin; default none.")
@click.option("--webhook", "webhooks", multiple=True, metavar="URL", help="Told of every job.")
@click.option("--webhook-allow", multiple=True, metavar="URL", help="May be asked to be told.")
@click.option("--webhook-secret-file", type=_file, envvar=_env("WEBHOOK_SECRET_FILE"))
@click.option("--set", "others", multiple=True, metavar="KEY=VALUE", help="Any other setting.")
def serve_command(
    token_file: Path | None,
    webhook_secret_file: Path | None,
    others: tuple[str, ...],
    **given: Any,
) -> int:
    """Serve the runs below a URL, and their exports, over HTTP."""
    values = {name: value for name, value in given.items() if value is not None}
    values |= _others(others)
    if token_file is not None:
        values["tokens"] = read_tokens(token_file)
    if webhook_secret_file is not None:
        values["webhook_secret"] = read_secret(webhook_secret_file)
    settings = _settings(values)
    settings.check()
    _server().serve(settings)
    return 0


def _others(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or key in ("tokens", "webhook_secret"):
            raise ConfigError(f"--set {key}: write KEY=VALUE; secrets come from files")
        found[key] = value
    return found


def _settings(values: dict[str, Any]) -> ServiceSettings:
    try:
        return ServiceSettings.model_validate(values)
    except ValidationError as error:
        told = [f"{_name(one['loc'])}: {one['msg']}" for one in error.errors(include_input=False)]
    raise ConfigError("; ".join(told))  # out here it takes no pydantic error along


def _name(location: tuple[int | str, ...]) -> str:
    return "--" + str(location[0]).replace("_", "-") if location else "settings"


def _server() -> Any:
    # Imported when needed: it costs time that the other verbs need not spend.
    try:
        return importlib.import_module("pipeline.service.web.server")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`serve` needs {error.name}: pip install 'flowtime-export[service]'"
        ) from error
