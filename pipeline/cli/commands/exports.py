"""The verbs that export: run, plan, preview and export."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connectors.errors import printable
from pipeline.cli.alarm import alarm
from pipeline.cli.console import (
    DurationType,
    config_argument,
    json_option,
    print_json,
    print_report,
    print_text,
    registry_option,
    set_option,
    settings_of,
    storage_option,
)
from pipeline.cli.failures import current_invocation, failure_as_json, redaction
from pipeline.cli.output.streams import reader_is_gone
from pipeline.cli.signals import Terminated
from pipeline.config import ExportConfig, single_run_config
from pipeline.errors import ConfigError
from pipeline.exit_codes import DONE
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.report import Report
from pipeline.exports.run import export
from pipeline.exports.session import ExportSession
from pipeline.exports.watch import Watch
from pipeline.logs import LOGGER
from pipeline.reading.source import Source, find_runs
from pipeline.sinks import Sink
from pipeline.sinks.formats import ALL_FORMATS
from pipeline.wording import counted

if TYPE_CHECKING:
    import polars as pl

    from pipeline.planning.plan import ExportPlan


@click.command("run")
@config_argument
@set_option
@json_option
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option(
    "--full-refresh",
    is_flag=True,
    help="Write every target again, also those that have not changed.",
)
@click.option(
    "--watch",
    type=DurationType(),
    metavar="INTERVAL",
    help="Repeat the export at an interval such as 30s or 5m, until interrupted.",
)
def run_command(
    config: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
    full_refresh: bool,
    watch: float | None,
) -> int:
    """Export the runs of CONFIG to all its sinks."""
    if watch is not None and (dry_run or full_refresh):
        raise click.UsageError("--watch goes with neither --dry-run nor --full-refresh")
    settings = settings_of(config, overrides)
    if dry_run:
        return _show_plan(settings, as_json=as_json, full_refresh=full_refresh)
    if watch is not None and _stdout_sink(settings) is not None:
        raise click.UsageError("--watch prints on stdout, where a sink writes its rows")
    if watch is not None:
        return _watch(settings, watch, as_json=as_json)
    return _export(settings, as_json=as_json, full_refresh=full_refresh)


@click.command("plan")
@config_argument
@set_option
@json_option
def plan_command(config: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Show what would be read and written; touches nothing."""
    return _show_plan(settings_of(config, overrides), as_json=as_json)


@click.command("preview")
@config_argument
@set_option
@json_option
@click.option(
    "--rows",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Number of rows to show.",
)
def preview_command(config: Path, overrides: tuple[str, ...], as_json: bool, rows: int) -> int:
    """Show the first rows each sink would write."""
    # Here and below imported when needed: `run` finds runs before Polars and Arrow are loaded.
    import polars as pl  # noqa: PLC0415

    from pipeline.exports.preview import preview  # noqa: PLC0415

    settings = settings_of(config, overrides)
    source, plan = _planned(ExportSession.open(settings))
    shown = preview(plan, source, rows) if source.runs else []
    if as_json:
        print_json([{"path": s.sink.path, "rows": _json_rows(frame)} for s, frame in shown])
    for sink, frame in shown if not as_json else []:
        click.echo(f"{sink.sink.format}  {sink.targets[0].url}")
        with pl.Config(
            tbl_rows=rows, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True
        ):
            print_text(str(frame))
    return DONE if source.runs else _nothing_found(source)


@click.command("export")
@click.argument("run")
@click.option(
    "--format",
    "formats",
    multiple=True,
    required=True,
    type=click.Choice([*ALL_FORMATS, "all"]),
    help="Format of the export; can be repeated.",
)
@click.option(
    "--out",
    metavar="PATH",
    help="Folder or, for one format, a file or - (stdout); default the gold/ folder of the run.",
)
@click.option(
    "--full-refresh",
    is_flag=True,
    help="Write every target again, also those that have not changed.",
)
@registry_option()
@storage_option
@json_option
def export_command(
    run: str,
    formats: tuple[str, ...],
    out: str | None,
    full_refresh: bool,
    registry: str | None,
    storage_options: tuple[str, ...],
    as_json: bool,
) -> int:
    """Export one RUN directory without a config."""
    chosen = ALL_FORMATS if "all" in formats else tuple(dict.fromkeys(formats))
    settings = single_run_config(run, chosen, out, storage_options, registry)
    redaction.learn(settings.secrets())
    check = partial(_refuse_many, run)
    return _export(settings, as_json=as_json, full_refresh=full_refresh, check=check)


def _refuse_many(url: str, source: Source) -> None:
    """Refuse what is not one run directory.

    Raises:
        ConfigError: No run is found there, or several.
    """
    if len(source.runs) == 1:
        return
    if not source.runs:
        raise ConfigError(f"{url}: no run directory was found there")
    raise ConfigError(
        f"{url}: export takes one run, and {counted(len(source.runs), 'run')} were found: name "
        f"one of them, such as {source.runs[0].url}, or export all of them with run and a config"
    )


