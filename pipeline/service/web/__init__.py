"""The FastAPI application: settings, security, bodies and downloads."""
