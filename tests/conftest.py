"""Fixtures for all tests."""

import gc

import pytest

# Modules and thousands of tests stay in memory: to look through them for garbage again and again
# took a quarter of the time in which tests are collected.
gc.set_threshold(20_000, 20, 20)

pytest_plugins = ["tests.examples", "tests.servers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--openlineage-spec", default=None, help="Folder of the OpenLineage JSON schemas."
    )
    parser.addoption(
        "--times", default=1, type=int, help="Repeat what the reliability tests try so many times."
    )
