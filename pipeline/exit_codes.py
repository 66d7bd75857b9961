"""Define the exit codes of the command line, which reports and orchestrators use as well."""

from __future__ import annotations

DONE = 0
"""Done, or nothing to do."""
FAILED = 1
"""Failed; nothing was published in part."""
USAGE = 2
"""Wrong usage or config."""
SKIPPED = 3
"""Finished, but broken runs were left out."""
DIFFERENT = 4
"""`compare` found what `--fail-on` names."""
INTERRUPTED = 130
"""Interrupted by SIGINT."""
TERMINATED = 143
"""Terminated by SIGTERM."""
