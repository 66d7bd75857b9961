"""Tests in parts: CI tries a quarter of their examples, `-m slow` the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import settings

Test = TypeVar("Test", bound=Callable[..., None])

PARTS = 4
VARIABLE = "FLOWTIME_TEST_EXAMPLES"
"""How many examples one part tries, where the environment says it."""


@pytest.fixture(
    scope="module",
    params=[0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, PARTS))],
)
def part(request: pytest.FixtureRequest) -> int:
    """One part of what a test tries; examples of properties are drawn anew in each."""
    return int(request.param)


def in_parts(examples: int, **more: Any) -> Callable[[Test], Test]:
    """Give a property test its number of examples, spread over parts.

    Args:
        examples: How many all parts try together.
        more: Further settings of Hypothesis.
    """
    each = int(os.environ.get(VARIABLE, examples // PARTS))

    def divided(test: Test) -> Test:
        limited = settings(max_examples=each, deadline=None, **more)(test)
        return pytest.mark.usefixtures("part")(limited)

    return divided
