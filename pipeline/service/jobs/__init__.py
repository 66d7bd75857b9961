"""The queue of jobs (exports, imports, comparisons), its history, and their worker processes."""
