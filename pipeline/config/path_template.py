"""Parse the path of a sink: its fields, its format and codec, file or folder."""

from __future__ import annotations

import re
from string import Formatter

from pipeline.sinks.formats import FORMAT_OF_ENDING, Format
from pipeline.wording import suggestion

RUN_FIELDS = ("run_id", "run_name", "run_url")
"""Fields that give each run an export of its own."""

PER_RUN_FIELDS = (*RUN_FIELDS, "created_date")
"""Fields that differ by run."""

TEMPLATE_FIELDS = (*PER_RUN_FIELDS, "name", "format", "date")
"""All fields of a path."""

_FILE_NAME = re.compile(rf"[^/]\.({'|'.join(FORMAT_OF_ENDING)})(?:\.zst|\.gz)*$")
_FIRST_FIELD = re.compile("{(?:" + "|".join(PER_RUN_FIELDS) + ")}")
_CODEC = re.compile(r"\.(zst|gz)$")
_CODECS = {"gz": "gzip", "zst": "zstd"}
_ENDINGS = "a file ends in .csv, .tsv, .ndjson, .jsonl (these with .gz or .zst) or .parquet"


def codec_of(path: str) -> str | None:
    """Return the compression that a file name asks for.

    >>> codec_of("export.csv.gz"), codec_of("export.csv"), codec_of("gold.gz/")
    ('gzip', None, None)
    """
    match = _CODEC.search(path) if _FILE_NAME.search(path) else None
    return _CODECS[match[1]] if match else None


def format_of(path: str) -> Format | None:
    """Return the format whose files are named like this; None for a folder.

    >>> format_of("a/export.csv.gz"), format_of("a.tsv"), format_of("gold"), format_of("gold.csv/")
    ('csv', 'csv', None, None)
    """
    match = _FILE_NAME.search(path)
    return FORMAT_OF_ENDING[match[1]] if match else None


def is_tab_separated(path: str) -> bool:
    """Return whether a file name asks for tabs between the cells.

    >>> is_tab_separated("export.tsv.gz"), is_tab_separated("export.csv")
    (True, False)
    """
    match = _FILE_NAME.search(path)
    return match is not None and match[1] == "tsv"


def refuse_unknown_ending(path: str) -> None:
    """Refuse a path that is neither a file of a known format nor clearly a folder.

    A folder ends in `/`, or its name has no dot that is followed by a letter: `gold` and `v1.2`
    are folders, `gold.v2` is refused and `gold.v2/` is a folder.

    Raises:
        ValueError: The name ends in what looks like the extension of another format.
    """
    above, _, name = path.rpartition("/")
    ending = name.rpartition(".")[2] if "." in name.lstrip(".") else ""
    is_bucket = above.endswith(":/")
    if format_of(path) is not None or is_bucket or not any(map(str.isalpha, ending)):
        return
    if format_of(path.lower()) is not None:
        raise ValueError(f"{name!r}: write the ending in lower case, {name.lower()!r}")
    raise ValueError(
        f"{name!r} ends in .{ending}, which is no format: {_ENDINGS}, a folder of files in /"
    )


def stem(name: str) -> str:
    """Return a file name without the extensions of format and codec.

    >>> stem("export.csv.gz"), stem("gold")
    ('export', 'gold')
    """
    match = _FILE_NAME.search(name)
    return name if match is None else name[: match.start() + 1]


def names_run(template: str) -> bool:
    """Return whether a path gives each run an export of its own."""
    return not set(RUN_FIELDS).isdisjoint(template_fields(template))


def differs_by_run(template: str) -> bool:
    """Return whether a path leads to several exports, for each run or for each day of runs."""
    return not set(PER_RUN_FIELDS).isdisjoint(template_fields(template))


def prune_root(template: str) -> str | None:
    """Return the folder of a path that is above all that differs by run; None where there is none.

    >>> prune_root("s3://lake/{name}/{run_id}.csv"), prune_root("out/a_{run_id}/x"), prune_root("x")
    ('s3://lake/{name}', 'out', None)
    """
    first = _FIRST_FIELD.search(template)
    folder = "" if first is None else template[: first.start()].rpartition("/")[0]
    return folder if folder.strip("/") and not folder.endswith(":/") else None


def probe_path(template: str, *, name: str, form: str) -> str:
    """Return an example of the paths of a template, by which files are distinguished from folders.

    What a run is called decides nothing: an id such as `a.csv` makes no file.

    Args:
        template: The path of a sink.
        name: The config's name.
        form: The sink's format.

    Raises:
        ValueError: The path is no template of plain fields.
    """
    fields = dict.fromkeys(template_fields(template), "0")
    return template.format(**{**fields, "name": name, "format": form})


def template_fields(path: str) -> list[str]:
    """Return the fields of a path template.

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
        raise ValueError("fields are alone in their braces, e.g. {run_id}")
    return fields


def _pieces(path: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(path))
    except ValueError as error:
        raise ValueError(
            "a brace without its partner; a literal one is written {{ or }}"
        ) from error
