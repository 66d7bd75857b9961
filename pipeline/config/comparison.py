"""Settings of comparisons with one baseline: YAML becomes a frozen ComparisonConfig."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from connectors.storage import StorageOptions
from pipeline.config.blocks import ConfigBlock, RegistryBlock
from pipeline.config.loading import document_of, read_text, validated
from pipeline.config.problems import ConfigProblem, UnfitBlocksError
from pipeline.config.storage_block import StorageBlock
from pipeline.config.values import ConfigName, NotEmpty, Url, Version
from pipeline.rows.aggregation import Aggregation
from pipeline.wording import suggestion

Bound = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Glob = Annotated[str, Field(min_length=1, max_length=500)]
_Component = Annotated[str, Field(min_length=1, max_length=500)]


def _as_block(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class SideBlock(ConfigBlock):
    """A side of comparisons; its URL alone may be written for it.

    Attributes:
        url: A run directory, an export, a telemetry bundle or a plain table; among `comparisons`
            also a pattern with `*`, `?`, `[...]` and `**` for any number of folders.
        storage: Entry of the storage block to use.
        run: Id of the run, where several are there.
    """

    url: Url
    storage: str | None = None
    run: str | None = None


_SideField = Annotated[SideBlock, BeforeValidator(_as_block)]


class ToleranceBlock(ConfigBlock):
    """How far values of some series may lie apart; what is left out is taken from the default.

    Attributes:
        absolute: In the unit of the series.
        relative: As a fraction of the baseline's value.
        nominal: A usual size of the values, so that `relative` allows for something near 0.
    """

    absolute: Bound | None = None
    relative: Bound | None = None
    nominal: Bound | None = None


class TolerancesBlock(ToleranceBlock):
    """How far values may lie apart.

    A series' own rule comes before those for its component, these before those for its measure.

    Attributes:
        measures: By glob on the measure.
        components: By glob on the component.
        series: By glob on the series id.
    """

    measures: dict[_Glob, ToleranceBlock] = Field(default_factory=dict)
    components: dict[_Glob, ToleranceBlock] = Field(default_factory=dict)
    series: dict[_Glob, ToleranceBlock] = Field(default_factory=dict)

    def plain(self) -> Mapping[str, Any]:
        """Return the bounds that are set, as plain data."""
        return self.model_dump(exclude_none=True)


class ComparisonOutputs(ConfigBlock):
    """What is written of comparisons; fields of paths are `{run_id}` and `{run_name}`.

    Attributes:
        metrics: A table with a row for each run and series.
        differences: Tables of the compared values, one for each comparison.
        html: Reports, one for each comparison.
        junit: A report for CI systems, with a test for each comparison.
        storage: Entry of the storage block to use.
    """

    metrics: Url | None = None
    differences: Url | None = None
    html: Url | None = None
    junit: Url | None = None
    storage: str | None = None


class ComparisonConfig(ConfigBlock):
    """Settings of comparisons with one baseline.

    Attributes:
        version: Version of the config's format.
        name: Appears in reports.
        storage: Named option sets for storages.
        baseline: What everything is compared with.
        comparisons: What is compared with it.
        tolerances: How far values may lie apart.
        alignment: How time grids are laid over each other.
        aggregation: How bins of a finer grid become one, by kind of series; `*` for all others.
        renamed: Component or series id of the baseline, and its name in the comparisons.
        outputs: What is written.
        fail_on: What makes the command fail with exit code 4.
        registry: Where comparisons that write tables are entered, with their sides.
    """

    version: Version
    name: ConfigName = "comparison"
    storage: dict[ConfigName, StorageBlock] = Field(default_factory=dict)
    baseline: _SideField
    comparisons: Annotated[tuple[_SideField, ...], *NotEmpty]
    tolerances: TolerancesBlock = TolerancesBlock()
    alignment: Literal["auto", "start_time", "bin", "timestamp"] = "auto"
    aggregation: dict[str, Aggregation] = Field(default_factory=dict)
    renamed: dict[_Component, _Component] = Field(default_factory=dict)
    outputs: ComparisonOutputs = ComparisonOutputs()
    fail_on: Literal["different", "missing", "any"] | None = None
    registry: RegistryBlock | None = None

    @model_validator(mode="after")
    def _check_storages(self) -> ComparisonConfig:
        named = [
            (("baseline", "storage"), self.baseline.storage),
            (("outputs", "storage"), self.outputs.storage),
            *(
                (("comparisons", place, "storage"), side.storage)
                for place, side in enumerate(self.comparisons)
            ),
        ]
        problems = [
            ConfigProblem(path, f"no storage {name!r}; {suggestion(name, self.storage)}")
            for path, name in named
            if name is not None and name not in self.storage
        ]
        if problems:
            raise UnfitBlocksError(problems)
        return self

    def storage_options(self, name: str | None) -> StorageOptions | None:
        """Return a named option set; None where nothing is named."""
        return None if name is None else self.storage[name].options(name)

    def secrets(self) -> set[str]:
        """Return the texts that must not be shown anywhere."""
        found = {secret for block in self.storage.values() for secret in block.secrets()}
        return found if self.registry is None else found | set(self.registry.secrets())


def load_comparison_config(
    source: Path | str, *, environ: Mapping[str, str] | None = None
) -> ComparisonConfig:
    """Read a config of comparisons.

    Args:
        source: The YAML file.
        environ: Variables for `${NAME}`; default this process's.

    Raises:
        ConfigError: The file cannot be read, or what it says is wrong.
    """
    root = document_of(read_text(source), str(source))
    return validated(root, ComparisonConfig, environ, folder=Path(source).parent)


def parse_comparison_config(
    text: str, *, filename: str, environ: Mapping[str, str] | None = None
) -> ComparisonConfig:
    """Read a config of comparisons from its text; relative paths start at the working directory.

    Args:
        text: YAML.
        filename: What messages call it.
        environ: Variables for `${NAME}`; default this process's.

    Raises:
        ConfigError: What the text says is wrong.
    """
    return validated(document_of(text, filename), ComparisonConfig, environ)
