"""Read the variables of `env_file`, which `${NAME}` refers to beside those of the process."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from pipeline.config.document import DocumentPosition, Node
from pipeline.config.interpolation import Interpolation
from pipeline.errors import ConfigError

ENV_FILE = "env_file"
"""The top-level key."""

_MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def with_env_files(
    node: Node | None, environ: Mapping[str, str], folder: Path
) -> Mapping[str, str]:
    """Return the variables of the process over those of the files; later files win.

    Args:
        node: The value of `env_file`: a path or a list of them; None where the key is missing.
        environ: The variables of the process.
        folder: Where relative paths begin.

    Raises:
        ConfigError: A file cannot be read, or a line of it is no variable.
    """
    if node is None or node.value is None:
        return environ
    found: dict[str, str] = {}
    for entry in node.value if isinstance(node.value, list) else [node]:
        found |= _variables(_path(entry, environ), entry.place, folder)
    return {**found, **environ}


def _path(node: Node, environ: Mapping[str, str]) -> str:
    interpolation = Interpolation(environ, Path())
    path = interpolation.resolve(node)
    if interpolation.problems:
        raise ConfigError(f"{node.place}: {ENV_FILE}: {interpolation.problems[0].message}")
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{node.place}: {ENV_FILE}: expected a path or a list of paths")
    return path


def _variables(path: str, place: DocumentPosition, folder: Path) -> dict[str, str]:
    try:
        file = folder / Path(path).expanduser()
        if not file.is_file():  # also keeps away from pipes, which would wait for ever
            raise ConfigError(f"{place}: {ENV_FILE}: {path!r} is not there, or is no file")
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{place}: {ENV_FILE}: {path!r} cannot be read: {error.strerror}"
        ) from error
    except (ValueError, RuntimeError):
        text = None
    if text is None:  # out here it takes no decoding error along, which has the bytes
        raise ConfigError(f"{place}: {ENV_FILE}: {path!r} is not UTF-8 text, or in no home folder")
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{place}: {ENV_FILE}: {path!r} is larger than {_MAX_BYTES} bytes")
    bindings = [one for one in parse_stream(io.StringIO(text)) if not _is_comment(one)]
    return dict(_variable(one, f"{place}: {ENV_FILE}: {path}") for one in bindings)


def _is_comment(binding: Binding) -> bool:
    return binding.key is None and not binding.error


def _variable(binding: Binding, where: str) -> tuple[str, str]:
    name, value = binding.key, binding.value
    if binding.error or name is None or value is None or not _NAME.fullmatch(name):
        # What the line holds is not shown: it may be a secret.
        raise ConfigError(
            f"{where}:{binding.original.line}: expected NAME=value, a comment or an empty line"
        )
    return name, value
