"""The queue of exports and imports, and its history."""
