"""Repeat an export, so that runs are exported as they complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

from pipeline.config import ExportConfig
from pipeline.errors import ConfigError, FlowtimeExportError
from pipeline.exports.report import Report
from pipeline.exports.run import export

Round = Report | FlowtimeExportError
"""What one export of a watch gave: its report, or why it failed."""


@dataclass
class Watch:
    """Exports a config at an interval until it is stopped.

    An export with nothing new writes nothing, so a round costs little more than a listing. A round
    that fails, because a run is broken or a store does not answer, is reported and tried again;
    only what no later round can repair, an error in the config, ends the watch.

    Attributes:
        config: The settings.
        interval: Seconds from the end of one export to the beginning of the next.
        export: Exports the config once.
        goes_on: Answers before each export whether there is to be one.
        stopped: Set it, from any thread, to end the watch once the export under way is done.
    """

    config: ExportConfig
    interval: float
    export: Callable[[ExportConfig], Report] = export
    goes_on: Callable[[], bool] = lambda: True
    stopped: Event = field(default_factory=Event)
    _last: object = field(default=None, init=False, repr=False)

    def rounds(self) -> Iterator[Round]:
        """Yield every round that has news: the first, what was written, what changed.

        Raises:
            ConfigError: The config does not fit the runs.
        """
        while not self.stopped.is_set() and self.goes_on():
            result = self._export()
            if self._is_news(result):
                yield result
            self.stopped.wait(self.interval)

    def _export(self) -> Round:
        try:
            return self.export(self.config)
        except ConfigError:
            raise
        except FlowtimeExportError as error:
            return error

    def _is_news(self, result: Round) -> bool:
        before, self._last = self._last, _gist(result)
        written = isinstance(result, Report) and any(
            target.status == "exported" for target in result.targets
        )
        return written or self._last != before


def _gist(result: Round) -> object:
    if isinstance(result, Report):
        return result.runs, result.left_out
    return type(result), str(result)
