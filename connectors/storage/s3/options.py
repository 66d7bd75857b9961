"""Translate the options of a storage for s3fs."""

from __future__ import annotations

from typing import Any

SILENCE_SECONDS = 30.0
"""A store that says nothing for so long has not answered."""
_ALIASES = {"username": "key", "password": "secret"}


def s3fs_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return options in s3fs' own words; a region belongs to its client."""
    own = {_ALIASES.get(name, name): value for name, value in options.items()}
    region = own.pop("region", None) or own.pop("region_name", None)
    own.pop("region_name", None)
    own.pop("protocol", None)
    if region:
        own["client_kwargs"] = {"region_name": region, **own.get("client_kwargs", {})}
    return {name: value for name, value in own.items() if value is not None}


def client_config(options: dict[str, Any]) -> dict[str, Any]:
    """Timeouts in seconds, and no tries but ours."""
    config = {
        "connect_timeout": 10,
        "read_timeout": SILENCE_SECONDS,
        "max_pool_connections": 64,
        # Newer checksums are unknown to many stores; each upload carries an MD5 digest instead.
        "request_checksum_calculation": "when_required",
        **options.get("config_kwargs", {}),
    }
    return {**config, "retries": {"total_max_attempts": 1, "mode": "standard"}}


def request_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that s3fs' options ask for in every request that knows them."""
    payer = {"RequestPayer": "requester"} if options.get("requester_pays") else {}
    return {**options.get("s3_additional_kwargs", {}), **payer}
