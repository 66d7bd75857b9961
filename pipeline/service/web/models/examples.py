"""Examples of the API's data, shown in its documentation and in generated clients."""

from __future__ import annotations

from typing import Any

GRID: dict[str, Any] = {"bins": 288, "binMinutes": 5, "binSize": 5, "binUnit": "minutes"}
SUMMARY: dict[str, Any] = {
    "id": "run_checkout_hourly",
    "runId": "run_checkout_hourly",
    "name": "run_checkout_hourly",
    "path": "run_checkout_hourly",
    "state": "complete",
    "createdUtc": "2025-01-02T03:04:05Z",
    "grid": GRID,
    "seriesCount": 6,
    "rows": 1728,
    "bytes": 19_412,
    "warningCount": 1,
    "source": "engine",
    "modelTitle": "Checkout",
}
EXPORTED_FILE: dict[str, Any] = {
    "format": "csv",
    "name": "export.csv",
    "bytes": 104_512,
    "rows": 1728,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "exportedUtc": "2026-11-27T08:00:01Z",
    "url": "/v1/runs/run_checkout_hourly/export/csv",
    "variant": None,
}
RUN_EXPORT: dict[str, Any] = {
    "variant": None,
    "options": None,
    "exportedUtc": "2026-11-27T08:00:01Z",
    "bytes": 104_512,
    "files": [EXPORTED_FILE],
}
SERIES: dict[str, Any] = {
    "id": "served@CHECKOUT@DEFAULT",
    "kind": "flow",
    "path": "series/served@CHECKOUT@DEFAULT.csv",
    "unit": "entities/bin",
    "measure": "served",
    "componentId": "CHECKOUT",
    "class": "DEFAULT",
    "classKind": None,
    "points": 288,
    "hash": None,
}
BAND: dict[str, Any] = {"bins": [0, 144], "lows": [0.5, 1.5], "highs": [9.0, 8.0]}
