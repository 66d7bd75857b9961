"""Test the round trip: export runs in each format, import them, and compare."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.restore.run_files import differences
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import (
    Storage,
    StorageOptions,
    connect,
    escape_glob,
    scratch_folder,
    sha256_of,
)
from pipeline.config import ExportConfig
from pipeline.errors import FlowtimeExportError, RunError
from pipeline.exports.run import export
from pipeline.imports import ImportOptions, import_export
from pipeline.reading.inputs import BATCH_ROWS
from pipeline.reading.source import Source, find_runs
from pipeline.wording import counted, human_size


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to export.

    Attributes:
        name: What it is called, e.g. `csv gzip`.
        file: Name of the file.
        sink: Options of the sink beside `format` and `path`.
    """

    name: str
    file: str
    sink: tuple[tuple[str, Any], ...] = ()


VARIANTS = (
    Variant("csv", "export.csv"),
    Variant("csv gzip", "export.csv.gz"),
    Variant("csv zstd", "export.csv.zst"),
    Variant("csv wide", "wide.csv", (("layout", "wide"),)),
    Variant("ndjson", "export.ndjson"),
    Variant("ndjson gzip", "export.ndjson.gz"),
    Variant("ndjson zstd", "export.ndjson.zst"),
    Variant("ndjson wide", "wide.ndjson", (("layout", "wide"),)),
    Variant("parquet", "export.parquet"),
    Variant("parquet wide", "wide.parquet", (("layout", "wide"),)),
)
"""The formats with what each can be compressed by, and the wide layout of each."""


