"""Tables out: what has ``to_frame`` is an Arrow stream, which polars, DuckDB and pyarrow read."""

from __future__ import annotations

from typing import Any

__all__ = ["arrow_stream"]


def arrow_stream(self: Any, requested_schema: object | None = None) -> object:
    """Return the table of a value as an Arrow C stream (the PyCapsule interface): ``pl.DataFrame(value)`` takes it."""
    import pyarrow as pa

    if hasattr(self, "to_arrow"):
        table = self.to_arrow()
    else:
        table = pa.Table.from_pandas(self.to_frame(), preserve_index=False)
    return table.__arrow_c_stream__(requested_schema)
