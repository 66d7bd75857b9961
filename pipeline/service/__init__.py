"""The HTTP service: runs, exports, imports, comparisons and artifacts over an API and a page."""
