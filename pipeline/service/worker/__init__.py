"""The process that runs one job, and the messages it exchanges with the service."""
