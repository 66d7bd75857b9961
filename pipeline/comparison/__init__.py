"""Compare two runs, exports or tables, value by value."""

from __future__ import annotations

from pipeline.comparison.compare import compare, compare_sides
from pipeline.comparison.matching import ComparisonOptions, ComparisonRequest
from pipeline.comparison.result import Comparison
from pipeline.comparison.side import SideSource
from pipeline.comparison.tolerance import Tolerance, Tolerances

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
