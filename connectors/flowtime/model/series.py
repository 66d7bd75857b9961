"""Define series: what one is (its spec), and what its file must hold (its digest)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

DEFAULT_CLASS = "DEFAULT"
"""The class that FlowTime means where a series names none."""


@dataclass(frozen=True, slots=True)
class SeriesId:
    """A series id taken apart: `measure@component@class`, the tail being optional."""

    measure: str
    component: str | None
    class_name: str | None

    @classmethod
    def parse(cls, text: str) -> SeriesId:
        """Take `measure[@component[@class]]` apart.

        >>> SeriesId.parse("served@COMP_A")
        SeriesId(measure='served', component='COMP_A', class_name=None)
        """
        parts = text.split("@", 2)
        parts += [""] * (3 - len(parts))
        return cls(parts[0], parts[1] or None, parts[2] or None)


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """What a series of a run is, as index.json describes it.

    Attributes:
        id: The series id, as written in index.json.
        measure: What is measured.
        component: The component, or None where neither the id nor the index names one.
        class_name: The class; `DEFAULT` where none is named.
        kind: `flow`, `stock`, ... or None.
        unit: The unit of the values, or None.
        class_kind: `fallback`, `specific`, ... or None.
        path: Path of the CSV file, relative to the run directory, checked to stay in it.
        points: Number of rows the file must have.
    """

    id: str
    measure: str
    component: str | None
    class_name: str
    kind: str | None
    unit: str | None
    class_kind: str | None
    path: str
    points: int


class FileDigest(NamedTuple):
    """What the file of a series must hold.

    Attributes:
        sha256: Lower-case hex digest from manifest.json (else index.json), or None where
            there is none or only a placeholder.
        size: Bytes of the file when the run was listed, or None where the file is missing.
    """

    sha256: str | None = None
    size: int | None = None
