"""The verbs about configs: init, validate and schema."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.config_template import config_template
from pipeline.cli.console import config_argument, json_option, print_json, set_option, settings_of
from pipeline.config import config_schema
from pipeline.errors import ConfigError
from pipeline.exit_codes import DONE
from pipeline.logs import LOGGER
from pipeline.planning.warnings import config_warnings
from pipeline.sinks.formats import ALL_FORMATS, SINK_FORMATS


@click.command("init")
@click.option(
    "--source", "url", default="runs", show_default=True, help="Folder or URL of the runs."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(SINK_FORMATS),
    help="Format to write; can be repeated. Default csv, ndjson and parquet.",
)
@click.option(
    "--to", "target", default="out", show_default=True, help="Folder or URL for the tables."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write the config to; default stdout.",
)
def init_command(url: str, formats: tuple[str, ...], target: str, out: Path | None) -> int:
    """Write a commented config to begin with, to stdout or --out."""
    text = config_template(url, formats or ALL_FORMATS, out=target)
    if out is None:
        click.echo(text, nl=False)
        return DONE
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{out} exists already: choose another name or remove it") from None
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {out}; next: flowtime-export doctor {out}", err=True)
    return DONE


@click.command("validate")
@config_argument
@set_option
@json_option
def validate_command(config: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check CONFIG without touching any storage."""
    settings = settings_of(config, overrides)
    formats = [sink.format for sink in settings.sinks]
    warnings = list(config_warnings(settings))
    if as_json:
        print_json(
            {
                "name": settings.name,
                "status": "valid",
                "exit_code": DONE,
                "sources": list(settings.source.urls),
                "formats": formats,
                "warnings": warnings,
            }
        )
        return DONE
    for warning in warnings:
        LOGGER.warning(warning)
    sources = ", ".join(settings.source.urls)
    click.echo(f"{config}: valid ({settings.name}: {sources} -> {', '.join(formats)})")
    return DONE


@click.command("schema")
def schema_command() -> int:
    """Print the JSON Schema of the config, for editors."""
    print_json(config_schema())
    return DONE
