"""Read a model as a tree of texts, within bounds and without constructing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from connectors.errors import RunError
from connectors.flowtime.parse.spec_scalars import SPEC_FILE

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000
MAX_DEPTH = 64

ModelTree = str | dict[str, "ModelTree"] | list["ModelTree"]
"""A scalar as it is written, or what is below a key or a list."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_model(data: bytes) -> ModelTree:
    """Read a model.

    Args:
        data: The bytes of spec.yaml.

    Raises:
        RunError: It is no YAML, too large, too deep, or uses aliases.
    """
    if len(data) > MAX_BYTES:
        raise RunError(f"has {len(data)} bytes; at most {MAX_BYTES} are compared", file=SPEC_FILE)
    try:
        text = data.decode("utf-8-sig")
        return _Composer().compose(yaml.parse(text, Loader=_LOADER))
    except UnicodeDecodeError as error:
        raise RunError("is not UTF-8", file=SPEC_FILE) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RunError(
            f"is not YAML: {getattr(error, 'problem', None) or error}",
            file=SPEC_FILE,
            line=None if mark is None else mark.line + 1,
        ) from error


@dataclass
class _Composer:
    nodes: int = 0

    def compose(self, events: Iterator[yaml.Event]) -> ModelTree:
        """Return the tree of the first document."""
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                return self._node(event, events, 0)
        return {}

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> ModelTree:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise RunError(f"holds more than {MAX_NODES} values", file=SPEC_FILE)
        if depth > MAX_DEPTH:
            raise RunError(f"is nested deeper than {MAX_DEPTH} levels", file=SPEC_FILE)
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, depth)
        line = event.start_mark.line + 1 if event.start_mark else None
        raise RunError("uses an alias, which is not followed", file=SPEC_FILE, line=line)

    def _mapping(self, events: Iterator[yaml.Event], depth: int) -> dict[str, ModelTree]:
        found: dict[str, ModelTree] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            found[key if isinstance(key, str) else "?"] = value
        return found

    def _sequence(self, events: Iterator[yaml.Event], depth: int) -> list[ModelTree]:
        found: list[ModelTree] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self._node(event, events, depth + 1))
        return found
