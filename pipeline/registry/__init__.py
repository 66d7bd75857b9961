"""The catalogue of runs, models, exports and comparisons: registered, found again, related."""
