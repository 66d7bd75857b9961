"""DuckDB: both sides read, joined by series and bin, and aggregated by series, at its defaults."""

from __future__ import annotations

import duckdb

from benchmarks.peers.compare_arguments import runs, show

_READ = """
SELECT parse_filename(filename, true) AS series, bin_index, value
FROM read_csv('{folder}/series/*.csv', header = true, auto_detect = false, delim = ',',
    columns = {{'bin_index': 'INTEGER', 'value': 'DOUBLE'}}, filename = true)
"""
_QUERY = """
WITH pairs AS (
    SELECT series, a.value AS a, b.value AS b, b.value - a.value AS d
    FROM ({baseline}) AS a JOIN ({comparison}) AS b USING (series, bin_index)
    WHERE NOT isnan(a.value) AND NOT isnan(b.value)
)
SELECT series, count(*), max(abs(d)), avg(d), avg(abs(d)), sqrt(avg(d * d)),
    avg(CASE WHEN abs(a) + abs(b) = 0 THEN 0 ELSE 2 * abs(d) / (abs(a) + abs(b)) END),
    100 * (sum(b) - sum(a)) / sum(a), corr(a, b)
FROM pairs GROUP BY series ORDER BY series
"""


def main() -> None:
    """Compare in one query."""
    baseline, comparison = (_READ.format(folder=run) for run in runs())
    query = _QUERY.format(baseline=baseline, comparison=comparison)
    with duckdb.connect() as database:
        show({row[0]: list(row[1:]) for row in database.execute(query).fetchall()})


if __name__ == "__main__":
    main()
