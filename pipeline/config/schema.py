"""Generate the JSON Schema of settings, with the texts of their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

_ATTRIBUTE = re.compile(r"^    ([A-Za-z_]\w*): ", re.MULTILINE)


class DescribedSchema(GenerateJsonSchema):
    """Takes the descriptions from the `Attributes:` of docstrings, base classes included."""

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of one model."""
        made = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        made["description"] = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]
        described = _descriptions(model)
        for name, field in model.model_fields.items():
            shown = made.get("properties", {}).get(field.alias or name)
            if shown is not None and name in described:
                shown["description"] = described[name]
        return made


def schema_of(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """Return JSON Schema, draft 2020-12."""
    made = model.model_json_schema(schema_generator=DescribedSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **made, "title": title}


def document_schema(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """Return the JSON Schema of a document: the model, and the keys that are no settings."""
    made = schema_of(model, title=title)
    paths = {"type": "string", "minLength": 1}
    made["properties"] |= {
        "env_file": {
            "anyOf": [paths, {"type": "array", "items": paths}],
            "description": "Files of variables for ${NAME}; those of the process win.",
        },
        "$schema": {"type": "string", "description": "For editors; ignored."},
    }
    made["patternProperties"] = {"^x-": {"description": "For people and anchors; ignored."}}
    return made


def _descriptions(model: type[BaseModel]) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base is not BaseModel and issubclass(base, BaseModel):
            found.update(_attributes(inspect.cleandoc(base.__doc__ or "")))
    return found


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    _, _, section = docstring.partition("Attributes:\n")
    parts = _ATTRIBUTE.split(section)
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        yield name, " ".join(text.split())
