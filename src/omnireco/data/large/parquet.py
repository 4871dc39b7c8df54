"""Parquet files, listed and read batch by batch; errors name the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from omnireco._core.frozen import ReadOnly
from omnireco.errors import StorageError

__all__ = ["BATCH", "ParquetPart", "listed", "read_batches"]

BATCH = 1 << 20  # rows in hand at a time
_MISSING = ("__HIVE_DEFAULT_PARTITION__", "")


class ParquetPart(NamedTuple):
    """One parquet file: where it lies, how many rows it has, and what its folders say (``channel=web``)."""

    path: Path
    n_rows: int
    folders: Mapping[str, str | None]


def listed(root: Path, where: str) -> list[tuple[ParquetPart, list[str]]]:
    """Return the parquet files of a path with the names of their columns, in order of their names."""
    if not root.exists():
        raise StorageError(f"{where}: there is no file or folder {root.name!r}. Check the path.")
    paths = [root]
    if root.is_dir():
        inside = (p for p in root.rglob("*") if p.suffix.lower() == ".parquet" and p.is_file())
        paths = sorted(p for p in inside if not _hidden(p.relative_to(root)))
        if not paths:
            raise StorageError(f"{where}: the folder {root.name!r} holds no file that ends in .parquet.")
    found = []
    for one in paths:
        folders = dict(_partition(part) for part in one.relative_to(root).parts[:-1] if "=" in part)
        source = _opened(one, where)
        present = [*source.schema_arrow.names, *folders]
        found.append((ParquetPart(one, int(source.metadata.num_rows), ReadOnly(folders)), present))
        source.close()
    return found


def read_batches(
    file: ParquetPart, names: Collection[str], *, rows: int = BATCH, where: str = "EventLog.scan"
) -> Iterator[Any]:
    """Yield some columns of a file, those that it has, as Arrow tables of at most a million rows."""
    import pyarrow as pa

    source = _opened(file.path, where)
    present = source.schema_arrow.names
    read = [name for name in present if name in names]
    dictionaries = _as_dictionaries(source, read)
    source.close()
    source = _opened(file.path, where, read_dictionary=dictionaries)
    try:
        for batch in source.iter_batches(batch_size=rows, columns=read):
            table = pa.Table.from_batches([batch])
            for name, text in file.folders.items():
                if name in names and name not in present:
                    table = table.append_column(name, _everywhere(text, len(table)))
            yield table
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{where}: {file.path.name} cannot be read ({type(error).__name__}); it seems damaged. Write it again, "
            "or move it out of the folder."
        ) from None
    finally:
        source.close()


def _as_dictionaries(source: Any, read: list[str]) -> list[str]:
    """Return the string columns that are written as dictionaries: a plain string takes 4 bytes and its letters."""
    import pyarrow.types as pt

    found = []
    metadata, schema = source.metadata, source.schema_arrow
    paths = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    for name in read:
        kind = schema.field(name).type
        if name not in paths or not (pt.is_string(kind) or pt.is_large_string(kind)):
            continue
        chunks = [metadata.row_group(g).column(paths[name]) for g in range(metadata.num_row_groups)]
        size, values = sum(c.total_uncompressed_size for c in chunks), sum(c.num_values for c in chunks)
        if size < 4 * values:
            found.append(name)
    return found


def _opened(path: Path, where: str, **options: Any) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, page_checksum_verification=True, **options)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{where}: {path.name} cannot be opened as parquet ({type(error).__name__}). It is damaged or of "
            "another kind: write it again, or move it out of the folder."
        ) from None


def _hidden(path: Path) -> bool:
    """Return whether a writer keeps a path for itself: ``_temporary``, ``.crc``; but ``_year=2025`` is a partition."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.parts)


def _partition(folder: str) -> tuple[str, str | None]:
    """Return the column and the value that a folder names, as Hive and Spark write them: percent-encoded."""
    name, text = (unquote(part) for part in folder.split("=", 1))
    return name, None if text in _MISSING else text


def _everywhere(text: str | None, n: int) -> Any:
    """Return a column of one value, or of none."""
    import pyarrow as pa

    if text is None:
        return pa.nulls(n, pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([text]))
