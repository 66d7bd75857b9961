"""Conditions give the rows that DuckDB gives, or are refused in the user's words."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.rows.column import ColumnType
from pipeline.rows.filter.sql import parse_filter_sql
from pipeline.rows.row_filter import RowFilter

NOW = datetime(2025, 6, 15, 12, 30, tzinfo=UTC)
TYPES: dict[str, ColumnType] = {
    "row": "integer",
    "time_bin": "timestamp",
    "time_origin": "timestamp",
    "measure": "text",
    "unit": "text",
    "value": "number",
    "bin_index": "integer",
    "seed": "integer",
    "flag": "boolean",
    "exported_at": "timestamp",
}
VALUES = (0.0, -0.0, 1.0, -1.5, 2.5, 1e300, 5e-324, math.nan, math.inf, -math.inf, None, 7.0)
TEXTS = ("served", "arrivals", "Served", "a_b%c", "", None, "50%", " x ", "äöü", "007", "NA", "a#b")
TIMES = tuple(NOW.replace(tzinfo=None) + timedelta(days=n * 17, minutes=n) for n in range(-6, 6))


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    count = len(VALUES)
    return pl.DataFrame(
        {
            "row": range(count),
            "time_bin": TIMES,
            "time_origin": [TIMES[0]] * (count - 1) + [None],
            "measure": TEXTS,
            "unit": [None, "bytes"] * (count // 2),
            "value": VALUES,
            "bin_index": range(-3, count - 3),
            "seed": [None, 2**63 - 1, -(2**63), 0, 42] + [7] * (count - 5),
            "flag": [True, False, None] * (count // 3),
            "exported_at": [NOW.replace(tzinfo=None)] * count,
        },
        schema_overrides={"row": pl.Int64, "bin_index": pl.Int64, "seed": pl.Int64},
    )


def kept(parsed: RowFilter, table: pl.DataFrame) -> list[int]:
    """Rows of the table that a condition keeps."""
    parts = [part for part in (parsed.of_series, parsed.of_rows) if part is not None]
    return table.filter(*parts)["row"].to_list()


def duckdb_rows(text: str, table: pl.DataFrame) -> list[int]:
    """The same by DuckDB; its clock is ours."""
    frozen = re.sub(
        r"(?i)\bnow\(\)|\bcurrent_timestamp\b|\blocaltimestamp\b",
        f"TIMESTAMP '{NOW:%Y-%m-%d %H:%M:%S}'",
        text,
    )
    frozen = re.sub(r"(?i)\bcurrent_date\b|\btoday\(\)", f"DATE '{NOW:%Y-%m-%d}'", frozen)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", table)
        found = connection.sql(f"SELECT row FROM rows WHERE {frozen} ORDER BY row").fetchall()
    return [row for (row,) in found]


CONDITIONS = [
    # times and intervals
    "time_bin > now() - INTERVAL '7 days'",
    "time_bin > now() - INTERVAL 7 DAY AND time_bin < now() + INTERVAL '7' DAY",
    "time_bin + INTERVAL '1 day 6 hours' >= TIMESTAMP '2025-06-15 12:30:00'",
    "time_bin > TIMESTAMP '2025-05-01' + INTERVAL '1 month'",
    "time_bin - INTERVAL '1 month' < '2025-05-15'",
    "time_bin + (-INTERVAL '3 days') > now()",
    "time_bin + INTERVAL '1 year' > TIMESTAMP '2026-06-15'",
    "time_bin - time_origin > INTERVAL '30 days'",
    "time_bin - time_origin BETWEEN INTERVAL '1 week' AND INTERVAL '10 weeks'",
    "INTERVAL '2 days' + time_bin > now()",
    "time_bin > now() - (INTERVAL '1 day' + INTERVAL '2 hours')",
    "time_bin > current_date",
    "time_bin > today() - INTERVAL '30 days'",
    "time_bin >= current_timestamp",
    "exported_at >= time_bin",
    "time_bin BETWEEN '2025-05-01' AND '2025-06-15 12:30:00'",
    "'2025-06-01' < time_bin",
    "time_bin IN ('2025-06-15 12:30:00', '2025-07-02 12:31:00')",
    "CAST(time_bin AS DATE) = '2025-06-15'",
    "time_bin::date >= date '2025-06-15'",
    "date_trunc('month', time_bin) = '2025-06-01'",
    "date_trunc('week', time_bin) <= TIMESTAMP '2025-06-09'",
    "extract(month FROM time_bin) = 6",
    "date_part('hour', time_bin) = 12 AND hour(time_bin) = 12",
    "year(time_bin) = 2025 AND quarter(time_bin) = 2",
    "extract(dow FROM time_bin) = 0",
    "dayofweek(time_bin) = 0 OR isodow(time_bin) = 3",
    "week(time_bin) > 20",
    "dayofyear(time_bin) > 160",
    "epoch(time_bin) > 1749990000.5",
    "strftime(time_bin, '%Y-%m') = '2025-06'",
    # truth
    "(value > 1) IS TRUE",
    "(value > 1) IS NOT TRUE",
    "(value > 1) IS FALSE",
    "(value > 1) IS UNKNOWN",
    "(value > 1) IS NOT NULL",
    "flag",
    "NOT flag",
    "flag IS NOT FALSE",
    "flag = (value > 0)",
    "value ISNULL OR value NOTNULL",
    "true",
    "1 = 1 AND NOT false",
    # numbers
    "value = 0",
    "value <> 0",
    "value > 1e300",
    "value >= 'nan'::DOUBLE",
    "value = CAST('NaN' AS DOUBLE)",
    "value < CAST('inf' AS DOUBLE)",
    "value BETWEEN -1e308 AND 1e308",
    "value NOT BETWEEN 0 AND 1",
    "value IN (1, 2.5, 7)",
    "value NOT IN (1, 2.5)",
    "value IS DISTINCT FROM 1",
    "value IS NOT DISTINCT FROM 2.5",
    "bin_index % 2 = 1",
    "bin_index % 3 = -1 OR mod(bin_index, -2) = 1",
    "value % 2 = -1.5",
    "bin_index / 2 = 0.5",
    "-value > 1",
    "+value > 1",
    "value * 2 + 1 > 5 - bin_index",
    "value ** 2 > 2",
    "pow(value, 2) > 2",
    "abs(value) > 1",
    "round(value) = 3 OR round(value, 1) = -1.5",
    "floor(value) = -2 OR ceil(value) = 3",
    "trunc(value) = -1",
    "sign(value) = -1",
    "sign(value) = 0",
    "sign(value) > 0",
    "isnan(value) OR isinf(value)",
    "isfinite(value)",
    "greatest(value, 1) = 1",
    "least(value, 1, bin_index) < 0",
    "coalesce(value, 3) = 3",
    "coalesce(seed, bin_index) = -3",
    "nullif(value, 1) IS NULL",
    "exp(bin_index) > 2",
    "CASE WHEN value > 1 THEN 'big' WHEN value < 0 THEN 'small' ELSE 'none' END = 'small'",
    "CASE bin_index WHEN 1 THEN 5 ELSE 0 END = 5",
    "CASE WHEN value > 1 THEN true END",
    "if(value > 1, 1, 0) = 1",
    "seed > 9223372036854775806",
    # text
    "measure = 'served'",
    "measure <> 'served'",
    "measure > 'b'",
    "measure LIKE 'ser%'",
    "measure NOT LIKE '%e%'",
    "measure LIKE 'a_b%'",
    "measure LIKE 'a!_b!%%' ESCAPE '!'",
    "measure LIKE '50!%' ESCAPE '!'",
    "measure ~~ '%#%'",
    "measure ILIKE 'SERVED'",
    "measure NOT ILIKE 'served'",
    "measure LIKE ''",
    "measure IN ('NA', '007')",
    "regexp_matches(measure, '^[a-z]+$')",
    "regexp_full_match(measure, '[a-z]+')",
    "NOT regexp_matches(measure, 'e')",
    "lower(measure) = 'served' AND upper(measure) = 'SERVED'",
    "length(measure) = 3",
    "trim(measure) = 'x' AND ltrim(measure) = 'x ' AND rtrim(measure) = ' x'",
    "substr(measure, 2) = 'erved'",
    "substring(measure, 1, 1) = 'a'",
    "left(measure, 2) = 'ar' OR right(measure, 1) = '%'",
    "replace(measure, 'e', '') = 'srvd'",
    "starts_with(measure, 'a') OR ends_with(measure, 'd') OR contains(measure, '_')",
    "measure || '!' = 'NA!'",
    "measure || unit IS NULL",
    "coalesce(unit, measure) = 'bytes'",
    "CAST(bin_index AS VARCHAR) = '3'",
    "TRY_CAST(measure AS DOUBLE) = 7",
    # nulls
    "unit IS NULL",
    "unit IS NOT NULL AND (value > 0 OR value IS NULL)",
    "NOT (value > 0)",
    "(value > 0 OR flag) AND NOT (value > 0 AND flag)",
]


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_keeps_the_rows_that_duckdb_keeps(text: str, table: pl.DataFrame) -> None:
    assert kept(parse_filter_sql(text, TYPES, NOW), table) == duckdb_rows(text, table)


REFUSED = {
    "measure ~ 'a.*'": "operator ~ is not supported.*regexp_matches",
    "measure !~ 'a'": "operator ~ is not supported",
    "measure ~* 'a'": r"operator ~\* is not supported",
    "measure SIMILAR TO 'a.*'": "SIMILAR TO is not supported: write LIKE",
    "measure NOT SIMILAR TO 'a'": "SIMILAR TO is not supported",
    "measure GLOB 'a*'": "GLOB is not supported: write LIKE",
    "value IS TRUE": "'value' is a number, so it is never TRUE",
    "measure IS FALSE": "'measure' is text, so it is never FALSE",
    "value": "'value' is a number, not a condition; compare it",
    "1": "is a whole number, not a condition",
    "NOT value": "is a number, not a condition",
    "value AND flag": "is a number, not a condition",
    "value > 'abc'": "'value' is a number and .* is text",
    "measure > 3": "'measure' is text and '3' is a whole number",
    "value = NULL": "write IS NULL",
    "value IN (1, NULL)": "write IS NULL",
    "value IN ('a')": "is a number and .* is text",
    "measure = ANY(['a'])": "ANY is not supported",
    "measure LIKE ANY ('a', 'b')": "one LIKE for each pattern",
    "measure LIKE unit": "the pattern of LIKE is a text",
    "measure LIKE 'a!' ESCAPE '!'": "ends in its escape character",
    "regexp_matches(measure, '[')": r"'\[' is not a regular expression",
    "regexp_matches(measure, unit)": "expected a text in quotes",
    "regexp_matches(measure, 'a', 'i')": "not supported in a filter in this form",
    "value // 2 = 1": "write floor",
    "value BETWEEN SYMMETRIC 3 AND -2": "not supported in a filter in this form",
    "value::int = 1": "write floor, round or trunc",
    "CAST(measure AS DOUBLE) > 1": "TRY_CAST",
    "CAST('abc' AS DOUBLE) > 1": "'abc' is not a number",
    "CAST(time_bin AS VARCHAR) = 'a'": "strftime",
    "log(value) > 1": "write ln, log2 or log10",
    "sum(value) > 3": "not a condition over columns",
    "row_number() OVER () = 1": "not a condition over columns",
    "value > (SELECT 1)": "not a condition over columns",
    "random() > 0.5": "not supported|no function 'random'",
    "uuid() = 'x'": "not supported|no function",
    "foo(value) > 1": "'foo\\(value\\)': filters have no function 'foo'",
    "statrs_with(measure, 'a')": "did you mean 'starts_with'",
    "round(value, 1, 2) = 1": "not supported|takes|not a SQL condition",
    "left(measure, -1) = 'a'": "no negative length",
    "read_csv('/etc/passwd') IS NOT NULL": "not supported|no function",
    "getenv('HOME') = 'x'": "no function 'getenv'",
    "time_bin > 'yesterday'": "'yesterday' is not an ISO 8601 time",
    "time_bin > now() - INTERVAL '7 fortnights'": "write an interval as",
    "time_bin > now() - 7": "write time_bin - INTERVAL",
    "time_bin + time_origin > '2025-01-01'": "write time_bin - INTERVAL",
    "time_bin - time_origin > INTERVAL '1 month'": "months differ in length",
    "time_bin AT TIME ZONE 'Europe/Berlin' > '2025-01-01'": "all times are UTC",
    "current_time > '00:00'": "time of day is not supported",
    "extract(fortnight FROM time_bin) = 1": "is no part of a time",
    "date_trunc('decade', time_bin) = '2020-01-01'": "choose from",
    "strftime(time_bin, '%c') = 'x'": "not supported",
    "measure + 1 > 2": "cannot be calculated with",
    "measure || 1 = 'a1'": "expected text",
    "coalesce(measure, 1) = 1": "should be of one kind",
    "CASE WHEN value > 1 THEN 1 ELSE 'a' END = 1": "should be of one kind",
    "lower(value) = 'a'": "is a number, expected text",
    "(1, 2) = (1, 2)": "not supported in a filter",
    "[1, 2] = [1, 2]": "not supported in a filter",
    "{'a': 1} = {'a': 1}": "not supported in a filter",
    "struct_pack(a := 1) = 1": "not supported in a filter|no function",
    "measure[1:2] = 'a'": "not supported in a filter",
    "value > ?": "no parameters",
    "value > $1": "no parameters",
    "value > 1e400": "too large",
    "seed > 99999999999999999999": "too large",
    'measure = "served"': "no column 'served'.*single quotes",
    "valu > 0": "did you mean 'value'",
    "t.value > 3": "write the column name alone",
    "value >": "is not a SQL condition",
    "value > 0 AND": "is not a SQL condition",
    "(" * 3000 + "value > 0" + ")" * 3000: "is not a SQL condition",
    "value" + " + 1" * 2000 + " > 0": "is not a SQL condition: nested too deeply",
    "-- nothing": "not a condition|not a SQL condition",
    "drop table runs": "not supported in a filter",
    "value > 0; drop table x": "not a condition|not a SQL condition",
    "COLUMNS(*) > 1": "not supported|no function",
    "* > 1": "not supported|not a SQL condition",
}
INTERNALS = re.compile(
    r"Ident \{|Span|expr:|ValueWithSpan|Float64|Boolean`|polars|panick|sqlglot|f64|dtype|Literal\("
)


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_is_in_the_words_of_the_user(text: str) -> None:
    with pytest.raises(ConfigError, match=REFUSED[text]) as refusal:
        parse_filter_sql(text, TYPES, NOW)
    assert not INTERNALS.search(str(refusal.value))
    assert len(str(refusal.value)) < 600


def test_a_long_list_of_conditions(table: pl.DataFrame) -> None:
    text = " OR ".join(f"bin_index = {number}" for number in range(500))
    assert kept(parse_filter_sql(text, TYPES, NOW), table) == duckdb_rows(text, table)


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("value > 0", ()),
        ("time_bin > TIMESTAMP '2025-01-01' - INTERVAL '7 days'", ()),
        ("time_bin > now() - INTERVAL '7 days'", ("now()",)),
        ("NOT (time_bin < CURRENT_DATE OR exported_at > '2020-01-01')",
         ("current_date", "exported_at")),
        ("created_at > get_current_timestamp()", ("get_current_timestamp()",)),
        ("CASE WHEN value > 1 THEN today() ELSE localtimestamp END > time_bin",
         ("current_date", "localtimestamp")),
    ],
)  # fmt: skip
def test_what_asks_the_clock_is_known(text: str, clock: tuple[str, ...]) -> None:
    types: dict[str, ColumnType] = {**TYPES, "created_at": "timestamp"}
    assert parse_filter_sql(text, types, NOW).clock == clock


# --------------------------------------------------------------------------- any condition

_NUMBERS = st.sampled_from(
    ["value", "bin_index", "0", "1", "2.5", "-1", "abs(value)", "value + 1", "bin_index % 3"]
)
_TEXT = st.sampled_from(["measure", "unit", "'served'", "'a_b%c'", "lower(measure)", "''"])
_TIMES = st.sampled_from(
    ["time_bin", "time_origin", "now()", "TIMESTAMP '2025-06-01'", "time_bin - INTERVAL '3 days'"]
)
_OPERATORS = st.sampled_from(
    ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]
)
_TESTS = st.sampled_from(["IS NULL", "IS NOT NULL"])
_SIMPLE = st.one_of(
    st.tuples(_NUMBERS, _OPERATORS, _NUMBERS).map(" ".join),
    st.tuples(_TEXT, _OPERATORS, _TEXT).map(" ".join),
    st.tuples(_TIMES, _OPERATORS, _TIMES).map(" ".join),
    st.tuples(st.one_of(_NUMBERS, _TEXT), _TESTS).map(" ".join),
    st.sampled_from(["flag", "measure LIKE '%e%'", "value BETWEEN 0 AND 2", "seed IN (7, 42)"]),
)
_ANY = st.recursive(
    _SIMPLE,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map(lambda one: f"NOT ({one})"),
        inner.map(lambda one: f"(({one}) IS TRUE)"),
        inner.map(lambda one: f"CASE WHEN {one} THEN flag ELSE value > 1 END"),
    ),
    max_leaves=6,
)


@given(text=_ANY)
@settings(max_examples=150, deadline=None)
def test_any_condition_keeps_the_rows_that_duckdb_keeps(text: str, table: pl.DataFrame) -> None:
    assert kept(parse_filter_sql(text, TYPES, NOW), table) == duckdb_rows(text, table)


@given(text=st.text(st.sampled_from("value<>=0'()ANDORmeasur+-*/%~![]{}:;,.$?\"# \n"), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        parse_filter_sql(text, TYPES, NOW)
    except ConfigError as refusal:
        assert not INTERNALS.search(str(refusal))
