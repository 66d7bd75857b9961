"""Make the run that a foreign table describes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.flowtime.model.instant import parse_instant
from connectors.flowtime.model.run import RUN_FACTS, Grid, Run
from connectors.flowtime.model.series import DEFAULT_CLASS, SeriesSpec
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.parse.dialects import MAX_RUN_ID, MAX_TEXT
from connectors.flowtime.parse.schema import NAME
from pipeline.imports.telemetry.coding import SeriesName
from pipeline.imports.telemetry.report import Findings
from pipeline.rows.catalogue import CATALOGUE

EXTRA_KEY = "importedColumns"
"""Key of the run's extra fields that holds what other columns said."""

_SERIES_FIELDS = ("unit", "kind", "class_kind")
_KNOWN_FACTS: dict[str, Any] = {"source": "telemetry", "mode": "telemetry"}
_NOT_PRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def describe(
    names: Sequence[SeriesName],
    grid: tuple[datetime, int, int],
    extras: Mapping[str, Sequence[str]],
    *,
    run_id: str | None,
    default_id: str,
    url: str,
    content: str,
    findings: Findings,
) -> Run:
    """Make the run.

    Args:
        names: Its series, by number.
        grid: Start of bin 0, width of a bin in minutes, number of bins.
        extras: Text of each extra column for each series, by number.
        run_id: The id that is wanted, or None for a `run_id` column's, then `default_id`.
        default_id: An id that is sure to be usable.
        url: The table, for people.
        content: sha256 hex of its bytes.
        findings: Where it is noted what was left out.
    """
    origin, minutes, bins = grid
    fields = _series_fields(extras, findings)
    once = {name: texts[0] for name, texts in extras.items() if texts[0] and _is_one(texts)}
    series = [
        SeriesSpec(
            id=name.id,
            measure=name.measure,
            component=name.component,
            class_name=name.class_name,
            kind=fields["kind"][code],
            unit=fields["unit"][code],
            class_kind=fields["class_kind"][code] or _class_kind(name),
            path=f"series/{name.id}.csv",
            points=bins,
        )
        for code, name in enumerate(names)
    ]
    chosen = run_id or _run_id(once.get("run_id"), findings) or default_id
    facts: dict[str, Any] = {
        name: _fact(name, once.get(name)) for name in RUN_FACTS if name not in _KNOWN_FACTS
    }
    used = {*_SERIES_FIELDS, "run_id", *(name for name, fact in facts.items() if fact is not None)}
    return Run(
        url=url,
        path="",
        name=chosen,
        run_id=chosen,
        grid=Grid(bins, minutes),
        series=SeriesTable.of(sorted(series, key=lambda one: one.id)),
        created=parse_instant(once.get("created_at", "")),
        time_origin=origin,
        origin_source="the table's timestamps",
        fingerprint=content,
        listing="",
        notes=tuple(findings.notes),
        warnings=(),
        extra=_extra(extras, once, used, names),
        **_KNOWN_FACTS,
        **facts,
    )


def _series_fields(
    extras: Mapping[str, Sequence[str]], findings: Findings
) -> dict[str, Mapping[int, str | None]]:
    fields: dict[str, Mapping[int, str | None]] = {}
    for name in _SERIES_FIELDS:
        texts = {code: _printable(text) for code, text in enumerate(extras.get(name, ()))}
        if any(text and texts[code] is None for code, text in enumerate(extras.get(name, ()))):
            findings.note(f"column {name!r}: texts with control characters were left out")
        fields[name] = _Defaulting(texts)
    return fields


class _Defaulting(dict[int, str | None]):
    """None for what is not there."""

    def __missing__(self, key: int) -> None:
        return None


def _class_kind(name: SeriesName) -> str:
    return "fallback" if name.class_name == DEFAULT_CLASS else "specific"


def _is_one(texts: Sequence[str]) -> bool:
    return all(text == texts[0] for text in texts)


def _printable(text: str | None) -> str | None:
    if not text or len(text) > MAX_TEXT or _NOT_PRINTABLE.search(text):
        return None
    return text


def _fact(name: str, text: str | None) -> str | int | None:
    return _whole(text) if CATALOGUE[name].type == "integer" else _printable(text)


def _whole(text: str | None) -> int | None:
    return int(text) if text and _WHOLE.fullmatch(text) else None


def _run_id(text: str | None, findings: Findings) -> str | None:
    """Return the id that the table gives to its run, if it can be a folder's name."""
    if not text:
        return None
    if NAME.fullmatch(text) and len(text) <= MAX_RUN_ID and text not in (".", ".."):
        return text
    findings.note("column 'run_id' was left out: its text cannot name a run")
    return None


def _extra(
    extras: Mapping[str, Sequence[str]],
    once: Mapping[str, str],
    used: set[str],
    names: Sequence[SeriesName],
) -> Mapping[str, object]:
    """Return what other columns say: one text where all series agree, else one for each series."""
    kept: dict[str, object] = {}
    for column, texts in extras.items():
        if column in used or not any(texts):
            continue
        said = {name.id: text for name, text in zip(names, texts, strict=True) if text}
        kept[column] = once.get(column) or dict(sorted(said.items()))
    return {EXTRA_KEY: kept} if kept else {}
