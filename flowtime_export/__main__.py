"""The command line: `flowtime-export`, or `python -m flowtime_export`."""

from __future__ import annotations

from pipeline.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
