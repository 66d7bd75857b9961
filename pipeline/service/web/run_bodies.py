"""Turn runs and exports into the bodies of the API."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.flowtime.model.run import Run
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.service.catalog.export_store import PublishedExport
from pipeline.service.jobs.job import download_url
from pipeline.service.web.models.runs import (
    ExportedFileBody,
    ExportShapeBody,
    GridBody,
    RunExportBody,
    RunSummary,
    SeriesBody,
    SeriesIndexBody,
)


def grid(bins: int, bin_minutes: int) -> GridBody:
    """Return the grid of a run, in minutes."""
    return GridBody(bins=bins, bin_minutes=bin_minutes, bin_size=bin_minutes)


def summary(entry: ListedRun) -> RunSummary:
    """Return a run as lists show it."""
    shown = RunSummary(
        id=entry.key,
        run_id=entry.run_id,
        name=entry.name,
        path=entry.path,
        state=entry.state,
        reason=entry.reason,
    )
    if not entry.is_readable:
        return shown
    return shown.changed(
        created_utc=entry.created,
        grid=grid(entry.bins, entry.bin_minutes),
        series_count=entry.series,
        rows=entry.rows,
        bytes=entry.bytes,
        warning_count=entry.warnings,
        source=entry.source,
        mode=entry.mode,
        template_id=entry.template_id,
        template_title=entry.template_title,
        model_title=entry.model_title,
    )


def details(run: Run) -> dict[str, object]:
    """Return what the response for a single run has beside that."""
    return {
        "time_origin": run.time_origin,
        "time_origin_from": run.origin_source,
        **run.facts(),
        "fingerprint": f"sha256:{run.fingerprint}",
        "warnings": list(run.warnings),
        "notes": list(run.notes),
        "measures": list(dict.fromkeys(s.measure for s in run.series)),
        "components": list(dict.fromkeys(s.component for s in run.series if s.component)),
        "classes": list(dict.fromkeys(s.class_name for s in run.series)),
    }


def series_index(run: Run) -> SeriesIndexBody:
    """Return the index of a run's series."""
    return SeriesIndexBody(
        schema_version=run.schema_version or 1,
        run_id=run.run_id,
        grid=grid(run.grid.bins, run.grid.bin_minutes),
        time_origin=run.time_origin,
        series=[
            SeriesBody(
                id=series.id,
                kind=series.kind,
                path=series.path,
                unit=series.unit,
                measure=series.measure,
                component_id=series.component,
                class_=series.class_name,
                class_kind=series.class_kind,
                points=series.points,
                hash=None if digest.sha256 is None else f"sha256:{digest.sha256}",
            )
            for series, digest in zip(run.series, run.series.digests(), strict=True)
        ],
    )


def run_export(entry: ListedRun, export: PublishedExport) -> RunExportBody:
    """Return an export of a run."""
    options = ExportShapeBody(
        columns=export.columns, filter=export.filter, escape_formulas=export.escapes_formulas
    )
    return RunExportBody(
        variant=export.variant,
        options=None if export.variant is None else options,
        exported_utc=export.exported,
        bytes=export.size,
        files=tuple(exported_files(entry, export)),
    )


def exported_files(entry: ListedRun, export: PublishedExport) -> Iterator[ExportedFileBody]:
    """Yield the files of an export of a run."""
    for form, file in export.files.items():
        yield ExportedFileBody(
            format=form,
            name=f"export.{form}",
            bytes=file.entry.size,
            rows=file.rows,
            sha256=file.sha256,
            exported_utc=file.modified,
            url=download_url(entry.key, form, export.variant),
            variant=export.variant,
        )
