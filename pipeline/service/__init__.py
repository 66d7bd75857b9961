"""The HTTP service: runs, exports, imports and jobs over an API and a page."""
