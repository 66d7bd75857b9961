"""Write the files of a comparison: rows through the sinks, and reports."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.flowtime.model.run import NEVER_READ_FOLDERS
from connectors.storage import StorageOptions, connect, relative
from pipeline.comparison.difference_rows import difference_columns, difference_frames
from pipeline.comparison.matching import MatchedSides
from pipeline.comparison.reports.html_report import html_report
from pipeline.comparison.result import Comparison, metrics_as_json
from pipeline.errors import ConfigError
from pipeline.registry.records.entries import DescriptorToEnter
from pipeline.writing.page_output import PageTarget
from pipeline.writing.table_output import StagedTable, TableTarget, stage_tables

HTML_SUFFIX = ".html"
_PACKAGE = "comparison"


@dataclass(frozen=True)
class OutputFiles:
    """Where the outputs of a comparison go.

    Attributes:
        tables: Tables of the differences.
        pages: HTML reports.
    """

    tables: tuple[TableTarget, ...] = ()
    pages: tuple[PageTarget, ...] = ()

    @classmethod
    def of(cls, urls: Iterable[str], options: StorageOptions | None = None) -> OutputFiles:
        """Return the outputs at some URLs, by their endings.

        Raises:
            ConfigError: An ending names no format.
        """
        tables: list[TableTarget] = []
        pages: list[PageTarget] = []
        for url in urls:
            if url.lower().endswith(HTML_SUFFIX):
                pages.append(PageTarget.of(url, options))
            else:
                tables.append(TableTarget.of(url, options))
        return cls(tuple(tables), tuple(pages))

    def refuse_overlap(self, sides: MatchedSides) -> None:
        """Refuse to write into what is compared, a run's own folder for exports apart.

        Raises:
            ConfigError: An output would.
        """
        targets: list[TableTarget | PageTarget] = [*self.tables, *self.pages]
        for target in targets:
            for side in (sides.baseline, sides.comparison):
                storage, path = connect(side.location)
                below = relative(target.path, path)
                if storage.protocol != target.storage.protocol or below is None:
                    continue
                if below.partition("/")[0] not in NEVER_READ_FOLDERS:
                    raise ConfigError(
                        f"{target.storage.url(target.path)}: lies in {side.location}, which is "
                        "compared: write it elsewhere"
                    )


def write_outputs(
    comparison: Comparison,
    sides: MatchedSides,
    files: OutputFiles,
    now: datetime | None = None,
) -> tuple[DescriptorToEnter, ...]:
    """Write the outputs of a comparison while its sides are open.

    Everything is staged before the first file becomes visible. Tables have descriptors; a report
    has one where no table is written that has, or where an earlier one is to be replaced.

    Args:
        comparison: The comparison.
        sides: Its sides.
        files: Where the outputs go.
        now: When the comparison was made; default the current time.

    Returns:
        The descriptors.

    Raises:
        ConfigError: An output would be written into what is compared.
        IntegrityError: The values of a side are not as they should be.
        SinkError: An output could not be written.
        StorageError: A store failed.
    """
    files.refuse_overlap(sides)
    report = html_report(comparison, sides) if files.pages else ""
    created = (now or datetime.now(UTC)).astimezone(UTC)
    described = {
        **_about(comparison),
        "baseline": sides.baseline.as_described(),
        "comparison": sides.comparison.as_described(),
        "total": metrics_as_json(comparison.total),
    }
    with ExitStack() as stack:
        staged: list[StagedTable] = []
        if files.tables:
            pairs = sides.pairing.pairs
            frames = difference_frames(sides, range(len(pairs)))
            about = {"content": "differences", **_about(comparison)}
            staged = stage_tables(files.tables, difference_columns(pairs), about, frames)
        for table in staged:
            stack.callback(table.discard)
        publish_tables(staged, described, created)
    written = {target.descriptor: target.storage for target in files.tables}
    for page in files.pages:
        if files.tables and not page.is_described():
            page.write(report)
        else:
            page.publish(report, _PACKAGE, {"comparison": described}, created)
            written[page.descriptor] = page.storage
    return tuple(DescriptorToEnter(place, path, is_new=True) for path, place in written.items())


def publish_tables(staged: Iterable[StagedTable], about: dict[str, Any], created: datetime) -> None:
    """Make staged tables visible, each with its descriptor.

    Raises:
        StorageError: A store refused a file.
    """
    for table in staged:
        table.publish(_PACKAGE, {"comparison": about}, created)


def _about(comparison: Comparison) -> dict[str, Any]:
    """Return what a file or its descriptor says of the comparison."""
    return {
        "baseline": comparison.baseline.as_json(),
        "comparison": comparison.comparison.as_json(),
        "alignment": comparison.alignment.as_json(),
        "tolerance": comparison.tolerances.as_json(),
        "summary": dict(comparison.summary),
    }
