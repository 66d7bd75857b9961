"""Settings of an export: YAML, the environment and overrides become one frozen ExportConfig."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from connectors.storage import StorageOptions, escape_glob, protocol_of
from pipeline.config.blocks import (
    ConfigBlock,
    CreatedBlock,
    ExecutionBlock,
    LineageBlock,
    MetadataBlock,
    RegistryBlock,
    SeriesBlock,
    SourceBlock,
    TransformBlock,
    WebhooksBlock,
)
from pipeline.config.checks import Settings, find_problems
from pipeline.config.document import node_of
from pipeline.config.document_secrets import unvalidated_secrets
from pipeline.config.interpolation import literal
from pipeline.config.loading import document_of, is_ignored_key, read_text, validated
from pipeline.config.overrides import apply_override
from pipeline.config.path_template import (
    codec_of,
    format_of,
    is_tab_separated,
    probe_path,
    refuse_unknown_ending,
    template_fields,
)
from pipeline.config.problems import ProblemReport, UnfitBlocksError
from pipeline.config.schema import document_schema
from pipeline.config.storage_block import StorageBlock
from pipeline.config.values import ConfigName, NotEmpty, Version
from pipeline.errors import ConfigError
from pipeline.sinks.formats import FORMATS, AnySink
from pipeline.sinks.sink import STDOUT

__all__ = [
    "CreatedBlock",
    "ExecutionBlock",
    "ExportConfig",
    "LineageBlock",
    "MetadataBlock",
    "RegistryBlock",
    "SeriesBlock",
    "SourceBlock",
    "StorageBlock",
    "TransformBlock",
    "WebhooksBlock",
    "checked_config",
    "config_hash",
    "config_schema",
    "load_config",
    "parse_config",
    "parse_mapping",
    "registry_block",
    "single_run_config",
]


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


class ExportConfig(ConfigBlock):
    """Settings of one export.

    Attributes:
        version: Version of the config's format.
        name: Appears in logs, in the descriptor and in the catalog.
        storage: Named option sets for storages.
        source: Where runs are read from, and which of them are wanted.
        metadata: Columns beside the base columns.
        transform: What happens to rows and columns before they are written.
        sinks: What is written where; one pass over the source feeds all of them.
        execution: What the export may use of the machine.
        lineage: Which lineage events are sent.
        webhooks: Services that receive the report of the export once it has ended.
        registry: Where the export and its runs are entered once it is published.
    """

    version: Version
    name: ConfigName = "export"
    storage: Annotated[dict[ConfigName, StorageBlock], BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=dict
    )
    source: SourceBlock
    metadata: MetadataBlock = MetadataBlock()
    transform: TransformBlock = TransformBlock()
    sinks: Annotated[tuple[AnySink, ...], *NotEmpty]
    execution: ExecutionBlock = ExecutionBlock()
    lineage: LineageBlock | None = None
    webhooks: WebhooksBlock | None = None
    registry: RegistryBlock | None = None

    @field_validator("sinks", mode="before")
    @classmethod
    def _complete_by_path(cls, sinks: Any, info: ValidationInfo) -> Any:
        name = str(info.data.get("name", ""))
        return [_completed_by_path(s, name) for s in sinks] if isinstance(sinks, list) else sinks

    @model_validator(mode="after")
    def _check_together(self) -> ExportConfig:
        settings = Settings(
            self.name,
            self.storage,
            self.source,
            self.metadata,
            self.transform,
            self.sinks,
            self.execution,
        )
        problems = find_problems(settings)
        if problems:
            raise UnfitBlocksError(problems)
        return self

    def storage_options(self, name: str | None) -> StorageOptions | None:
        """Return a named option set; None where nothing is named or nothing has that name."""
        block = None if name is None else self.storage.get(name)
        return None if block is None or name is None else block.options(name)

    def secrets(self) -> set[str]:
        """Return the texts that must not be shown anywhere."""
        found = {secret for block in self.storage.values() for secret in block.secrets()}
        found |= {secret for sink in self.sinks for secret in sink.secrets()}
        for block in (self.registry, self.webhooks):
            found.update(() if block is None else block.secrets())
        return found


def _completed_by_path(sink: Any, name: str) -> Any:
    """Return a sink with the options that the ending of its path asks for."""
    if not isinstance(sink, dict) or not isinstance(sink.get("path"), str):
        return sink
    form = sink.get("format")
    try:
        path = probe_path(sink["path"], name=name, form=str(form))
    except ValueError:  # reported with what else is wrong
        return sink
    asked: dict[str, Any] = {}
    if form == "csv" and is_tab_separated(path):
        asked["separator"] = "\t"
    if form != "parquet" and (codec := codec_of(path)) is not None:
        asked["compression"] = codec
    return {**asked, **sink}


def load_config(
    source: Path | str,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> ExportConfig:
    """Read a config file.

    Args:
        source: The YAML file.
        overrides: `key.path=value` each, laid over the file in order.
        environ: Variables for `${NAME}`; default this process's.

    Raises:
        ConfigError: The file cannot be read, or what it says is wrong.
    """
    root = document_of(read_text(source), str(source))
    for override in overrides:
        apply_override(root, override)
    return validated(root, ExportConfig, environ, folder=Path(source).parent)


def parse_config(
    text: str,
    *,
    filename: str = "<config>",
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    base_dir: Path | None = None,
) -> ExportConfig:
    """Read a config from its text.

    Args:
        text: YAML.
        filename: What messages call it.
        overrides: `key.path=value` each, laid over the text in order.
        environ: Variables for `${NAME}`; default this process's.
        base_dir: Where relative paths of `${file:PATH}` begin; default the working directory.

    Raises:
        ConfigError: What the text says is wrong; one line for each problem.
    """
    root = document_of(text, filename)
    for override in overrides:
        apply_override(root, override)
    return validated(root, ExportConfig, environ, base_dir)


def parse_mapping(plain: Mapping[str, Any], *, called: str = "config") -> ExportConfig:
    """Read a config from plain data, as a YAML file would hold it: `${NAME}` is resolved.

    Args:
        plain: What the document would hold.
        called: What messages call it.

    Raises:
        ConfigError: What it says is wrong; one line for each problem.
    """
    return validated(node_of(dict(plain), called), ExportConfig)


def single_run_config(
    url: str,
    formats: Sequence[str],
    out: str | None,
    storage_options: Sequence[str] = (),
    registry: str | None = None,
) -> ExportConfig:
    """Return the config of an export that was asked for without a file.

    Args:
        url: The run directory.
        formats: Formats of the sinks, in order.
        out: Folder or, for one format, file or `-`; default the run's `gold/` folder.
        storage_options: `key=value` each, for the storage named `source`.
        registry: URL of the registry that the export is entered in.

    Raises:
        ConfigError: The options do not fit together.
    """
    shared = bool(storage_options) and (out is None or protocol_of(out) == protocol_of(url))
    sinks = [{"format": form, "path": _sink_path(form, formats, out)} for form in formats]
    if shared and out is not None:
        sinks = [{**sink, "storage": "source"} for sink in sinks]
    plain: dict[str, Any] = {
        "version": 1,
        "source": {"url": literal(escape_glob(url))},
        "sinks": sinks,
    }
    if registry is not None:
        plain["registry"] = {"url": literal(registry)}
    root = node_of(plain, "command line")
    for option in storage_options:
        apply_override(root, option, option="--storage-option", below=("storage", "source"))
    if storage_options:
        apply_override(root, "source.storage=source")
    return validated(root, ExportConfig)


def registry_block(url: str) -> RegistryBlock:
    """Return the settings of a registry that is named outside of a config.

    Args:
        url: Its URL, taken literally.

    Raises:
        ConfigError: It is none of a registry.
    """
    return validated(node_of({"url": literal(url)}, "registry"), RegistryBlock)


def checked_config(plain: Mapping[str, Any], *, called: str) -> ExportConfig:
    """Return a config from plain data, all of it taken literally: `${NAME}` stays as it is.

    Args:
        plain: What a document would hold.
        called: What messages call it.

    Raises:
        ConfigError: What it says is wrong; one line for each problem.
    """
    try:
        return ExportConfig.model_validate(
            {key: value for key, value in plain.items() if not is_ignored_key(key)}
        )
    except ValidationError as error:
        secrets = unvalidated_secrets(plain)
        report = ProblemReport(node_of(dict(plain), called), ExportConfig, secrets)
        problem = report.error(report.problems_of(error))
    raise problem  # out here it takes no pydantic error along, which has the values


def config_hash(config: ExportConfig) -> str:
    """Return sha256 of what shapes the bytes of the outputs: no places, no secrets, no machine."""
    shaping = {
        "version": config.version,
        "name": config.name,
        "source": config.source.model_dump(
            mode="json", exclude={"url", "storage", "verify", "require_runs"}
        ),
        "metadata": config.metadata.model_dump(mode="json"),
        "order": [*config.metadata.constants],
        "transform": config.transform.model_dump(mode="json"),
        "sinks": [_shape(sink) for sink in config.sinks],
    }
    text = json.dumps(shaping, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config, for editors."""
    return document_schema(ExportConfig, title="flowtime-export config")


def _shape(sink: AnySink) -> dict[str, Any]:
    shape = sink.model_dump(mode="json", exclude={*sink.locating})
    return {**shape, "path_fields": sorted(set(template_fields(sink.path)))}


def _sink_path(form: str, formats: Sequence[str], out: str | None) -> str:
    endings = {str(name): spec.extension for name, spec in FORMATS.items()}
    extension = endings.get(form, f".{form}")
    if out is None:
        return "{run_url}/gold/export" + extension
    path = literal(out)
    if path == STDOUT and len(formats) == 1:
        return STDOUT
    if path == STDOUT:
        raise ConfigError(
            f"--out: - is standard output, which takes one format, and there are {len(formats)}"
        )
    try:
        refuse_unknown_ending(path)
    except ValueError as error:
        raise ConfigError(f"--out: {error}") from error
    if format_of(path) is None:
        return f"{path.rstrip('/')}/export{extension}"
    if len(formats) > 1:
        raise ConfigError(
            f"--out: {path} is a file, but there are {len(formats)} formats: name a folder"
        )
    return path
