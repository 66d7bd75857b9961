"""The registry: list, show, tag, archive, relate and rebuild artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel, to_snake
from sqlalchemy import Connection, select

from connectors.storage import StorageOptions, connect
from pipeline.errors import ConfigError, StorageError
from pipeline.registry import user_tables
from pipeline.registry.database.connection import READ_SECONDS, WRITE_SECONDS, Database
from pipeline.registry.database.database_url import file_of, parsed_url
from pipeline.registry.database.statements import parts
from pipeline.registry.database.tables import artifact, root
from pipeline.registry.deletion import Deletion, changed_since, plan_deletion
from pipeline.registry.models import tidy_models
from pipeline.registry.queries.facet_cache import FacetCache
from pipeline.registry.queries.identity import keys_by_id, unknown_artifact
from pipeline.registry.queries.listing import ArtifactPage, CountCache, page_of
from pipeline.registry.queries.loading import artifacts
from pipeline.registry.queries.query import PARAMETERS, ArtifactQuery
from pipeline.registry.queries.relationships import relationships_of
from pipeline.registry.queries.stats import STATS_SECONDS, stats_of
from pipeline.registry.rebuild import ReadElsewhere, Rebuild
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.records.artifact import (
    Artifact,
    ArtifactRecord,
    Relationships,
)
from pipeline.registry.register import (
    BATCH,
    register,
    register_root,
    remove,
    why_not_registered,
)
from pipeline.registry.user_changes import UserDataChanges
from pipeline.registry.user_data import UserChange
from pipeline.registry.user_journal import UserJournal, as_document, read_document

_MANY = 1_000


class Registry:
    """An open registry. Its methods may be called from several threads at once.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://…`; a `Path` is a file of SQLite.
        read_seconds: How long a question may take.
        write_seconds: How long a change waits for others.

    Raises:
        ConfigError: The URL is none of these, or a package is missing.
        RegistryError: The database cannot be opened.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        read_seconds: float | None = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        parsed = parsed_url(url)
        file = file_of(parsed)
        journal = None if file is None else UserJournal(file)

        def fill(connection: Connection) -> None:
            # What people have said outlives a database that is deleted.
            user_tables.write(connection, [] if journal is None else journal.entries())

        self._database = Database(parsed, write_seconds=write_seconds, fill=fill)
        self._read_seconds = read_seconds
        self._counts = CountCache()
        self._facets = FacetCache(self._database)
        self._users = UserDataChanges(self._database, journal, self._facets.forget)

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._database.name

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # ----------------------------------------------------------------------- questions

    def list(self, query: ArtifactQuery | None = None, /, **filters: object) -> ArtifactPage:
        """Return a page of the artifacts that match.

        Args:
            query: What is asked.
            filters: The same by the names that HTTP has, or with underscores: `type`, `search`,
                `tags`, `created_after`, `class_`, `limit`, `cursor`, ...

        Raises:
            ConfigError: The cursor is none, or there is no filter of a name.
            RegistryTimeoutError: The answer takes too long: ask for less.
            RegistryError: The database failed.
        """
        wanted = query or ArtifactQuery.parse(_parameters(filters))
        with self._database.reading(self._read_seconds) as connection:
            page = page_of(self._database, connection, wanted, self._counts)
        if not wanted.with_facets:
            return page
        few = page.total if page.total_is_exact else None
        return replace(page, has_facets=True, facets=self._facets.facets(wanted, few))

    def get(self, artifact_id: str) -> Artifact:
        """Return an artifact.

        Raises:
            UnknownArtifactError: There is none of that id.
            RegistryError: The database failed.
        """
        with self._database.reading(self._read_seconds) as connection:
            return _artifact(connection, artifact_id)

    def relationships(self, artifact_id: str) -> Relationships:
        """Return how an artifact is related to others.

        Raises:
            UnknownArtifactError: There is none of that id.
            RegistryError: The database failed.
        """
        with self._database.reading(self._read_seconds) as connection:
            keys = [*keys_by_id(connection, [artifact_id]).values()]
            if not keys:
                raise unknown_artifact(connection, artifact_id)
            return relationships_of(connection, keys[0])

    def detail(self, artifact_id: str) -> dict[str, Any]:
        """Return an artifact as JSON-compatible data, with the ids of what it is related to.

        Raises:
            UnknownArtifactError: There is none of that id.
            RegistryError: The database failed.
        """
        with self._database.reading(self._read_seconds) as connection:
            found = _artifact(connection, artifact_id)
            related = relationships_of(connection, found.key)
        return {
            **found.as_json(),
            "relationships": {
                "derived_from": [one.id for one in related.derived_from],
                "generates": [one.id for one in related.derivatives],
            },
        }

    def stats(self) -> dict[str, Any]:
        """Return counts and sizes of the whole registry as JSON-compatible data.

        Raises:
            RegistryError: The database failed.
        """
        with self._database.reading(STATS_SECONDS) as connection:
            return stats_of(self._database, connection)

    # ----------------------------------------------------------------------- user data

    def tag(self, artifact_id: str, *tags: str) -> Artifact:
        """Add tags to an artifact, and return it.

        Raises:
            ConfigError: A text is none for a tag.
            UnknownArtifactError: There is none of that id.
            RegistryError: The database failed.
        """
        return self.change(artifact_id, add_tags=tags)

    def untag(self, artifact_id: str, *tags: str) -> Artifact:
        """Remove tags from an artifact, automatic ones included, and return it.

        Raises:
            ConfigError: A text is none for a tag.
            UnknownArtifactError: There is none of that id.
            RegistryError: The database failed.
        """
        return self.change(artifact_id, remove_tags=tags)

    def archive(self, *artifact_ids: str, archived: bool = True) -> dict[str, bool]:
        """Have lists leave artifacts out, or show them again.

        Args:
            artifact_ids: The artifacts.
            archived: Whether they are to be archived.

        Returns:
            Whether each of them is in the registry, by its id.

        Raises:
            RegistryError: The database failed.
        """
        return self.change_all(artifact_ids, archived=archived)

    def change(self, artifact_id: str, **changes: object) -> Artifact:
        """Change what users say of an artifact, and return it.

        Args:
            artifact_id: The artifact.
            changes: As in `UserChange`: `add_tags`, `remove_tags`, `tags`, `title`, `note`,
                `owner`, `pinned`, `archived`.

        Raises:
            ConfigError: A change is not as it should be.
            UnknownArtifactError: There is none of that id.
            RegistryError: The database failed.
        """
        if not self.change_all([artifact_id], **changes)[artifact_id]:
            return self.get(artifact_id)  # raises, and says why
        return self.get(artifact_id)

    def change_all(self, artifact_ids: Iterable[str], **changes: object) -> dict[str, bool]:
        """Change what users say of several artifacts.

        Args:
            artifact_ids: The artifacts.
            changes: As in `change`.

        Returns:
            Whether each of them is in the registry, by its id.

        Raises:
            ConfigError: A change is not as it should be.
            RegistryError: The database failed.
        """
        wanted = UserChange.of(changes)
        names = list(dict.fromkeys(artifact_ids))
        known = self._users.change(names, wanted)
        return {name: name in known for name in names}

    def export_user_data(self) -> dict[str, Any]:
        """Return all that users say, as one JSON-compatible object.

        Raises:
            RegistryError: The database failed.
        """
        with self._database.reading(None) as connection:
            return as_document(user_tables.read(connection))

    def import_user_data(self, data: bytes, name: str = "user data") -> int:
        """Take over what `export_user_data` gave; it replaces what is said of the same artifacts.

        Args:
            data: The object as JSON.
            name: What messages call it.

        Returns:
            Of how many artifacts something is said in it.

        Raises:
            ConfigError: It is no such object.
            RegistryError: The database failed.
        """
        entries = list(read_document(data, name))
        self._users.replace(entries)
        return len(entries)

    # ----------------------------------------------------------------------- deleting

    def plan_deletion(
        self, artifact_id: str, storage_options: StorageOptions | None = None
    ) -> Deletion:
        """Return the files that `delete` would delete.

        Args:
            artifact_id: The artifact.
            storage_options: Of its storage.

        Raises:
            ConfigError: It has no files of its own, or lies below no registered folder.
            IntegrityError: It is not what was registered any more.
            UnknownArtifactError: There is none of that id.
            StorageError: Its files cannot be listed.
        """
        return plan_deletion(self.get(artifact_id), self.roots(), storage_options)

    def delete(self, deletion: Deletion) -> None:
        """Delete the files of an artifact, and forget it; what users say of it stays.

        Exports among the files, as in the `gold/` folder of a run, are forgotten, too.

        Raises:
            IntegrityError: It has changed since the deletion was planned; nothing was deleted.
            UnknownArtifactError: It is not in the registry any more; nothing was deleted.
            StorageError: A file could not be deleted; those before it are.
            RegistryError: The database failed.
        """
        now = self.plan_deletion(deletion.artifact.id, deletion.options)
        if not deletion.covers(now):
            raise changed_since(deletion.artifact)
        now.carry_out()
        self.forget(deletion.keys)

    # ----------------------------------------------------------------------- registering

    def rebuild(
        self,
        *urls: str | PathLike[str],
        storage_options: StorageOptions | Mapping[str, Any] | None = None,
        proceed: Callable[[], None] = lambda: None,
        report: RebuildReport | None = None,
        elsewhere: ReadElsewhere | None = None,
    ) -> RebuildReport:
        """Register all runs and exports below some folders, and forget what is gone there.

        Args:
            urls: The folders, URLs or paths; without any, those that the registry knows.
            storage_options: Of their storage.
            proceed: Called now and then; may raise to stop.
            report: What is found is counted here as it is found; by default in a new one.
            elsewhere: Reads large folders in other processes.

        Raises:
            ConfigError: There is no folder to look in.
            StorageError: A folder cannot be listed.
            RegistryError: The database failed.
        """
        wanted = [fspath(url) for url in urls] or self.roots()
        if not wanted:
            raise ConfigError("the registry knows no folder yet: say which URL to look below")
        options = storage_options
        if isinstance(options, Mapping):
            options = StorageOptions(options=options)
        report = RebuildReport() if report is None else report
        for url in wanted:
            storage, path = connect(url, options)
            try:
                Rebuild(self._database, report, proceed, elsewhere).scan(storage, path, options)
            except StorageError as error:
                if urls:
                    raise
                report.problems.append(str(error))
        if report.added >= _MANY:
            self._database.optimise()
        self._users.follow_moves()
        return report

    def roots(self) -> tuple[str, ...]:
        """Return the folders below which artifacts were registered."""
        with self._database.reading(self._read_seconds) as connection:
            return tuple(connection.execute(select(root.c.url).order_by(root.c.url)).scalars())

    def add(
        self,
        records: Sequence[ArtifactRecord],
        *,
        roots: Iterable[str] = (),
        proceed: Callable[[], None] = lambda: None,
    ) -> Sequence[str]:
        """Register artifacts; batches are committed one by one.

        Args:
            records: The artifacts.
            roots: Folders that they are below.
            proceed: Called before each batch; may raise to stop.

        Returns:
            What the registry cannot hold, and why.

        Raises:
            RegistryError: The database failed.
        """
        refused: list[str] = []
        for some in parts(records, BATCH):
            proceed()
            reasons = {one.key: why_not_registered(one) for one in some}
            refused += [reason for reason in reasons.values() if reason is not None]
            with self._database.writing() as connection:
                register(connection, [one for one in some if reasons[one.key] is None])
        if len(records) >= _MANY:
            self._database.optimise()
        noted = set(roots) - set(self.roots())
        if noted:
            with self._database.writing() as connection:
                for url in sorted(noted):
                    register_root(connection, url)
        return refused

    def forget(self, keys: Sequence[int]) -> None:
        """Remove artifacts that are not there any more; what users say of them stays.

        Args:
            keys: The keys of the artifacts; those that are not in the registry are passed over.

        Raises:
            RegistryError: The database failed.
        """
        with self._database.writing() as connection:
            remove(connection, keys)
            tidy_models(connection)

    def listings(self, keys: Sequence[int]) -> dict[int, str]:
        """Return how artifacts were listed when they were registered, by their keys.

        Raises:
            RegistryError: The database failed.
        """
        found: dict[int, str] = {}
        with self._database.reading(None) as connection:
            for some in parts(keys):
                known = select(artifact.c.key, artifact.c.listing).where(artifact.c.key.in_(some))
                found.update((row.key, row.listing) for row in connection.execute(known))
        return found

    # ----------------------------------------------------------------------- inside

    @property
    def database(self) -> Database:
        """The database, for modules of this package."""
        return self._database


def open_registry(url: str | Path) -> Registry:
    """Open a registry, and make its database where there is none.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://…`; a `Path` is a file of SQLite.

    Raises:
        ConfigError: The URL is none of these, or a package is missing.
        RegistryError: The database cannot be opened.
    """
    return Registry(url)


def _artifact(connection: Connection, artifact_id: str) -> Artifact:
    found = artifacts(connection, [*keys_by_id(connection, [artifact_id]).values()])
    if not found:
        raise unknown_artifact(connection, artifact_id)
    return found[0]


def _parameters(filters: Mapping[str, object]) -> dict[str, str]:
    """Return filters by the names that HTTP has; what is mistyped there is an error here."""
    found: dict[str, str] = {}
    for name, value in filters.items():
        parameter = to_camel(name.removesuffix("_"))
        if parameter not in PARAMETERS:
            raise ConfigError(
                f"lists have no filter {name!r}: choose from {', '.join(map(to_snake, PARAMETERS))}"
            )
        found[parameter] = _text(value)
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)
