"""The export itself; `run.py` holds the outline of the flow, `attempt.py` its steps."""
