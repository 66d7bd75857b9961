"""What users say, in files: a journal beside an SQLite database, and exports as JSON.

A database of SQLite is a file that people delete. The journal beside it outlives it: each change
is a line that holds all that is said of one artifact since, and a new database begins with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connectors.strict_json import strict_loads
from pipeline.errors import ConfigError, RegistryError
from pipeline.logs import LOGGER
from pipeline.registry.user_data import UserData

SCHEMA_VERSION = 1
_MAX_BYTES = 256 * 1024 * 1024
_COMPACT_BYTES = 1024 * 1024
_COMPACT_RATIO = 4


class UserJournal:
    """The journal of one database; used by every writer to that database.

    Args:
        database: The file of the database.
    """

    def __init__(self, database: Path) -> None:
        # Not `registry.db…`: who removes a database removes all files that begin with its name.
        self.path = database.with_name(f"{database.stem}-user-data.jsonl")

    def entries(self) -> list[UserData]:
        """Return what the journal says last of each artifact; nothing where there is no journal.

        Raises:
            RegistryError: It cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from error
        if len(data) > _MAX_BYTES:
            raise RegistryError(f"{self.path} is larger than {_MAX_BYTES} bytes: move it away")
        last: dict[int, UserData] = {}
        for number, line in enumerate(data.splitlines(), 1):
            try:
                entry = UserData.model_validate(strict_loads(line))
            except ValueError:
                # A machine that stopped while it wrote leaves half a line.
                LOGGER.warning("%s line %d is no entry and was passed over", self.path, number)
                continue
            last[entry.key] = entry
        return [entry for entry in last.values() if not entry.is_empty]

    def append(self, changed: Sequence[UserData], everything: Iterable[UserData]) -> None:
        """Note changes, before the database commits them.

        Args:
            changed: What is said now of the artifacts that were changed.
            everything: What is said of all artifacts; read where the journal is written anew.

        Raises:
            RegistryError: It cannot be written.
        """
        if not changed:
            return
        try:
            if not self.path.exists():
                self._write_anew(everything)
                return
            lines = "".join(_line(entry) for entry in changed)
            with self.path.open("ab") as file:
                before = file.tell()
                # A line that was cut off before must not swallow the first of these.
                file.write(b"" if self._ends_well() else b"\n")
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
                after = file.tell()
            # Reading it takes long, so that this is done only when it has doubled.
            if before.bit_length() != after.bit_length() and self._is_long(after):
                self._write_anew(everything)
        except OSError as error:
            raise self._failed("written", error) from error

    def _is_long(self, size: int) -> bool:
        if size < _COMPACT_BYTES:
            return False
        return size > _COMPACT_RATIO * sum(len(_line(one)) for one in self.entries())

    def _ends_well(self) -> bool:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return True
            file.seek(size - 1)
            return file.read(1) == b"\n"

    def _write_anew(self, entries: Iterable[UserData]) -> None:
        fresh = self.path.with_name(f".{self.path.name}.new")
        with fresh.open("wb") as file:
            file.writelines(_line(entry).encode() for entry in entries if not entry.is_empty)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)

    def _failed(self, what: str, error: OSError) -> RegistryError:
        return RegistryError(f"{self.path} cannot be {what}: {error.strerror or error}")


def as_document(entries: Iterable[UserData]) -> dict[str, Any]:
    """Return what users say as one JSON-compatible object, for `read_document`."""
    listed = [_plain(entry) for entry in entries if not entry.is_empty]
    return {"schemaVersion": SCHEMA_VERSION, "artifacts": listed}


def read_document(data: bytes, name: str) -> Iterator[UserData]:
    """Yield the entries of a file that holds what `as_document` gave.

    Args:
        data: The bytes of the file.
        name: What messages call it.

    Raises:
        ConfigError: It is no such file.
    """
    try:
        found = strict_loads(data)
    except ValueError as error:
        raise ConfigError(f"{name}: not JSON: {error}") from error
    listed = found.get("artifacts") if isinstance(found, dict) else None
    if not isinstance(listed, list) or found.get("schemaVersion") != SCHEMA_VERSION:
        raise ConfigError(
            f'{name}: should be {{"schemaVersion": {SCHEMA_VERSION}, "artifacts": […]}}, as '
            "`artifacts export-user-data` writes it"
        )
    for number, entry in enumerate(listed):
        try:
            yield UserData.model_validate(entry)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in fault["loc"])
            raise ConfigError(f"{name}: artifacts[{number}].{key}: {fault['msg']}") from None


def _plain(entry: UserData) -> dict[str, Any]:
    return entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _line(entry: UserData) -> str:
    return json.dumps(_plain(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
