"""Every input that found something once, and every valid one, is tried again.

Meant to fail when something that reads untrusted input raises what is no error of ours, says
what harms a terminal, takes longer than 10 s, or grows by more than 1 GiB.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS

LONGEST_SECONDS = 10
MOST_KILOBYTES = 1 << 20


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str, tmp_path: Path) -> None:
    """A target whose seeds are refused tries nothing."""
    target = TARGETS[name]
    taken = [target.attempt(data, tmp_path) for data in target.seeds()]
    assert None in taken, taken


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in target.corpus():
        began = time.monotonic()
        target.attempt(path.read_bytes(), tmp_path)
        assert time.monotonic() - began < LONGEST_SECONDS, path
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_new_ones(name: str, tmp_path: Path) -> None:
    """The same few in each CI run: the mutations themselves are held to work."""
    target = TARGETS[name]
    random = Random(name)
    seeds = list(target.seeds())
    for _ in range(30):
        seed = random.choice(seeds)
        data = mutated(seed, target.shape, target.words, random) or seed[: random.randrange(200)]
        target.attempt(data, tmp_path)
