"""Large files of plain CSV as frames of texts, as pandas reads them with ``dtype=str``."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnireco.adapters.columns.blocks import is_large

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_texts"]

_BLOCK = 8 << 20
_PACKED = frozenset([".gz", ".bz2", ".zip", ".xz", ".zst", ".tar"])
# What pandas documents as missing in a file ("na_values").
_MISSING = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]


def read_texts(path: Path, wanted: Collection[str]) -> pd.DataFrame | None:
    """Return the wanted columns of a large plain file of CSV; None where pandas must read it.

    That is where it is small, packed, quoted, no UTF-8, or not of rows of one length: then pandas says what is wrong.
    """
    if not is_large(path) or path.suffix.lower() in _PACKED:
        return None
    import pyarrow as pa
    from pyarrow import csv

    try:
        names = _names(path)
        own = [name for name in names if name in wanted]
        if len(set(names)) < len(names) or len(names) < 2 or not own:
            return None
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(own, pa.string()),
                include_columns=own,
                null_values=_MISSING,
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, OSError, UnicodeError, ValueError):
        return None
    return _frame(table)


def _names(path: Path) -> list[str]:
    """Return the names of the columns of a plain file; ValueError where it is not plain."""
    head, last = b"", b""
    decoder = codecs.getincrementaldecoder("utf-8")()  # pyarrow does not look at columns that are not wanted
    with path.open("rb") as file:
        while read := file.read(_BLOCK):
            decoder.decode(read)
            block = last + read  # the last byte of the block before, for ends of lines
            head = head or read
            if b'"' in read or b"\0" in read or block.count(b"\r") != block.count(b"\r\n") + block.endswith(b"\r"):
                raise ValueError(path.name)
            last = read[-1:] if read.endswith(b"\r") else b""
    decoder.decode(b"", final=True)
    if last:
        raise ValueError(path.name)
    first, found, _ = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if not found or not first.strip():
        raise ValueError(path.name)
    return first.removesuffix(b"\r").decode().split(",")


def _frame(table: Any) -> pd.DataFrame:
    import pandas as pd

    kind = pd.Series(["a"]).dtype
    if not isinstance(kind, pd.StringDtype):
        return pd.DataFrame(table.to_pandas())
    return pd.DataFrame({name: pd.array(table[name], dtype=kind) for name in table.column_names})
