"""Report what is wrong with a config: place, fault and remedy."""

from __future__ import annotations

import re
import types
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from pipeline.config.document import KeyPath, Node, show_path
from pipeline.errors import ConfigError
from pipeline.sinks.formats import SINK_FORMATS
from pipeline.wording import nearest, suggestion

MOST_SHOWN = 10
_DEFAULT = re.compile(r":-[^}]*")
_LONGEST_VALUE = 60
_LONGEST_MESSAGE = 600
_SHORTEST_SECRET = 4
_SHORTEST_BEGINNING = 8

_EXPECTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a block of keys",
    "model": "a block of keys",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong.

    Attributes:
        path: Where in the config.
        message: What was found there, and what would be right.
        at_key: Whether the key is at fault, not its value.
    """

    path: KeyPath
    message: str
    at_key: bool = False


class UnfitBlocksError(ValueError):
    """Problems that only show when blocks are looked at together."""

    def __init__(self, problems: Collection[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{show_path(p.path)}: {p.message}" for p in self.problems))


def expected(what: str) -> PydanticCustomError:
    """Return an error for validators of blocks; what was found is added when it is shown."""
    return PydanticCustomError("expected", "expected {what}", {"what": what})


@dataclass(frozen=True, slots=True)
class ProblemReport:
    """Turns problems into the text of a ConfigError.

    Attributes:
        root: The document, which knows the places.
        model: The model the document was held against.
        secrets: Texts that must not be shown.
        put_in: Texts that references were replaced by, not to be shown where they occur.
    """

    root: Node
    model: type[BaseModel]
    secrets: Collection[str] = ()
    put_in: Mapping[KeyPath, Collection[str]] = field(default_factory=dict)

    def error(self, problems: Iterable[ConfigProblem]) -> ConfigError:
        """Return one line per problem, in the order of the document."""
        ordered = sorted(dict.fromkeys(problems), key=self._order)
        lines = [self._line(problem) for problem in ordered[:MOST_SHOWN]]
        if len(ordered) > MOST_SHOWN:
            lines.append(f"... and {len(ordered) - MOST_SHOWN} more")
        return ConfigError("\n".join(lines))

    def problems_of(self, error: ValidationError) -> list[ConfigProblem]:
        """Return the problems of a failed validation."""
        problems: list[ConfigProblem] = []
        for details in error.errors(include_url=False):
            cause = details.get("ctx", {}).get("error")
            if isinstance(cause, UnfitBlocksError):
                problems += cause.problems
            else:
                problems.append(self._problem(details))
        return problems

    def _line(self, problem: ConfigProblem) -> str:
        text = f"{show_path(problem.path)}: {problem.message}" if problem.path else problem.message
        put_in = self.put_in.get(problem.path, ())
        hidden = {*self.secrets, *put_in, *(_beginning(one, text) for one in put_in)}
        for secret in sorted(hidden, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***").replace(repr(secret)[1:-1], "***")
        if len(text) > _LONGEST_MESSAGE:
            text = text[:_LONGEST_MESSAGE] + "..."
        return f"{self._place(problem)}: {text}"

    def _place(self, problem: ConfigProblem) -> str:
        node, depth = self._nearest(problem.path)
        at_key = problem.at_key and depth == len(problem.path)
        return str(node.key_place if at_key and node.key_place is not None else node.place)

    def _order(self, problem: ConfigProblem) -> tuple[bool, int, int]:
        node, _ = self._nearest(problem.path)
        return (node.place.line == 0, node.place.line, node.place.column)

    def _nearest(self, path: KeyPath) -> tuple[Node, int]:
        """Return the node at a path, or the innermost one around it, with its depth."""
        for depth in range(len(path), 0, -1):
            node = self.root.find(path[:depth])
            if node is not None:
                return node, depth
        return self.root, 0

    def _problem(self, details: ErrorDetails) -> ConfigProblem:
        path = _document_path(details["loc"])
        kind = details["type"]
        context: Mapping[str, Any] = details.get("ctx", {})
        if details["loc"][-1:] == ("[key]",):
            message = self._of_value(kind, context, {**details, "input": None}, path)
            return ConfigProblem(path, message.removesuffix(", found nothing"), at_key=True)
        if kind == "missing":
            return ConfigProblem(path, "is required")
        if kind == "extra_forbidden":
            keys = _keys_of(_model_at(self.model, details["loc"][:-1]))
            return ConfigProblem(
                path, f"unknown key; {suggestion(str(path[-1]), keys)}", at_key=True
            )
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            return self._of_tag(kind, context, path)
        return ConfigProblem(path, self._of_value(kind, context, details, path))

    def _of_tag(self, kind: str, context: Mapping[str, Any], path: KeyPath) -> ConfigProblem:
        field = str(context["discriminator"]).strip("'")
        place = (*path, field)
        if kind == "union_tag_not_found":
            return ConfigProblem(place, f"is required; choose from {', '.join(SINK_FORMATS)}")
        tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        found = self._found(context["tag"], place)
        return ConfigProblem(
            place, f"unknown {field}, {found}; {suggestion(str(context['tag']), tags)}"
        )

    def _of_value(
        self, kind: str, context: Mapping[str, Any], details: ErrorDetails, path: KeyPath
    ) -> str:
        value = details["input"]
        found = self._found(value, path)
        if kind == "value_error":
            return str(context["error"])
        if kind == "literal_error":
            return _of_choice(str(context["expected"]), value, found)
        if kind in _BOUNDS:
            words, limit = _BOUNDS[kind]
            return f"expected {words} {context[limit]}, {found}"
        if kind in ("too_short", "string_too_short"):
            return f"expected at least {_amount(kind, context['min_length'])}"
        if kind in ("too_long", "string_too_long"):
            return f"expected at most {_amount(kind, context['max_length'])}"
        if kind == "string_pattern_mismatch":
            return f"expected text of the form {context['pattern']}, {found}"
        if kind == "expected":
            return f"expected {context['what']}, {found}"
        return self._of_type(kind, value, found, path, details["msg"])

    def _of_type(self, kind: str, value: object, found: str, path: KeyPath, message: str) -> str:
        what = _EXPECTED.get(kind.partition("_")[0])
        if what is None:
            return "is not valid" if path[:1] == ("storage",) else message
        hint = ""
        if what == "text" and (value is None or isinstance(value, bool | int | float)):
            hint = "; put text in quotes"
        elif what == "a block of keys" and isinstance(value, str):
            hint = _block_hint(_model_at(self.model, path))
        return f"expected {what}, {found}{hint}"

    def _found(self, value: object, path: KeyPath) -> str:
        """Return the value at a path, as far as it may be shown."""
        if value is None:
            return "found nothing"
        if isinstance(value, bool):
            return f"found {str(value).lower()}"
        if isinstance(value, list | tuple):
            return "found a list"
        if isinstance(value, dict):
            return "found a block of keys"
        if path[:1] == ("storage",):
            return "found another value"
        if isinstance(value, int | float):
            return f"found {value}"
        return f"found {self._found_text(str(value), path)}"

    def _found_text(self, text: str, path: KeyPath) -> str:
        node = self.root.find(path)
        written = node.value if node is not None else None
        if isinstance(written, str) and "${" in written and written != text:
            return f"the text of {_DEFAULT.sub('', written)!r}"
        if any(secret in text for secret in self.secrets if secret):
            return "a text that is secret elsewhere"
        clipped = text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
        return f"text {clipped!r}"


def _beginning(hidden: str, text: str) -> str:
    """Return the longest beginning of a hidden text that a message was cut off in; else nothing."""
    for length in range(min(len(hidden), len(text)), _SHORTEST_BEGINNING - 1, -1):
        if hidden[:length] in text:
            return hidden[:length]
    return ""


def _block_hint(model: type[BaseModel] | None) -> str:
    """Return what to write in place of a text that one key of a block would hold."""
    fields = {} if model is None else model.model_fields
    required = [field.alias or name for name, field in fields.items() if field.is_required()]
    return f"; write {{{required[0]}: ...}}" if len(required) == 1 else ""


def _amount(kind: str, count: int) -> str:
    one, more = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
    return f"{count} {one if count == 1 else more}"


def _of_choice(expected: str, value: object, found: str) -> str:
    """Say what is wrong with a value that is none of `'a', 'b' or 1`, as pydantic lists them."""
    words = expected.replace(" or ", ", ").split(", ")
    choices = [word.strip("'") for word in words]
    *first, last = choices
    listed = f"{', '.join(first)} or {last}" if first else last
    hint = ""
    if isinstance(value, str):
        near = nearest(value, choices)
        is_quoted_number = value.strip() in words
        if is_quoted_number:
            hint = f"; write {value.strip()} without quotes"
        elif near is not None and words[choices.index(near)] != near:
            hint = f"; did you mean {near!r}?"
    return f"expected {listed}, {found}{hint}"


def _document_path(loc: tuple[str | int, ...]) -> KeyPath:
    """Return a location of pydantic as a path of the document: a sink's carries its format."""
    if loc[-1:] == ("[key]",):
        loc = loc[:-1]
    if loc[:1] == ("sinks",) and len(loc) > 2:
        return (*loc[:2], *loc[3:])
    return loc


def _keys_of(model: type[BaseModel] | None) -> list[str]:
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Return the model that a location of pydantic lies in."""
    annotation: Any = model
    for part in loc:
        annotation = _step(_bare(annotation), part)
    annotation = _bare(annotation)
    return annotation if _is_model(annotation) else None


def _step(annotation: Any, part: str | int) -> Any:
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            if (field.alias or name) == part:
                return field.annotation
        return None
    if get_origin(annotation) in (Union, types.UnionType):
        members = [m for m in get_args(annotation) if _is_model(m) and "format" in m.model_fields]
        tags = {get_args(m.model_fields["format"].annotation): m for m in members}
        return tags.get((part,))
    args = get_args(annotation)
    if get_origin(annotation) is dict:
        return args[1]
    return args[0] if args else None


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        models = [member for member in get_args(annotation) if member is not type(None)]
        return models[0] if len(models) == 1 else annotation
    return annotation


def _is_model(annotation: Any) -> bool:
    return (
        get_origin(annotation) is not Literal
        and isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
    )
