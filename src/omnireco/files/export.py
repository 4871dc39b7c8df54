"""Answers for more people than one wants to hold at once, straight to files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omnireco._core.checks import check_integer
from omnireco._core.compute import Progress, track
from omnireco.data.interactions import Interactions
from omnireco.errors import EmptyError, ParameterError, StorageError
from omnireco.models.base import Model

__all__ = ["recommend_to_parquet"]


def recommend_to_parquet(
    model: Model,
    histories: Interactions,
    path: str | os.PathLike[str],
    *,
    k: int,
    exclude_seen: bool = True,
    eligible: Any = None,
    block: int = 50_000,
    threads: int | None = None,
    progress: Progress = False,
) -> Path:
    """Rank items for everybody and write the lists to one parquet file, block by block.

    Memory stays at one block of people, however many there are. The file holds the rows of
    ``model.recommend(...).to_frame()``: user_id, item_id, rank, score.

    Parameters
    ----------
    model : Model
    histories : Interactions
    path : str or path
        The file, written under a temporary name and renamed: a reader never sees half of it.
    k, exclude_seen, eligible, threads
        As in ``model.recommend``.
    block : int
        People per block, and per row group of the file.
    progress : bool or callable(done, total)
        A bar over blocks.

    Returns
    -------
    Path

    Raises
    ------
    StorageError
        When the file cannot be written; an older one stays as it was.

    Notes
    -----
    The same rows for any block size and number of threads.

    Examples
    --------
    >>> import tempfile, pandas as pd, omnireco as om
    >>> x = om.EventLog.from_frame(om.simulate(n_users=40, n_items=30, seed=1).events).matrix()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = recommend_to_parquet(om.Popularity().fit(x), x, folder + "/lists.parquet", k=3, block=16)
    ...     len(om.Recommendations.from_frame(pd.read_parquet(path)))
    40
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    block = check_integer(block, "block", low=1)
    if not isinstance(model, Model):
        raise ParameterError(f"recommend_to_parquet takes a model. Got {type(model).__name__}: write estimator.fit(x).")
    if not isinstance(histories, Interactions) or not isinstance(path, (str, os.PathLike)):
        raise ParameterError(
            f"recommend_to_parquet takes Interactions and a path. Got {type(histories).__name__} and "
            f"{type(path).__name__}: write recommend_to_parquet(model, log.matrix(), 'lists.parquet', k=10)."
        )
    grouped = isinstance(eligible, tuple) and len(eligible) == 2 and isinstance(eligible[1], Mapping)
    groups = list(eligible[0]) if grouped else []
    if grouped and len(groups) != histories.n_users:
        raise ParameterError(
            "recommend_to_parquet: the groups of eligible=(groups, options) must hold one label for each of "
            f"{histories.n_users:,} people, in the order of histories.users. Got {len(groups):,}."
        )
    if not histories.n_users:
        raise EmptyError("recommend_to_parquet: the histories name nobody. Check the rows that were selected.")
    target = Path(path)
    parts = [np.arange(start, min(start + block, histories.n_users)) for start in range(0, histories.n_users, block)]
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=target.name, suffix=".part", dir=target.parent)
        os.close(handle)
        writer = None
        for rows in track(parts, progress, label="recommend"):
            some = (groups[rows[0] : rows[-1] + 1], eligible[1]) if grouped else eligible
            recs = model.recommend(histories.take(rows), k=k, exclude_seen=exclude_seen, eligible=some, threads=threads)
            table = recs.to_arrow()
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        os.replace(temporary, target)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"recommend_to_parquet: cannot write {target.name!r}: {error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return target
