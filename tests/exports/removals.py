"""Take a row, a file or a partition away from a published export."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Part = Literal["row", "file", "partition"]
_CODECS = {".gz": "gzip", ".zst": "zstd"}


def remove(descriptor: Path, part: Part, place: int, *, forge: bool) -> None:
    """Remove a part of an export.

    Args:
        descriptor: The descriptor.
        part: What to remove.
        place: Number of the row or file, counted round and round.
        forge: Change the descriptor as if the part had never been there.
    """
    found: dict[str, Any] = json.loads(descriptor.read_bytes())
    resources: list[dict[str, Any]] = found["resources"]
    chosen = resources[place % len(resources)]
    if part == "row":
        path = descriptor.parent / chosen["path"]
        _drop_row(path, chosen, place % chosen["rowCount"])
        chosen["bytes"] = path.stat().st_size
        chosen["hash"] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        chosen["rowCount"] -= 1
        del chosen["nonFiniteCount"]
    else:
        gone = [
            resource
            for resource in resources
            if resource is chosen
            or (part == "partition" and _partition(resource) == _partition(chosen))
        ]
        for resource in gone:
            (descriptor.parent / resource["path"]).unlink()
            resources.remove(resource)
    if forge:
        descriptor.write_text(json.dumps(found))


def _partition(resource: dict[str, Any]) -> dict[str, str | None]:
    partition: dict[str, str | None] = resource["flowtime"]["partition"]
    return partition


def _drop_row(path: Path, resource: dict[str, Any], row: int) -> None:
    if resource["format"] == "parquet":
        table = pq.read_table(path)
        kept = pa.concat_tables([table.slice(0, row), table.slice(row + 1)])
        footer = pq.read_metadata(path).metadata
        pq.write_table(kept.replace_schema_metadata(footer), path)
        return
    with pa.input_stream(path, compression="detect") as stream:
        lines = stream.read().splitlines(keepends=True)
    del lines[len(lines) - resource["rowCount"] + row]
    with pa.output_stream(path, compression=_CODECS.get(path.suffix)) as out:
        out.write(b"".join(lines))
