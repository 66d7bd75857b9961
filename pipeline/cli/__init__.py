"""The command line: one verb per command, exit codes, progress and signals."""
