"""The base of all data that goes over the wire."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Data(BaseModel):
    """Frozen data with the field names of JSON on the wire."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )

    def changed(self, **changes: Any) -> Self:
        """Return the same with other values."""
        return self.model_copy(update=changes)
