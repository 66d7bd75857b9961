"""Gold CSV: a table any spreadsheet opens, with a header that says what it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.sinks.compression import SUFFIXES, Compression, check_level
from pipeline.sinks.csv_dialect import (
    COMMENT,
    QuoteMark,
    QuoteStyle,
    Separator,
    check_decimal,
    check_null_value,
    check_quote,
    check_separator,
)
from pipeline.sinks.sink import Flag, Sink, WholeNumber

_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "excel-eu": {
        "separator": ";",
        "decimal": ",",
        "bom": True,
        "escape_formulas": True,
        "metadata_header": False,
    }
}
_TEXT_OPTIONS = {"separator", "decimal", "quote", "null_value", "escape_formulas"}


class CsvSink(Sink):
    """Options of the csv format (RFC 4180 with LF, UTF-8, a header row).

    Attributes:
        preset: The other options as a program wants them: `excel-eu` for Excel in countries that
            write 1,5. Options that are given all the same win.
        separator: One ASCII character between cells.
        decimal: Decimal mark of numbers: `.` or `,`.
        quote: One ASCII character around cells that need it.
        quote_style: `necessary`, `always` or `non_numeric`; a null is never quoted.
        null_value: Text of a missing value.
        bom: Begin with a byte-order mark, which Excel needs to see UTF-8.
        compression: `none`, `gzip` or `zstd`.
        compression_level: Level of the codec.
        escape_formulas: Put `'` before text that a spreadsheet would run.
        metadata_header: Begin with `# key: value` lines.
    """

    writer: ClassVar = ("pipeline.sinks.csv_writer", "CsvWriter")

    format: Literal["csv"]
    preset: Literal["excel-eu"] | None = Field(default=None, alias="dialect")
    separator: Separator = ","
    decimal: Literal[".", ","] = "."
    quote: QuoteMark = '"'
    quote_style: QuoteStyle = "necessary"
    null_value: Annotated[str, Field(max_length=32, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    bom: Flag = False
    compression: Compression = "none"
    compression_level: WholeNumber | None = None
    escape_formulas: Flag = False
    metadata_header: Flag = True

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, value: Any) -> Any:
        name = value.get("dialect") if isinstance(value, dict) else None
        return {**_PRESETS[str(name)], **value} if name in _PRESETS else value

    @model_validator(mode="after")
    def _check_dialect(self) -> CsvSink:
        check_level(self.compression, self.compression_level)
        separator, quote, style = self.separator, self.quote, self.quote_style
        has_comments = self.metadata_header
        check_decimal(self.decimal, separator, style)
        check_separator(separator, quote, style, has_comments=has_comments)
        check_quote(quote, has_comments=has_comments)
        check_null_value(self.null_value, separator, quote, has_comments=has_comments)
        return self

    @property
    def extension(self) -> str:
        """`.csv`, then the codec's suffix."""
        return ".csv" + SUFFIXES[self.compression]

    @property
    def mediatype(self) -> str:
        """`text/csv` (RFC 7111)."""
        return "text/csv"

    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """Return the dialect in the terms of Frictionless' CSV Dialect specification."""
        dialect: dict[str, Any] = {
            "delimiter": self.separator,
            "lineTerminator": "\n",
            "quoteChar": self.quote,
            "doubleQuote": True,
            "header": True,
        }
        if self.metadata_header:
            dialect["commentChar"] = COMMENT
            # Frictionless counts comment lines, too.
            dialect["headerRows"] = [header_row]
        return dialect

    def check_names(self, names: Collection[str]) -> None:
        """Raise a ValueError if the null value is also the name of a column."""
        if self.null_value in names:
            raise ValueError(
                f"null_value {self.null_value!r} is also the name of a column, and readers would "
                "take the name for missing: choose another text, e.g. NULL"
            )

    def text_options(self) -> Mapping[str, Any]:
        """Return the options that cells are written by."""
        return self.model_dump(include=_TEXT_OPTIONS)
