"""Describe the tables of a config as orchestrators' assets."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import Any

from connectors.storage import StorageOptions, connect
from pipeline.config import ExportConfig, load_config
from pipeline.planning.target import TargetResolver
from pipeline.sinks import Sink

_RUN_URL = "{run_url}"


@dataclass(frozen=True)
class PublishedTable:
    """One sink of a config.

    Attributes:
        name: `<config>_<format>`, numbered where a config has several sinks of a format.
        format: The sink's format.
        url: Its file or folder; the fixed folder of its path where that names runs.
        ending: What the URLs of its files end with where the path names runs.
        options: Options of its storage.
    """

    name: str
    format: str
    url: str
    ending: str = ""
    options: StorageOptions | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        """The URL with a scheme."""
        return self.url if "://" in self.url else f"file://{self.url}"

    def targets(self, report: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what a report says of this sink."""
        return [
            target
            for target in report.get("targets", [])
            if target["format"] == self.format and self._holds(target["url"])
        ]

    def _holds(self, url: str) -> bool:
        return url == self.url or (
            url.startswith(self.url.rstrip("/") + "/") and url.endswith(self.ending)
        )

    def descriptors(self, report: Mapping[str, Any]) -> list[str]:
        """Return the URLs of the descriptors that a report names for this sink."""
        return list(dict.fromkeys(target["descriptor"] for target in self.targets(report)))

    def metadata(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """Return rows, bytes, files and a digest of what a report says was published."""
        targets = self.targets(report)
        return {
            "status": "exported" if _any_exported(targets) else "unchanged",
            "rows": sum(target["rows"] for target in targets),
            "bytes": sum(target["bytes"] for target in targets),
            "files": sum(target["files"] for target in targets),
            "digest": self._digest(targets),
        }

    def _digest(self, targets: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the hash of the only file, or one of the hashes of all files of a data set."""
        if len(targets) != 1:
            return None
        storage, path = connect(targets[0]["descriptor"], self.options)
        resources = json.loads(storage.read(path))["resources"]
        file = targets[0]["url"].rpartition("/")[2]
        own = [one for one in resources if one["path"] == file] or resources
        hashes = sorted(str(one["hash"]) for one in own)
        if len(hashes) == 1:
            return hashes[0]
        return "sha256:" + hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def tables_of(
    config: str | Path | ExportConfig, overrides: Mapping[str, str] | None = None
) -> list[PublishedTable]:
    """Return the tables that a config publishes.

    Args:
        config: The config, or its file.
        overrides: Key paths and values that replace those of the file.

    Raises:
        ConfigError: The config is wrong.
        StorageError: A URL is none, or no package knows its protocol.
    """
    if isinstance(config, ExportConfig):
        settings = config
    else:
        laid_over = [f"{key}={value}" for key, value in (overrides or {}).items()]
        settings = load_config(config, overrides=laid_over)
    resolver = TargetResolver.of(settings, datetime.now(UTC))
    seen: dict[str, int] = {}
    tables = []
    for sink in settings.sinks:
        seen[sink.format] = seen.get(sink.format, 0) + 1
        number = "" if seen[sink.format] == 1 else f"_{seen[sink.format]}"
        name = re.sub(r"[^A-Za-z0-9_]", "_", f"{settings.name}_{sink.format}{number}")
        tables.append(_table(name, sink, settings, resolver))
    return tables


def _table(
    name: str, sink: Sink, settings: ExportConfig, resolver: TargetResolver
) -> PublishedTable:
    options = settings.storage_options(sink.storage)
    if sink.path.startswith(_RUN_URL):
        folder = os.path.commonpath([root.path for root in resolver.roots])
        ending = _fixed_parts(sink.path, {})[-1]
        own = resolver.source_options if sink.storage is None else options
        return PublishedTable(name, sink.format, resolver.storage.url(folder), ending, own)
    texts = _fixed_parts(sink.path, {"name": settings.name, "format": sink.format})
    if len(texts) == 1:
        url, ending = texts[0], ""
    else:
        above, slash, _ = texts[0].rpartition("/")
        url, ending = above or slash or ".", texts[-1]
    storage, path = connect(url, options)
    return PublishedTable(name, sink.format, storage.url(path), ending, options)


def _fixed_parts(template: str, known: Mapping[str, str]) -> list[str]:
    """Return the texts before, between and behind the fields of a path that are not known.

    >>> _fixed_parts("out/{name}/{run_id}.csv", {"name": "gold"})
    ['out/gold/', '.csv']
    """
    texts = [""]
    for text, name, _, _ in Formatter().parse(template):
        texts[-1] += text
        if name is not None and name in known:
            texts[-1] += known[name]
        elif name is not None:
            texts.append("")
    return texts


def _any_exported(targets: Iterable[Mapping[str, Any]]) -> bool:
    return any(target["status"] == "exported" for target in targets)
