"""The export itself; `run.py` holds the whole flow."""
