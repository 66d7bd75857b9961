"""What a fuzz target is, and how one input is tried on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.errors import FlowtimeExportError

CORPUS = Path(__file__).parent / "corpus"
LONGEST_MESSAGE = 20_000
CANARY = "canary-s3cret"
"""A secret of the environment, which no message may show."""

Shape = Literal["json", "lines", "text", "bytes"]


@dataclass(frozen=True)
class Target:
    """A reader of untrusted input.

    Attributes:
        name: What the command line and the corpus call it.
        shape: What its input is made of: how it is mutated.
        read: Reads an input, with a folder for files. It raises nothing but errors of ours, and
            AssertionError where what it took in does not hold.
        seeds: Inputs that are as they should be.
        words: What its input is made of, for mutations.
    """

    name: str
    shape: Shape
    read: Callable[[bytes, Path], None]
    seeds: Callable[[], Iterator[bytes]]
    words: tuple[bytes, ...] = field(default=())

    def corpus(self) -> Iterator[Path]:
        """Inputs that found something once, or that reach what others do not."""
        yield from sorted(path for path in (CORPUS / self.name).glob("*") if path.is_file())

    def attempt(self, data: bytes, folder: Path) -> str | None:
        """Try an input; the message where it was refused.

        Raises:
            Exception: A crash: whatever is not an error of ours.
            AssertionError: A promise is broken.
        """
        try:
            self.read(data, folder)
        except FlowtimeExportError as error:
            return _checked(str(error))
        return None


def _checked(message: str) -> str:
    """A message that does a terminal no harm and says something."""
    assert message.strip()
    assert CANARY not in message
    assert len(message) < LONGEST_MESSAGE, len(message)
    message.encode()
    assert all(line.isprintable() for line in message.split("\n")), repr(message)
    return message
