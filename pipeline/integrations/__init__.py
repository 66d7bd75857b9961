"""Exports in orchestrators: thin modules for Airflow, Dagster and Prefect, each behind an extra."""
