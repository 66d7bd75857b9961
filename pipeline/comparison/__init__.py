"""Compare two runs, exports or tables, value by value."""

from __future__ import annotations

from pipeline.comparison.compare import compare, compare_sides
from pipeline.comparison.matching import ComparisonOptions, ComparisonRequest
from pipeline.comparison.metrics.tolerance import Tolerance, Tolerances
from pipeline.comparison.result import Comparison
from pipeline.comparison.sides.side import SideSource

__all__ = [
    "Comparison",
    "ComparisonOptions",
    "ComparisonRequest",
    "SideSource",
    "Tolerance",
    "Tolerances",
    "compare",
    "compare_sides",
]
