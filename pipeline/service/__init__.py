"""The HTTP doors: runs, exports and jobs over an API."""
