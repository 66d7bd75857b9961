"""The command `serve`: turn options into settings, then load and start the server."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.logs import LOGGER
from pipeline.service.settings import ServiceSettings, read_secret, read_tokens

_file = click.Path(path_type=Path, dir_okay=False)


def _env(name: str) -> str:
    return f"FLOWTIME_EXPORT_{name}"


@click.command("serve")
@click.option(
    "--runs",
    required=True,
    metavar="URL",
    envvar=_env("RUNS"),
    help="Folder or URL of the run directories.",
)
@click.option(
    "--exports",
    metavar="URL",
    envvar=_env("EXPORTS"),
    help="Folder or URL for exports; default each run's gold/ folder.",
)
@click.option(
    "--registry",
    metavar="URL",
    envvar=_env("REGISTRY"),
    help="Registry of artifacts; default a file below --state.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar=_env("HOST"),
    help="Address to listen at.",
)
@click.option(
    "--port",
    type=int,
    default=8080,
    show_default=True,
    envvar=_env("PORT"),
    help="Port to listen at.",
)
@click.option(
    "--token-file",
    type=_file,
    envvar=_env("TOKEN_FILE"),
    help="File of the valid tokens, one per line.",
)
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
@click.option(
    "--workers", type=int, default=2, show_default=True, help="Most jobs that run at a time."
)
@click.option("--queue", type=int, default=100, show_default=True, help="Most jobs that wait.")
@click.option(
    "--memory-limit", type=int, metavar="BYTES", help="Memory of each export; default 512 MB."
)
@click.option(
    "--job-timeout", type=float, metavar="SECONDS", help="Longest time of a job; default 3600."
)
@click.option(
    "--refresh",
    type=float,
    metavar="SECONDS",
    help="Age at which the list of runs is renewed; default 30.",
)
@click.option(
    "--max-upload",
    type=int,
    metavar="BYTES",
    help="Largest import; default 1 GB, 0 for no imports.",
)
@click.option("--rate", type=float, help="Requests per second of a client; default 50.")
@click.option("--burst", type=int, help="Requests of a client at once; default 200.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="Further name that the Host header may have; can be repeated.",
)
@click.option(
    "--forwarded-allow-ips",
    metavar="ADDRESSES",
    envvar=_env("FORWARDED_ALLOW_IPS"),
    help="Proxies whose X-Forwarded-For and -Proto are trusted, separated by commas.",
)
@click.option(
    "--auto-export",
    metavar="FORMATS",
    help="Export each run in these formats when it is completed, e.g. csv,parquet.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    help="Origin whose pages may call the API; default none.",
)
@click.option(
    "--webhook", "webhooks", multiple=True, metavar="URL", help="URL that is called for every job."
)
@click.option(
    "--webhook-allow", multiple=True, metavar="URL", help="URL that a request may have called."
)
@click.option(
    "--webhook-secret-file",
    type=_file,
    envvar=_env("WEBHOOK_SECRET_FILE"),
    help="File of the key that signs webhooks.",
)
@click.option(
    "--set",
    "others",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other setting, e.g. keep_jobs=500.",
)
def serve_command(
    token_file: Path | None,
    webhook_secret_file: Path | None,
    others: tuple[str, ...],
    auto_export: str | None,
    **given: Any,
) -> int:
    """Serve the runs below a URL, and their exports, over HTTP."""
    values = {name: value for name, value in given.items() if value is not None}
    values |= _others(others)
    if auto_export is not None:
        names = (name.strip() for name in auto_export.split(","))
        values["auto_export"] = tuple(name for name in names if name)
    if token_file is not None:
        values["tokens"] = read_tokens(token_file)
    if webhook_secret_file is not None:
        values["webhook_secret"] = read_secret(webhook_secret_file)
    settings = _settings(values)
    settings.check()
    _server().serve(settings, _announce)
    return 0


def _announce(url: str) -> None:
    """Name the address of the page, and how to stop the service, on stderr."""
    text = f"the page is at {url} (Ctrl-C stops the service)"
    if click.get_current_context().find_root().params.get("log_format") == "json":
        LOGGER.info(text)
    else:
        click.echo(text[0].upper() + text[1:], err=True)


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
        problems = [
            f"{_name(one['loc'])}: {one['msg']}" for one in error.errors(include_input=False)
        ]
    raise ConfigError("; ".join(problems))  # raised here, it carries no pydantic error along


def _name(location: tuple[int | str, ...]) -> str:
    return "--" + str(location[0]).replace("_", "-") if location else "settings"


def _server() -> Any:
    # Imported on demand: it costs time that the other commands must not spend.
    try:
        return importlib.import_module("pipeline.service.web.server")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`serve` needs {error.name}: pip install 'flowtime-export[service]'"
        ) from error
