"""Find out whether another package hides one that this project consists of."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_OWN_PACKAGES = ("connectors", "pipeline")
_ROOT = Path(__file__).parents[1]


def check_own_packages() -> None:
    """Check that the packages of this project are those that Python imports.

    Raises:
        ImportError: Another package of the same name is found first, or one is missing.
    """
    for name in _OWN_PACKAGES:
        found = _location(name)
        if found is None:
            raise ImportError(
                f"flowtime-export is not completely installed: {_ROOT / name} is missing; "
                "install it again: pip install --force-reinstall flowtime-export",
                name=name,
            )
        if found != (_ROOT / name).resolve():
            raise ImportError(
                f"flowtime-export cannot be used beside {found}: Python finds it under the name "
                f"{name!r}, which is also the name of a package of flowtime-export in "
                f"{_ROOT / name}. Rename yours, or keep its folder out of sys.path: start Python "
                "in another folder or with -P, and take the folder out of PYTHONPATH",
                name=name,
                path=str(found),
            )


def _location(name: str) -> Path | None:
    """Return where Python imports a package or module from; None where there is none."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        folders = list(getattr(loaded, "__path__", ()))
    else:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        file, folders = spec.origin, list(spec.submodule_search_locations or ())
    if folders:
        return Path(folders[0]).resolve()
    return None if file is None else Path(file).resolve()
