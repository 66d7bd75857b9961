"""Read the registry: lists, facets, whole artifacts and relationships."""
