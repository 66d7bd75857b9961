"""Runs and plans as lines for people and as JSON-compatible data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from connectors.flowtime.discover.discovery import Discovery
from connectors.flowtime.model.instant import instant_text
from connectors.storage import Storage
from pipeline.datapackage.descriptor import table_of, total_of
from pipeline.execution.engine import choose_engine
from pipeline.execution.job import ExportJob
from pipeline.planning.choice import Choice, choose
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.pruning import GoneExport, find_gone
from pipeline.planning.published import PublishedTargets, place_of
from pipeline.planning.target import Target, TargetResolver
from pipeline.planning.warnings import config_warnings
from pipeline.reading.inputs import wanted_series
from pipeline.reading.read_counts import read_counts
from pipeline.reading.source import Source
from pipeline.rows.aggregation import KIND_AGGREGATIONS
from pipeline.wording import counted, human_size


def plan_as_data(
    source: Source, plan: ExportPlan, *, full_refresh: bool = False, has_workers: bool = False
) -> dict[str, Any]:
    """Return a plan as JSON-compatible data.

    Args:
        source: The runs.
        plan: The plan of their export.
        full_refresh: Whether targets that have not changed are written, too.
        has_workers: Whether the export has worker processes already when its runs are known.
    """
    choice = choose(plan, PublishedTargets.read(plan), full_refresh=full_refresh)
    pruning = find_gone(plan, TargetResolver.of(plan.config, plan.tables.exported_at))
    wanted = wanted_series(plan, choice.to_write)
    job = ExportJob(source.storage, plan, choice.to_write, wanted)
    selected = read_counts(plan, plan.is_kept)
    engine = choose_engine(
        plan.config.execution,
        len(job.ranges),
        joins_text=job.joins_text,
        has_workers=has_workers,
    )
    return {
        "name": plan.config.name,
        "source": source.url,
        "selection": _selection(plan),
        "runs": len(plan.runs),
        "series": len(plan.kept),
        "rows": selected.rows,
        "bytes": selected.bytes,
        "to_read": asdict(read_counts(plan, wanted)),
        "resample": _resample(plan),
        "filter": None if plan.row_filter is None else plan.row_filter.text,
        "sinks": [*_targets_as_data(plan, choice), *map(_removed_as_data, pruning.exports)],
        "left_out": [
            {"url": run.url, "reason": run.reason, "kind": run.kind} for run in source.left_out
        ],
        "notes": [
            *plan.notes,
            *(note for sink in plan.sinks for note in sink.notes),
            *_notes(choice),
            *pruning.notes,
        ],
        "warnings": config_warnings(plan.config),
        "engine": asdict(engine),
    }


def _selection(plan: ExportPlan) -> dict[str, Any]:
    """Return by what time and number runs are chosen; empty where they are not."""
    source = plan.config.source
    first, last = source.created.at(plan.tables.exported_at)
    chosen = {
        "created_from": None if first is None else instant_text(first),
        "created_to": None if last is None else instant_text(last),
        "latest": source.latest,
    }
    return {key: value for key, value in chosen.items() if value is not None}


def _resample(plan: ExportPlan) -> dict[str, Any] | None:
    resampling = plan.resampling
    if resampling is None:
        return None
    aggregation = {**KIND_AGGREGATIONS, **resampling.chosen}
    return {"minutes": resampling.minutes, "aggregation": aggregation}


def _notes(choice: Choice) -> Iterator[str]:
    yield from choice.notes
    yield from dict.fromkeys(str(problem) for _, problem in choice.blocked)


def _targets_as_data(plan: ExportPlan, choice: Choice) -> list[dict[str, Any]]:
    groups = (
        ("unchanged", choice.current),
        ("write", choice.to_write),
        ("blocked", [pending for pending, _ in choice.blocked]),
    )
    # The runs of a lake table are written one by one.
    states = {
        _place(pending.plan, pending.target): state for state, group in groups for pending in group
    }
    shrinking = {place for place, gone in choice.obsolete.items() if any(map(table_of, gone))}
    states |= {
        _place(sink, target): "write"
        for sink in plan.sinks
        for target in sink.targets
        if place_of(target) in shrinking
    }
    return [
        {
            "format": sink.sink.format,
            "url": target.url,
            "descriptor": target.descriptor_url,
            "runs": len(target.runs),
            "rows": plan.rows_known(sink, target) if plan.runs else None,
            "columns": [shown.column.name for shown in sink.shown],
            # Without a run nothing is written, whatever the sinks.
            "status": states.get(_place(sink, target), "keep") if plan.runs else "keep",
        }
        for sink in plan.sinks
        for target in sink.targets
    ]


def _place(sink: SinkPlan, target: Target) -> tuple[SinkPlan, Storage, str]:
    return sink, target.storage, target.path


def _removed_as_data(gone: GoneExport) -> dict[str, Any]:
    return {
        "format": gone.sink.format,
        "url": gone.target.url,
        "descriptor": gone.target.descriptor_url,
        "runs": len(gone.runs),
        "rows": total_of(gone.resources, "rowCount"),
        "columns": [],
        "status": "remove",
    }


def plan_as_lines(
    source: Source, plan: ExportPlan, *, full_refresh: bool = False, has_workers: bool = False
) -> Iterator[str]:
    """Yield a plan as lines for people; arguments as for `plan_as_data`."""
    data = plan_as_data(source, plan, full_refresh=full_refresh, has_workers=has_workers)
    yield f"{data['name']}: {_reading(data)}"
    if data["selection"]:
        chosen = (f"{key.replace('_', ' ')} {value}" for key, value in data["selection"].items())
        yield f"  choose runs: {', '.join(chosen)}"
    if data["resample"] is not None:
        methods = ", ".join(f"{k}: {v}" for k, v in data["resample"]["aggregation"].items())
        yield f"  resample bins to {data['resample']['minutes']} minutes ({methods})"
    if data["filter"] is not None:
        yield f"  keep rows where {data['filter']}"
    for sink in data["sinks"]:
        rows = "" if sink["rows"] is None else counted(sink["rows"], "row")
        yield f"  {sink['format']:<8}{sink['status']:<10}{rows:>16}  {sink['url']}"
    engine = data["engine"]
    count = f" with {engine['workers']} workers" if engine["engine"] == "processes" else ""
    yield f"  engine: {engine['engine']}{count} ({engine['reason']})"
    for run in data["left_out"]:
        yield f"  left out ({run['kind']})  {run['url']}: {run['reason']}"
    for note in data["notes"]:
        yield f"  note: {note}"
    for warning in data["warnings"]:
        yield f"  warning: {warning}"


def _reading(data: dict[str, Any]) -> str:
    """Return what of the source is read: all, a part, or nothing where no target is written."""
    read, runs = data["to_read"], counted(data["runs"], "run")
    if read["runs"] == 0 < data["runs"]:
        return f"read nothing of the {runs} in {data['source']}: no target needs their rows"
    part = "" if read["runs"] == data["runs"] else f"{read['runs']:,} of "
    return (
        f"read {part}{runs}, "
        f"{counted(read['series'], 'series', 'series')}, {counted(read['rows'], 'row')}, "
        f"{human_size(read['bytes'])} from {data['source']}"
    )


def runs_as_data(found: Discovery) -> list[dict[str, Any]]:
    """Return runs, and what could not be one with the reason, as JSON-compatible data."""
    complete = [
        {
            "id": run.run_id,
            "name": run.name,
            "url": run.url,
            "created": None if run.created is None else instant_text(run.created),
            "bins": run.grid.bins,
            "bin_minutes": run.grid.bin_minutes,
            "series": len(run.series),
            "complete": True,
            "kind": None,
            "reason": None,
        }
        for run in found.runs
    ]
    broken = [
        {
            "id": None,
            "name": one.name,
            "url": one.url,
            "created": None,
            "bins": None,
            "bin_minutes": None,
            "series": None,
            "complete": False,
            "kind": one.kind,
            "reason": one.reason,
        }
        for one in found.refusals
    ]
    return [*complete, *broken]


def runs_as_lines(found: Discovery) -> Iterator[str]:
    """Yield runs, and what could not be one with the reason, as lines for people."""
    names = [run.run_id for run in found.runs] + [refusal.name for refusal in found.refusals]
    width = max(map(len, ["run", *names]))
    yield f"{'run':<{width}}  {'created (UTC)':<20}  {'bins':>7}  {'bin':>7}  {'series':>6}  state"
    for run in found.runs:
        created = "" if run.created is None else run.created.strftime("%Y-%m-%d %H:%M:%S")
        place = "" if run.name == run.run_id else f"  {run.url}"
        yield (
            f"{run.run_id:<{width}}  {created:<20}  {run.grid.bins:>7}  "
            f"{run.grid.bin_minutes:>3} min  {len(run.series):>6}  complete{place}"
        )
    for refusal in found.refusals:
        yield f"{refusal.name:<{width}}  {'':<46}  {refusal.kind}: {refusal.reason}"
