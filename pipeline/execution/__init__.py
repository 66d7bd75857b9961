"""Where the tasks of an export run: in this process, in worker processes, or on a Dask cluster."""
