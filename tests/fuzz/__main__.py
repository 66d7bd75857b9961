"""Runs one target by hand, with new inputs until it fails or its time is over.

python -m tests.fuzz series --minutes 60

New inputs go to out/fuzz/TARGET, an input that fails to out/fuzz/TARGET-crash-...: fix what it
found and put it into tests/fuzz/corpus/TARGET under a name that says what it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["connectors", "pipeline"]):
    # The package itself imports nothing, so that all of it is read here.
    from tests.fuzz.mutations import mutated
    from tests.fuzz.targets import TARGETS

LONGEST_SECONDS = 10
MOST_MEGABYTES = 1024
MOST_BYTES = 65_536


def main() -> None:
    """Fuzz the target that the command line names; ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    asked = parser.parse_args()
    target = TARGETS[asked.target]
    found = asked.out / target.name
    seeds = asked.out / f"{target.name}-seeds"
    for folder in (found, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*target.seeds(), *(p.read_bytes() for p in target.corpus())]):
        (seeds / f"{number:04d}").write_bytes(data)
    with TemporaryDirectory(prefix="flowtime-fuzz-") as scratch:

        def attempt(data: bytes) -> None:
            target.attempt(data, Path(scratch))

        def mutate(data: bytes, most: int, seed: int) -> bytes:
            random = Random(seed)
            made = mutated(data, target.shape, target.words, random) if seed % 4 else None
            return made if made is not None and len(made) <= most else atheris.Mutate(data, most)

        atheris.Setup(
            [
                sys.argv[0],
                f"-max_total_time={int(asked.minutes * 60)}",
                f"-timeout={LONGEST_SECONDS}",
                f"-rss_limit_mb={MOST_MEGABYTES}",
                f"-max_len={MOST_BYTES}",
                f"-artifact_prefix={asked.out}/{target.name}-",
                "-print_final_stats=1",
                str(found),
                str(seeds),
            ],
            attempt,
            custom_mutator=mutate,
        )
        atheris.Fuzz()


main()
