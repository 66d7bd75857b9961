"""Run directories in any dialect, written byte by byte without the code under test.

python -m tests.run_builder OUT --runs 2000 --series 20 --bins 288 --seed 1
python -m tests.run_builder OUT --dialect dotnet-older
python -m tests.run_builder sample samples/runs
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import cycle, islice
from operator import add
from pathlib import Path
from random import Random
from typing import Any, Literal

BOM = b"\xef\xbb\xbf"
KINDS = ("flow", "state", "stock", "derived", "ratio", "time", "edge")
NEWEST = "rust-newer"

AWKWARD: tuple[float, ...] = (
    93.0,
    1.5,
    0.0,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    5e-324,
    1e-5,
    0.0001,
    1e15,
    1e16,
    123456789012345680.0,
    1.7976931348623157e308,
    -2.2250738585072014e-308,
    0.1 + 0.2,
    0.18017999999999998,
    -7.0,
    999999999999999.0,
    4503599627370497.5,
)


@dataclass(frozen=True)
class RunSpec:
    """A run directory to be written; the defaults are those of the newest writer.

    Attributes:
        name: Name of the directory.
        series: Series id (`measure@component@class`, in full) → values.
        run_id: `runId`, or None to leave it out.
        grid: The grid object as in the JSON files.
        header: Header of the series files.
        bom, newline, floats: Encoding of the series files.
        json_bom: Whether the JSON files begin with a byte-order mark.
        hashes: `real`, `placeholder` or `none` in manifest.json.
        index_hashes: Whether index.json has the true hashes.
        path_style: Paths relative to the run (`series/x.csv`) or to series/ (`x.csv`).
        id_style: How much of `measure@component@class` the written id has.
        named_parts: Whether index.json has `componentId` and `class`.
        coverage_key: Key of the class coverage.
        warnings: As in run.json.
        origin: Key and text of the start in spec.yaml, or None.
        flow_spec: Whether spec.yaml is in flow style.
        has_spec, has_metadata: Whether spec.yaml and model/ are there.
        created: `createdUtc`, or None to leave it out.
        points, kinds, units: Whether index.json has them.
        title: Title of the model.
        extra: More keys for run.json, manifest.json and index.json.
    """

    name: str
    series: Mapping[str, Sequence[float]]
    run_id: str | None = ""
    grid: Mapping[str, Any] = field(
        default_factory=lambda: {"bins": 0, "binSize": 1, "binUnit": "hours"}
    )
    header: Literal["t,value", "bin_index,value"] = "bin_index,value"
    bom: bool = False
    newline: Literal["\n", "\r\n"] = "\n"
    floats: Literal["dotnet", "rust"] = "rust"
    json_bom: bool = False
    hashes: Literal["real", "placeholder", "none"] = "real"
    index_hashes: bool = True
    path_style: Literal["run", "series"] = "run"
    id_style: Literal["full", "measure@component", "measure"] = "full"
    named_parts: bool = True
    coverage_key: Literal["classCoverage", "classesCoverage"] = "classesCoverage"
    warnings: Sequence[Any] = ()
    origin: tuple[str, str] | None = ("grid.start", "2025-01-01T00:00:00Z")
    flow_spec: bool = False
    has_spec: bool = True
    has_metadata: bool = True
    created: str | None = "2025-01-02T03:04:05Z"
    points: bool = True
    kinds: bool = True
    units: bool = True
    title: str = "A model"
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bins(self) -> int:
        """Number of bins: that of the first series."""
        return len(next(iter(self.series.values()), ()))


# --- floats as the writers spell them -------------------------------------------------------


def float_text(value: float, style: str) -> str:
    """The text that a .NET or a Rust program writes for a double.

    >>> float_text(1e-5, "dotnet"), float_text(1e-5, "rust")
    ('1E-05', '0.00001')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        infinity = "Infinity" if style == "dotnet" else "inf"
        return infinity if value > 0 else f"-{infinity}"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    return _finite_text(value, style)


