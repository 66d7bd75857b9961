"""Report an orchestrator that is not installed."""

from __future__ import annotations

from pipeline.errors import ConfigError


def missing_package(name: str, failure: ImportError) -> ConfigError:
    """Return the error of an integration whose orchestrator cannot be imported.

    Args:
        name: The orchestrator, which is also the extra that installs it.
        failure: What its import raised.
    """
    return ConfigError(
        f"pipeline.integrations.{name} needs {name}, which cannot be imported ({failure}): "
        f"pip install 'flowtime-export[{name}]'"
    )
