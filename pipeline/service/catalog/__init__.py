"""The runs that the service offers, and what is exported of them."""
