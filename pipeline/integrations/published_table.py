"""Describe the tables of a config as orchestrators' assets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.storage import StorageOptions, connect
from pipeline.config import ExportConfig, load_config

_FIELD = re.compile(r"\{[a-z_]+\}")


@dataclass(frozen=True)
class PublishedTable:
    """One sink of a config.

    Attributes:
        name: `<config>_<format>`, numbered where a config has several sinks of a format.
        format: The sink's format.
        url: Its file or folder; the fixed folder of its path where that names runs.
        options: Options of its storage.
    """

    name: str
    format: str
    url: str
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
            if target["format"] == self.format
            and (target["url"] == self.url or target["url"].startswith(self.url.rstrip("/") + "/"))
        ]

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


def tables_of(config: str | Path | ExportConfig) -> list[PublishedTable]:
    """Return the tables that a config publishes.

    Raises:
        ConfigError: The config is wrong.
    """
    settings = config if isinstance(config, ExportConfig) else load_config(config)
    source = settings.source.url
    seen: dict[str, int] = {}
    tables = []
    for sink in settings.sinks:
        seen[sink.format] = seen.get(sink.format, 0) + 1
        number = "" if seen[sink.format] == 1 else f"_{seen[sink.format]}"
        name = re.sub(r"[^A-Za-z0-9_]", "_", f"{settings.name}_{sink.format}{number}")
        path = sink.path.replace("{run_url}", str(source)).replace("{name}", settings.name)
        path = path.replace("{format}", sink.format)
        fixed = _FIELD.split(path)[0]
        url = fixed if fixed == path else fixed.rpartition("/")[0]
        options = settings.storage_options(sink.storage)
        storage, place = connect(url or ".", options)
        tables.append(PublishedTable(name, sink.format, storage.url(place), options))
    return tables


def _any_exported(targets: Iterable[Mapping[str, Any]]) -> bool:
    return any(target["status"] == "exported" for target in targets)
