"""The verb `compare`: two runs, exports or tables, or many against one baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from pipeline.cli.commands.foreign_table_options import (
    foreign_options,
    showing_problems,
    table_options,
)
from pipeline.cli.console import (
    STDIN,
    json_option,
    print_json,
    print_report,
    print_text,
    read_stdin,
    registry_option,
    registry_session,
    storage_of,
    storage_option,
)
from pipeline.cli.failures import redaction
from pipeline.comparison.alignment import ALIGNMENT_METHODS, AlignmentMethod
from pipeline.comparison.compare import compare_matched
from pipeline.comparison.matching import ComparisonOptions, ComparisonRequest, open_sides
from pipeline.comparison.metrics.tolerance import Tolerances
from pipeline.comparison.outputs import OutputFiles, write_outputs
from pipeline.comparison.registration import ComparisonRegistration
from pipeline.comparison.result import Comparison, FailOn, table_lines
from pipeline.comparison.sides.side import SideSource
from pipeline.comparison.sweep import compare_all
from pipeline.config.comparison import load_comparison_config, parse_comparison_config
from pipeline.errors import ConfigError
from pipeline.exit_codes import DIFFERENT, DONE, FAILED

_MOST_LINES = 20
_MOST_NAMES = 10


@click.command("compare")
@click.argument("baseline", required=False)
@click.argument("other", required=False)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare what a YAML file names, one or many, with its baseline; - is standard input.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="BOUNDS",
    help="'absolute=1e-9,relative=1e-6'; with measure=, component= or series= for those alone.",
)
@click.option(
    "--fail-on",
    type=click.Choice(get_args(FailOn)),
    help="Exit with 4 where series differ, are missing on a side, or either.",
)
@click.option(
    "--out",
    "outputs",
    multiple=True,
    metavar="PATH",
    help="Write differences (.csv, .ndjson, .parquet) or a report (.html). Repeatable.",
)
@click.option(
    "--map",
    "renamed",
    multiple=True,
    metavar="OLD=NEW",
    help="A component (or series id) of the baseline and its name in the other.",
)
@click.option(
    "--alignment",
    type=click.Choice(ALIGNMENT_METHODS),
    default="auto",
    show_default=True,
    help="How the two time grids are laid over each other.",
)
@click.option(
    "--aggregation",
    "aggregations",
    multiple=True,
    metavar="KIND=METHOD",
    help="How bins of a finer grid become one (sum, mean, last, first, min, max); *=METHOD: all.",
)
@click.option("--baseline-run", metavar="ID", help="The run, where BASELINE holds several.")
@click.option("--other-run", metavar="ID", help="The run, where OTHER holds several.")
@table_options
@storage_option
@registry_option()
@json_option
def compare_command(
    baseline: str | None,
    other: str | None,
    config: Path | None,
    tolerances: tuple[str, ...],
    fail_on: FailOn | None,
    outputs: tuple[str, ...],
    renamed: tuple[str, ...],
    alignment: AlignmentMethod,
    aggregations: tuple[str, ...],
    baseline_run: str | None,
    other_run: str | None,
    columns: tuple[str, ...],
    storage_options: tuple[str, ...],
    registry: str | None,
    as_json: bool,
    **foreign: str | None,
) -> int:
    """Compare OTHER with BASELINE: runs, exports, telemetry bundles or plain tables."""
    if config is not None:
        given = click.get_current_context()
        beside = [
            name
            for name in given.params
            if name not in ("config", "fail_on", "registry", "as_json")
            and given.get_parameter_source(name) is not ParameterSource.DEFAULT
        ]
        if beside:
            raise click.UsageError("--config goes with --fail-on, --registry and --json alone")
        return _compare_all(config, fail_on, registry, as_json=as_json)
    if baseline is None or other is None:
        raise click.UsageError("name BASELINE and OTHER, or a file with --config")
    table = foreign_options(columns, **foreign)
    options = ComparisonOptions(
        tolerances=Tolerances.parse(tolerances),
        alignment=alignment,
        aggregations=_pairs("--aggregation", "KIND=METHOD", aggregations),
        renamed=_pairs("--map", "OLD=NEW", renamed),
    )
    sides = [
        SideSource(url, storage_of(url, storage_options), run, table)
        for url, run in ((baseline, baseline_run), (other, other_run))
    ]
    files = OutputFiles.of(outputs, storage_of(outputs[0], storage_options) if outputs else None)
    request = ComparisonRequest(sides[0], sides[1], options)
    with ComparisonRegistration(registry_session(registry)) as registration:
        with showing_problems(as_json=as_json), open_sides(request) as opened:
            comparison = compare_matched(opened, request)
            written = write_outputs(comparison, opened, files)
            registration.note(written, opened.baseline, opened.comparison)
        comparison = replace(comparison, notes=(*comparison.notes, *registration.finish()))
    if as_json:
        print_json(comparison.as_json())
    else:
        print_text("\n".join(_lines(comparison)))
    return DIFFERENT if comparison.fails(fail_on) else DONE


def _compare_all(path: Path, fail_on: FailOn | None, registry: str | None, *, as_json: bool) -> int:
    if str(path) == "-":
        settings = parse_comparison_config(read_stdin(), filename=STDIN)
    else:
        settings = load_comparison_config(path)
    redaction.learn(settings.secrets())
    report = compare_all(settings, fail_on=fail_on, registry=registry_session(registry))
    print_report(report, as_json=as_json)
    if report.errors:
        return FAILED
    return DIFFERENT if report.failures else DONE


def _pairs(option: str, form: str, texts: Sequence[str]) -> Any:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise ConfigError(f"{option} {text!r}: expected {form}")
        if name in found:
            raise ConfigError(f"{option} {text!r}: {name} is given twice")
        found[name] = value
    return found


def _lines(comparison: Comparison) -> list[str]:
    alignment = comparison.alignment.as_json()
    lines = [
        comparison.headline(),
        f"  {alignment['bins']:,} bins of {alignment['grid']['binSize']} minutes, "
        f"{alignment['from']} to {alignment['to']}, by {alignment['method']}",
        *table_lines(comparison.worst_first, _MOST_LINES),
    ]
    for names, side in (
        (comparison.only_in_baseline, "baseline"),
        (comparison.only_in_comparison, "comparison"),
    ):
        lines += [f"  only in the {side}: {name}" for name in names[:_MOST_NAMES]]
        if len(names) > _MOST_NAMES:
            lines.append(f"  ... {len(names) - _MOST_NAMES:,} more only in the {side}")
    for difference in comparison.models.differences[:_MOST_NAMES]:
        ours, theirs = difference.baseline or "nothing", difference.comparison or "nothing"
        lines.append(f"  model: {difference.path}: {ours} -> {theirs}")
    more = len(comparison.models.differences) - _MOST_NAMES
    if more > 0:
        lines.append(f"  ... {more:,} more differences of the models (all of them with --json)")
    lines += [f"  note: {note}" for note in (*comparison.notes, *comparison.models.notes)]
    return lines