@lru_cache(maxsize=1 << 20)
def _finite_text(value: float, style: str) -> str:
    # repr holds the shortest digits that round-trip, as both runtimes print them.
    shortest = Decimal(repr(value)).normalize()
    if style == "rust":
        shortest = _up_from_the_middle(shortest, value)
    exponent = shortest.adjusted()
    if style == "rust" or -5 < exponent < 15:
        return format(shortest, "f")
    digits = "".join(map(str, shortest.as_tuple().digits))
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    sign, size = "-" if exponent < 0 else "+", abs(exponent)
    return f"{'-' if value < 0 else ''}{mantissa}E{sign}{size:02d}"


def _up_from_the_middle(shortest: Decimal, value: float) -> Decimal:
    """Rust's digits: where two texts are equally near, repr takes the even one, Rust the larger."""
    step = Decimal(1).scaleb(int(shortest.as_tuple().exponent))
    with localcontext(prec=1_100):
        exact = Decimal(value)
        larger = shortest + step.copy_sign(shortest)
        return larger.normalize() if abs(exact - shortest) == abs(larger - exact) else shortest


@lru_cache(maxsize=64)
def _bin_prefixes(bins: int) -> tuple[str, ...]:
    return tuple(f"{number}," for number in range(bins))


def series_bytes(spec: RunSpec, values: Sequence[float]) -> bytes:
    """The bytes of one series file."""
    style = spec.floats
    texts = [float_text(value, style) for value in values]
    lines = map(add, _bin_prefixes(len(texts)), texts)
    body = spec.newline.join((spec.header, *lines)) + spec.newline
    return (BOM if spec.bom else b"") + body.encode("ascii")


# --- a run directory ------------------------------------------------------------------------


def written_id(spec: RunSpec, full_id: str) -> str:
    """The id as the dialect writes it."""
    keep = {"full": 3, "measure@component": 2, "measure": 1}[spec.id_style]
    return "@".join(full_id.split("@")[:keep])


