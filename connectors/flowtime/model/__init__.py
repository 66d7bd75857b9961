"""Immutable values that describe a run: its grid, its series and its instants."""
