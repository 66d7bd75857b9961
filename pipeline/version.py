"""The version of this project, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("flowtime-export")
except PackageNotFoundError:  # run from a checkout that was never installed
    VERSION = "0+unknown"

FORMAT_VERSION = 3
"""Version of the layouts that outputs follow; a change of bytes raises it."""
