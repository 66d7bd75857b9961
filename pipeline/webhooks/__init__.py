"""Webhooks: signed messages that other services receive."""
