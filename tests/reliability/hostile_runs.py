"""Run directories damaged in every way that came to mind, each with its message."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import zstandard

from tests.exports.test_faults import FILE, ID, Harm, entry, index, replaced, rewritten

INDEX = "series/index.json"


@dataclass(frozen=True)
class Case:
    """One damage.

    Attributes:
        harm: Does it to the run directory.
        says: The message, the whole of it, after `run <URL>: `.
        left_out: Whether the run is left out by name instead, and the export goes on without it.
    """

    harm: Harm
    says: str
    left_out: bool = False


def of_file(file: str, says: str) -> str:
    """A message about a file of the run."""
    return f"file {file}: {says}"


def of_series(says: str, file: str = INDEX, series: str = ID) -> str:
    """A message about a series."""
    return f"series {series}, file {file}: {says}"


def manifest(**changes: Any) -> Harm:
    return changed_json("manifest.json", changes)


def run_json(**changes: Any) -> Harm:
    return changed_json("run.json", changes)


def changed_json(file: str, changes: dict[str, Any]) -> Harm:
    def harm(run: Path) -> None:
        path = run / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return harm


def grid(**changes: Any) -> Harm:
    return index(lambda found: found["grid"].update(changes))


def raw(file: str, data: bytes) -> Harm:
    return lambda run: (run / file).write_bytes(data)


def again(file: str, old: bytes, new: bytes) -> Harm:
    """Other text in a JSON file, which no JSON library would write."""

    def harm(run: Path) -> None:
        data = (run / file).read_bytes()
        assert old in data
        (run / file).write_bytes(data.replace(old, new, 1))

    return harm


def instead(file: str, make: Callable[[Path], object]) -> Harm:
    def harm(run: Path) -> None:
        (run / file).unlink()
        make(run / file)

    return harm


def linked(to: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(to)


def zipped(data: bytes) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("x.csv", data)
    return made.getvalue()


def clipped(text: str) -> str:
    """How a message shows an untrusted text."""
    shown = ascii(text[:81])
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _paths() -> dict[str, Case]:
    outside = [
        "", "../secret.csv", "../../outside/secret.csv", "series/../../../outside/secret.csv",
        "/etc/passwd", "//etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin",
        "file:///etc/passwd", "http://127.0.0.1/x.csv", "https://example.org/x",
        "s3://lake/x.csv", "memory://x.csv", "series/a\x00.csv", "\x00", "series/a\n.csv",
        "series/a\r.csv", "series\\..\\..\\x.csv", "C:\\x.csv", "\\\\server\\share\\x.csv",
        "series/./x.csv", "series//x.csv", "./x.csv", ".", "..", " ", "series/", "series/*.csv",
        "series/[a].csv", "series/?.csv", "~/x.csv", "$HOME/x.csv", "%2e%2e/x.csv",
        "series/%2e%2e/x.csv", "..%2fx.csv", "\uff0e\uff0e/x.csv", "series/\u202ex.csv",
        "series/x.csv?versionId=1", "series/x.csv#a", "a" * 5000, "a/" * 600 + "x.csv",
        "series/é.csv", "series/\U0001f600.csv", "series/x .csv", "series/x:y.csv", "-/../../x",
    ]  # fmt: skip
    hint = "should stay in the run directory and consist of A-Z a-z 0-9 . _ - @ and /"
    cases = {
        f"path {path[:40]!r}": Case(
            entry(path=path), of_series(f"path: found {clipped(path)}, {hint}")
        )
        for path in outside
    }
    absent = (
        "the file is missing (or a link, which is not followed), though the index names it: "
        "restore it, or evaluate the model again"
    )
    for path in (
        "run.json", "manifest.json", "spec.yaml", "series/index.json", "Series/x.csv",
        "series/SERVED@A@DEFAULT.csv", "CON", "series/nul.csv", "series/.hidden.csv", "-rf", "...",
    ):  # fmt: skip
        file = path if path.startswith("series/") else f"series/{path}"
        cases[f"path {path!r}"] = Case(entry(path=path), of_series(absent, file))
    for folder in ("gold", "aggregates"):
        path = f"{folder}/export.csv"
        says = f"path: found '{path}', but {folder}/ holds exports, not series"
        cases[f"path {path!r}"] = Case(entry(path=path), of_series(says))
    cases["path of another series"] = Case(
        entry(path="series/arrivals@A@DEFAULT.csv"),
        of_series(
            "path: series/arrivals@A@DEFAULT.csv belongs to series arrivals@A@DEFAULT already"
        ),
    )
    return cases


def _ids() -> dict[str, Case]:
    odd = [
        "", " ", "../x", "a/b", "a\\b", "a\x00b", "a\nb", "a\rb", "a\tb", "a,b", "a;b", 'a"b',
        "a'b", "a b", "=cmd()", "<script>", "a\u202eb", "é@A@DEFAULT", "\U0001f600@A", "a\u0301@A",
        "x" * 10_000, "served@A@DEFAULT\n# forged: line", "%00", "*", "?", "^.*$", "a\x1b[2Jb",
        "a\x7fb", "\u2028", "\ufeffserved@A@DEFAULT",
    ]  # fmt: skip
    cases = {
        f"id {name[:40]!r}": Case(
            entry(id=name),
            of_series(
                f"id: found {clipped(name)}, should be 1 to 512 of A-Z a-z 0-9 . _ - @",
                series=clipped(name),
            ),
        )
        for name in odd
    }
    for name in ("@", "@@", "@A@DEFAULT"):
        says = of_series("id: names no measure before its first @", series=name)
        cases[f"id {name!r}"] = Case(entry(id=name), says)
    for name in ("a@b@c@d", "CON@A@DEFAULT", "-rf@A@DEFAULT", ".hidden@A@DEFAULT", "served@a"):
        cases[f"id {name!r} that the manifest does not know"] = Case(
            entry(id=name),
            of_file(
                "manifest.json",
                f"seriesHashes: names series that {INDEX} does not list: {ID}, and lacks series "
                f"that {INDEX} lists: {name}; one of the files is of another run",
            ),
        )
    for key in ("componentId", "class"):
        says = f"{key}: found 'a\\nb', should be 1 to 512 of A-Z a-z 0-9 . _ - @"
        cases[f"{key} with a line"] = Case(entry(**{key: "a\nb"}), of_series(says))
    for key in ("kind", "unit", "classKind"):
        says = f"{key}: found 'a\\x00b', should be at most 512 printable characters"
        cases[f"{key} with a control character"] = Case(entry(**{key: "a\x00b"}), of_series(says))
        says = f"{key}: found {clipped('x' * 600)}, should be at most 512 printable characters"
        cases[f"{key} of 600"] = Case(entry(**{key: "x" * 600}), of_series(says))
    cases["listed twice"] = Case(
        index(lambda found: found["series"].append(found["series"][1])),
        of_series("is listed twice"),
    )
    cases["not listed"] = Case(
        index(lambda found: found["series"].pop(1)),
        of_file(
            "manifest.json",
            f"seriesHashes: names series that {INDEX} does not list: {ID}; "
            "one of the files is of another run",
        ),
    )
    return cases


def _numbers() -> dict[str, Case]:
    cases = {}
    for number in (10**12, -1, 0, 2**63, 2**64, 5):
        says = f"points: found {number}, should be the grid's 4 bins"
        cases[f"points {number}"] = Case(entry(points=number), of_series(says))
    for number, shown in (
        (1e300, "1e+300"), ("4", "'4'"), ("4x", "'4x'"), ([], "[]"), (True, "true"), (4.5, "4.5"),
        (float("nan"), "nan"), ({}, "{}"),
    ):  # fmt: skip
        says = of_file(INDEX, f"series[1].points: found {shown}, should be a whole number")
        cases[f"points {shown}"] = Case(entry(points=number), says)
    for key, most in (("bins", 100_000_000), ("binSize", 5_270_400_000)):
        for number in (0, -1):
            says = of_file(INDEX, f"grid.{key}: found {number}, should be at least 1")
            cases[f"{key} {number}"] = Case(grid(**{key: number}), says)
        for number in (10**12, 2**63, 10**30):
            says = of_file(INDEX, f"grid.{key}: found {number}, should be at most {most}")
            cases[f"{key} {number}"] = Case(grid(**{key: number}), says)
        for value, shown in (("x", "'x'"), ([], "[]"), (1.5, "1.5"), (True, "true"), ({}, "{}")):
            says = of_file(INDEX, f"grid.{key}: found {shown}, should be a whole number")
            cases[f"{key} {shown}"] = Case(grid(**{key: value}), says)
    cases["bins null"] = Case(
        grid(bins=None), of_file(INDEX, "grid.bins: found null, should be a whole number")
    )
    cases["bins 10^9"] = Case(
        grid(bins=10**9),
        of_file(INDEX, "grid.bins: found 1000000000, should be at most 100000000"),
    )
    cases["unit of moons"] = Case(
        grid(binUnit="moons"),
        of_file(INDEX, "grid.binUnit: found 'moons', should be minutes, hours, days or weeks"),
    )
    cases["two widths"] = Case(
        grid(binMinutes=7),
        of_file(INDEX, "grid: binMinutes is 7, but binSize and binUnit make 60"),
    )
    cases["another grid in run.json"] = Case(
        run_json(grid={"bins": 5, "binSize": 60, "binUnit": "minutes"}),
        of_file(
            "run.json",
            f"grid: found 5 bins of 60 minutes, but {INDEX} says 4 of 60; both must agree",
        ),
    )
    cases["a grid beyond the calendar"] = Case(
        changed_grid(4, 10_000 * 365 * 24 * 60),
        of_file(
            INDEX,
            "grid: 4 bins of 5256000000 minutes from 2025-01-01T00:00:00+00:00 end after the "
            "year 9999",
        ),
    )
    return cases


def changed_grid(bins: int, minutes: int) -> Harm:
    made = {"bins": bins, "binSize": minutes, "binUnit": "minutes"}

    def harm(run: Path) -> None:
        run_json(grid=made)(run)
        index(lambda found: found.update(grid=made))(run)

    return harm


def _json_files() -> dict[str, Case]:
    cases = {}
    not_whole = "the run was not written whole, evaluate the model again"
    for file in (INDEX, "run.json", "manifest.json"):
        for name, data, line, says in (
            ("deep", b'{"a":' * 100_000, 1, "is nested more deeply than any run is"),
            ("deep list", b"[" * 200_000, 1, "is nested more deeply than any run is"),
            ("empty", b"", None, f"is empty: {not_whole}"),
            ("blank", b" \n\n", None, f"is empty: {not_whole}"),
            ("binary", bytes(range(256)), 1, "is not JSON: expected value at column 1"),
            ("list", b"[]", None, "the file: found [], should be a JSON object"),
            ("text", b'"x"', None, "the file: found 'x', should be a JSON object"),
            ("number", b"1", None, "the file: found 1, should be a JSON object"),
            ("null", b"null", None, "the file: found null, should be a JSON object"),
            ("digits", b"1" * 100_000, 1, "is not JSON: number out of range at column 4302"),
            ("utf-16", '{"a": 1}'.encode("utf-16"), None, "is UTF-16, should be UTF-8"),
            ("gzip", gzip.compress(b"{}"), None, "is gzip compressed, should be plain JSON"),
            ("zstd", zstandard.compress(b"{}"), None, "is zstd compressed, should be plain JSON"),
            ("cut", b'{"schemaVersion": 1,\n"series": [', 2,
             f"is cut off at column 11: {not_whole}"),
            ("two", b"{}{}", 1, "is not JSON: trailing characters at column 3"),
            ("not UTF-8", b'{"a": "\xff"}', 1,
             "is not JSON: invalid unicode code point at column 8"),
            ("half a character", b'{"a": "\\ud800"}', 1,
             "is not JSON: unexpected end of hex escape at column 14"),
            ("a key twice", b'{"x": 1, "x": 2, "series": []}', None,
             "the key 'x' is there twice: readers differ in which one they take"),
            ("single quotes", b"{'a': 1}", 1, "is not JSON: key must be a string at column 2"),
            ("a comma too many", b'{"a": 1,}', 1, "is not JSON: trailing comma at column 9"),
            ("a comment", b"// x\n{}", 1, "is not JSON: expected value at column 1"),
            ("many values", b'{"x": [' + b"1," * 4_000_001 + b"1]}", None,
             "holds more than 4000000 values"),
        ):  # fmt: skip
            where = file if line is None else f"{file} line {line}"
            cases[f"{name} {file}"] = Case(raw(file, data), of_file(where, says))
    cases["huge index"] = Case(
        lambda run: os.truncate(run / INDEX, 64 * 1024 * 1024 + 1),
        f"{INDEX} has 67108865 bytes, at most 67108864 are read",
    )
    for file in (INDEX, "run.json"):
        says = f"{file} is missing: restore it or evaluate the model again"
        for kind, make in {
            "pipe": os.mkfifo,
            "link out": linked("/etc/hostname"),
            "dangling link": linked("/nowhere"),
            "link to zero": linked("/dev/zero"),
            "link to itself": linked(Path(file).name),
        }.items():
            hint = f"{says}; {file} is a link or no file"
            cases[f"{kind} {file}"] = Case(instead(file, make), hint)
        cases[f"folder {file}"] = Case(instead(file, Path.mkdir), says)
        cases[f"no {file}"] = Case(instead(file, lambda _: None), says)
    unfinished = (
        "manifest.json is missing: the run is still being written, or its writer was killed"
    )
    cases["no manifest.json"] = Case(instead("manifest.json", lambda _: None), unfinished, True)
    cases["folder manifest.json"] = Case(instead("manifest.json", Path.mkdir), unfinished, True)
    for kind, make in (("pipe", os.mkfifo), ("link out", linked("/etc/hostname"))):
        says = "manifest.json is a link or no file, which is not read"
        cases[f"{kind} manifest.json"] = Case(instead("manifest.json", make), says, True)
    return cases


def _types() -> dict[str, Case]:
    """Every field of a wrong type."""
    cases = {}
    texts = ("runId", "engineVersion", "source", "scenarioHash", "modelHash", "createdUtc", "mode",
             "templateId", "templateTitle")  # fmt: skip
    for key in texts:
        for value, shown in (([], "[]"), ({}, "{}"), (True, "true")):
            says = of_file("run.json", f"{key}: found {shown}, should be text")
            cases[f"run.json {key} {shown}"] = Case(run_json(**{key: value}), says)
    for key in ("scenarioHash", "modelHash", "createdUtc"):
        says = of_file("manifest.json", f"{key}: found [], should be text")
        cases[f"manifest.json {key} []"] = Case(manifest(**{key: []}), says)
    for file, change in (("run.json", run_json), ("manifest.json", manifest)):
        says = of_file(file, "schemaVersion: found '1', should be a whole number")
        cases[f"{file} schemaVersion '1'"] = Case(change(schemaVersion="1"), says)
    for key in ("id", "kind", "path", "unit", "componentId", "class", "classKind", "hash"):
        for value, shown in (([], "[]"), ({"a": 1}, "{'a': 1}"), (False, "false")):
            says = of_file(INDEX, f"series[1].{key}: found {shown}, should be text")
            cases[f"index {key} {shown}"] = Case(entry(**{key: value}), says)
    cases["index id null"] = Case(
        entry(id=None), of_file(INDEX, "series[1].id: found null, should be text")
    )
    for value, shown in (({}, "{}"), ("x", "'x'"), (None, "null"), (1, "1")):
        says = of_file(INDEX, f"series: found {shown}, should be a list")
        change = index(lambda found, value=value: found.update(series=value))  # type: ignore[misc]
        cases[f"series {shown}"] = Case(change, says)
    for value, shown in (([], "[]"), ("x", "'x'"), (1, "1")):
        says = of_file(INDEX, f"grid: found {shown}, should be a JSON object")
        change = index(lambda found, value=value: found.update(grid=value))  # type: ignore[misc]
        cases[f"grid {shown}"] = Case(change, says)
    cases["an entry that is text"] = Case(
        index(lambda found: found["series"].insert(1, "x")),
        of_file(INDEX, "series[1]: found 'x', should be a JSON object"),
    )
    cases["an entry without an id"] = Case(
        index(lambda found: found["series"][1].pop("id")),
        of_file(INDEX, "series[1].id: is missing"),
    )
    cases["an entry with a key twice"] = Case(
        again(INDEX, b'"id": "served@A@DEFAULT"', b'"id": "served@A@DEFAULT", "unit": "x"'),
        of_file(
            INDEX,
            "the key 'unit' is there twice beside id 'served@A@DEFAULT': readers differ in which "
            "one they take",
        ),
    )
    cases["a hash twice"] = Case(
        again("manifest.json", b'"seriesHashes": {', f'"seriesHashes": {{"{ID}": "x", '.encode()),
        of_file(
            "manifest.json",
            f"the key '{ID}' is there twice: readers differ in which one they take",
        ),
    )
    return cases


def _facts() -> dict[str, Case]:
    cases = {}
    usable = "should be at most 200 printable characters without / and \\"
    for run_id in (
        "../../x", "..", ".", "a/b", "a\\b", "a\n# forged: 1", "a\x00", "\x1b[2J", "x" * 10_000,
        "\u202eexe.csv", "\u2028", "/etc",
    ):  # fmt: skip
        says = of_file("run.json", f"runId: found {clipped(run_id)}, {usable}")
        cases[f"runId {run_id[:30]!r}"] = Case(run_json(runId=run_id), says)
    for instant in (
        "99999-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2025-13-01", "2025-02-30", "tomorrow",
        "2025-01-01T25:00:00Z", "2025-01-01T00:00:00+25:00", "1735689600", "2025-W01",
        "٢٠٢٥-01-01", "2025-01-01T00:00:61Z", "12:30:00", "=NOW()",
    ):  # fmt: skip
        hint = f"createdUtc: found {clipped(instant)}, should be an ISO 8601 instant such as "
        says = of_file("run.json", f"{hint}2025-01-01T00:00:00Z")
        cases[f"created {instant!r}"] = Case(run_json(createdUtc=instant), says)
    cases["hashes of a list"] = Case(
        manifest(seriesHashes=[]),
        of_file("manifest.json", "seriesHashes: found [], should be a JSON object"),
    )
    for value, shown in ((5, "5"), ([], "[]"), (True, "true")):
        says = f"seriesHashes: found {shown}, should be sha256:<64 hex digits>"
        case = Case(manifest(seriesHashes=_hashes(value)), of_series(says, "manifest.json"))
        cases[f"hash {shown}"] = case
    cases["hashes of other series"] = Case(
        manifest(seriesHashes={"../x": "sha256:" + "0" * 64}),
        of_file(
            "manifest.json",
            f"seriesHashes: names series that {INDEX} does not list: '../x', and lacks series that "
            f"{INDEX} lists: arrivals@A@DEFAULT, {ID}, served@B@DEFAULT; one of the files is of "
            "another run",
        ),
    )
    cases["two hashes"] = Case(
        entry(hash="sha256:" + "0" * 64),
        of_series(
            f"manifest.json promises sha256:{{served}}, {INDEX} sha256:{'0' * 64}; one of them is "
            "of another run",
            "manifest.json",
        ),
    )
    return cases


def _hashes(value: Any) -> dict[str, Any]:
    return {"arrivals@A@DEFAULT": "none", ID: value, "served@B@DEFAULT": "none"}


def _specs() -> dict[str, Case]:
    hint = (
        "should be an ISO 8601 instant such as 2025-01-01T00:00:00Z; correct it or set "
        "source.time_origin"
    )
    cases = {}
    for name, text, line, says in (
        ("of a list", "grid: {start: [1]}\n", None,
         "grid.start: found a list or a mapping, should be an ISO 8601 instant"),
        ("of nonsense", "grid: {start: tomorrow}\n", None, f"grid.start: found 'tomorrow', {hint}"),
        ("of a number", "grid:\n  start: 12:30:00\n", None,
         f"grid.start: found '12:30:00', {hint}"),
        ("beyond the calendar", "grid:\n  start: 2025-02-30\n", None,
         f"grid.start: found '2025-02-30', {hint}"),
        ("with a python tag", "grid:\n  start: !!python/object/apply:os.system [x]\n", None,
         "grid.start: found a list or a mapping, should be an ISO 8601 instant"),
        ("with a binary tag", "grid:\n  start: !!binary MjAyNQ==\n", None,
         f"grid.start: found 'MjAyNQ==', {hint}"),
        ("there twice", "grid:\n  start: 2025-01-01\n  start: 2026-01-01\n", None,
         "grid.start is there twice; remove one or set source.time_origin"),
        ("an alias", "x: &a 2025-01-01\ngrid: {start: *a}\n", None,
         "grid.start is an alias; write it out"),
        ("merged", "grid:\n  <<: *a\n  start: 2025-01-01\n", None,
         "grid merges another block; write its keys out or set source.time_origin"),
        ("cut", "grid:\n  start: '2025-01-01\n", 3,
         "is not YAML: found unexpected end of stream; correct it or set source.time_origin"),
        ("indented by tabs", "grid:\n\tstart: 2025-01-01\n", 2,
         "is not YAML: found character that cannot start any token; correct it or set "
         "source.time_origin"),
        ("deep", "grid:\n  start: x\n  y: " + "[" * 100 + "]" * 100, None,
         "is nested deeper than 64 levels"),
        ("in a huge block", "grid:\n  start: 2025-01-01\n  x: " + "y" * 70_000 + "\n", None,
         "grid is longer than 65536 bytes, so it is not read; set source.time_origin"),
        ("in a huge flow", "{start: 1, x: " + "y" * 1_100_000 + "}\n", None,
         "is not in block style and longer than 1048576 bytes, so its start cannot be read; set "
         "source.time_origin"),
    ):  # fmt: skip
        where = "spec.yaml" if line is None else f"spec.yaml line {line}"
        cases[f"start {name}"] = Case(raw("spec.yaml", text.encode()), of_file(where, says))
    for name, data in (
        ("latin-1", "grid: {start: 2025-01-01} # é\n".encode("latin-1")),
        ("utf-16", "grid: {start: 2025-01-01}\n".encode("utf-16")),
    ):
        says = (
            "is not UTF-8, so its start in time cannot be read; save it as UTF-8 or set "
            "source.time_origin"
        )
        cases[f"start in {name}"] = Case(raw("spec.yaml", data), of_file("spec.yaml", says))
    return cases


def _csv() -> dict[str, Case]:
    """The file holds: header, 0,11 / 1,12.5 / 2,10 / 3,14."""
    cases = {}

    def add(name: str, harm: Harm, says: str, line: int | None = None) -> None:
        file = FILE if line is None else f"{FILE} line {line}"
        cases[f"csv {name}"] = Case(harm, of_series(says, file))

    for text, shown in (
        ("abc", "'abc'"), ("0x1p3", "'0x1p3'"), ("0x10", "'0x10'"), ("1_2", "'1_2'"), ("", "''"),
        (" 12.5", "' 12.5'"), ("12.5 ", "'12.5 '"), ("12\x005", "'12\\x005'"),
        ('"12.5"', "'\"12.5\"'"),
        ("1.2.3", "'1.2.3'"), ("1e", "'1e'"), ("e5", "'e5'"), ("--1", "'--1'"), ("1d5", "'1d5'"),
        ("12.5f", "'12.5f'"), ("nan", "'nan'"), ("NAN", "'NAN'"), ("-NaN", "'-NaN'"),
        ("INF", "'INF'"),
        ("+inf", "'+inf'"), ("null", "'null'"), ("N/A", "'N/A'"), ("true", "'true'"), ("-", "'-'"),
        (".", "'.'"), ("1'000", '"1\'000"'), ("$1", "'$1'"), ("1%", "'1%'"), ("=1+1", "'=1+1'"),
        ("١٢", "'\\u0661\\u0662'"), ("\uff11\uff12", "'\\uff11\\uff12'"), ("∞", "'\\u221e'"),
        ("\u22121", "'\\u22121'"),
        ("1\u00a0000", "'1\\xa0000'"), ("2025-01-01", "'2025-01-01'"), ("\ufeff1", "'\\ufeff1'"),
    ):  # fmt: skip
        add(
            f"value {text!r}", replaced(b"12.5", text.encode()), f"value {shown} is not a number", 3
        )
    for text in ("1e999", "-1e999", "1" + "0" * 309, "1e400000000000"):
        shown = f"'{text[:60]}'" + ("..." if len(text) > 60 else "")
        add(f"value {text[:20]}", replaced(b"12.5", text.encode()),
            f"value {shown} does not fit a double", 3)  # fmt: skip
    add("not text", replaced(b"12.5", b"\xff\xfe"), "value '\\xff\\xfe' is not a number", 3)
    for text, shown in (
        ("5", "'5'"), ("1", "'1'"), ("-2", "'-2'"), ("+2", "'+2'"), ("2.0", "'2.0'"), ("", "''"),
        (" 2", "' 2'"), ("x", "'x'"), ("٢", "'\\u0662'"), ("2" * 30, f"'{'2' * 30}'"),
        ("4294967298", "'4294967298'"), ("18446744073709551618", "'18446744073709551618'"),
        ('"2"', "'\"2\"'"),
    ):  # fmt: skip
        add(f"bin {text!r}", replaced(b"2,10\n", f"{text},10\n".encode()),
            f"bin is {shown}; expected 2", 4)  # fmt: skip
    two = "expected 2, the bin and the value as in '2,1.5'"
    for row, count in (
        (b"2,10,1", "3 cells"), (b"2,10,", "3 cells"), (b"2;10", "1 cell"), (b"2\t10", "1 cell"),
        (b"2,10,5", "3 cells"), (b"2", "1 cell"), (b"# x", "1 cell"), (b",,", "3 cells"),
        (b"2,1,000.5", "3 cells"),
    ):  # fmt: skip
        add(f"row {row!r}", replaced(b"2,10\n", row + b"\n"),
            f"{row.decode()!a} has {count}; {two}", 4)  # fmt: skip
    add("blank line", replaced(b"2,10\n", b"\n"), "the line is blank", 4)
    add("blank line of Windows", replaced(b"2,10\n", b"\r\n"), "the line is blank", 4)
    add("fewer rows", replaced(b"3,14\n", b""), "holds 3 rows; the index says 4 points")
    add("more rows", replaced(b"3,14\n", b"3,14\n4,1\n"), "holds 5 rows; the index says 4 points")
    add("a blank line at the end", replaced(b"3,14\n", b"3,14\n\n"), "the line is blank", 6)
    cut = "the last row has no line end: the file is cut off"
    for size in (1, 2, 3):
        add(f"cut by {size}", rewritten(lambda d, size=size: d[:-size]), cut, 5)  # type: ignore[misc]
    empty = "the file is empty: the run was not written whole, evaluate the model again"
    add("empty", rewritten(lambda _: b""), empty)
    add("header alone", rewritten(lambda _: b"bin_index,value\n"),
        "holds 0 rows; the index says 4 points")  # fmt: skip
    expected = "expected 't,value' or 'bin_index,value'"
    for header in (
        b"bin,value", b"bin_index;value", b"bin_index, value", b"value,bin_index",
        b"Bin_Index,Value",
        b'"bin_index","value"', b"bin_index,value,unit", b"# x", b"", b" bin_index,value",
        b"bin_index\tvalue",
    ):  # fmt: skip
        add(f"header {header!r}", replaced(b"bin_index,value\n", header + b"\n"),
            f"the header is {header.decode()!a}; {expected}", 1)  # fmt: skip
    add("header twice", replaced(b"bin_index,value\n", b"bin_index,value\nbin_index,value\n"),
        "bin is 'bin_index'; expected 0", 2)  # fmt: skip
    add("no header", replaced(b"bin_index,value\n", b""), f"the header is '0,11'; {expected}", 1)
    add("two marks", rewritten(lambda d: b"\xef\xbb\xbf" * 2 + d),
        f"the header is '\\ufeffbin_index,value'; {expected}", 1)  # fmt: skip
    add("lines of old Macs", rewritten(lambda d: d.replace(b"\n", b"\r")),
        rf"the header is 'bin_index,value\r0,11\r1,12.5\r2,10\r3,14\r'; {expected}", 1)  # fmt: skip
    for name, make in (
        ("gzip compressed", gzip.compress), ("zstd compressed", zstandard.compress),
        ("zip compressed", zipped),
        ("bzip2 compressed", bz2.compress), ("xz compressed", lzma.compress),
        ("UTF-16", lambda d: d.decode().encode("utf-16")), ("Parquet", lambda d: b"PAR1" + d),
    ):  # fmt: skip
        add(name, rewritten(make), f"the file is {name}; series files are plain text in UTF-8")
    add("gzip bomb", rewritten(lambda _: gzip.compress(b"0" * 50_000_000)),
        "holds 48623 bytes, too many for 4 rows")  # fmt: skip
    add("huge line", rewritten(lambda d: d + b"9" * 2_000), "holds 2038 bytes, too many for 4 rows")
    add(
        "blank lines",
        rewritten(lambda d: d + b"\n" * 4000),
        "holds 4038 bytes, too many for 4 rows",
    )
    add("wrong hash", rewritten(lambda d: d.replace(b"12.5", b"12.6"), vouched=False),
        "sha256 is afba9577a946b712ca2e40c5423b40943fe31ef1e20ec95ac3be0849e52506bf; the manifest "
        "says {served}: the file was changed after the run was written")  # fmt: skip
    absent = (
        "the file is missing (or a link, which is not followed), though the index names it: "
        "restore it, or evaluate the model again"
    )
    for kind, make_other in (
        ("pipe", os.mkfifo), ("folder", Path.mkdir), ("missing", lambda _: None),
        ("link out", linked("/etc/hostname")), ("link to zero", linked("/dev/zero")),
        ("link to itself", linked(Path(FILE).name)),
        ("link within", linked("arrivals@A@DEFAULT.csv")),
        ("dangling link", linked("/nowhere/at/all")),
    ):  # fmt: skip
        add(kind, instead(FILE, make_other), absent)
    return cases


CASES: dict[str, Case] = {
    **_paths(),
    **_ids(),
    **_numbers(),
    **_json_files(),
    **_types(),
    **_facts(),
    **_specs(),
    **_csv(),
}
