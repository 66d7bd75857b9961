"""Code the series names of a foreign table as small numbers, and gather its extra columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from connectors.flowtime.parse.dialects import MAX_TEXT
from connectors.flowtime.parse.schema import MAX_SERIES, NAME
from pipeline.imports.telemetry.files.rows import Array, Layout
from pipeline.imports.telemetry.options import ForeignOptions
from pipeline.imports.telemetry.report import Findings

_LONGEST = MAX_TEXT + 88
_BITS = 21
_MOST_WRONG_NAMES = 1_000
_LONGEST_ID = 251
"""Bytes of a file's name, less those of `.csv`."""

_Check = Callable[[str], bool]


def _is_name(text: str) -> bool:
    return len(text) <= MAX_TEXT and NAME.fullmatch(text) is not None


def _is_part(text: str) -> bool:
    return _is_name(text) and "@" not in text


class _Names:
    """The distinct texts of a column, numbered as they appear."""

    def __init__(self, check: _Check) -> None:
        self._categories = pl.Categories.random()
        # Polars forgets the numbers once no series has them any more.
        self._kept = pl.Series([""], dtype=pl.Categorical(self._categories))
        self._check = check
        self.valid: Array = np.array([check("")])

    def codes(self, column: pl.Series) -> Array:
        """Return the number of each text, nulls being empty texts."""
        texts = column.fill_null("")
        longest = texts.str.len_bytes().max()
        if isinstance(longest, int) and longest > _LONGEST:
            texts = texts.str.slice(0, _LONGEST)
        codes: Array = texts.cast(pl.Categorical(self._categories)).to_physical().to_numpy()
        if len(codes) and int(codes.max()) >= len(self.valid):
            new = range(len(self.valid), int(codes.max()) + 1)
            checked = np.array([self._check(str(self._categories[code])) for code in new])
            self.valid = np.concatenate([self.valid, checked])
        return codes

    def texts(self) -> list[str]:
        """Return every text so far, in the order of the numbers."""
        return [str(self._categories[code]) for code in range(len(self.valid))]


@dataclass(frozen=True, slots=True)
class SeriesName:
    """What a series is called."""

    measure: str
    component: str
    class_name: str

    @property
    def id(self) -> str:
        """`measure@component@class`."""
        return f"{self.measure}@{self.component}@{self.class_name}"


