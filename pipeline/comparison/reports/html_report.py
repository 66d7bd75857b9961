"""Render a comparison as one HTML file that needs neither network nor script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from pipeline.comparison.matching import MatchedSides
from pipeline.comparison.metrics.differences import DEFINITIONS
from pipeline.comparison.reports.envelopes import Envelope, PairEnvelopes, envelopes_of
from pipeline.comparison.reports.svg_chart import ChartLine, ChartTime, svg_chart
from pipeline.comparison.result import STATUSES, Comparison, SeriesComparison
from pipeline.version import VERSION
from pipeline.wording import counted

MOST_CHARTS = 12
MOST_ROWS = 500
MOST_NAMES = 200
_POINTS = 480

_COLUMNS = (
    "Series", "Status", "Unit", "Bins", "Out of tolerance", "NaN on one side", "Max |d|",
    "Mean d", "MAE", "RMSE", "sMAPE", "Change", "Correlation",
)  # fmt: skip


def html_report(comparison: Comparison, sides: MatchedSides) -> str:
    """Return the report of a comparison, reading the worst series again for their charts.

    Args:
        comparison: The comparison.
        sides: Its sides, open.

    Raises:
        IntegrityError: The values of a side are not as they should be.
        StorageError: A side could not be read.
    """
    worst = [one for one in comparison.worst_first if one.metrics.status != "equal"][:MOST_CHARTS]
    ids = {one.pair.series_id for one in worst}
    drawn = {place: one for place, one in enumerate(comparison.series) if one.pair.series_id in ids}
    tolerances = [one.tolerance for one in drawn.values()]
    envelopes = envelopes_of(sides, list(drawn), tolerances, _POINTS)
    of_series = dict(zip((one.pair.series_id for one in drawn.values()), envelopes, strict=True))
    body = [
        _header(comparison),
        _sides(comparison),
        _notes(comparison),
        _metrics(comparison),
        *(_charts(comparison, one, of_series[one.pair.series_id]) for one in worst),
        _missing(comparison),
        _models(comparison),
        _definitions(),
    ]
    style = files("pipeline.comparison").joinpath("report.css").read_text("utf-8")
    title = f"{comparison.baseline.label} and {comparison.comparison.label}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: comparison</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(body)}</main>\n"
        f"<footer>flowtime-export {escape(VERSION)}</footer>\n</body>\n</html>\n"
    )


def _header(comparison: Comparison) -> str:
    counts = comparison.summary
    missing = len(comparison.only_in_baseline) + len(comparison.only_in_comparison)
    tiles: list[tuple[str, int, str]] = [
        *((status.capitalize(), counts[status], status) for status in STATUSES),
        ("On one side only", missing, "missing"),
    ]
    items = "".join(
        f'<li class="{name if count else "none"}"><b>{count:,}</b> {label}</li>'
        for label, count, name in tiles
    )
    return (
        f"<h1>{escape(comparison.baseline.label)} <span>and</span> "
        f"{escape(comparison.comparison.label)}</h1>\n"
        f'<ul class="tiles">{items}</ul>\n'
    )


def _sides(comparison: Comparison) -> str:
    alignment, grid = comparison.alignment, comparison.alignment.as_json()
    sides = (comparison.baseline.as_json(), comparison.comparison.as_json())
    rows = [
        ("Location", *(side["url"] for side in sides)),
        ("Kind", *(side["type"] for side in sides)),
        ("Run", *(side["runId"] for side in sides)),
        ("Title", *(side["title"] or "" for side in sides)),
        ("Starts", *(side["timeOrigin"] for side in sides)),
        ("Grid", *(_grid(side["grid"]) for side in sides)),
        ("Series", *(f"{side['series']:,}" for side in sides)),
    ]
    compared = (
        f"{counted(alignment.bins, 'bin')} of {alignment.bin_minutes} minutes, {grid['from']} to "
        f"{grid['to']}, aligned by {alignment.method.replace('_', ' ')}"
    )
    return (
        "<h2>What is compared</h2>\n"
        f"{_table(('', 'Baseline', 'Comparison'), rows, 'sides')}"
        f"<p>{escape(compared)}. Tolerance: {escape(_tolerance(comparison))}.</p>\n"
    )


def _grid(grid: Mapping[str, Any]) -> str:
    return f"{counted(grid['bins'], 'bin')} of {grid['binSize']} minutes"


def _tolerance(comparison: Comparison) -> str:
    bounds = comparison.tolerances.default.as_json()
    parts = [f"{name} {value:g}" for name, value in bounds.items() if value]
    rules = len(comparison.tolerances.rules)
    more = f", and {counted(rules, 'rule')} for some series" if rules else ""
    return (", ".join(parts) or "none") + more


def _notes(comparison: Comparison) -> str:
    notes = [*comparison.notes, *comparison.models.notes]
    notes += [
        f"{side.label}: {note}"
        for side in (comparison.baseline, comparison.comparison)
        for note in (*side.run.notes, *side.notes)
    ]
    if not notes:
        return ""
    return f"<details><summary>{counted(len(notes), 'note')}</summary>{_list(notes)}</details>\n"


def _metrics(comparison: Comparison) -> str:
    ordered = comparison.worst_first
    rows = [_metric_cells(one) for one in ordered[:MOST_ROWS]]
    more = len(ordered) - len(rows)
    note = f"<p>{more:,} more series are in the JSON report.</p>\n" if more else ""
    return f"<h2>Series, worst first</h2>\n{_table(_COLUMNS, rows, 'metrics')}{note}"


def _metric_cells(one: SeriesComparison) -> list[str]:
    found = one.metrics
    one_sided = found.nan_baseline_only + found.nan_comparison_only
    change = "" if found.percent_change is None else f"{found.percent_change:+.4g} %"
    return [
        one.pair.series_id,
        found.status,
        one.pair.unit or "",
        f"{found.n:,}",
        f"{found.out_of_tolerance:,}",
        f"{one_sided:,}",
        *map(_number, (found.max_abs, found.mean_difference, found.mae, found.rmse, found.smape)),
        change,
        _number(found.correlation),
    ]


def _charts(comparison: Comparison, one: SeriesComparison, drawn: PairEnvelopes) -> str:
    alignment = comparison.alignment
    time = ChartTime(alignment.start, alignment.bin_minutes, drawn.bins_per_point)
    name = one.pair.series_id
    unit = f" ({one.pair.unit})" if one.pair.unit else ""
    overlay = svg_chart(
        f"Baseline and comparison of {name}",
        [ChartLine("baseline", drawn.baseline), ChartLine("comparison", drawn.comparison)],
        drawn.band if drawn.has_tolerance else None,
        time,
    )
    bounds = None
    if drawn.has_tolerance:
        bounds = Envelope(-drawn.bound.high, drawn.bound.high)
    difference = svg_chart(
        f"Difference of {name}", [ChartLine("difference", drawn.difference)], bounds, time
    )
    band = '<span class="key band-key">tolerance</span>' if drawn.has_tolerance else ""
    thinned = (
        f"<p class='small'>Each point is the range of {drawn.bins_per_point:,} bins.</p>"
        if drawn.bins_per_point > 1
        else ""
    )
    return (
        f'<section class="series"><h3>{escape(name)}{escape(unit)} '
        f'<span class="status {one.metrics.status}">{one.metrics.status}</span></h3>\n'
        f'<figure>{overlay}<figcaption><span class="key baseline-key">baseline</span> '
        f'<span class="key comparison-key">comparison</span> {band}</figcaption></figure>\n'
        f'<figure>{difference}<figcaption><span class="key difference-key">difference</span> '
        f"{band}</figcaption></figure>{thinned}</section>\n"
    )


def _missing(comparison: Comparison) -> str:
    parts = []
    for names, side in (
        (comparison.only_in_baseline, "baseline"),
        (comparison.only_in_comparison, "comparison"),
    ):
        if names:
            more = len(names) - MOST_NAMES
            shown = [*names[:MOST_NAMES], *([f"and {more:,} more"] if more > 0 else [])]
            parts.append(f"<h2>Only in the {side}</h2>\n{_list(shown)}")
    return "".join(parts)


def _models(comparison: Comparison) -> str:
    differences = comparison.models.differences
    if not differences:
        return ""
    rows = [(one.path, one.baseline or "", one.comparison or "") for one in differences]
    table = _table(("What", "Baseline", "Comparison"), rows, "models")
    return f"<h2>Differences of the models</h2>\n{table}"


def _definitions() -> str:
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in DEFINITIONS.items()
    )
    return f"<details><summary>Definitions</summary><dl>{items}</dl></details>\n"


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]], kind: str) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(_row(row) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{kind}">'
        f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>\n"
    )


def _row(cells: Sequence[Any]) -> str:
    first, *others = (escape(str(cell)) for cell in cells)
    return f'<tr><th scope="row">{first}</th>{"".join(_cells(others))}</tr>'


def _cells(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield (
            f'<td><span class="status {text}">{text}</span></td>'
            if text in STATUSES
            else f"<td>{text}</td>"
        )


def _list(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
