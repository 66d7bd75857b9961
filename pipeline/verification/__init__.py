"""Exports checked against their descriptor, and value by value against their runs."""

from __future__ import annotations

from pipeline.verification.check import verify
from pipeline.verification.report import VerifyReport

__all__ = ["VerifyReport", "verify"]
