"""Rows into staged files, and staged files into a published export."""
