"""Replace references to the environment and to mounted secrets in a document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.document import KeyPath, Node
from pipeline.config.problems import ConfigProblem

MAX_SECRET_BYTES = 64 * 1024
MAX_TOTAL_CHARS = 4 * 1024 * 1024

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FILE = "file:"


def literal(text: str) -> str:
    """Return how a document spells a text, so that none of it is taken for a reference.

    >>> literal("runs/${NAME}")
    'runs/$${NAME}'
    """
    return text.replace("${", "$${")


class _ReferenceError(Exception):
    """A reference that cannot be followed; the message says why."""


@dataclass
class Interpolation:
    """Resolves references, and remembers what must not be shown.

    Attributes:
        environ: The variables.
        base_dir: Where relative paths of secret files begin.
        secrets: Texts of the secret files read so far.
        problems: References that could not be followed.
        put_in: The texts that references were replaced by, in their places.
    """

    environ: Mapping[str, str]
    base_dir: Path
    secrets: set[str] = field(default_factory=set)
    problems: list[ConfigProblem] = field(default_factory=list)
    put_in: dict[KeyPath, list[str]] = field(default_factory=dict)
    _left: int = MAX_TOTAL_CHARS

    def resolve(self, node: Node, path: KeyPath = ()) -> Any:
        """Return the plain value of a node; keys are left as they are."""
        value = node.value
        if isinstance(value, dict):
            return {key: self.resolve(child, (*path, key)) for key, child in value.items()}
        if isinstance(value, list):
            return [self.resolve(child, (*path, index)) for index, child in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            texts = self.put_in.setdefault(path, [])
            return _REFERENCE.sub(lambda match: self._replacement(match, texts), value)
        except _ReferenceError as error:
            self.problems.append(ConfigProblem(path, str(error)))
            return value

    def _replacement(self, match: re.Match[str], put_in: list[str]) -> str:
        """Return one reference's text; it is not looked at again, whatever it holds."""
        if match[0] == "$${":
            return "${"
        text = self._look_up(match[1])
        self._left -= len(text)
        if self._left < 0:
            raise _ReferenceError(f"references hold more than {MAX_TOTAL_CHARS} characters")
        put_in.append(text)
        return text

    def _look_up(self, body: str | None) -> str:
        if body is None:
            raise _ReferenceError("'${' is not closed by '}'; a literal ${ is written $${")
        if "{" in body:
            raise _ReferenceError(
                "a reference cannot hold { or another reference: give its default as plain text"
            )
        if body.startswith(_FILE):
            return self._read(body.removeprefix(_FILE))
        match = _VARIABLE.fullmatch(body)
        if match is None:
            # The text is not shown: it may hold a default that is secret.
            raise _ReferenceError(
                "expected ${NAME}, ${NAME:-default} or ${file:PATH}; a literal ${ is written $${"
            )
        name, default = match[1], match[2]
        found = self.environ.get(name)
        if default is not None:
            return found or default
        if found is None:
            raise _ReferenceError(
                f"environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return found

    def _read(self, path: str) -> str:
        where = f"secret file {path[:200]!r}"
        try:
            file = self.base_dir / Path(path).expanduser()
            if not file.is_file():  # also keeps away from pipes, which would wait for ever
                raise _ReferenceError(f"{where} is not there, or is no file")
            with file.open("rb") as stream:
                data = stream.read(MAX_SECRET_BYTES + 1)
            if len(data) > MAX_SECRET_BYTES:
                raise _ReferenceError(f"{where} is larger than {MAX_SECRET_BYTES} bytes")
            text = data.decode("utf-8")
        except RuntimeError as error:  # `~name` of an unknown user
            raise _ReferenceError(f"{where}: no such home folder") from error
        except OSError as error:
            raise _ReferenceError(f"{where} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise _ReferenceError(f"{where} is not UTF-8 text") from error
        text = text.removesuffix("\n").removesuffix("\r")
        self.secrets.add(text)
        return text
