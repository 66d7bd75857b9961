"""The command line that all peers share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PeerTask:
    """What a peer has to do.

    Attributes:
        source: The folder of run directories.
        outputs: Format → file to write.
        measure: The only measure that is wanted, or None for all.
        component: The only component that is wanted, or None for all.
    """

    source: Path
    outputs: dict[str, str]
    measure: str | None
    component: str | None


def peer_task() -> PeerTask:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("outputs", nargs="+", metavar="FORMAT=FILE")
    parser.add_argument("--measure")
    parser.add_argument("--component")
    args = parser.parse_args()
    outputs = dict(one.split("=", 1) for one in args.outputs)
    return PeerTask(args.source, outputs, args.measure, args.component)
