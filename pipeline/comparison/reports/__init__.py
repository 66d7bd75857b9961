"""Render comparisons: HTML with charts, JUnit XML, tables of many comparisons."""
