"""An export against its description and against its runs."""

from __future__ import annotations

from pipeline.verify.report import VerifyReport
from pipeline.verify.verification import verify

__all__ = ["VerifyReport", "verify"]
