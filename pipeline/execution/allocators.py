"""Have the allocators of libraries give back what they do not use."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

_M_ARENA_MAX = -8  # of <malloc.h>
_SETTINGS = {
    # Arrow's own pool kept 25 MB of each process, and is no faster here.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # The C library keeps a heap for each thread, and frees nothing between them.
    "MALLOC_ARENA_MAX": "2",
}


def allocator_settings() -> dict[str, str]:
    """Return environment variables for a process that exports; those that are set stay so.

    Arrow reads its own when it is loaded, the C library when a process starts.
    """
    return {name: os.environ.get(name, value) for name, value in _SETTINGS.items()}


def apply_allocator_settings() -> None:
    """Apply what the environment says of the C library, which this process began without."""
    if sys.platform == "linux":
        with suppress(AttributeError, KeyError, OSError, ValueError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, int(os.environ["MALLOC_ARENA_MAX"]))
