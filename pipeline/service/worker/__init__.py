"""The code inside a worker process of the service: it takes an order, does it, and sends events."""
