"""Load config files into validated models, with messages that name the line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.config.document import Node, read_document
from pipeline.config.document_secrets import unvalidated_secrets
from pipeline.config.env_file import ENV_FILE, with_env_files
from pipeline.config.interpolation import Interpolation
from pipeline.config.problems import ProblemReport
from pipeline.errors import ConfigError

MAX_BYTES = 1024 * 1024

_Model = TypeVar("_Model", bound=BaseModel)


def read_text(source: Path | str) -> str:
    """Return the text of a config file.

    Raises:
        ConfigError: It cannot be read, is too large, or is not UTF-8.
    """
    filename = str(source)
    try:
        with Path(source).open("rb") as stream:
            return read_stream(stream, filename)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{filename}: cannot be read: {reason}") from error


def read_stream(stream: IO[bytes], filename: str) -> str:
    """Return the text of a config from an open stream.

    Args:
        stream: The stream, which is read to its end.
        filename: What messages call it.

    Raises:
        ConfigError: It is too large, or is not UTF-8.
        OSError: It cannot be read.
    """
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large(filename)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    # Out here it takes no decoding error along, which has the bytes.
    raise ConfigError(f"{filename}:{line}: not UTF-8; save the file as UTF-8")


def document_of(text: str, filename: str) -> Node:
    """Return the document of a config's text.

    Raises:
        ConfigError: The text is too large or no YAML.
    """
    if len(text) > MAX_BYTES:
        raise _too_large(filename)
    return read_document(text.removeprefix("\ufeff"), filename)


def validated(
    root: Node,
    model: type[_Model],
    environ: Mapping[str, str] | None = None,
    base_dir: Path | None = None,
    folder: Path | None = None,
) -> _Model:
    """Return a document as a model, references being resolved.

    Top-level keys that are not settings of the model are taken out: `x-...` and `$schema` are
    ignored, `env_file` names files of variables.

    Args:
        root: The document.
        model: What it should be.
        environ: Variables for `${NAME}`; default this process's.
        base_dir: Where relative paths of `${file:PATH}` begin; default the working directory.
        folder: Where relative paths of `env_file` begin; default the working directory.

    Raises:
        ConfigError: It is not as the model asks; one line for each problem.
    """
    env_files, root = _without_document_keys(root)
    environ = os.environ if environ is None else environ
    environ = with_env_files(env_files, environ, folder or Path())
    interpolation = Interpolation(environ, base_dir or Path())
    values = interpolation.resolve(root)
    secrets = interpolation.secrets | unvalidated_secrets(values)
    report = ProblemReport(root, model, secrets, interpolation.put_in)
    problems = list(interpolation.problems)
    unresolved = {problem.path for problem in problems}
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        # What could not be resolved has its own message, whatever else it breaks.
        found: Iterable[Any] = report.problems_of(error)
        problems += [problem for problem in found if problem.path not in unresolved]
    else:
        if not problems:
            return config
    raise report.error(problems)  # out here it takes no pydantic error along, which has the values


def _without_document_keys(root: Node) -> tuple[Node | None, Node]:
    """Return `env_file`, and the document without the keys that are no settings."""
    assert isinstance(root.value, dict)
    kept = {
        key: node for key, node in root.value.items() if key != ENV_FILE and not is_ignored_key(key)
    }
    return root.value.get(ENV_FILE), replace(root, value=kept)


def is_ignored_key(key: str) -> bool:
    """Return whether a top-level key is for people, editors and anchors alone.

    >>> is_ignored_key("x-common"), is_ignored_key("$schema"), is_ignored_key("name")
    (True, True, False)
    """
    return key.startswith("x-") or key == "$schema"


def _too_large(filename: str) -> ConfigError:
    return ConfigError(f"{filename}: larger than {MAX_BYTES} bytes, which no config should be")
