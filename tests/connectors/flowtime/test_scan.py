"""Series files as a lazy frame: what is read, what is not, and what the values are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.errors import IntegrityError, RunError, StorageError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.scan import scanner as scanning
from connectors.flowtime.scan.scanner import SCHEMA, ScanOptions, conjuncts, scan
from connectors.flowtime.scan.series_file import SeriesFile, header_length, parse_strictly
from connectors.flowtime.scan.series_files import series_files
from connectors.storage.disk.local import LocalStorage
from tests.examples import in_parts
from tests.read_outputs import bits, read_series
from tests.run_builder import AWKWARD, DIALECTS, RunSpec, float_text, series_ids, write_run


class Watched(LocalStorage):
    """The disk, with a record of what was read of it."""

    def __init__(self) -> None:
        self.read_paths: list[str] = []

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        self.read_paths += [path.rpartition("/")[2] for path in paths]
        return super().read_many(paths)

    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        for block in super().blocks(path, block_bytes):
            self.read_paths.append(path.rpartition("/")[2])
            yield block


def files_of(folder: Path) -> list[SeriesFile]:
    return series_files(discover(LocalStorage(), str(folder)).runs)


def run_of(tmp_path: Path, count: int = 12, bins: int = 50, **changes: object) -> list[SeriesFile]:
    values = {
        name: [float(row * 1000 + bin_index) for bin_index in range(bins)]
        for row, name in enumerate(series_ids(count))
    }
    write_run(tmp_path, RunSpec("run_a", values, **changes))  # type: ignore[arg-type]
    return files_of(tmp_path)


def values_of(frame: pl.DataFrame) -> list[bytes]:
    return [bits(value) for value in frame["value"]]


# --- pushdown -------------------------------------------------------------------------------

SMALL = ScanOptions(batch_bytes=2000, workers=2, batch_rows=16)


@pytest.mark.parametrize(
    ("predicate", "rows"),
    [
        (pl.col("series_row") == 7, [7]),
        (pl.col("series_row").is_in([2, 11]), [2, 11]),
        ((pl.col("series_row") > 3) & (pl.col("series_row") < 6), [4, 5]),
        ((pl.col("series_row") == 5) | (pl.col("series_row") == 6), [5, 6]),
        ((pl.col("series_row") >= 10) & (pl.col("value") > 11_010), [10, 11]),
        ((pl.col("bin_index") < 3) & (pl.col("series_row") == 1), [1]),
        (pl.col("series_row") > 100, []),
    ],
)
@pytest.mark.parametrize("options", [ScanOptions(), SMALL], ids=["default", "small"])
def test_a_filter_on_series_keeps_other_files_closed(
    tmp_path: Path, predicate: pl.Expr, rows: list[int], options: ScanOptions
) -> None:
    files, store = run_of(tmp_path), Watched()
    found = scan(store, files, options).filter(predicate).collect(engine="streaming")
    assert store.read_paths == [Path(files[row].path).name for row in rows]
    everything = scan(LocalStorage(), files).collect()
    assert found.equals(everything.filter(predicate))


@pytest.mark.parametrize(
    "predicate",
    [
        (pl.col("series_row") == 5) | (pl.col("value") > 3),
        pl.col("series_row") + pl.col("bin_index") == 5,
        ~((pl.col("series_row") == 5) & (pl.col("bin_index") == 1)),
        pl.col("value") > 100,
    ],
)
def test_other_filters_are_answered_by_rows(tmp_path: Path, predicate: pl.Expr) -> None:
    files, store = run_of(tmp_path), Watched()
    found = scan(store, files, SMALL).filter(predicate).collect()
    assert sorted(store.read_paths) == sorted(Path(file.path).name for file in files)
    assert found.equals(scan(LocalStorage(), files).collect().filter(predicate))
    assert found.height > 0


def test_conjuncts() -> None:
    a, b, c = (pl.col(name) > 0 for name in "abc")
    assert [p.meta.root_names() for p in conjuncts(a & b & c)] == [["a"], ["b"], ["c"]]
    assert [p.meta.root_names() for p in conjuncts(a & (b | c))] == [["a"], ["b", "c"]]
    assert [p.meta.root_names() for p in conjuncts(a | b)] == [["a", "b"]]
    assert len(list(conjuncts(a ^ b))) == 1


def test_head_stops_reading(tmp_path: Path) -> None:
    files, store = run_of(tmp_path, count=60), Watched()
    options = ScanOptions(batch_bytes=400, workers=1)
    found = scan(store, files, options).head(70).collect()
    assert found.equals(scan(LocalStorage(), files).collect().head(70))
    assert len(store.read_paths) < 12


@pytest.mark.parametrize("ahead", [1, 4])
def test_no_more_is_read_ahead_than_is_asked_for(tmp_path: Path, ahead: int) -> None:
    files, store = run_of(tmp_path, count=60), Watched()
    one_by_one = ScanOptions(batch_bytes=max(file.size or 0 for file in files), read_ahead=ahead)
    scan(store, files, one_by_one).head(1).collect()
    # What was asked for, and what its delivery lets in.
    assert 1 <= len(store.read_paths) <= ahead + 2


def test_a_column_alone(tmp_path: Path) -> None:
    files = run_of(tmp_path)
    everything = scan(LocalStorage(), files).collect()
    assert dict(everything.schema) == SCHEMA
    for names in (["value"], ["bin_index", "series_row"]):
        found = scan(LocalStorage(), files, SMALL).select(names).collect()
        assert found.equals(everything.select(names))
    assert scan(LocalStorage(), files).select(pl.len()).collect().item() == 600


def test_progress_counts_every_file_row_and_byte(tmp_path: Path) -> None:
    files = run_of(tmp_path)
    for options in (ScanOptions(), SMALL, ScanOptions(batch_bytes=40)):
        reported: list[tuple[int, int, int]] = []
        scan(
            LocalStorage(),
            files,
            options,
            progress=lambda *seen, reported=reported: reported.append(seen),
        ).collect()
        counts = [sum(column) for column in zip(*reported, strict=True)]
        assert counts[:2] == [12, 600]
        assert 0 < counts[2] <= sum(Path(file.path).stat().st_size for file in files)


def test_no_files() -> None:
    assert scan(LocalStorage(), []).collect().equals(pl.DataFrame(schema=SCHEMA))


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("room", [0, 1, 13, 64, 2_000_000])
def test_blocks_of_any_size_read_the_same(tmp_path: Path, dialect: str, room: int) -> None:
    run = write_run(tmp_path, DIALECTS[dialect]("run_a"))
    files = files_of(tmp_path)
    lines = [line for f in files for line in Path(f.path).read_bytes().split(b"\n")]
    options = ScanOptions(batch_bytes=max(map(len, lines)) + 1 + room, batch_rows=7)
    found = scan(LocalStorage(), files, options).collect()
    read = [pair for file in files for pair in read_series(run / file.file)]
    assert found["bin_index"].to_list() == [bin_index for bin_index, _ in read]
    assert values_of(found) == [bits(value) for _, value in read]
    sizes = [file.points for file in files]
    assert found["series_row"].to_list() == np.repeat(range(len(files)), sizes).tolist()


HEADS = [b"t,value\n", b"bin_index,value\n", b"\xef\xbb\xbft,value\r\n", b"bin_index,value\r\n"]


@pytest.mark.parametrize("head", HEADS)
def test_headers(head: bytes) -> None:
    assert header_length(head + b"0,1\n", file_of(1)) == len(head)


@pytest.mark.parametrize("head", [b"value\n", b"T,Value\n", b"0,1\n", b"t;value\n", b"t,value"])
def test_other_headers(head: bytes) -> None:
    with pytest.raises(IntegrityError, match="line 1: the header is"):
        header_length(head, file_of(1))


def file_of(points: int, path: str = "/nowhere/a.csv", size: int | None = None) -> SeriesFile:
    folder, _, name = path.rpartition("/")
    return SeriesFile(0, folder, name, "/run", "a", points, size, None)


def spelled(body: str) -> Callable[[Path, int], pl.DataFrame]:
    def read(folder: Path, batch_bytes: int) -> pl.DataFrame:
        data = ("t,value\n" + body).encode()
        path = folder / "a.csv"
        path.write_bytes(data)
        file = file_of(body.count("\n"), str(path), len(data))
        return scan(LocalStorage(), [file], ScanOptions(batch_bytes=batch_bytes)).collect()

    return read


numbers = st.one_of(
    st.builds(float_text, st.floats(width=64, allow_nan=True), st.sampled_from(["dotnet", "rust"])),
    st.builds(repr, st.floats(allow_nan=False, allow_infinity=False)),
    st.decimals(allow_nan=False, allow_infinity=False, places=20).map(str),
    st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(r"\A[+-]?\.[0-9]{1,20}\Z"),
)
ODD = """
 1|1 |nan|NAN|-NaN|+inf|INF|infinity|Inf|1e999|-1e999|0x10|1_000|1,2|"1"|1d5|1f|e5|.|-|+|--1
