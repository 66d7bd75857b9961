"""Read the sides of a comparison: runs, exports, telemetry bundles and plain tables."""
