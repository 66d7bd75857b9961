"""What an output holds, whatever its format, order and writer, as a few figures."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb

_TYPES = {
    "time_bin": "TIMESTAMP",
    "component_id": "VARCHAR",
    "measure": "VARCHAR",
    "class": "VARCHAR",
    "value": "DOUBLE",
    "bin_index": "BIGINT",
    "run_id": "VARCHAR",
    "unit": "VARCHAR",
    "source": "VARCHAR",
    "scenario_hash": "VARCHAR",
}
# The metadata header is one line for all runs: with ten thousand of them it has megabytes.
_LONGEST_LINE = 64_000_000
_TOLERANCE = 1e-9

# A sum of row hashes does not depend on the order of rows, and unlike an exclusive or it counts
# a row that is there twice.
_FIGURES = """
SELECT
    measure,
    count(*) AS rows,
    sum(value) AS total,
    min(time_bin)::TIMESTAMP::VARCHAR AS first,
    max(time_bin)::TIMESTAMP::VARCHAR AS last,
    sum(hash({columns})::HUGEINT)::VARCHAR AS hashes
FROM {table}
GROUP BY measure
ORDER BY measure
"""


Content = dict[str, list[Any]]
"""Measure → rows, sum of the values, first and last bin, and a hash of the rows."""


def content(file: Path) -> Content:
    """Read a file whole."""
    columns = ", ".join(
        f'"{name}"::{kind}' if name != "value" else '"value"' for name, kind in _TYPES.items()
    )
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        found = database.execute(_FIGURES.format(columns=columns, table=_table(file))).fetchall()
    return {measure: list(rest) for measure, *rest in found}


def _table(file: Path) -> str:
    if file.suffix == ".parquet":
        return f"read_parquet('{file}')"
    if file.suffix == ".csv":
        return (
            f"read_csv('{file}', auto_detect = false, header = true, delim = ',', quote = '\"', "
            f"comment = '#', max_line_size = {_LONGEST_LINE}, columns = {_TYPES})"
        )
    return f"read_json('{file}', format = 'newline_delimited', columns = {_TYPES})"


def content_apart(file: Path) -> Content:
    """Return the same, found in a process of its own that takes its memory with it."""
    command = [sys.executable, "-m", "benchmarks.content", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Content = json.loads(done.stdout)
    return found


def differences(ours: Content, theirs: Content) -> dict[str, tuple[Any, Any]]:
    """Measures whose rows differ, with the figures of both."""
    return {
        measure: (ours.get(measure), theirs.get(measure))
        for measure in sorted({*ours, *theirs})
        if not _equal(ours.get(measure), theirs.get(measure))
    }


def _equal(ours: list[Any] | None, theirs: list[Any] | None) -> bool:
    if ours is None or theirs is None:
        return False
    # Doubles were added in another order: their sum alone may differ in the last digits.
    sums_agree = math.isclose(ours[1], theirs[1], rel_tol=_TOLERANCE)
    return sums_agree and ours[:1] + ours[2:] == theirs[:1] + theirs[2:]


if __name__ == "__main__":
    print(json.dumps(content(Path(sys.argv[1]))))
