"""What the path of a sink says: its fields, its format and its codec."""

from __future__ import annotations

import re
from string import Formatter

from pipeline.wording import suggestion

RUN_FIELDS = ("run_id", "run_name", "run_url")
"""Fields that give each run an export of its own."""

TEMPLATE_FIELDS = (*RUN_FIELDS, "name", "format", "date")
"""All fields of a path."""

_FILE_NAME = re.compile(r"[^/]\.(csv|ndjson|jsonl|parquet)(?:\.zst|\.gz)*$")
_CODEC = re.compile(r"\.(zst|gz)$")
_CODECS = {"gz": "gzip", "zst": "zstd"}
_FORMAT_OF = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "parquet": "parquet"}


def codec_of(path: str) -> str | None:
    """The compression that a file name asks for.

    >>> codec_of("export.csv.gz"), codec_of("export.csv"), codec_of("gold.gz/")
    ('gzip', None, None)
    """
    match = _CODEC.search(path) if _FILE_NAME.search(path) else None
    return _CODECS[match[1]] if match else None


def format_of(path: str) -> str | None:
    """The format whose files are named like this; None for a folder.

    >>> format_of("a/export.csv.gz"), format_of("gold")
    ('csv', None)
    """
    match = _FILE_NAME.search(path)
    return _FORMAT_OF[match[1]] if match else None


def stem(name: str) -> str:
    """A file name without the extensions of format and codec.

    >>> stem("export.csv.gz"), stem("gold")
    ('export', 'gold')
    """
    match = _FILE_NAME.search(name)
    return name if match is None else name[: match.start() + 1]


def names_run(template: str) -> bool:
    """Whether a path gives each run an export of its own."""
    return not set(RUN_FIELDS).isdisjoint(template_fields(template))


def template_fields(path: str) -> list[str]:
    """Fields of a path template.

    Raises:
        ValueError: The path is no template of plain fields.
    """
    fields = []
    rebuilt = ""
    for literal, field, _, _ in _pieces(path):
        rebuilt += literal.replace("{", "{{").replace("}", "}}")
        if field is not None:
            rebuilt += f"{{{field}}}"
            fields.append(field)
    for field in fields:
        if field not in TEMPLATE_FIELDS:
            raise ValueError(f"no field {{{field[:60]}}}; {suggestion(field, TEMPLATE_FIELDS)}")
    if rebuilt != path:  # a conversion or a format, even an empty one, would not be put back
        raise ValueError("fields stand alone in their braces, e.g. {run_id}")
    return fields


def _pieces(path: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(path))
    except ValueError as error:
        raise ValueError(
            "a brace without its partner; a literal one is written {{ or }}"
        ) from error
