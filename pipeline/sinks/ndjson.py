"""NDJSON: one JSON object a line, for APIs, queues and log stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, model_validator

from pipeline.sinks.compression import SUFFIXES, Compression, check_level
from pipeline.sinks.sink import Sink, WholeNumber


def _null_word(value: object) -> object:
    """Return the word `null` for what YAML reads as nothing."""
    return "null" if value is None else value


NonFinite = Annotated[Literal["null", "string", "error"], BeforeValidator(_null_word)]


class NdjsonSink(Sink):
    """Options of the ndjson format (one RFC 8259 object a line, LF, UTF-8).

    Attributes:
        non_finite: NaN and infinities, which JSON numbers cannot express, as `string`
            (`"NaN"`, `"inf"`, `"-inf"`), as `null`, or as an `error`.
        compression: `none`, `gzip` or `zstd`.
        compression_level: Level of the codec.
    """

    writer: ClassVar = ("pipeline.sinks.ndjson_writer", "NdjsonWriter")

    format: Literal["ndjson"]
    non_finite: NonFinite = "string"
    compression: Compression = "none"
    compression_level: WholeNumber | None = None

    @model_validator(mode="after")
    def _check_level(self) -> NdjsonSink:
        check_level(self.compression, self.compression_level)
        return self

    @property
    def extension(self) -> str:
        """`.ndjson`, then the codec's suffix."""
        return ".ndjson" + SUFFIXES[self.compression]

    @property
    def mediatype(self) -> str:
        """`application/x-ndjson`, as the format's own specification asks."""
        return "application/x-ndjson"

    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """Return nothing: NDJSON has no dialect."""
        return {}

    def text_options(self) -> Mapping[str, Any]:
        """Return how NaN and infinities are written."""
        return {"non_finite": self.non_finite}
