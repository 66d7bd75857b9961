"""A library changes no state of the process that it is used in."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline.errors import FlowtimeExportError
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.verification import verify
from tests.exporting import config, spec, write_runs


def state() -> dict[str, Any]:
    """What a library could change for all others."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "temporary folder": tempfile.tempdir,
        "environment": dict(os.environ),
        "working directory": Path.cwd(),
        "umask": mask,
        "locale": locale.setlocale(locale.LC_ALL),
        "socket timeout": socket.getdefaulttimeout(),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "recursion": sys.getrecursionlimit(),
        "path": list(sys.path),
        "garbage": (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "decimal": str(decimal.getcontext()),
        "random": random.getstate(),
        "numpy": (np.geterr(), np.get_printoptions()),
        "polars": pl.Config.state(),
        "threads of arrow": (pa.cpu_count(), pa.io_thread_count()),
    }


def test_nothing_of_the_process_is_changed(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    sinks = [{"path": tmp_path / "out" / f"e.{form}"} for form in ("csv", "ndjson", "parquet")]
    before = state()
    export(config(runs, *sinks, execution={"timeout": "1h"}))
    assert state() == before
    with pytest.raises(FlowtimeExportError):
        export(config(runs, {"path": tmp_path / "f.csv"}, execution={"timeout": 0.0001}))
    assert state() == before
    target = str(tmp_path / "out" / "e.parquet")
    assert verify(target, str(runs)).ok
    import_export([target], str(tmp_path / "back"))
    assert state() == before
