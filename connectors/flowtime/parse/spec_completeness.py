"""Detect a spec.yaml that was not written whole, so that a start in time may be missing from it."""

from __future__ import annotations

import re

import yaml

from connectors.errors import RunError
from connectors.flowtime.parse.spec_scalars import (
    LOADER,
    MAX_BLOCK_BYTES,
    MAX_WHOLE_BYTES,
    NEXT_KEY,
    SPEC_FILE,
    is_block_style,
    scalars,
)

_MODEL_KEY = re.compile(r"""^(["']?)(grid|nodes)\1[ \t]*:(?=[ \t\n]|\Z)""", re.MULTILINE)
_FLOW_KEY = re.compile(r"""(["']?)\b(grid|nodes)\1\s*:""")


def refuse_cut_off(text: str) -> None:
    """Refuse a spec without a start that was not written whole: the start may be missing from it.

    A model has a grid and nodes, and ends where its YAML may end.

    Raises:
        RunError: It lacks one of these, or breaks off.
    """
    in_blocks = is_block_style(text)
    found = {match[2] for match in (_MODEL_KEY if in_blocks else _FLOW_KEY).finditer(text)}
    missing = [key for key in ("grid", "nodes") if key not in found]
    if not text.strip():
        reason = "is empty"
    elif missing:
        reason = f"has no {' and no '.join(missing)}, which every model has"
    elif _breaks_off(text, in_blocks=in_blocks):
        reason = "breaks off"
    elif in_blocks and _ends_in_a_beginning_of_grid(text):
        reason = "ends in its grid before the number of bins"
    else:
        return
    raise RunError(
        f"{reason}, so it was not written whole, and the start in time may be missing; restore it, "
        "or set source.time_origin",
        file=SPEC_FILE,
    )


def _breaks_off(text: str, *, in_blocks: bool) -> bool:
    """Return whether the last block, and the whole with it, is no YAML."""
    parts = [text]
    if in_blocks:
        keys = [match.start() for match in NEXT_KEY.finditer(text)]
        last = text[keys[-1] :] if keys else text
        parts = [last, text] if len(last) <= MAX_BLOCK_BYTES else []
    # A block that begins with what belongs to the one before it is no YAML on its own.
    return bool(parts) and not any(_is_yaml(part) for part in parts)


def _ends_in_a_beginning_of_grid(text: str) -> bool:
    *_, last = NEXT_KEY.finditer(text)
    block = text[last.start() :]
    begins = _MODEL_KEY.match(block)
    is_grid = begins is not None and begins[2] == "grid"
    return is_grid and "grid.bins" not in scalars(block, ("grid",))


def _is_yaml(text: str) -> bool:
    if len(text) > MAX_WHOLE_BYTES:
        return True
    try:
        for _ in yaml.parse(text, Loader=LOADER):
            pass
    except yaml.YAMLError:
        return False
    return True
