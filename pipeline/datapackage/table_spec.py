"""Describe the rows of an export, so that each value finds its series and bin again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic import ValidationError as Invalid
from pydantic.alias_generators import to_camel

from connectors.flowtime.model.instant import instant_text
from pipeline.datapackage.run_record import Instant, first_fault
from pipeline.errors import IntegrityError
from pipeline.rows.aggregation import Aggregation
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.resampling import Resampling

_MOST_COLUMNS = 10_000
_Text = Annotated[StrictStr, Field(max_length=65_536)]
_Char = Annotated[StrictStr, Field(pattern=r"^[\t\x20-\x7e]$")]


class TextOptions(BaseModel):
    """Options of a sink that readers of its text must know; files show the others themselves.

    Attributes:
        separator, decimal, quote, null_value, escape_formulas: Of csv.
        non_finite: Of ndjson.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, defer_build=True
    )

    separator: _Char = ","
    decimal: Literal[".", ","] = "."
    quote: _Char = '"'
    null_value: Annotated[StrictStr, Field(max_length=32)] = ""
    escape_formulas: StrictBool = False
    non_finite: Literal["string", "null", "error"] = "string"


class ResampledBins(BaseModel):
    """How the bins of the runs became wider ones.

    Attributes:
        minutes: Width of the new bins.
        aggregation: Aggregation by kind of series, where it is none of the natural ones.
    """

    model_config = ConfigDict(frozen=True)

    minutes: Annotated[StrictInt, Field(ge=1)]
    aggregation: Annotated[dict[_Text, Aggregation], Field(max_length=100)] = {}

    @classmethod
    def of(cls, resampling: Resampling) -> ResampledBins:
        """Return what a descriptor says of a resampling."""
        return cls(minutes=resampling.minutes, aggregation=dict(resampling.chosen))

    @property
    def resampling(self) -> Resampling:
        """The resampling."""
        return Resampling(self.minutes, self.aggregation)


class TableSpec(BaseModel):
    """What the rows of an export are.

    Attributes:
        layout: `long` or `wide`.
        columns: Name as shown → the column, constant or measure behind it; folders' columns too.
        measures: Of a wide layout, in order.
        constants: Columns with one value.
        exported_at: Value of that column, where it is there.
        options: How text is written.
        resample: How bins became wider, where they did.
        filter: The condition on rows, where there was one that left rows out.
        reasons: Why not all rows of all series of the runs are there; empty: they are.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, defer_build=True
    )

    layout: Literal["long", "wide"]
    columns: Annotated[dict[_Text, _Text], Field(max_length=_MOST_COLUMNS)]
    measures: Annotated[tuple[_Text, ...], Field(max_length=_MOST_COLUMNS)] = ()
    constants: dict[_Text, StrictBool | StrictInt | StrictFloat | _Text] = {}
    exported_at: Instant | None = None
    options: TextOptions = TextOptions()
    resample: ResampledBins | None = None
    filter: _Text | None = None
    reasons: tuple[_Text, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all rows of all series of the runs are there."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON-compatible data; what is empty is left out."""
        data: dict[str, Any] = {"layout": self.layout, "columns": dict(self.columns)}
        if self.measures:
            data["measures"] = list(self.measures)
        if self.constants:
            data["constants"] = dict(self.constants)
        if self.exported_at is not None:
            data["exportedAt"] = instant_text(self.exported_at)
        options = self.options.model_dump(by_alias=True, exclude_defaults=True)
        if options:
            data["options"] = options
        data["complete"] = self.complete
        if not self.complete:
            data["reasons"] = list(self.reasons)
        if self.resample is not None:
            data["resample"] = self.resample.model_dump(exclude_defaults=True)
        if self.filter is not None:
            data["filter"] = self.filter
        return data


def read_contents(data: object, where: str) -> TableSpec:
    """Read what `TableSpec.as_json` made.

    Args:
        data: The JSON value; unknown keys are passed over.
        where: The file and the place in it, for errors.

    Raises:
        IntegrityError: It is not as `as_json` makes it; the message names the place.
    """
    if not isinstance(data, Mapping) or "columns" not in data:
        raise IntegrityError(
            f"{where}: says nothing of the rows, as an earlier version wrote this export: "
            "export again"
        )
    try:
        found = TableSpec.model_validate(data)
    except Invalid as error:
        raise IntegrityError(f"{where}: {first_fault(error)}") from error
    known = {*CATALOGUE, *found.measures, *found.constants}
    for shown, source in found.columns.items():
        if source not in known:
            raise IntegrityError(f"{where}: columns: nothing is known of {source!r} ({shown!r})")
    if len(set(found.columns.values())) != len(found.columns):
        raise IntegrityError(f"{where}: columns: two columns show the same")
    if len(set(found.measures)) != len(found.measures):
        raise IntegrityError(f"{where}: measures: one is there twice")
    if (data.get("complete") is True) != found.complete:
        raise IntegrityError(f"{where}: complete and reasons contradict each other")
    if "exported_at" in found.columns.values() and found.exported_at is None:
        raise IntegrityError(f"{where}: exportedAt: is missing")
    return found