class SeriesCoding:
    """The distinct series of a table, numbered as they appear."""

    def __init__(self, layout: Layout, options: ForeignOptions, findings: Findings) -> None:
        self._layout = layout
        self._class_name = options.class_name
        self._findings = findings
        self._components = _Names(_is_part)
        self._measures = _Names(_is_part)
        self._classes = _Names(_is_name)
        self._sorted: Array = np.zeros(0, dtype=np.int64)
        self._order: Array = np.zeros(0, dtype=np.int64)
        self._keys: list[Array] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def codes(self, frame: pl.DataFrame, places: Array) -> tuple[Array, Array]:
        """Return the series of each row, and which rows have one.

        Raises:
            StopReadingError: There are too many series, or too many wrong names.
        """
        layout = self._layout
        components = self._components.codes(frame[layout.component])
        measures = self._measures.codes(frame[layout.measure])
        part = "1 to 512 of A-Z a-z 0-9 . _ -"
        good = self._checked(frame, layout.component, self._components, components, places, part)
        good &= self._checked(frame, layout.measure, self._measures, measures, places, part)
        if layout.class_name is None:
            classes = self._classes.codes(pl.Series([self._class_name])).repeat(frame.height)
        else:
            name = layout.class_name
            texts = frame[name].fill_null("").replace("", self._class_name)
            classes = self._classes.codes(texts)
            good &= self._checked(frame, name, self._classes, classes, places, f"{part} or @")
        keys = (
            (components.astype(np.int64) << 2 * _BITS)
            | (measures.astype(np.int64) << _BITS)
            | classes
        )
        return self._numbered(keys[good]), good

    def _checked(
        self,
        frame: pl.DataFrame,
        column: str,
        names: _Names,
        codes: Array,
        places: Array,
        expected: str,
    ) -> Array:
        good: Array = names.valid[codes]
        if good.all():
            return good
        wrong = np.flatnonzero(~good)
        texts = frame[column]
        found = ((int(places[at]), texts[int(at)] or "") for at in wrong)
        self._findings.add_all("name", column, f"should be {expected}", found, len(wrong))
        if np.count_nonzero(~names.valid) > _MOST_WRONG_NAMES:
            raise self._findings.stop(
                "name",
                int(places[wrong[-1]]),
                column,
                f"more than {_MOST_WRONG_NAMES:,} different wrong names",
                "reading stopped here",
            )
        return good

    def _numbered(self, keys: Array) -> Array:
        """Return the number of each key; equal neighbours are looked up once."""
        if not len(keys):
            return np.zeros(0, dtype=np.uint32)
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        heads = keys[begins]
        at = np.searchsorted(self._sorted, heads)
        known = at < len(self._sorted)
        known[known] = self._sorted[at[known]] == heads[known]
        if not known.all():
            self._learn(np.unique(heads[~known]))
            at = np.searchsorted(self._sorted, heads)
        lengths = np.diff(np.concatenate([begins, [len(keys)]]))
        numbered: Array = np.repeat(self._order[at].astype(np.uint32), lengths)
        return numbered

    def _learn(self, keys: Array) -> None:
        total = len(self._sorted) + len(keys)
        if total > MAX_SERIES:
            raise self._findings.stop(
                "size", None, None, f"more than {MAX_SERIES:,} series", "import the table in parts"
            )
        self._keys.append(keys)
        merged = np.concatenate([self._sorted, keys])
        numbers = np.concatenate([self._order, np.arange(len(self._sorted), total)])
        order = np.argsort(merged, kind="stable")
        self._sorted, self._order = merged[order], numbers[order]

    def names(self) -> list[SeriesName]:
        """Return what the series are called, by their numbers."""
        if not self._keys:
            return []
        keys = np.concatenate(self._keys)
        components, measures = self._components.texts(), self._measures.texts()
        classes = self._classes.texts()
        mask = (1 << _BITS) - 1
        return [
            SeriesName(
                measures[key >> _BITS & mask], components[key >> 2 * _BITS], classes[key & mask]
            )
            for key in keys.tolist()
        ]

    def check_names(self, names: list[SeriesName]) -> None:
        """Note names that are too long for a file."""
        for name in names:
            if len(name.id) > _LONGEST_ID:
                self._findings.add(
                    "name",
                    None,
                    None,
                    f"the series id {name.id!r:.60}... has {len(name.id)} characters",
                    f"at most {_LONGEST_ID} fit the name of its file",
                )


class ExtraColumns:
    """What columns beyond the known ones say of each series, as long as they say one thing."""

    _FRESH = np.uint32(2**32 - 1)

    def __init__(self, layout: Layout, findings: Findings) -> None:
        self._findings = findings
        self._names = {name: _Names(lambda text: True) for name in layout.extras}
        self._firsts: dict[str, Array] = {
            name: np.zeros(0, dtype=np.uint32) for name in layout.extras
        }

    def look(self, frame: pl.DataFrame, good: Array, codes: Array, series: int) -> None:
        """Take in the rows of a batch; columns that vary within a series are given up."""
        for name in list(self._names):
            texts = self._names[name].codes(frame[name])[good]
            firsts = self._grown(name, series)
            fresh = firsts[codes] == self._FRESH
            if fresh.any():
                # Of several rows of one series the first one counts: written last, backwards.
                firsts[codes[fresh][::-1]] = texts[fresh][::-1]
            if (firsts[codes] != texts).any() or len(self._names[name].valid) > MAX_SERIES:
                self._findings.note(f"column {name!r:.80} was left out: it varies within a series")
                del self._names[name], self._firsts[name]

    def _grown(self, name: str, series: int) -> Array:
        firsts = self._firsts[name]
        if len(firsts) < series:
            more = np.full(max(series, 2 * len(firsts)) - len(firsts), self._FRESH)
            firsts = self._firsts[name] = np.concatenate([firsts, more])
        return firsts

    def found(self, series: int) -> Iterator[tuple[str, list[str]]]:
        """Yield each column that is left, with its text for each series."""
        for name, names in self._names.items():
            texts = names.texts()
            yield name, [texts[code] for code in self._firsts[name][:series].tolist()]
