"""Fixtures for all tests."""

import pytest

pytest_plugins = ["tests.examples", "tests.servers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--openlineage-spec", default=None, help="Folder of the OpenLineage JSON schemas."
    )
    parser.addoption(
        "--times", default=1, type=int, help="Repeat what the reliability tests try so many times."
    )
