"""Targets among the files of an export."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import FlowtimeExportError
from pipeline.exports.run import export
from pipeline.imports import ImportOptions, import_export
from pipeline.verification import VerifyReport, verify
from tests.exporting import config, spec, write_runs
from tests.fuzz.target import Target

_FOOTER = b"flowtime."
_CONSTANT = "2025-01-01T00:00:00Z"


@lru_cache(maxsize=2)
def _exported(layout: str = "long") -> dict[str, bytes]:
    """Every file of a small export, by its name."""
    with TemporaryDirectory() as folder:
        runs = write_runs(Path(folder) / "runs", spec("run_a"), spec("run_b", title='B, "two"'))
        out = Path(folder) / "out"
        made = {"layout": layout} if layout == "wide" else {}
        sinks = [{"path": out / f"e.{form}", **made} for form in ("csv", "ndjson", "parquet")]
        metadata = {"columns": ["run_id", "unit", "created_at", "seed", "bin_index"]}
        export(config(runs, *sinks, metadata=metadata, source={"time_origin": _CONSTANT}))
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def _open(path: Path, folder: Path) -> None:
    """Verify an export and import it, without writing anything."""
    refused: FlowtimeExportError | None = None
    whole: set[bool] = set()
    try:
        whole = set(_whole_tables(verify(str(path))).values())
    except FlowtimeExportError as error:
        refused = error
    try:
        import_export([str(path)], str(folder / "back"), ImportOptions(dry_run=True))
    except FlowtimeExportError as error:
        raise refused or error from None
    assert not (folder / "back").exists()
    if refused is not None:
        raise refused
    # Runs come back from one of the formats: the others need not be as promised.
    assert True in whole


def _whole_tables(report: VerifyReport) -> dict[str, bool]:
    """Whether all files of a format are as they should be."""
    whole = dict.fromkeys((file.format for file in report.files), True)
    for file in report.files:
        whole[file.format] &= not file.problems
    return whole


def _alone(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        _open(folder / name, folder)

    return read


def _described(name: str) -> Callable[[bytes, Path], None]:
    """A data file whose descriptor vouches for its bytes."""

    def read(data: bytes, folder: Path) -> None:
        found = json.loads(_exported()["e.datapackage.json"])
        (one,) = [item for item in found["resources"] if item["path"] == name]
        one.update(bytes=len(data), hash=f"sha256:{hashlib.sha256(data).hexdigest()}")
        found["resources"] = [one]
        (folder / name).write_bytes(data)
        (folder / "e.datapackage.json").write_text(json.dumps(found))
        _open(folder / "e.datapackage.json", folder)

    return read


def _read_descriptor(data: bytes, folder: Path) -> None:
    for name, content in _exported().items():
        if not (folder / name).exists():
            (folder / name).write_bytes(content)
    (folder / "e.datapackage.json").write_bytes(data)
    _open(folder / "e.datapackage.json", folder)


def _read_old_descriptor(data: bytes, folder: Path) -> None:
    """An export over a descriptor that somebody forged."""
    runs = folder / "runs"
    if not runs.exists():
        write_runs(runs, spec("run_a", "served@A@DEFAULT"))
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    (out / "e.datapackage.json").write_bytes(data)
    before = set(os.listdir(folder))
    try:
        export(config(runs, {"path": out / "e.csv"}))
    finally:
        assert set(os.listdir(folder)) == before
    assert verify(str(out / "e.csv")).ok


def _of(name: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        yield _exported()[name]
        yield _exported("wide")[name]

    return seeds


def _read_footer(data: bytes, folder: Path) -> None:
    """The key-value pairs of a Parquet file, given as one JSON object."""
    try:
        pairs = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(pairs, dict):
        return
    table = pq.read_table(BytesIO(_exported()["e.parquet"]))
    raw = {_utf8(key): _utf8(json.dumps(value)) for key, value in pairs.items()}
    pq.write_table(table.replace_schema_metadata(raw), folder / "e.parquet")
    _open(folder / "e.parquet", folder)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _footer_seeds() -> Iterator[bytes]:
    for layout in ("long", "wide"):
        found = pq.read_metadata(pa.BufferReader(_exported(layout)["e.parquet"])).metadata
        pairs: dict[str, Any] = {
            key.decode(): json.loads(value)
            for key, value in found.items()
            if key.startswith(_FOOTER)
        }
        yield json.dumps(pairs).encode()


_WORDS = (
    b"flowtime", b"target", b"resources", b"partition", b"runs", b"series", b"rows", b"columns",
    b"contents", b"described_runs", b"first_row", b"rowCount", b"bytes", b"hash", b"sha256:",
    b"schema", b"fields", b"timeOrigin", b"binMinutes", b"bins", b"layout", b"options", b"extra",
    b"nonFiniteCount", b"compression", b"gz", b"zst", b"dialect", b"commentChar", b"# ", b"null",
    b"\\ud800", b"1e999", b"NaN", b"\r\n", b'"', b",", b"true", b"../", b"-1", b"9" * 20,
)  # fmt: skip

EXPORT_TARGETS = (
    Target("descriptor", "json", _read_descriptor, _of("e.datapackage.json"), _WORDS),
    Target("old_descriptor", "json", _read_old_descriptor, _of("e.datapackage.json"), _WORDS),
    Target("csv_alone", "lines", _alone("e.csv"), _of("e.csv"), _WORDS),
    Target("csv_rows", "lines", _described("e.csv"), _of("e.csv"), _WORDS),
    Target("ndjson_rows", "lines", _described("e.ndjson"), _of("e.ndjson"), _WORDS),
    Target("parquet_alone", "bytes", _alone("e.parquet"), _of("e.parquet"), _WORDS),
    Target("parquet_footer", "json", _read_footer, _footer_seeds, _WORDS),
)