def write_run(folder: Path, spec: RunSpec) -> Path:
    """Write the run below `folder`, manifest.json last, and return its directory."""
    run = folder / spec.name
    (run / "series").mkdir(parents=True, exist_ok=True)
    hashes: dict[str, str] = {}
    for full_id, values in spec.series.items():
        data = series_bytes(spec, values)
        name = written_id(spec, full_id)
        hashes[name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        (run / "series" / f"{name}.csv").write_bytes(data)
    if spec.has_spec:
        text = spec_text(spec)
        (run / "spec.yaml").write_bytes(text)
    if spec.has_metadata:
        (run / "model").mkdir(exist_ok=True)
        _write_json(run / "model" / "metadata.json", _metadata(spec), spec)
    _write_json(run / "series" / "index.json", _index(spec, hashes), spec)
    _write_json(run / "run.json", _run(spec), spec)
    _write_json(run / "manifest.json", _manifest(spec, hashes), spec)
    return run


def spec_text(spec: RunSpec) -> bytes:
    """The bytes of spec.yaml."""
    blocks: dict[str, dict[str, str]] = {"grid": {k: str(v) for k, v in _grid(spec).items()}}
    if spec.origin is not None:
        block, key = spec.origin[0].split(".")
        blocks.setdefault(block, {})[key] = spec.origin[1]
    if spec.flow_spec:
        inner = ", ".join(f"{name}: {_flow(keys)}" for name, keys in blocks.items())
        return f'{{schemaVersion: 1, title: "{spec.title}", {inner}}}\n'.encode()
    lines = ["schemaVersion: 1", f'title: "{spec.title}"']
    for name, keys in blocks.items():
        lines += [f"{name}:", *(f"  {key}: {value}" for key, value in keys.items())]
    lines += ["nodes:", "  - id: start", "    kind: const", "    values: [1, 2, 3]"]
    return ("\n".join(lines) + "\n").encode()


def _flow(keys: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{key}: "{value}"' for key, value in keys.items()) + "}"


def _grid(spec: RunSpec) -> dict[str, Any]:
    return {**spec.grid, "bins": spec.bins}


def _run_id(spec: RunSpec) -> str | None:
    return spec.name if spec.run_id == "" else spec.run_id


def _digest(spec: RunSpec) -> str:
    return f"sha256:{hashlib.sha256(spec.name.encode()).hexdigest()}"


def _created(spec: RunSpec) -> dict[str, str]:
    return {} if spec.created is None else {"createdUtc": spec.created}


def _path(spec: RunSpec, name: str) -> str:
    return f"series/{name}.csv" if spec.path_style == "run" else f"{name}.csv"


def _run(spec: RunSpec) -> dict[str, Any]:
    run_id = _run_id(spec)
    names = [written_id(spec, full_id) for full_id in spec.series]
    return {
        "schemaVersion": 1,
        **({} if run_id is None else {"runId": run_id}),
        "engineVersion": "0.1.0",
        "source": "engine",
        "inputHash": _digest(spec),
        "scenarioHash": _digest(spec),
        "modelHash": _digest(spec),
        **_created(spec),
        "grid": {**_grid(spec), "timezone": "UTC", "align": "left"},
        spec.coverage_key: "full",
        "warnings": list(spec.warnings),
        "series": [{"id": name, "path": _path(spec, name)} for name in names],
        **spec.extra,
    }


def _manifest(spec: RunSpec, hashes: Mapping[str, str]) -> dict[str, Any]:
    promised = {
        "real": dict(hashes),
        "placeholder": dict.fromkeys(hashes, "sha256:placeholder"),
        "none": {},
    }[spec.hashes]
    return {
        "schemaVersion": 1,
        "scenarioHash": _digest(spec),
        "modelHash": _digest(spec),
        "rng": {"kind": "pcg32", "seed": 42},
        "seriesHashes": promised,
        "eventCount": 0,
        **_created(spec),
        "provenance": {"hasProvenance": False, "templateId": "adhoc-model"},
        **spec.extra,
    }


def _index(spec: RunSpec, hashes: Mapping[str, str]) -> dict[str, Any]:
    entries = []
    for number, full_id in enumerate(spec.series):
        _, component, class_name = full_id.split("@")
        name = written_id(spec, full_id)
        entry: dict[str, Any] = {"id": name}
        if spec.kinds:
            entry["kind"] = KINDS[number % len(KINDS)]
        entry["path"] = _path(spec, name)
        if spec.units:
            entry["unit"] = "entities/bin"
        if spec.named_parts:
            entry |= {"componentId": component, "class": class_name}
            entry["classKind"] = "fallback" if class_name == "DEFAULT" else "specific"
        if spec.points:
            entry["points"] = spec.bins
        if spec.index_hashes:
            entry["hash"] = hashes[name]
        entries.append(entry)
    return {
        "schemaVersion": 1,
        "grid": _grid(spec),
        "series": entries,
        spec.coverage_key: "full",
        "formats": {"aggregatesTable": {"path": "aggregates/node_time_bin.parquet"}},
        **spec.extra,
    }


def _metadata(spec: RunSpec) -> dict[str, Any]:
    return {
        "schemaVersion": 1,
        "templateId": "adhoc-model",
        "templateTitle": "Ad Hoc Model",
        "mode": "simulation",
        "modelHash": _digest(spec),
        "source": None,
        "parameters": {},
    }


def _write_json(path: Path, content: Mapping[str, Any], spec: RunSpec) -> None:
    data = json.dumps(content, indent=2, ensure_ascii=False).encode()
    path.write_bytes((BOM if spec.json_bom else b"") + data)


# --- the catalogue of dialects --------------------------------------------------------------


def series_ids(count: int, *, classes: Sequence[str] = ("DEFAULT",)) -> Iterator[str]:
    """Ids of services with a few measures each, all different in measure and component."""
    measures = ("arrivals", "served", "queue_depth", "errors", "latency_min")
    names = (
        f"{measure}@COMP_{number:04d}@{class_name}"
        for number in range(count)
        for measure in measures
        for class_name in classes
    )
    return islice(names, count)


def _awkward(count: int, *, classes: Sequence[str] = ("DEFAULT",)) -> dict[str, list[float]]:
    """Series whose values between them visit every awkward double."""
    return {
        name: [AWKWARD[(number + shift) % len(AWKWARD)] for number in range(len(AWKWARD) + 4)]
        for shift, name in enumerate(series_ids(count, classes=classes))
    }


def _bare(count: int) -> dict[str, list[float]]:
    """Series that differ in their measure alone."""
    return {
        f"measure_{number}@COMP_A@DEFAULT": values
        for number, values in enumerate(_awkward(count).values())
    }


def _rust_newer(name: str) -> RunSpec:
    warning = {
        "code": "queue_depth_mismatch",
        "message": "computed queue depth diverges",
        "nodeId": "HubQueue",
        "severity": "warning",
        "bins": [1, 2],
        "value": 0.5,
        "edgeIds": ["a-b"],
    }
    return RunSpec(name, _awkward(5), warnings=[warning])


def _dotnet_older(name: str) -> RunSpec:
    return RunSpec(
        name,
        _awkward(5),
        grid={"binMinutes": 5},
        header="t,value",
        bom=True,
        floats="dotnet",
        json_bom=True,
        path_style="series",
        coverage_key="classCoverage",
        warnings=["queue depth diverges", "another"],
        origin=("grid.startTimeUtc", '"2025-03-01T00:00:00.0000000Z"'),
        created="2025-03-02T04:05:06.1234567Z",
    )


def _dotnet_newer(name: str) -> RunSpec:
    return replace(
        _dotnet_older(name),
        header="bin_index,value",
        grid={"binSize": 15, "binUnit": "minutes"},
        path_style="run",
        coverage_key="classesCoverage",
    )


def _crlf(name: str) -> RunSpec:
    return replace(_rust_newer(name), newline="\r\n")


def _dotnet_crlf(name: str) -> RunSpec:
    return replace(_dotnet_older(name), newline="\r\n")


def _measure_component(name: str) -> RunSpec:
    return replace(_rust_newer(name), id_style="measure@component", named_parts=False, kinds=False)


def _bare_measure(name: str) -> RunSpec:
    return replace(
        _rust_newer(name), series=_bare(4), id_style="measure", named_parts=False, kinds=False
    )


def _days(name: str) -> RunSpec:
    return replace(
        _rust_newer(name),
        grid={"binSize": 1, "binUnit": "Days"},
        origin=("window.start", "2025-01-01 00:00:00+00:00"),
    )


def _weeks(name: str) -> RunSpec:
    return replace(
        _rust_newer(name),
        grid={"binSize": 2, "binUnit": "week"},
        origin=("window.startTimeUtc", "2024-12-30T02:00:00+02:00"),
    )


def _placeholder_hashes(name: str) -> RunSpec:
    return replace(
        _rust_newer(name), hashes="placeholder", index_hashes=False, points=False, units=False
    )


def _index_hashes_only(name: str) -> RunSpec:
    return replace(_rust_newer(name), hashes="none")


def _no_origin(name: str) -> RunSpec:
    return replace(_rust_newer(name), origin=None, created="2025-05-06T23:30:00-02:00")


def _json_only(name: str) -> RunSpec:
    return replace(_rust_newer(name), has_spec=False, has_metadata=False)


def _unknown_fields(name: str) -> RunSpec:
    extra = {"x-team": {"deep": [1, 2.5, None, True]}, "größe": "ü", "telemetry": []}
    return replace(_rust_newer(name), extra=extra)


def _renamed(name: str) -> RunSpec:
    return replace(_rust_newer(name), run_id="run_as_it_was_named_first")


def _unnamed(name: str) -> RunSpec:
    return replace(_rust_newer(name), run_id=None)


def _classes(name: str) -> RunSpec:
    series = _awkward(9, classes=("DEFAULT", "Order", "Refund"))
    return replace(_rust_newer(name), series=series)


def _flow_spec(name: str) -> RunSpec:
    return replace(_rust_newer(name), flow_spec=True)


DIALECTS: dict[str, Callable[[str], RunSpec]] = {
    NEWEST: _rust_newer,
    "dotnet-older": _dotnet_older,
    "dotnet-newer": _dotnet_newer,
    "rust-crlf": _crlf,
    "dotnet-crlf": _dotnet_crlf,
    "measure-component-ids": _measure_component,
    "bare-measure-ids": _bare_measure,
    "daily": _days,
    "weekly": _weeks,
    "placeholder-hashes": _placeholder_hashes,
    "index-hashes-only": _index_hashes_only,
    "no-origin": _no_origin,
    "json-only": _json_only,
    "unknown-fields": _unknown_fields,
    "renamed-directory": _renamed,
    "no-run-id": _unnamed,
    "classes": _classes,
    "flow-style-spec": _flow_spec,
}
"""Name → a run of that dialect, under the directory name given."""


# --- telemetry bundles ----------------------------------------------------------------------


def g17_text(value: float) -> str:
    """The text that .NET writes for a double asked for with the format G17; gaps are empty."""
    if not math.isfinite(value):
        return float_text(value, "dotnet").replace("NaN", "")
    return f"{value:.17g}".replace("e", "E")


def write_bundle(folder: Path, spec: RunSpec, *, version: int) -> Path:
    """Write a run as a telemetry bundle of schema version 1 or 2, its manifest last."""
    bundle = folder / spec.name
    bundle.mkdir(parents=True, exist_ok=True)
    files = []
    for name, values in spec.series.items():
        measure, node, class_name = name.split("@")
        tail = "" if class_name == "DEFAULT" else f"_{class_name}"
        cell = f",{class_name}" if version == 2 else ""
        lines = [f"bin_index{',classId' if cell else ''},value"]
        lines += [f"{number}{cell},{g17_text(value)}" for number, value in enumerate(values)]
        data = "".join(line + spec.newline for line in lines).encode()
        path = f"{node}_{measure}{tail}.csv"
        (bundle / path).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entry = {
            "nodeId": node,
            "metric": measure[:1].upper() + measure[1:],
            "path": path,
            "hash": f"sha256:{digest}" if version == 2 else digest,
            "points": len(values),
        }
        files.append(entry | ({"classId": class_name} if version == 2 else {}))
    manifest = {
        "schemaVersion": version,
        "window": {"startTimeUtc": None if spec.origin is None else spec.origin[1]},
        "grid": _grid(spec),
        "files": files,
        "warnings": list(spec.warnings),
        "provenance": {
            "runId": _run_id(spec),
            "scenarioHash": _digest(spec),
            "modelHash": _digest(spec),
            "capturedAtUtc": spec.created,
        },
        **spec.extra,
    }
    _write_json(bundle / "manifest.json", manifest, spec)
    return bundle


def _bundle_newest(name: str) -> RunSpec:
    return replace(_rust_newer(name), series=_awkward(9, classes=("DEFAULT", "Order", "Refund")))


def _bundle_crlf(name: str) -> RunSpec:
    return replace(_bundle_newest(name), newline="\r\n", json_bom=True)


def _bundle_without_start(name: str) -> RunSpec:
    return replace(_rust_newer(name), origin=None, grid={"binSize": 5, "binUnit": "minutes"})


BUNDLES: dict[str, tuple[Callable[[str], RunSpec], int]] = {
    "bundle-newer": (_bundle_newest, 2),
    "bundle-crlf": (_bundle_crlf, 2),
    "bundle-older": (_rust_newer, 1),
    "bundle-without-start": (_bundle_without_start, 2),
}
"""Name → what is in a telemetry bundle of that kind, and its schema version."""


def write_bundles(folder: Path) -> None:
    """Write a bundle of every kind."""
    for name, (build, version) in BUNDLES.items():
        write_bundle(folder, build(name), version=version)


# --- many runs ------------------------------------------------------------------------------


def write_many(
    out: Path,
    *,
    runs: int,
    series: int,
    bins: int,
    seed: int,
    dialect: str = NEWEST,
    decimals: int | None = 3,
) -> None:
    """Write many runs whose files all differ, the same ones for the same seed.

    Args:
        decimals: Of all values; None for what engines write: of eight series five hold doubles
            of up to 17 digits, two have a few decimals, and one has whole numbers.
    """
    random = Random(seed)
    # Values come from long tapes at random offsets: each is spelled once, not each time.
    places = (decimals,) if decimals is not None else (None, None, 2, None, None, 0, None, 4)
    tapes = {one: _tape(random, 20_000 + bins, one) for one in dict.fromkeys(places)}
    names = cycle(DIALECTS) if dialect == "mixed" else cycle((dialect,))
    for number, name in zip(range(runs), names, strict=False):
        spec = DIALECTS[name](f"run_{number:06d}")
        ids = _bare(series) if spec.id_style == "measure" else series_ids(series)
        offsets = (random.randrange(20_000) for _ in range(series))
        values = {
            one: tapes[place][at : at + bins]
            for one, at, place in zip(ids, offsets, cycle(places), strict=False)
        }
        write_run(out, replace(spec, series=values))


def _tape(random: Random, length: int, decimals: int | None) -> list[float]:
    values = [random.expovariate(0.02) for _ in range(length)]
    return values if decimals is None else [round(value, decimals) for value in values]


# --- the sample that ships with the project -------------------------------------------------


def _service(
    name: str, random: Random, bins: int, per_day: int, level: float, class_name: str = "DEFAULT"
) -> dict[str, list[float]]:
    """A service with a daily rhythm, a capacity, and a queue where that is exceeded."""
    capacity = round(level * 1.25, 1)
    arrivals, served, queue, utilization = [], [], [], []
    waiting = 0.0
    for number in range(bins):
        wave = 1 + 0.5 * math.sin(2 * math.pi * (number / per_day - 0.3))
        arrived = round(level * wave * random.uniform(0.9, 1.1), 1)
        done = round(min(arrived + waiting, capacity), 1)
        waiting = round(waiting + arrived - done, 1)
        arrivals.append(arrived)
        served.append(done)
        queue.append(waiting)
        utilization.append(round(done / capacity, 4))
    return {
        f"arrivals@{name}@{class_name}": arrivals,
        f"served@{name}@{class_name}": served,
        f"queue_depth@{name}@{class_name}": queue,
        f"utilization@{name}@{class_name}": utilization,
    }


def sample_specs() -> Iterator[RunSpec]:
    """The runs of the sample: between them they show most dialects."""
    random = Random(20250101)
    working_week = {
        **_service("checkout", random, 120, 24, 420.0),
        **_service("payments", random, 120, 24, 380.0),
    }
    yield RunSpec("run_checkout_hourly", working_week, title="Checkout, five days by the hour")
    yield replace(
        _dotnet_older("run_payments_5min"),
        series=_service("payments", random, 288, 288, 31.0)
        | _service("fraud_check", random, 288, 288, 30.0),
        warnings=["payments: queue depth exceeds 50 in 12 bins"],
        title="Payments, one day by five minutes",
    )
    yield replace(
        _days("run_warehouse_daily"),
        series=_service("warehouse", random, 90, 7, 5200.0),
        warnings=[
            {
                "code": "capacity_exceeded",
                "message": "arrivals exceed capacity",
                "nodeId": "warehouse",
                "severity": "warning",
            }
        ],
        title="Warehouse, one quarter by the day",
    )
    orders: dict[str, list[float]] = {}
    for class_name, level in (("DEFAULT", 120.0), ("express", 40.0), ("standard", 80.0)):
        orders |= _service("orders", random, 48, 24, level, class_name)
    yield RunSpec("run_orders_classes", orders, title="Orders by class of delivery")
    odd = _service("returns", random, 24, 24, 12.0)
    ratio = odd["utilization@returns@DEFAULT"]
    ratio[3:7] = [math.nan, math.inf, -math.inf, -0.0]
    odd["utilization@returns@DEFAULT"] = ratio
    yield RunSpec("run_returns_odd_values", odd, origin=None, title="Returns, with odd values")
    support = _service("support", random, 52, 52, 900.0)
    yield replace(
        _weeks("run_support_weekly"),
        series=support,
        grid={"binSize": 1, "binUnit": "weeks"},
        id_style="measure@component",
        named_parts=False,
        floats="dotnet",
        warnings=(),
        title="Support, one year by the week",
    )


def write_sample(out: Path) -> None:
    """Write the sample, byte for byte the same each time."""
    for spec in sample_specs():
        write_run(out, spec)


def main(argv: Sequence[str] | None = None) -> int:
    """Write many runs, or the sample, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.run_builder")
    parser.add_argument("out", help="folder to write to, or `sample` before it")
    parser.add_argument("sample_out", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--bins", type=int, default=288)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dialect", choices=[*DIALECTS, "mixed"], default=NEWEST)
    args = parser.parse_args(argv)
    if args.out == "sample" and args.sample_out:
        write_sample(Path(args.sample_out))
        return 0
    write_many(
        Path(args.out),
        runs=args.runs,
        series=args.series,
        bins=args.bins,
        seed=args.seed,
        dialect=args.dialect,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
