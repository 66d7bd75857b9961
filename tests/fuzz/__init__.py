"""Input made by machines for everything that reads input from strangers."""
