"""Parse the URLs of registries."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pipeline.errors import ConfigError
from pipeline.registry.database.statements import is_plain


def parsed_url(url: str | Path) -> URL:
    """Return the parts of a registry's URL.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://…`; a `Path` is a file of SQLite, whatever
            characters its name has.

    Raises:
        ConfigError: It is none of these.
    """
    try:
        found = URL.create("sqlite", database=str(url)) if isinstance(url, Path) else make_url(url)
        if found.drivername in ("postgresql", "postgres"):
            found = found.set(drivername="postgresql+psycopg")
        if found.drivername == "postgresql+psycopg" or _is_file(found):
            return found
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass
    raise ConfigError(
        "the registry's URL is not one that is known here: write sqlite:///FILE, or "
        "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    )


def file_of(url: URL) -> Path | None:
    """Return the file of a database in SQLite; None for one of a server."""
    return Path(str(url.database)) if url.drivername == "sqlite" else None


def _is_file(url: URL) -> bool:
    """Return whether a URL names a file of SQLite, and nothing else such as a driver's options."""
    name = url.database or ""
    if url.drivername != "sqlite" or url.host or url.username or url.query:
        return False
    return name not in ("", ":memory:") and is_plain(name)
