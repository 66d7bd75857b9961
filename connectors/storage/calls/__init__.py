"""Calls to distant stores: bounded in time, repeated, their failures translated."""
