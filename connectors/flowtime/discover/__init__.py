"""Find run directories below a URL and select among them."""