1e|1e+|\t1|true|null|1\0|\u0661|1.|.5|-.5|+.5e1|00012|NaN |#1|1'0|-+1|1e5.0|1.2.3|;1|Infinity1
"""
anything = st.one_of(
    numbers,
    st.sampled_from(["", *re.split(r"[|\n]", ODD.strip("\n"))]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=6),
)


@in_parts(400)
@given(texts=st.lists(numbers, min_size=1, max_size=8))
@example(texts=["NaN", "Infinity", "-Infinity", "inf", "-inf", "-0", "5e-324", "2.5e-324"])
@example(texts=["1.7976931348623157e308", "0.1000000000000000055511151231257827021181583404541015"])
def test_every_number_is_the_nearest_double(texts: list[str]) -> None:
    _agree(texts)


@in_parts(600)
@given(texts=st.lists(anything, min_size=1, max_size=4))
@example(texts=["1e999"])
@example(texts=["infinity"])
@example(texts=["inf", "1e999"])
@example(texts=["NaN", ""])
@example(texts=["NaN", "nan"])
@example(texts=["1", "Infinity", "-inf ", "x,inf"])
def test_bulk_and_exact_parse_agree(texts: list[str]) -> None:
    _agree(texts)


def parsed(body: str, points: int) -> tuple[list[float], str | None]:
    try:
        return parse_strictly(body.encode(), file_of(points)), None
    except IntegrityError as error:
        return [], str(error)


def _agree(drawn: list[str]) -> None:
    """The scan, in one go and in blocks, says what the exact parse says."""
    with TemporaryDirectory() as folder:
        _agree_in(Path(folder), drawn)


def _agree_in(folder: Path, drawn: list[str]) -> None:
    texts = ["1"] * 10 + drawn
    body = "".join(f"{place},{text}\n" for place, text in enumerate(texts))
    blocks = max(20, *(len(text.encode()) + 4 for text in texts))
    expected, complaint = parsed(body, len(texts))
    if complaint is not None:
        with pytest.raises(RunError, match=f"^{re.escape(complaint)}$"):
            spelled(body)(folder, 2_000_000)
        with pytest.raises(RunError):
            spelled(body)(folder, blocks)
        return
    assert [bits(float(text)) for text in texts] == list(map(bits, expected))
    for batch_bytes in (2_000_000, blocks):
        assert values_of(spelled(body)(folder, batch_bytes)) == list(map(bits, expected))


def test_plain_files_take_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, RunSpec("run_a", {"a@A@DEFAULT": AWKWARD}, floats="dotnet", bom=True))
    write_run(tmp_path, RunSpec("run_b", {"a@A@DEFAULT": AWKWARD}, newline="\r\n"))

    def refuse(*_: object, **__: object) -> list[float]:
        raise AssertionError("the slow parse was called")

    monkeypatch.setattr(scanning, "parse_strictly", refuse)
    found = scan(LocalStorage(), files_of(tmp_path)).collect()
    assert values_of(found) == [bits(value) for value in (*AWKWARD, *AWKWARD)]


# --- faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_bytes", [32, 100, 2_000_000])
@pytest.mark.parametrize("line", [2, 3, 47, 51])
def test_the_line_of_a_fault(tmp_path: Path, batch_bytes: int, line: int) -> None:
    file = run_of(tmp_path, count=1, hashes="none", index_hashes=False)[0]
    path = Path(file.path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b",", b",x")
    path.write_bytes(b"".join(lines))
    with pytest.raises(IntegrityError, match=f"line {line}: value 'x.*' is not a number"):
        scan(LocalStorage(), files_of(tmp_path), ScanOptions(batch_bytes=batch_bytes)).collect()


@pytest.mark.parametrize("batch_bytes", [32, 2_000_000])
def test_the_hash(tmp_path: Path, batch_bytes: int) -> None:
    file = run_of(tmp_path, count=1)[0]
    path = Path(file.path)
    path.write_bytes(path.read_bytes().replace(b",49\n", b",48\n"))
    options = ScanOptions(batch_bytes=batch_bytes)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError, match=f"sha256 is {digest}; the manifest says"):
        scan(LocalStorage(), [file], options).collect()
    lenient = ScanOptions(batch_bytes=batch_bytes, verify=False)
    assert scan(LocalStorage(), [file], lenient).collect().height == 50


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    files = run_of(tmp_path)
    Path(files[4].path).unlink()
    with pytest.raises(RunError, match=f"series {files[4].series_id}.*could not be read"):
        scan(LocalStorage(), files).collect()
