"""THE flow of an export: `run.py` is its outline (open this first), `attempt.py` its steps."""
