"""A database of artifacts: runs, models, exports and comparisons, found again and related."""
