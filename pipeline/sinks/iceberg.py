"""Apache Iceberg: Parquet files by run, which the snapshots of a table in a catalog name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from connectors.storage.options import names_secret
from pipeline.sinks.parquet import ParquetFiles

_PUBLIC_PROPERTIES = frozenset(
    {"name", "type", "uri", "warehouse", "s3.endpoint", "s3.region", "rest.sigv4-enabled"}
)


def is_secret_property(name: str, text: str) -> bool:
    """Return whether the value of a catalog's property must not be shown.

    What is not known to be harmless is a secret, and so is a URL that can carry credentials.

    >>> is_secret_property("uri", "sqlite:///c.db"), is_secret_property("uri", "postgres://u:p@h")
    (False, True)
    """
    return name not in _PUBLIC_PROPERTIES or "@" in text or "?" in text


class IcebergCatalog(BaseModel):
    """A catalog in the words of pyiceberg; all keys are passed on to it.

    Attributes:
        name: Name of the catalog: tables of a SQL catalog belong to it, and pyiceberg's own
            configuration may say more of it.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=128)] = "default"

    @model_validator(mode="before")
    @classmethod
    def _hide_texts(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return value
        return {key: _hidden(str(key), child) for key, child in value.items()}

    def properties(self) -> dict[str, str]:
        """Return the properties, secrets in clear."""
        return {name: _revealed(value) for name, value in (self.model_extra or {}).items()}

    def secrets(self) -> Iterator[str]:
        """Yield the texts that must not be shown."""
        for value in (self.model_extra or {}).values():
            if isinstance(value, SecretStr):
                yield value.get_secret_value()


def _hidden(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if names_secret(name):
            # YAML reads 0123 as 123: a secret of digits would be another one.
            raise ValueError(f"catalog.{name} is a number; put text in quotes")
        return str(value)
    if not isinstance(value, str | SecretStr):
        raise ValueError(f"catalog.{name} should be text")
    if isinstance(value, str) and name != "name" and is_secret_property(name, value):
        return SecretStr(value)
    return value


def _revealed(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


class IcebergSink(ParquetFiles):
    """Options of the iceberg format: those of Parquet files, and where the table is listed.

    Attributes:
        path: The table's folder; by default the one of its name below the catalog's `warehouse`.
        catalog: The catalog that lists the table.
        table: Namespace and name in the catalog, such as `ns.gold`.
    """

    is_table: ClassVar[bool] = True
    locating: ClassVar[frozenset[str]] = ParquetFiles.locating | {"catalog", "table"}

    format: Literal["iceberg"]
    catalog: IcebergCatalog
    table: Annotated[str, Field(max_length=512, pattern=r"^[^.\s/\\]+(\.[^.\s/\\]+)+$")]

    @model_validator(mode="before")
    @classmethod
    def _place_in_warehouse(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "path" in value:
            return value
        catalog, table = value.get("catalog"), value.get("table")
        warehouse = catalog.get("warehouse") if isinstance(catalog, Mapping) else None
        if not isinstance(warehouse, str) or not isinstance(table, str):
            return value
        path = f"{warehouse.rstrip('/')}/{table.replace('.', '/')}"
        return {**value, "path": path.replace("{", "{{").replace("}", "}}")}

    def secrets(self) -> Iterator[str]:
        """Yield the secrets of the catalog."""
        return self.catalog.secrets()
