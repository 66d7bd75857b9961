"""Where runs and bytes live."""
