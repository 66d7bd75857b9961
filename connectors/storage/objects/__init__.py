"""What all object stores have in common: a storage over small clients, one for each store."""
