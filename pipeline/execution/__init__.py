"""Where the rows of an export are read and written: in this process or on a Dask cluster."""
