"""Any runs and any sink: what property tests of whole exports draw, and the rows they expect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.flowtime.model.instant import parse_instant
from pipeline.sinks import CsvSink
from tests.exporting import config
from tests.read_outputs import bits
from tests.run_builder import RunSpec, write_run

TEXTS = (
    None, "", "__HIVE_DEFAULT_PARTITION__", "__hive_default_partition__", "vip", "VIP", "Vip",
    "%", "%5F", "a=b", "a/b", "..", "007", "7", "1e3", "NA", "null", "NaN", "true", "#", "#/h",
    "a b", " ", "ü", "Ü", 'q"uo,te', "=1+1", "2025-01-01",
)  # fmt: skip
NAMES = (
    "DEFAULT", "vip", "VIP", "007", "7", "1e3", "NA", "null", "NaN", "true", "2025-01-01", "-",
    "__HIVE_DEFAULT_PARTITION__", "__hive_default_partition__",
)  # fmt: skip
MEASURES = ("arrivals", "Arrivals", "served", "007", "NA")
_WIDE_MEASURES = ("arrivals", "served", "007", "NA")  # DuckDB's columns ignore case
NUMBERS = (
    0.0, -0.0, 1.0, 7.0, -7.5, 0.1 + 0.2, 5e-324, 1e16, 1.7976931348623157e308,
    math.nan, math.inf, -math.inf,
)  # fmt: skip
STARTS = ("2025-01-01T00:00:00Z", "2024-02-28T23:30:00Z", "2025-01-01T00:00:00.5Z")
CREATED = ("2025-01-02T03:04:05Z", "2025-01-02T03:04:05.1234567Z", None)
TEXT_COLUMNS = ("component_id", "measure", "class", "run_name", "run_id", "source", "model_title")
INSTANTS = ("time_bin", "created_at")
METADATA = ("run_name", "run_id", "source", "model_title", "created_at")
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")

Cell = str | bytes | int | None
"""Numbers by their bits, instants in microseconds."""

Row = tuple[tuple[str, Cell], ...]
Rows = Counter[Row]


@dataclass(frozen=True)
class DrawnExport:
    """Runs, a sink and a condition that readers filter by.

    Attributes:
        runs: The runs.
        sink: Its options, without the path.
        path: Its path below the output folder.
        filter: Column, comparison and constant.
    """

    runs: tuple[RunSpec, ...]
    sink: Mapping[str, Any]
    path: str
    filter: tuple[str, str, Any]

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The partition columns."""
        return tuple(self.sink.get("partition_by", ()))

    @property
    def is_wide(self) -> bool:
        """Whether measures are columns."""
        return self.sink.get("layout") == "wide"

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of all runs."""
        ids = [one for run in self.runs for one in run.series]
        return tuple(dict.fromkeys(one.partition("@")[0] for one in ids))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers."""
        return self.measures if self.is_wide else ("value",)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of text."""
        return tuple(name for name in TEXT_COLUMNS if not (self.is_wide and name == "measure"))

    def write_runs(self, folder: Path) -> None:
        """Write the runs below a folder."""
        for run in self.runs:
            write_run(folder, run)

    def config(self, runs: Path, out: Path) -> Any:
        """Return the config of the export."""
        sink = {**self.sink, "path": out / self.path}
        return config(runs, sink, metadata={"columns": list(METADATA)})


# --- what is drawn ---------------------------------------------------------------------------


def _series(measures: Iterable[str], names: tuple[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    components, classes = (st.sampled_from(tuple(dict.fromkeys(("A", one)))) for one in names)
    ids = st.builds("{}@{}@{}".format, st.sampled_from(tuple(measures)), components, classes)
    values = st.lists(st.sampled_from(NUMBERS), min_size=4, max_size=4)
    return st.dictionaries(ids, values, min_size=1, max_size=3)


@st.composite
def _runs(draw: st.DrawFn, measures: tuple[str, ...]) -> tuple[RunSpec, ...]:
    count = draw(st.integers(1, 3))
    bins = draw(st.integers(1, 4))
    ids = draw(st.lists(st.sampled_from(TEXTS), min_size=count, max_size=count))
    runs = []
    for place, run_id in enumerate(ids):
        usable = run_id and run_id.strip(" .") and not {*run_id} & {"/", "\\"}
        title = draw(st.sampled_from(TEXTS))
        names = (draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES)))
        series = draw(_series(measures, names))
        runs.append(
            RunSpec(
                name=draw(st.sampled_from(("run_{}", "{}", "RUN {}%"))).format(place),
                run_id=run_id if usable else f"0{place}",
                series={one: values[:bins] for one, values in series.items()},
                origin=("grid.start", draw(st.sampled_from(STARTS))),
                created=draw(st.sampled_from(CREATED)),
                title=(title or "").replace('"', "'"),
                extra={"source": draw(st.sampled_from(TEXTS))},
            )
        )
    return tuple(runs)


def _is_valid(options: Mapping[str, Any]) -> bool:
    try:
        CsvSink.model_validate({"format": "csv", "path": "x.csv", **options})
    except ValidationError:
        return False
    return True


_DIALECTS = [
    options
    for options in (
        {
            "separator": separator,
            "quote": quote,
            "quote_style": style,
            "null_value": null,
            "metadata_header": header,
        }
        for separator in (",", ";", "\t", "|", ":", "#")
        for quote in ('"', "'", "%")
        for style in ("necessary", "always", "non_numeric")
        for null in ("", "NULL", "-", "null")
        for header in (True, False)
    )
    if _is_valid(options)
]


@st.composite
def _options(draw: st.DrawFn, form: str) -> dict[str, Any]:
    if form == "parquet":
        size = draw(st.sampled_from((1, 2, 5, 262_144)))
        return {"row_group_size": size, "compression": draw(st.sampled_from(("zstd", "none")))}
    compression = {"compression": draw(st.sampled_from(("none", "none", "gzip", "zstd")))}
    if form == "ndjson":
        return {"non_finite": draw(st.sampled_from(("string", "null"))), **compression}
    more = {"escape_formulas": draw(st.booleans()), "bom": draw(st.booleans())}
    return {**draw(st.sampled_from(_DIALECTS)), **more, **compression}


@st.composite
def exports(draw: st.DrawFn) -> DrawnExport:
    """Draw runs and a sink."""
    wide = draw(st.booleans())
    runs = draw(_runs(_WIDE_MEASURES if wide else MEASURES))
    form = draw(st.sampled_from(("parquet", "parquet", "csv", "ndjson")))
    options = {"format": form, **draw(_options(form))}
    if wide:
        options["layout"] = "wide"
    path = {"csv": "e.csv", "ndjson": "e.ndjson", "parquet": "e.parquet"}[form]
    if draw(st.integers(0, 3)):
        path = "set"
        columns = [name for name in TEXT_COLUMNS if not (wide and name == "measure")]
        options["partition_by"] = draw(st.lists(st.sampled_from(columns), max_size=2, unique=True))
        options["max_rows_per_file"] = draw(st.sampled_from((None, 1, 2, 5)))
    elif form != "parquet":
        path += {"none": "", "gzip": ".gz", "zstd": ".zst"}[options["compression"]]
    drawn = DrawnExport(runs, options, path, ("", "", None))
    column = draw(st.sampled_from((*drawn.numbers, *drawn.texts)))
    pool = NUMBERS if column in drawn.numbers else [one for one in TEXTS + NAMES if one]
    constant = draw(st.sampled_from(pool))
    condition = (column, draw(st.sampled_from(COMPARISONS)), constant)
    return DrawnExport(runs, options, path, condition)


# --- the rows that are expected --------------------------------------------------------------


def expected_rows(drawn: DrawnExport) -> Rows:
    """Return the rows that an export must have."""
    found: Rows = Counter()
    for run in drawn.runs:
        if drawn.is_wide:
            found.update(row(cells) for cells in _wide_cells(run, drawn.measures))
        else:
            found.update(row(cells) for cells in _long_cells(run))
    return found


def row(cells: Mapping[str, Cell]) -> Row:
    """Return cells as a row that can be counted."""
    return tuple(sorted(cells.items()))


def _long_cells(run: RunSpec) -> Iterable[dict[str, Cell]]:
    for series, values in run.series.items():
        measure, component, class_name = series.split("@")
        for place, value in enumerate(values):
            yield {
                **_run_cells(run, place),
                "component_id": component,
                "class": class_name,
                "measure": measure,
                "value": bits(value),
            }


def _wide_cells(run: RunSpec, measures: Iterable[str]) -> Iterable[dict[str, Cell]]:
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for series, values in run.series.items():
        measure, component, class_name = series.split("@")
        groups.setdefault((component, class_name), {})[measure] = values
    for (component, class_name), members in groups.items():
        for place in range(run.bins):
            cells: dict[str, Cell] = {
                **_run_cells(run, place),
                "component_id": component,
                "class": class_name,
            }
            for measure in measures:
                cells[measure] = bits(members[measure][place]) if measure in members else None
            yield cells


def _run_cells(run: RunSpec, place: int) -> dict[str, Cell]:
    assert run.origin is not None
    start = parse_instant(run.origin[1])
    created = None if run.created is None else parse_instant(run.created)
    assert start is not None
    return {
        "time_bin": micros(start + timedelta(hours=place)),
        "run_name": run.name,
        "run_id": run.run_id,
        # An empty text in a run's files says nothing.
        "source": run.extra["source"] or None,
        "model_title": run.title.strip() or None,
        "created_at": None if created is None else micros(created),
    }


def micros(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
