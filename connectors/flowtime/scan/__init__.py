"""Read series files into rows, with every check."""
