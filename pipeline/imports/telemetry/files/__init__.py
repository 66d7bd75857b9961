"""Read the files of foreign tables, in each format, as rows with plain values."""
