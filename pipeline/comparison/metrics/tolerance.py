"""Tolerances: how far two values may lie apart, by measure, component or series."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import numpy as np

from connectors.flowtime.model.series import SeriesSpec
from pipeline.errors import ConfigError
from pipeline.wording import suggestion

_Array = np.ndarray[Any, Any]

Scope = Literal["series", "component", "measure"]
"""What a rule is for; a rule for a series comes before one for its component, and so on."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
BOUNDS = ("absolute", "relative", "nominal")
_GROUPS: dict[str, Scope] = {
    "measures": "measure",
    "components": "component",
    "series": "series",
}


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two values may lie apart.

    A difference is within the tolerance where it is at most
    `absolute + relative * max(|baseline|, nominal)`.

    Attributes:
        absolute: In the unit of the series.
        relative: As a fraction of the baseline's value, e.g. 1e-6.
        nominal: A usual size of the values, so that `relative` also allows for some difference
            near 0.
    """

    absolute: float = 0.0
    relative: float = 0.0
    nominal: float = 0.0

    def __post_init__(self) -> None:
        for name in BOUNDS:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"tolerance: {name} is {value}; expected a number from 0")

    def bounds(self, baseline: _Array) -> _Array:
        """Return the largest difference that is allowed from each value of the baseline."""
        if self.relative == 0:
            return np.full(len(baseline), self.absolute)
        size = np.abs(baseline)
        if self.nominal:
            size = np.maximum(size, self.nominal)
        with np.errstate(over="ignore"):
            bounds: _Array = self.absolute + self.relative * size
        return bounds

    def as_json(self) -> dict[str, float]:
        """Return the tolerance as JSON-compatible data."""
        return {name: getattr(self, name) for name in BOUNDS}


@dataclass(frozen=True, slots=True)
class ToleranceRule:
    """The tolerance of some series.

    Attributes:
        scope: What the pattern is held against.
        pattern: A glob on the series' id, component or measure, case-sensitive.
        tolerance: The tolerance.
    """

    scope: Scope
    pattern: str
    tolerance: Tolerance

    def matches(self, series: SeriesSpec) -> bool:
        """Return whether the rule is for a series."""
        text = {
            "series": series.id,
            "component": series.component or "",
            "measure": series.measure,
        }[self.scope]
        return fnmatchcase(text, self.pattern)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The tolerance of every series.

    Attributes:
        default: For series that no rule is for.
        rules: A rule for a series comes first, then one for a component, then one for a measure;
            of several of one scope, the first.
    """

    default: Tolerance = Tolerance()
    rules: tuple[ToleranceRule, ...] = ()

    def of(self, series: SeriesSpec) -> Tolerance:
        """Return the tolerance of a series."""
        for scope in SCOPES:
            for rule in self.rules:
                if rule.scope == scope and rule.matches(series):
                    return rule.tolerance
        return self.default

    def unused(self, series: Sequence[SeriesSpec]) -> Iterator[str]:
        """Yield the rules that are for none of the series, as messages show them."""
        for rule in self.rules:
            if not any(rule.matches(one) for one in series):
                yield f"{rule.scope} {rule.pattern!r}"

    def as_json(self) -> dict[str, Any]:
        """Return the tolerances as JSON-compatible data."""
        rules = [{r.scope: r.pattern, **r.tolerance.as_json()} for r in self.rules]
        return {**self.default.as_json(), **({"rules": rules} if rules else {})}

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Tolerances:
        """Read tolerances such as `absolute=1e-9,relative=1e-6`.

        A text with `measure=`, `component=` or `series=` is a rule for those series alone; bounds
        that a rule leaves out are those of the default.

        Args:
            texts: Each a comma-separated list of `name=value`.

        Raises:
            ConfigError: A name is unknown, or a value no number from 0.
        """
        default = Tolerance()
        parsed: list[tuple[Scope, str, dict[str, float]]] = []
        for text in texts:
            scopes, bounds = _parse(text)
            if not scopes:
                default = Tolerance(**{**_bounds_of(default), **bounds})
            elif len(scopes) > 1:
                raise ConfigError(f"tolerance {text!r}: name one of {', '.join(SCOPES)} only")
            else:
                parsed += [(scope, pattern, bounds) for scope, pattern in scopes.items()]
        rules = (
            ToleranceRule(scope, pattern, Tolerance(**{**_bounds_of(default), **bounds}))
            for scope, pattern, bounds in parsed
        )
        return cls(default, tuple(rules))

    @classmethod
    def of_any(cls, tolerance: AnyTolerance) -> Tolerances:
        """Return the tolerances that a caller of the library gave in any of its forms.

        Args:
            tolerance: Tolerances, one tolerance for all series, a number for an absolute one, text
                as on the command line, or a mapping as in a config; None for none.

        Raises:
            ConfigError: It is none of these.
        """
        if tolerance is None:
            return cls()
        if isinstance(tolerance, Tolerances):
            return tolerance
        if isinstance(tolerance, Tolerance):
            return cls(tolerance)
        if isinstance(tolerance, str):
            return cls.parse([tolerance])
        if isinstance(tolerance, Mapping):
            return cls.from_mapping(tolerance)
        if isinstance(tolerance, int | float) and not isinstance(tolerance, bool):
            return cls.from_mapping({"absolute": tolerance})
        raise ConfigError(f"tolerance: expected a number, text or a mapping, found {tolerance!r}")

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Tolerances:
        """Read tolerances from plain data: bounds, and rules below `measures` and the like.

        Raises:
            ConfigError: A key is unknown, or a value no number from 0.
        """
        unknown = [key for key in plain if key not in (*BOUNDS, *_GROUPS)]
        if unknown:
            raise ConfigError(f"tolerance: {suggestion(str(unknown[0]), [*BOUNDS, *_GROUPS])}")
        default = Tolerance(**{key: _number(key, plain[key]) for key in BOUNDS if key in plain})
        rules: list[ToleranceRule] = []
        for group, scope in _GROUPS.items():
            for pattern, bounds in _mapping(group, plain.get(group) or {}).items():
                found = _mapping(f"{group} {pattern!r}", bounds)
                given = {key: _number(key, value) for key, value in found.items()}
                tolerance = Tolerance(**{**_bounds_of(default), **given})
                rules.append(ToleranceRule(scope, str(pattern), tolerance))
        return cls(default, tuple(rules))


AnyTolerance = Tolerances | Tolerance | float | str | Mapping[str, Any] | None
"""What a caller of the library may give for a tolerance."""


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"tolerance: {name}: expected a mapping, found {value!r}")
    return value


def _bounds_of(tolerance: Tolerance) -> dict[str, float]:
    return {name: getattr(tolerance, name) for name in BOUNDS}


def _parse(text: str) -> tuple[dict[Scope, str], dict[str, float]]:
    scopes: dict[Scope, str] = {}
    bounds: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ConfigError(
                f"tolerance {text!r}: expected name=value, e.g. absolute=1e-9,relative=1e-6"
            )
        if name in bounds or name in scopes:
            raise ConfigError(f"tolerance {text!r}: names {name} twice")
        if name in SCOPES:
            scopes[name] = value
        else:
            bounds[name] = _number(name, value)
    if not bounds:
        raise ConfigError(f"tolerance {text!r}: names no bound; give {', '.join(BOUNDS)}")
    return scopes, bounds


def _number(name: str, value: Any) -> float:
    if name not in BOUNDS:
        raise ConfigError(f"tolerance: {name!r}; {suggestion(name, [*BOUNDS, *SCOPES])}")
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"tolerance: {name} is {value!r}; expected a number from 0") from None
