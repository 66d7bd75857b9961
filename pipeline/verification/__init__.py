"""An export against its description and against its runs."""

from __future__ import annotations

from pipeline.verification.check import verify
from pipeline.verification.report import VerifyReport

__all__ = ["VerifyReport", "verify"]
