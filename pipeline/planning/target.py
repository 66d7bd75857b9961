"""Resolve where the files of a sink go: templates to paths that stay where they belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.flowtime.discover.source_root import SourceRoot
from connectors.flowtime.model.run import NEVER_READ_FOLDERS, Run
from connectors.storage import (
    StandardOutput,
    Storage,
    StorageOptions,
    connect,
    join,
    relative,
    standard_output,
)
from pipeline.config import ExportConfig
from pipeline.config.path_template import (
    differs_by_run,
    format_of,
    names_run,
    probe_path,
    stem,
    template_fields,
)
from pipeline.datapackage.descriptor import (
    FILE_SUFFIX,
    FOLDER_NAME,
    data_set_target,
    table_target,
)
from pipeline.errors import ConfigError
from pipeline.lake_tables.contract import LakeTable
from pipeline.lake_tables.opening import open_lake_table
from pipeline.planning.source_roots import source_roots
from pipeline.sinks import Sink


@dataclass(frozen=True, eq=False)
class Target:
    """One export of one sink: a file or a folder of files, with a descriptor.

    Each is equal to itself alone, and so a key of what belongs to it.

    Attributes:
        storage: Where it is.
        path: The file or folder, as the storage names it.
        url: The same for people.
        is_folder: Whether it is a data set of files.
        runs: Rows of the runs it holds.
        link_free_root: The folder below which no link is followed, as the target is in a run's
            own folder; None elsewhere.
        table: The lake table whose folder it is; None where files are all there is.
        run_url: The run whose part of a lake table it is; None for whole exports.
    """

    storage: Storage
    path: str
    url: str
    is_folder: bool
    runs: tuple[int, ...]
    link_free_root: str | None = None
    table: LakeTable | None = None
    run_url: str | None = None

    @property
    def folder(self) -> str:
        """The folder of the descriptor."""
        return self.path if self.is_folder else self.path.rpartition("/")[0]

    @property
    def descriptor(self) -> str:
        """Path of the descriptor."""
        if self.is_folder:
            return join(self.path, FOLDER_NAME)
        return join(self.folder, stem(self.path.rpartition("/")[2]) + FILE_SUFFIX)

    @property
    def is_stdout(self) -> bool:
        """Whether it is standard output, which keeps no descriptor."""
        return isinstance(self.storage, StandardOutput)

    @property
    def descriptor_url(self) -> str | None:
        """The descriptor for people; None where there is none."""
        return None if self.is_stdout else self.storage.url(self.descriptor)

    def relative_path(self, path: str) -> str:
        """Return the path of one of its files as the descriptor names it."""
        return path.removeprefix(self.folder).lstrip("/")

    def refuse_links(self, path: str) -> None:
        """Refuse a path of this target that leads through a link of a run directory.

        Raises:
            StorageError: It does, and so to where it may not be written.
        """
        if self.link_free_root is not None:
            self.storage.refuse_links(self.link_free_root, path)

    def parts(self, runs: Sequence[Run]) -> list[Target]:
        """Return what is replaced at a time: each run of a lake table, else all of the target.

        Args:
            runs: The runs of the export.
        """
        if self.table is None:
            return [self]
        return [replace(self, runs=(row,), run_url=runs[row].url) for row in self.runs]

    def identity(self, sink: Sink) -> str:
        """Return what distinguishes this target from others of its descriptor."""
        if self.run_url is not None:
            return table_target(sink.format, self.run_url)
        if self.is_folder:
            return data_set_target(sink.format)
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class TargetResolver:
    """Makes the targets of sinks.

    Attributes:
        name: The config's name.
        now: When the export began, UTC.
        storage: The storage that the runs are read from.
        roots: The folders that they are looked for in.
        source_options: Option set of that storage.
        options: Option set of a named storage; None is the source's own.
    """

    name: str
    now: datetime
    storage: Storage
    roots: tuple[SourceRoot, ...]
    source_options: StorageOptions | None
    options: Callable[[str | None], StorageOptions | None]

    @classmethod
    def of(cls, config: ExportConfig, now: datetime) -> TargetResolver:
        """Return the resolver of a config's sinks; no request is made.

        Args:
            config: The settings.
            now: When the export began, UTC.

        Raises:
            StorageError: The source's URL is none, or no package knows its protocol.
        """
        storage, roots = source_roots(config)
        return cls(
            name=config.name,
            now=now,
            storage=storage,
            roots=roots,
            source_options=config.storage_options(config.source.storage),
            options=config.storage_options,
        )

    def of_all_runs(self, sink: Sink) -> Target | None:
        """Return the target that holds all runs, or None where the path differs by run."""
        return None if differs_by_run(sink.path) else self.target(sink, None, ())

    def targets(self, sink: Sink, runs: Sequence[Run]) -> list[Target]:
        """Return the targets of a sink, none of which lies in what the source reads.

        Raises:
            ConfigError: Two runs share a target whose path names the run, or a target lies among
                the runs.
        """
        if not differs_by_run(sink.path):
            return [self._checked(self.target(sink, None, tuple(range(len(runs)))), runs)]
        made: dict[tuple[Storage, str], Target] = {}
        for row, run in enumerate(runs):
            target = self._checked(self.target(sink, run, (row,)), [run])
            key = (target.storage, target.path)
            before = made.get(key)
            if before is None:
                made[key] = target
            elif names_run(sink.path):
                raise ConfigError(
                    f"runs {runs[before.runs[0]].url} and {run.url} would both be written to "
                    f"{target.url}: name the run by {{run_name}} or {{run_url}} in the sink's path"
                )
            else:
                made[key] = replace(before, runs=(*before.runs, row))
        return list(made.values())

    def target(self, sink: Sink, run: Run | None, rows: tuple[int, ...]) -> Target:
        """Return the target of a sink for one run or for all, without any check."""
        if sink.is_stdout:
            stdout = standard_output()
            return Target(stdout, sink.path, stdout.url(sink.path), False, rows)
        storage, path = self.place(sink, sink.path, run)
        table = open_lake_table(sink, storage, path)
        is_folder = format_of(probe_path(sink.path, name=self.name, form=sink.format)) is None
        return Target(storage, path, storage.url(path), is_folder, rows, table=table)

    def place(self, sink: Sink, template: str, run: Run | None = None) -> tuple[Storage, str]:
        """Return the storage and the path of a template for a sink, without any check.

        Args:
            sink: The sink.
            template: Its path, or a part of it.
            run: What fields of a run are filled in with.
        """
        url = self._render(sink, template, run)
        of_run = sink.storage is None and sink.path.startswith("{run_url}")
        options = self.source_options if of_run else self.options(sink.storage)
        return connect(url, options)

    def _render(self, sink: Sink, template: str, run: Run | None) -> str:
        fields = {"name": self.name, "format": sink.format, "date": self.now.strftime("%Y-%m-%d")}
        if run is not None:
            fields |= {"run_id": run.run_id, "run_name": run.name, "run_url": run.url}
            wanted = template_fields(template)
            for key in ("run_id", "run_name"):
                if key in wanted:
                    _refuse_unsafe(key, fields[key], run)
            if "created_date" in wanted:
                fields["created_date"] = _created_date(run)
        url = template.format(**fields)
        # The name of a run is never a home folder.
        return f"./{url}" if url.startswith("~") and template.startswith("{") else url

    def _checked(self, target: Target, runs: Sequence[Run]) -> Target:
        """Return a target whose path is outside the source, or in a run's own folder.

        Raises:
            ConfigError: It is elsewhere in the source.
        """
        if target.storage.protocol != self.storage.protocol:
            return target
        for root in self.roots:
            if relative(target.path, root.path) is not None:
                if any(_is_own_folder(target.path, run.path) for run in runs):
                    return replace(target, link_free_root=root.path)
                if root.covers(target.path):
                    raise in_source(target, root.url(self.storage))
        return target


def in_source(target: Target, source: str) -> ConfigError:
    """Return the error of a target that is in what the source reads."""
    return ConfigError(
        f"the sink would write {target.url} below {source}, which the source reads: choose a path "
        "outside, or a run's own gold/ folder ({run_url}/gold/...)"
    )


def _is_own_folder(path: str, run_path: str) -> bool:
    below = relative(path, run_path)
    first = "" if below is None else below.partition("/")[0]
    return first in NEVER_READ_FOLDERS


def _created_date(run: Run) -> str:
    if run.created is None:
        raise ConfigError(
            f"run {run.url}: createdUtc is missing, so that {{created_date}} cannot be filled in: "
            "use another field, or exclude the run"
        )
    return run.created.strftime("%Y-%m-%d")


def _refuse_unsafe(field: str, value: str, run: Run) -> None:
    if value in ("", ".", "..") or any(c in "/\\" or not c.isprintable() for c in value):
        raise ConfigError(
            f"run {run.url}: {{{field}}} is {value!r}, which cannot be part of a path: "
            "use another field"
        )