# --------------------------------------------------------------------------- what verbs share


def _export(
    settings: ExportConfig,
    *,
    as_json: bool,
    full_refresh: bool,
    check: Callable[[Source], None] | None = None,
) -> int:
    stdout = _stdout_sink(settings)
    if stdout is not None:
        _refuse_stdout(stdout, as_json=as_json)
    LOGGER.info("export %s begins", settings.name)
    with _shown_progress() as progress, alarm(settings.execution.timeout):
        report = export(settings, full_refresh=full_refresh, progress=progress, check=check)
    _log_report(report)
    print_report(report, as_json=as_json, err=stdout is not None)
    return report.exit_code


def _stdout_sink(settings: ExportConfig) -> Sink | None:
    return next((sink for sink in settings.sinks if sink.is_stdout), None)


def _refuse_stdout(sink: Sink, *, as_json: bool) -> None:
    """Refuse rows on stdout where they would be mixed with a report, or garble a terminal.

    Raises:
        UsageError: They would.
    """
    if as_json:
        raise click.UsageError(
            "--json prints the report on stdout, where a sink writes its rows: leave --json out, "
            "or give the sink a file"
        )
    is_binary = not sink.is_text or getattr(sink, "compression", "none") != "none"
    if is_binary and sys.stdout.isatty():
        raise click.UsageError(
            f"{sink.format} is not printed on a terminal: redirect stdout to a file or a pipe"
        )


def _timed_export(settings: ExportConfig) -> Report:
    with alarm(settings.execution.timeout):
        return export(settings)


def _watch(settings: ExportConfig, interval: float, *, as_json: bool) -> int:
    """Show every round with news, in JSON one a line; SIGTERM is the normal end."""
    watch = Watch(settings, interval, _timed_export, lambda: not reader_is_gone())
    invocation = current_invocation()
    invocation.in_lines = True
    try:
        for result in watch.rounds():
            if isinstance(result, Report):
                _log_report(result)
                shown = (
                    json.dumps(result.as_json())
                    if as_json
                    else printable(result.as_text(), lines=True)
                )
            else:
                LOGGER.error("%s; the next round tries again", result)
                shown = json.dumps(failure_as_json(result, invocation)) if as_json else ""
            if shown:
                click.echo(shown)
        LOGGER.info("watch of %s ends: nothing reads its reports any more", settings.name)
    except Terminated:
        LOGGER.info("watch of %s stopped", settings.name)
    return DONE


def _json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    from pipeline.exports.preview import json_cell  # noqa: PLC0415

    return [
        {name: json_cell(cell) for name, cell in row.items()} for row in frame.iter_rows(named=True)
    ]


def _shown_progress() -> AbstractContextManager[ProgressCallback]:
    if not sys.stderr.isatty():
        return nullcontext(ProgressCallback())
    # Imported when needed: a bar takes longer to load than a small export takes.
    from pipeline.cli.output.progress import shown_progress  # noqa: PLC0415

    return shown_progress()


def _log_report(report: Report) -> None:
    if not report.runs:
        _warn_of_no_runs(report.source, len(report.left_out))
    for run in report.left_out:
        LOGGER.warning("%s left out: %s", run.url, run.reason)
    fields = {"runs": report.runs, "rows": report.rows_read, "seconds": report.seconds}
    LOGGER.info("export %s done", report.name, extra={"fields": fields})


def _planned(session: ExportSession) -> tuple[Source, ExportPlan]:
    source = find_runs(session.config, now=session.now)
    return source, session.plan(source)


def _nothing_found(source: Source) -> int:
    _warn_of_no_runs(source.url, len(source.left_out))
    return DONE


def _warn_of_no_runs(source: str, left_out: int) -> None:
    if left_out:
        number = counted(left_out, "run")
        LOGGER.warning("no run under %s is exported: %s left out", source, number)
        return
    chosen = "source.url, include, exclude, created and latest"
    LOGGER.warning("no runs found under %s: check %s", source, chosen)


def _show_plan(settings: ExportConfig, *, as_json: bool, full_refresh: bool = False) -> int:
    from pipeline.cli.output.render import plan_as_data, plan_as_lines  # noqa: PLC0415

    session = ExportSession.open(settings, full_refresh=full_refresh)
    has_workers = session.workers.are_worth(session.resolver.storage, session.resolver.roots)
    source, plan = _planned(session)
    circumstances = {"full_refresh": full_refresh, "has_workers": has_workers}
    if as_json:
        print_json(plan_as_data(source, plan, **circumstances))
        return DONE
    for line in plan_as_lines(source, plan, **circumstances):
        print_text(line)
    return DONE if source.runs else _nothing_found(source)
