"""Locate the static files of the page."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "page"
