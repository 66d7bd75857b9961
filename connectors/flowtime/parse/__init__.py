"""Parse the files of a run directory, in every dialect that occurs."""
