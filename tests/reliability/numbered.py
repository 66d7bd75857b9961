"""Names of staged files that are the same in each export, but for the exporter's process id."""

from __future__ import annotations

import itertools
import multiprocessing
import re
import secrets
from typing import Any

from pipeline.execution import processes

begin_worker = processes._begin


def number_names(process: int) -> None:
    """Have random parts of names be the number of a process among its likes, and a count."""
    numbers = itertools.count(1)
    secrets.token_hex = lambda size=32: f"{process:x}{next(numbers):0{2 * (size or 32) - 1}x}"


def begin_numbered_worker(*given: Any) -> None:
    """Prepare a worker process, in the place of `processes._begin`."""
    _, place = re.split("[-:](?=[0-9]+$)", multiprocessing.current_process().name)
    number_names(int(place))
    begin_worker(*given)
