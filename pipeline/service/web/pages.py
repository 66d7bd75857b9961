"""Where the static files of the page are."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "page"
