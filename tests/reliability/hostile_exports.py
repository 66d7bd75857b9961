"""Descriptors forged in every field, each with the message that a user gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.flowtime.restore.float_text import FLOAT_DIALECTS

Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Forgery:
    """A change of a descriptor that bears the name of what it puts there."""

    name: str
    change: Change

    def __call__(self, found: dict[str, Any]) -> object:
        return self.change(found)

    def __str__(self) -> str:
        return self.name[:80]


def resource(**changes: Any) -> Forgery:
    return Forgery(f"resource {changes}", lambda found: found["resources"][0].update(changes))


def of_target(**changes: Any) -> Forgery:
    return Forgery(
        f"target {changes}", lambda found: found["resources"][0]["flowtime"].update(changes)
    )


def of_run(**changes: Any) -> Forgery:
    return Forgery(f"run {changes}", lambda found: found["flowtime"]["runs"][0].update(changes))


def of_series(place: int, value: Any) -> Forgery:
    def change(found: dict[str, Any]) -> None:
        found["flowtime"]["runs"][0]["series"]["rows"][0][place] = value

    return Forgery(f"series {place}: {value!r}", change)


def without(key: str) -> Change:
    return lambda found: found["resources"][0].pop(key)


# What is changed, and the message after the descriptor's name and `: `.
FORGED: list[tuple[Forgery, str]] = [
    (
        resource(path="/etc/passwd"),
        "resources[0].path: '/etc/passwd' is not a plain relative path: give names "
        "between single slashes, without `.`, `..`, backslashes or control characters",
    ),
    (
        resource(path="a\x00b"),
        "resources[0].path: 'a\\x00b' is not a plain relative path: give names between "
        "single slashes, without `.`, `..`, backslashes or control characters",
    ),
    (resource(path=""), "resources[0]: path: found '', should have at least 1 characters"),
    (
        resource(path=[]),
        "resources[0].path: should be text: the descriptor was changed after it was "
        "written: restore it, or export again with --full-refresh, which replaces it",
    ),
    (
        resource(path="s3://x/y"),
        "resources[0].path: 's3://x/y' is not a plain relative path: give names between "
        "single slashes, without `.`, `..`, backslashes or control characters",
    ),
    (
        resource(format="xlsx"),
        "resources[0]: format: found 'xlsx', should be 'csv', 'ndjson' or 'parquet'",
    ),
    (resource(format=1), "resources[0]: format: found 1, should be 'csv', 'ndjson' or 'parquet'"),
    (resource(bytes=-1), "resources[0]: bytes: found -1, should be at least 0"),
    (
        resource(bytes=10**30),
        "resources[0]: bytes: found 1000000000000000000000000000000, should be at most "
        "1000000000000000",
    ),
    (
        resource(bytes=1.5),
        "resources[0].bytes: should be an integer: the descriptor was changed after it "
        "was written: restore it, or export again with --full-refresh, which replaces it",
    ),
    (
        resource(hash="sha256:00"),
        "resources[0]: hash: found 'sha256:00', should match ^sha256:[0-9a-f]{64}$",
    ),
    (
        resource(hash="md5:x"),
        "resources[0]: hash: found 'md5:x', should match ^sha256:[0-9a-f]{64}$",
    ),
    (resource(hash=1), "resources[0]: hash: found 1, should be text"),
    (resource(rowCount=-1), "resources[0]: rowCount: found -1, should be at least 0"),
    (resource(rowCount="12"), "resources[0]: rowCount: found '12', should be a whole number"),
    (
        resource(rowCount=10**16),
        "resources[0]: rowCount: found 10000000000000000, should be at most 1000000000000000",
    ),
    (resource(nonFiniteCount=-1), "resources[0]: nonFiniteCount: found -1, should be at least 0"),
    (
        resource(compression="zip"),
        "resources[0]: compression: found 'zip', should be 'gz' or 'zst'",
    ),
    (resource(schema=[]), "resources[0]: schema: found [], should be a JSON object"),
    (resource(schema={}), "resources[0]: schema.fields: is missing"),
    (resource(schema={"fields": "x"}), "resources[0]: schema.fields: found 'x', should be a list"),
    (
        resource(schema={"fields": [{"name": 1, "type": "string"}]}),
        "resources[0]: schema.fields[0].name: found 1, should be text",
    ),
    (
        resource(schema={"fields": [{"name": "x", "type": "money"}]}),
        "resources[0]: schema.fields[0].type: found 'money', should be 'datetime', "
        "'number', 'integer', 'string' or 'boolean'",
    ),
    (
        resource(schema={"fields": []}),
        "resources[0]: its columns are ; expected time_bin, component_id, measure, "
        "class, value, run_id, unit",
    ),
    (resource(dialect=[]), "resources[0]: dialect: found [], should be a JSON object"),
    (
        resource(schema={"fields": [{"name": "^.*$", "type": "string"}]}),
        "resources[0]: schema.fields[0].name: found '^.*$', a column's name should not "
        "be *, nor begin with ^ and end with $",
    ),
    (of_target(target=1), "resources[0]: flowtime.target: found 1, should be text"),
    (of_target(target=None), "resources[0]: flowtime.target: found null, should be text"),
    (
        of_target(layout="tall"),
        "resources[0].flowtime: layout: found 'tall', should be 'long' or 'wide'",
    ),
    (of_target(columns=[]), "resources[0].flowtime: columns: found [], should be a JSON object"),
    (
        of_target(columns={"x": "y"}),
        "resources[0].flowtime: columns: nothing is known of 'y' ('x')",
    ),
    (
        of_target(columns={"a": "value", "b": "value"}),
        "resources[0].flowtime: columns: two columns show the same",
    ),
    (
        of_target(complete="yes"),
        "resources[0]: flowtime.complete: found 'yes', should be true or false",
    ),
    (
        of_target(complete=False),
        "resources[0].flowtime: complete and reasons contradict each other",
    ),
    (of_target(runs=[[0, 9]]), "resources[0].flowtime.runs: are no places in the list of runs"),
    (
        of_target(runs=[[0, 1], [0, 1]]),
        "resources[0].flowtime.runs: are no places in the list of runs",
    ),
    (of_target(runs=[[1, 0]]), "resources[0].flowtime.runs: are no places in the list of runs"),
    (of_target(runs="x"), "resources[0].flowtime.runs: are no places in the list of runs"),
    (of_target(runs=[[0.0, 1.0]]), "resources[0].flowtime.runs: are no places in the list of runs"),
    (
        of_target(constants={"a": []}),
        "resources[0].flowtime: constants.a.bool: found [], should be true or false",
    ),
    (
        of_target(options={"separator": "ab"}),
        "resources[0].flowtime: options.separator: found 'ab', should match ^[\\t\\x20-\\x7e]$",
    ),
    (
        of_target(options={"nonFinite": "maybe"}),
        "resources[0].flowtime: options.nonFinite: found 'maybe', should be 'string', "
        "'null' or 'error'",
    ),
    (of_target(partition={"a": 1}), "resources[0]: flowtime.partition.a: found 1, should be text"),
    (
        of_target(partition="x"),
        "resources[0]: flowtime.partition: found 'x', should be a JSON object",
    ),
    (
        of_target(exportedAt="now"),
        "resources[0].flowtime: exportedAt: found 'now', should be an instant such as "
        "2025-01-02T03:04:05Z",
    ),
    (of_target(reasons="x"), "resources[0].flowtime: reasons: found 'x', should be a list"),
    (of_run(id=""), "flowtime.runs[0]: id: found '', should have at least 1 characters"),
    (of_run(id="../x"), "flowtime.runs[0]: id: found '../x', which cannot name a folder"),
    (of_run(id="a\nb"), "flowtime.runs[0]: id: found 'a\\nb', which cannot name a folder"),
    (of_run(id=1), "flowtime.runs[0]: id: found 1, should be text"),
    (
        of_run(id="x" * 300),
        "flowtime.runs[0]: id: found "
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
        ", should have at most 200 characters",
    ),
    (of_run(name=".."), "flowtime.runs[0]: name: found '..', which cannot name a folder"),
    (of_run(name="a/b"), "flowtime.runs[0]: name: found 'a/b', which cannot name a folder"),
    (
        of_run(name="a\x1b[2J"),
        "flowtime.runs[0]: name: found 'a\\x1b[2J', should match "
        "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]*$",
    ),
    (
        of_run(fingerprint="x"),
        "flowtime.runs[0]: fingerprint: found 'x', should match ^sha256:[0-9a-f]{64}$",
    ),
    (of_run(seriesCount=5), "flowtime.runs[0]: seriesCount is 5, but series.rows has 3 rows"),
    (of_run(seriesCount=-1), "flowtime.runs[0]: seriesCount: found -1, should be at least 0"),
    (
        of_run(seriesCount=True),
        "flowtime.runs[0]: seriesCount: found true, should be a whole number",
    ),
    (of_run(bins=0), "flowtime.runs[0]: bins: found 0, should be at least 1"),
    (
        of_run(bins=10**12),
        "flowtime.runs[0]: bins: found 1000000000000, should be at most 100000000",
    ),
    (of_run(bins="4"), "flowtime.runs[0]: bins: found '4', should be a whole number"),
    (of_run(binMinutes=0), "flowtime.runs[0]: binMinutes: found 0, should be at least 1"),
    (
        of_run(binMinutes=10**12),
        "flowtime.runs[0]: binMinutes: found 1000000000000, should be at most 5270400000",
    ),
    (
        of_run(timeOrigin="x"),
        "flowtime.runs[0]: timeOrigin: found 'x', should be an instant such as "
        "2025-01-02T03:04:05Z",
    ),
    (
        of_run(timeOrigin="2025-13-01T00:00:00Z"),
        "flowtime.runs[0]: timeOrigin: found '2025-13-01T00:00:00Z', month must be in 1..12",
    ),
    (
        of_run(timeOrigin="9999-12-31T23:59:59Z"),
        "flowtime.runs[0]: bins: 4 bins end after the year 9999",
    ),
    (
        of_run(created=5),
        "flowtime.runs[0]: created: found 5, should be an instant such as 2025-01-02T03:04:05Z",
    ),
    (of_run(warnings="x"), "flowtime.runs[0]: warnings: found 'x', should be a list"),
    (of_run(warnings=[1]), "flowtime.runs[0]: warnings[0]: found 1, should be text"),
    (of_run(extra=[]), "flowtime.runs[0]: extra: found [], should be a JSON object"),
    (
        of_run(seed=2**64),
        "flowtime.runs[0]: seed: found 18446744073709551616, should be less than "
        "9223372036854775808",
    ),
    (
        of_run(schemaVersion="1"),
        "flowtime.runs[0]: schemaVersion: found '1', should be a whole number",
    ),
    (of_run(series=[]), "flowtime.runs[0]: series: found [], should be a JSON object"),
    (
        of_run(series={"columns": [], "rows": []}),
        "flowtime.runs[0]: series.columns: should be id, component, class, kind, unit, "
        "classKind, path, points, sha256, layout",
    ),
    (of_run(isBundle="no"), "flowtime.runs[0]: isBundle: found 'no', should be true or false"),
    (
        of_series(0, "../x"),
        "flowtime.runs[0]: series.rows[0][0]: found '../x', should match ^[A-Za-z0-9._@-]+$",
    ),
    (
        of_series(0, ""),
        "flowtime.runs[0]: series.rows[0][0]: found '', should match ^[A-Za-z0-9._@-]+$",
    ),
    (
        of_series(0, "@x"),
        "flowtime.runs[0]: series.rows[0]: id: @x names no measure before its first @",
    ),
    (
        of_series(0, "a\nb"),
        "flowtime.runs[0]: series.rows[0][0]: found 'a\\nb', should match ^[A-Za-z0-9._@-]+$",
    ),
    (
        of_series(0, "served@A@DEFAULT"),
        "flowtime.runs[0]: series.rows[1]: served@A@DEFAULT is there twice",
    ),
    (
        of_series(1, "a b"),
        "flowtime.runs[0]: series.rows[0][1]: found 'a b', should match ^[A-Za-z0-9._@-]+$",
    ),
    (of_series(2, None), "flowtime.runs[0]: series.rows[0][2]: found null, should be text"),
    (
        of_series(3, "a\x00"),
        "flowtime.runs[0]: series.rows[0][3]: found 'a\\x00', should match "
        "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]*$",
    ),
    (
        of_series(4, "x" * 600),
        "flowtime.runs[0]: series.rows[0][4]: found "
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
        ", should have at most 512 characters",
    ),
    (
        of_series(6, "../../x"),
        "flowtime.runs[0]: series.rows[0]: path: '../../x' is no place of a series file",
    ),
    (
        of_series(6, "gold/x.csv"),
        "flowtime.runs[0]: series.rows[0]: path: 'gold/x.csv' is no place of a series file",
    ),
    (
        of_series(6, "/etc/passwd"),
        "flowtime.runs[0]: series.rows[0][6]: found '/etc/passwd', should match "
        "^[A-Za-z0-9._@-]+(/[A-Za-z0-9._@-]+)*$",
    ),
    (
        of_series(6, "a/../b"),
        "flowtime.runs[0]: series.rows[0]: path: 'a/../b' is no place of a series file",
    ),
    (of_series(7, 5), "flowtime.runs[0]: series.rows[0]: points is 5, should be the grid's 4"),
    (
        of_series(7, 10**12),
        "flowtime.runs[0]: series.rows[0][7]: found 1000000000000, should be at most 100000000",
    ),
    (of_series(7, "4"), "flowtime.runs[0]: series.rows[0][7]: found '4', should be a whole number"),
    (
        of_series(8, "00"),
        "flowtime.runs[0]: series.rows[0][8]: found '00', should match ^[0-9a-f]{64}$",
    ),
    (
        of_series(9, "x"),
        "flowtime.runs[0]: series.rows[0]: layout: 'x' is no layout of a series file: expected "
        "`bin_index` or `t`, then perhaps `bom`, then `lf` or `crlf`, then one of "
        f"{', '.join(FLOAT_DIALECTS)}",
    ),
    (
        of_series(9, "a;b"),
        "flowtime.runs[0]: series.rows[0][9]: found 'a;b', should match ^[A-Za-z0-9_.+ -]+$",
    ),
]

# What an export over it must not stumble upon → what is wrong with it.
DAMAGED: dict[str, tuple[Change, str]] = {
    "no name": (without("name"), "resources[0].name: should be text"),
    "name of a list": (resource(name=[]), "resources[0].name: should be text"),
    "no path": (without("path"), "resources[0].path: should be text"),
    "path of a number": (resource(path=1), "resources[0].path: should be text"),
    "bytes of text": (resource(bytes="1"), "resources[0].bytes: should be an integer"),
    "bytes of true": (resource(bytes=True), "resources[0].bytes: should be an integer"),
    "flowtime of text": (resource(flowtime="x"), "resources[0].flowtime: should be a JSON object"),
}
