"""Make the records of a descriptor: an export, a comparison, or both."""

from __future__ import annotations

from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FILE_SUFFIX, FOLDER_NAME
from pipeline.registry.records.artifact import ArtifactRecord, ArtifactType, key_of
from pipeline.registry.records.comparison_records import is_of_comparison, record_of_comparison
from pipeline.registry.records.export_records import record_of_export

DESCRIBED_TYPES: tuple[ArtifactType, ...] = ("export", "comparison")


def is_descriptor(name: str) -> bool:
    """Return whether a file's name is that of a descriptor.

    >>> is_descriptor("export.datapackage.json"), is_descriptor("datapackage.json")
    (True, False)
    """
    return name == FOLDER_NAME or name.endswith(FILE_SUFFIX)


def keys_of_descriptor(url: str) -> list[int]:
    """Return the keys of what may be described at a URL."""
    return [key_of(kind, url) for kind in DESCRIBED_TYPES]


def records_of_descriptor(data: bytes, url: str, version: str) -> list[ArtifactRecord]:
    """Return what a descriptor describes, as the registry keeps it.

    Args:
        data: The bytes of the descriptor.
        url: Its URL.
        version: What identifies the version of the descriptor in its store.

    Raises:
        IntegrityError: It is no descriptor of this project.
    """
    found = descriptor.load(data, url, check_runs=False)
    files = [one for one in found["resources"] if isinstance(one.get("flowtime"), dict)]
    compared = [one for one in files if is_of_comparison(one)]
    exported = [one for one in files if not is_of_comparison(one)]
    records = []
    if exported or not compared:
        records.append(record_of_export(found, exported, url, version))
    if compared:
        records.append(record_of_comparison(found["flowtime"], compared, url, version))
    return records
