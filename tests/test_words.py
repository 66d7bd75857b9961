"""The vocabulary of the project: plain words, and one name for one type."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("connectors", "flowtime_export", "pipeline")
FOLDERS = (*PACKAGES, "benchmarks", "configs", "docs", "tests")
TEXTS = {".css", ".html", ".js", ".md", ".py", ".toml", ".yaml", ".yml"}
AVOIDED = re.compile(
    r"""(?<![a-z])(?:
        told|tells?|stands?|standing|stood|mend(?:s|ed|ing)?|nobody|strangers?|whoever
        |shelf|shelves|lanes?|faulty
    )(?![a-z])""",
    re.VERBOSE | re.IGNORECASE,
)
STREAM_POSITION = re.compile(r"\btell\(")


def texts() -> Iterator[Path]:
    """Every text that the project consists of, except what others wrote and this list of words."""
    yield from ROOT.glob("*.md")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in TEXTS and "vendor" not in path.parts and path != Path(__file__):
                yield path


def avoided_words(text: str) -> list[str]:
    """Lines of a text that use an avoided word."""
    return [line for line in text.splitlines() if AVOIDED.search(STREAM_POSITION.sub("", line))]


def test_plain_words_everywhere() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in texts()
        if (lines := avoided_words(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "The user is told so.",
        "def told_apart(): ...",
        "# Nobody knows",
        "NOBODY = 65534",
        "files stand there already",
        "from faulty_store import Faults",
    ],
)
def test_avoided_words_are_found(line: str) -> None:
    assert avoided_words(line) == [line]


@pytest.mark.parametrize(
    "line",
    ["start = stream.tell()", "def tell(self) -> int:", "a standard", "the understanding",
     'live.addEventListener("runs", load)', "recommended", "intelligent", "planes"],
)  # fmt: skip
def test_other_words_are_not(line: str) -> None:
    assert avoided_words(line) == []


def public_types(code: str) -> Iterator[str]:
    """Public classes and type aliases of a module."""
    for node in ast.parse(code).body:
        names: list[str] = []
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        yield from (name for name in names if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name))


def test_public_type_names_are_unique() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in public_types(path.read_text(encoding="utf-8")):
                places[name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_types_of_every_form_are_found() -> None:
    code = "class Run: ...\nPath_ = str\nKind: TypeAlias = str\n_Own = str\nMOST = 3\nversion = 1\n"
    assert list(public_types(code)) == ["Run", "Path_", "Kind"]
