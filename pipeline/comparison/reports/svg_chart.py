"""Draw charts as inline SVG: lines, their tolerance band, and axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any

import numpy as np

from pipeline.comparison.reports.envelopes import Envelope

_Array = np.ndarray[Any, Any]

_WIDTH, _HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 28
_TICKS = 4
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line of a chart.

    Attributes:
        name: Class of its colour in the style sheet.
        values: What it shows.
    """

    name: str
    values: Envelope


@dataclass(frozen=True, slots=True)
class ChartTime:
    """The time axis of a chart.

    Attributes:
        start: Start of the first bin.
        bin_minutes: Width of a bin.
        bins_per_point: Bins that share a place on the axis.
    """

    start: datetime
    bin_minutes: int
    bins_per_point: int

    def at(self, point: int) -> datetime:
        """Return when a point starts."""
        return self.start + timedelta(minutes=point * self.bins_per_point * self.bin_minutes)


def svg_chart(
    title: str, lines: Sequence[ChartLine], band: Envelope | None, time: ChartTime
) -> str:
    """Return a chart as an SVG element.

    Args:
        title: What it shows, for screen readers.
        lines: Its lines, the last on top.
        band: An area behind them, or None.
        time: Its time axis.
    """
    shown = [line.values for line in lines] + ([] if band is None else [band])
    low, high = _range(shown)
    scale = _Scale(low, high, len(lines[0].values.low))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_value_axis(scale),
        *_time_axis(scale, time),
    ]
    if band is not None:
        parts += [f'<polygon class="band" points="{points}"/>' for points in _areas(scale, band)]
    for line in lines:
        parts += [
            f'<polyline class="line {line.name}" points="{points}"/>'
            for points in _strokes(scale, line.values)
        ]
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    count: int

    def x(self, place: float) -> float:
        step = (_WIDTH - _LEFT - _RIGHT) / max(1, self.count - 1)
        return round(_LEFT + place * step, 1)

    def y(self, value: float) -> float:
        # Halves, since the range of two doubles may be larger than any double.
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _range(shown: Sequence[Envelope]) -> tuple[float, float]:
    lows = [float(np.nanmin(one.low)) for one in shown if not np.isnan(one.low).all()]
    highs = [float(np.nanmax(one.high)) for one in shown if not np.isnan(one.high).all()]
    if not lows:
        return 0.0, 1.0
    low, high = min(lows), max(highs)
    if high / 2 - low / 2 <= abs(high) * 1e-15:
        room = abs(high) / 2 or 1.0
        return low - room, high + room
    return low, high


def _strokes(scale: _Scale, values: Envelope) -> Iterator[str]:
    """Yield the points of each unbroken part of a line; a point is a stroke from low to high."""
    for first, end in _parts(values):
        points = []
        for place in range(first, end):
            x = scale.x(place)
            points.append(f"{x},{scale.y(values.low[place])}")
            if values.high[place] != values.low[place]:
                points.append(f"{x},{scale.y(values.high[place])}")
        if end - first == 1:  # a point by itself would not be seen
            points.append(f"{scale.x(first + 0.4)},{points[-1].partition(',')[2]}")
        yield " ".join(points)


def _areas(scale: _Scale, values: Envelope) -> Iterator[str]:
    for first, end in _parts(values):
        upper = [f"{scale.x(p)},{scale.y(values.high[p])}" for p in range(first, end)]
        lower = [f"{scale.x(p)},{scale.y(values.low[p])}" for p in reversed(range(first, end))]
        yield " ".join([*upper, *lower])


def _parts(values: Envelope) -> Iterator[tuple[int, int]]:
    present = np.concatenate([[False], ~np.isnan(values.low), [False]])
    edges = np.flatnonzero(np.diff(present.astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _value_axis(scale: _Scale) -> Iterator[str]:
    for value in _ticks(scale.low, scale.high):
        y = scale.y(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.4g}</text>'


def _ticks(low: float, high: float) -> list[float]:
    span = high - low
    if not math.isfinite(span):
        return [low, high]
    power = 10.0 ** math.floor(math.log10(span / _TICKS)) if span / _TICKS > 1e-300 else 0.0
    if power == 0:
        return [low, high]
    step = next(step * power for step in _STEPS if step * power >= span / _TICKS * 0.999)
    first = math.ceil(low / step)
    return [number * step for number in range(first, first + _TICKS + 2) if number * step <= high]


def _time_axis(scale: _Scale, time: ChartTime) -> Iterator[str]:
    span = time.at(scale.count) - time.start
    form = "%Y-%m-%d" if span > timedelta(days=3) else "%m-%d %H:%M"
    last = scale.count - 1
    for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        place = round(last * share)
        if share and not last:
            return
        text = time.at(place).strftime(form)
        yield (
            f'<text class="tick" x="{scale.x(place)}" y="{_HEIGHT - 8}" '
            f'text-anchor="{anchor}">{text}</text>'
        )