@dataclass(frozen=True, slots=True)
class Leg:
    """The result of one variant.

    Attributes:
        name: The variant.
        rows: Values that were exported and imported.
        size: Bytes of the export.
        seconds: Wall time of export and import.
        values_equal: Series whose values all returned, bit for bit.
        hashes_equal: Series whose file returned with the sha256 that it had.
        series: Series that there are.
        comparable: Series whose file can be compared; a telemetry bundle's cannot, as it returns
            as a run directory.
        problem: What went wrong, or None.
    """

    name: str
    rows: int
    size: int
    seconds: float
    values_equal: int
    hashes_equal: int
    series: int
    comparable: int
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether everything returned."""
        values, hashes = self.values_equal == self.series, self.hashes_equal == self.comparable
        return self.problem is None and values and hashes


@dataclass(frozen=True)
class RoundtripReport:
    """What returned.

    Attributes:
        source: Where the runs are.
        runs: How many there are.
        legs: The variants.
    """

    source: str
    runs: int
    legs: tuple[Leg, ...]

    @property
    def ok(self) -> bool:
        """Whether everything returned in every variant."""
        return all(leg.ok for leg in self.legs)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        legs = [{**asdict(leg), "bytes": leg.size, "ok": leg.ok} for leg in self.legs]
        for leg in legs:
            del leg["size"]
        return {"source": self.source, "runs": self.runs, "ok": self.ok, "legs": legs}

    def as_text(self) -> str:
        """Return the report as a table for people."""
        head = f"{'format':<14}{'rows':>12}{'bytes':>11}{'seconds':>9}{'values':>14}{'hashes':>14}"
        verdict = "everything returned" if self.ok else "NOT everything returned"
        runs = counted(self.runs, "run")
        return "\n".join(
            [f"{self.source}: {runs}, {verdict}", head, *(_line(leg) for leg in self.legs)]
        )


def _line(leg: Leg) -> str:
    def share(equal: int, total: int) -> str:
        return f"{equal:,} of {total:,}"

    line = (
        f"{leg.name:<14}{leg.rows:>12,}{human_size(leg.size):>11}{leg.seconds:>9.2f}"
        f"{share(leg.values_equal, leg.series):>14}{share(leg.hashes_equal, leg.comparable):>14}"
    )
    return line if leg.problem is None else f"{line}\n  {leg.problem}"


def roundtrip(url: str, *, storage: StorageOptions | None = None) -> RoundtripReport:
    """Export runs in each variant, import the export, and compare every value and every byte.

    Each run makes the journey by itself, in a temporary folder; the runs are only read.

    Args:
        url: A run directory, or a folder of them.
        storage: Options of its storage.

    Raises:
        RunError: No run is there, or one cannot be read.
        StorageError: The store failed.
    """
    source = find_runs(_config(url, storage, "export.csv", VARIANTS[0]))
    if not source.runs:
        raise RunError(
            "no complete run is there: `flowtime-export runs` says why", run_url=source.url
        )
    legs = tuple(
        _sum(variant, [_leg(variant, source, run, storage) for run in source.runs])
        for variant in VARIANTS
    )
    return RoundtripReport(source.url, len(source.runs), legs)


def _config(url: str, storage: StorageOptions | None, path: str, variant: Variant) -> ExportConfig:
    kind = variant.name.partition(" ")[0]
    blocks: dict[str, Any] = {}
    source = {"url": escape_glob(url)}
    if storage is not None:
        protocol = {} if storage.protocol is None else {"protocol": storage.protocol}
        blocks["storage"] = {"source": {**protocol, **storage.options}}
        source["storage"] = "source"
    sink = {"format": kind, "path": path, **dict(variant.sink)}
    return ExportConfig.model_validate(
        {"version": 1, "name": "test-loop", "source": source, "sinks": [sink], **blocks}
    )


def _leg(variant: Variant, source: Source, run: Run, storage: StorageOptions | None) -> Leg:
    """Return one run, there and back."""
    began = time.monotonic()
    series, comparable = len(run.series), 0 if run.is_bundle else len(run.series)
    with scratch_folder() as folder:
        path = folder / variant.file
        try:
            report = export(_config(run.url, storage, str(path), variant))
            import_export([str(path)], f"{folder}/runs", ImportOptions(values_only=True))
            seconds = time.monotonic() - began
            values, hashes, problem = _compared(source, run, f"{folder}/runs/{run.name}")
        except FlowtimeExportError as error:
            spent = time.monotonic() - began
            return Leg(variant.name, 0, 0, spent, 0, 0, series, comparable, str(error))
    size = sum(target.size for target in report.targets)
    rows = report.rows_read
    return Leg(variant.name, rows, size, seconds, values, hashes, series, comparable, problem)


def _sum(variant: Variant, legs: Sequence[Leg]) -> Leg:
    problems = [leg.problem for leg in legs if leg.problem is not None]
    more = f" (and {len(problems) - 1} more runs)" if len(problems) > 1 else ""
    return Leg(
        variant.name,
        sum(leg.rows for leg in legs),
        sum(leg.size for leg in legs),
        round(sum(leg.seconds for leg in legs), 3),
        sum(leg.values_equal for leg in legs),
        sum(leg.hashes_equal for leg in legs),
        sum(leg.series for leg in legs),
        sum(leg.comparable for leg in legs),
        f"{problems[0]}{more}" if problems else None,
    )


# --------------------------------------------------------------------------- comparing


def _compared(source: Source, run: Run, restored_url: str) -> tuple[int, int, str | None]:
    """Return the series with equal values, those with equal files, and the first difference."""
    storage, path = connect(restored_url)
    found = discover(storage, path)
    if len(found.runs) != 1:
        return 0, 0, f"{restored_url}: {[one.reason for one in found.refusals] or 'no run'}"
    restored = found.runs[0]
    # Files that differ are found below, where their series is named.
    if odd := differences(_without_digests(run), _without_digests(restored)):
        return 0, 0, f"run {run.url}: came back with another {', '.join(odd)}"
    values, hashes, problem = 0, 0, None
    for before, after in zip(series_files([run]), series_files([restored]), strict=True):
        if run.is_bundle:
            pass
        elif sha256_of(source.storage, before.path) == sha256_of(storage, after.path):
            hashes += 1
        elif problem is None:
            problem = f"run {run.url}: series {before.series_id} came back in other bytes"
        if _same_values(source.storage, before, storage, after):
            values += 1
        else:
            problem = f"run {run.url}: series {before.series_id} came back with other values"
    return values, hashes, problem


def _without_digests(run: Run) -> Run:
    """Return a run as a run directory that records no sha256."""
    return replace(run, series=SeriesTable(run.series.shape), is_bundle=False)


def _same_values(
    storage: Storage, before: SeriesFile, restored: Storage, after: SeriesFile
) -> bool:
    """Return whether two files hold the same doubles: NaN is NaN, and -0 is not 0."""
    pairs = zip(_bits(storage, before), _bits(restored, after), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def _bits(storage: Storage, file: SeriesFile) -> Iterator[np.ndarray[Any, Any]]:
    values = scan(storage, [file], ScanOptions(verify=False, workers=1)).select("value")
    for batch in values.collect_batches(maintain_order=True, lazy=True, chunk_size=BATCH_ROWS):
        found = batch["value"].to_numpy()
        yield np.where(np.isnan(found), np.nan, found).view(np.uint64)
