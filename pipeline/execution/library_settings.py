"""Have libraries give back memory that they do not use, and start no threads in vain."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

_SETTINGS = {
    # Arrow's own pool kept 25 MB of each process, and is no faster here.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # NumPy's linear algebra, which nothing here calls, has threads wait for work.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # The C library keeps a heap for each thread, and frees nothing between them: with all
    # their own, the threads of an export to Parquet kept 140 MB.
    "MALLOC_ARENA_MAX": "2",
    # Batches and their lines take a few megabytes each, again and again. Had they to come from
    # the system each time, to clear their pages would take 5 % of an export to text.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
_MALLOPT = {  # of <malloc.h>
    "MALLOC_ARENA_MAX": -8,
    "MALLOC_MMAP_THRESHOLD_": -3,
    "MALLOC_TRIM_THRESHOLD_": -1,
}


def library_settings() -> dict[str, str]:
    """Return environment variables for a process that exports; those that are set stay so.

    Libraries read theirs when they are loaded, the C library when a process starts.
    """
    return {name: os.environ.get(name, value) for name, value in _SETTINGS.items()}


def apply_library_settings() -> None:
    """Set the environment of this process, which has not loaded the libraries yet."""
    os.environ.update(library_settings())
    if sys.platform == "linux":
        with suppress(AttributeError, OSError, ValueError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            for name, parameter in _MALLOPT.items():
                mallopt(parameter, int(os.environ[name]))
