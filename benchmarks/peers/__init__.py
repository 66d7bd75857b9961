"""The same export as written in other tools, each in the plain way that serves it best."""
