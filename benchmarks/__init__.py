"""Times of this project beside those of other tools, on data that anyone can generate."""
