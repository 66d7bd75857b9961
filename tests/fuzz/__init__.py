"""Input made by machines for everything that reads untrusted input."""
