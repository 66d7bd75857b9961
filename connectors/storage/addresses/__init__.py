"""Where bytes are: URLs, paths, and the places that they lead to."""
