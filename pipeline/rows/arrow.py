"""Convert Arrow batches of untrusted files to frames."""

from __future__ import annotations

import polars as pl
import pyarrow as pa


def frame_of(batch: pa.RecordBatch) -> pl.DataFrame:
    """Return the rows of a batch, once its values are known to be what their types say.

    Neither pyarrow nor Polars looks whether text is UTF-8, and Polars ends with a panic where a
    field's metadata are not: these are left behind.

    Raises:
        pyarrow.ArrowInvalid: A text is not UTF-8, or an index of a dictionary points nowhere.
    """
    batch.validate(full=True)
    plain = pa.schema([pa.field(field.name, field.type) for field in batch.schema])
    return pl.DataFrame(pl.from_arrow(pa.RecordBatch.from_arrays(batch.columns, schema=plain)))
