"""Results as a Markdown table for people, as JSON for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.contestants import OURS
from benchmarks.rounds import Result

_LEFT, _RIGHT = "---", "---:"


def markdown(results: Sequence[Result]) -> str:
    """One row for each export: medians, ratios, peaks."""
    peers = list(dict.fromkeys(peer for result in results for peer in result.peers))
    header = ["workload", "format", "rows", f"{OURS} s", "CPU s", "MB"]
    for peer in peers:
        header += [f"{peer} s", "CPU s", "MB", "ratio"]
    rows = [_row(result) for result in results]
    return aligned(header, rows, texts=2)


def _row(result: Result) -> list[str]:
    cells = [
        result.workload,
        " + ".join(result.formats),
        f"{result.rows:,}",
        f"{result.median_seconds(OURS):.2f}",
        f"{result.median_cpu(OURS):.2f}",
        f"{result.peak(OURS):.0f}",
    ]
    for peer in result.peers:
        cells += [
            f"{result.median_seconds(peer):.2f}",
            f"{result.median_cpu(peer):.2f}",
            f"{result.peak(peer):.0f}",
            f"{result.ratio(peer):.2f}",
        ]
    return cells


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> str:
    """Return a Markdown table whose first columns are texts, the others numbers.

    >>> print(aligned(["what", "MB"], [["a", "12"]], texts=1))
    | what | MB |
    | --- | ---: |
    | a | 12 |
    """
    rule = [_LEFT] * texts + [_RIGHT] * (len(header) - texts)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def as_json(results: Sequence[Result], *, scale: float) -> dict[str, Any]:
    """Every single figure, and what it was measured with."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            **{name: _version(name) for name in ("polars", "pyarrow", "duckdb")},
        },
        "scale": scale,
        "results": [
            {
                **asdict(result),
                "ratios": {peer: result.ratio(peer) for peer in result.peers},
            }
            for result in results
        ],
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
