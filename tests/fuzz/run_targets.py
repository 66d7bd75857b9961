"""Targets among the files of a run directory."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connectors.errors import RunError
from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.parse.dialects import RunFiles, parse_run
from connectors.flowtime.parse.telemetry import parse_bundle
from connectors.flowtime.restore.run_files import check_restorable, differences
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_file import SeriesFile, header_length, parse_strictly
from connectors.storage import connect
from pipeline.datapackage.descriptor import dump, load, package
from pipeline.datapackage.run_record import describe_run, read_run
from tests.exporting import spec
from tests.fuzz.target import Target
from tests.run_builder import DIALECTS, series_bytes, write_bundles, write_run

_FILES = {
    "run_json": "run.json",
    "manifest_json": "manifest.json",
    "index_json": "series/index.json",
    "spec_yaml": "spec.yaml",
    "metadata_json": "model/metadata.json",
}
_NOW = datetime(2025, 1, 1, tzinfo=UTC)
_SMALL_BATCH = 512
_MOST_POINTS = 5_000


@lru_cache(maxsize=1)
def _whole() -> RunFiles:
    """The files of a run as it should be."""
    with TemporaryDirectory() as folder:
        run = write_run(Path(folder), spec("run_a", title="Model"))
        return RunFiles(
            url="/runs/run_a",
            path="/runs/run_a",
            name="run_a",
            sizes={path.relative_to(run).as_posix(): 60 for path in run.glob("series/*.csv")},
            **{key: (run / name).read_bytes() for key, name in _FILES.items()},
        )


def _reader(key: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, _: Path) -> None:
        run = parse_run(replace(_whole(), **{key: data}))
        _check_described(run)
        check_restorable(run)

    return read


def _check_described(run: Run) -> None:
    """Whatever is taken in can be described, and comes back from the description."""
    made = package("x", "0" * 64, _NOW, [describe_run(run)], [])
    text = b"".join(dump(made))
    json.loads(text, parse_constant=_refuse)
    found = read_run(load(text, "x")["flowtime"]["runs"][0], "x").run
    if run.is_bundle:  # whose hashes are of files that no run directory has
        run = replace(run, series=SeriesTable(run.series.shape))
    odd = differences(run, found)
    assert not [key for key in odd if key != "extra"], odd


def _refuse(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


def _seeds(key: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        with TemporaryDirectory() as folder:
            for name, build in DIALECTS.items():
                path = write_run(Path(folder), build(name)) / _FILES[key]
                if path.exists():
                    yield path.read_bytes()
        yield getattr(_whole(), key)

    return seeds


def _read_bundle(data: bytes, _: Path) -> None:
    whole = _whole()
    run = parse_bundle(
        replace(whole, run_json=b"", index_json=b"", spec_yaml=None, manifest_json=data)
    )
    _check_described(run)


def _bundle_seeds() -> Iterator[bytes]:
    with TemporaryDirectory() as folder:
        write_bundles(Path(folder))
        yield from (path.read_bytes() for path in Path(folder).glob("*/manifest.json"))


def _read_series(data: bytes, folder: Path) -> None:
    """A whole file, a file in blocks and the exact parse say the same."""
    storage, path = connect(str(folder / "series.csv"))
    Path(path).write_bytes(data)
    for bundle_class in (None, "DEFAULT"):
        source = SeriesFile(
            row=0,
            run_path=str(folder),
            file="series.csv",
            run_url="/runs/run_a",
            series_id="x@A@DEFAULT",
            points=min(max(data.count(b"\n") - 1, 1), _MOST_POINTS),
            size=len(data),
            sha256=None,
            bundle_class=bundle_class,
        )
        whole, blocks = (
            _values(storage, source, ScanOptions(workers=1, batch_bytes=size))
            for size in (2_000_000, _SMALL_BATCH)
        )
        assert isinstance(whole, str) == isinstance(blocks, str), (whole, blocks)
        if not isinstance(whole, str):
            assert whole == blocks
            if bundle_class is None:
                strict = parse_strictly(data[header_length(data, source) :], source)
                assert whole == [struct.pack("<d", one) for one in strict]
    if isinstance(whole, str):
        raise RunError(whole)


def _values(storage: Any, source: SeriesFile, options: ScanOptions) -> list[bytes] | str:
    try:
        frame = scan(storage, [source], options).collect()
    except RunError as error:
        return str(error)
    assert frame["bin_index"].to_list() == list(range(source.points))
    return [struct.pack("<d", one) for one in frame["value"]]


def _series_seeds() -> Iterator[bytes]:
    for name, build in DIALECTS.items():
        made = build(name)
        for values in list(made.series.values())[:2]:
            yield series_bytes(made, values)
    yield b"bin_index,classId,value\n0,DEFAULT,1\n1,DEFAULT,\n"
    yield b"bin_index,value\n" + b"".join(b"%d,%d.5\n" % (n, n) for n in range(300))


_KEYS = (
    b"schemaVersion", b"runId", b"engineVersion", b"source", b"grid", b"bins", b"binMinutes",
    b"binSize", b"binUnit", b"minutes", b"createdUtc", b"warnings", b"series", b"seriesHashes",
    b"sha256:", b"rng", b"seed", b"path", b"points", b"hash", b"componentId", b"class", b"unit",
    b"classKind", b"startTimeUtc", b"window", b"files", b"nodeId", b"metric", b"title",
    b"provenance", b"templateId", b"null", b"true", b"1e999", b"NaN", b"\\ud800", b"\\u0000",
    b"9223372036854775808", b"../", b"gold/", b"series/",
)  # fmt: skip
_CELLS = (
    b"bin_index,value\n", b"t,value\n", b"bin_index,classId,value\n", b"\xef\xbb\xbf", b"NaN",
    b"Infinity", b"-Infinity", b"inf", b"-inf", b"nan", b"1e308", b"1e999", b"5e-324", b"0x1p3",
    b"1_0", b"\r\n", b"\n", b"\x00", b'"', b",,", b" ", b"\t", b"+1", b".5", b"5.", b"-0",
    b"DEFAULT", b"1d5", b"1,5", b"\xd9\xa1", b"# ", b"\r",
)  # fmt: skip

RUN_TARGETS = (
    *(
        Target(key, "text" if key == "spec_yaml" else "json", _reader(key), _seeds(key), _KEYS)
        for key in _FILES
    ),
    Target("bundle", "json", _read_bundle, _bundle_seeds, _KEYS),
    Target("series", "lines", _read_series, _series_seeds, _CELLS),
)
