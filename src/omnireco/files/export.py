"""Answers for more people than one wants to hold at once, straight to files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omnireco._core.checks import check_integer
from omnireco._core.compute import Progress, track
from omnireco._core.contract import says_the_line
from omnireco._core.written import replaced
from omnireco.data.asking.requests import Requests
from omnireco.data.interactions import Interactions
from omnireco.errors import EmptyError, ParameterError, StorageError
from omnireco.models.base import Model

__all__ = ["recommend_to_parquet"]


@says_the_line("om.files.recommend_to_parquet(model, data.requests(), 'lists.parquet', k=10)")
def recommend_to_parquet(
    model: Model,
    requests: Requests | Interactions,
    path: str | os.PathLike[str],
    *,
    k: int,
    exclude_seen: bool = True,
    eligible: Any = None,
    exclude: Any = None,
    block: int = 50_000,
    threads: int | None = None,
    progress: Progress = False,
) -> Path:
    """Rank items for everybody and write the lists to one parquet file, block by block.

    Memory stays at one block of people, however many there are. The file holds the rows of
    ``model.recommend(...).to_frame()``: user_id (or request_id), item_id, rank, score.

    Parameters
    ----------
    model : Model
        Any fitted model.
    requests : Requests or Interactions
        Who asks, ``data.requests()``; or histories of theirs.
    path : str or path
        The file, written under a temporary name and renamed: a reader never sees half of it.
    k, exclude_seen, eligible, exclude, threads
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
    >>> data = om.simulate(n_users=40, n_items=30, seed=1).dataset()
    >>> model = om.Popularity().fit(data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = recommend_to_parquet(model, data.requests(), folder + "/lists.parquet", k=3, block=16)
    ...     len(om.Recommendations.from_frame(pd.read_parquet(path)))
    40
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    block = check_integer(block, "block", low=1)
    if not isinstance(model, Model):
        raise ParameterError(f"recommend_to_parquet takes a model. Got {type(model).__name__}: write estimator.fit(x).")
    if not isinstance(requests, (Requests, Interactions)) or not isinstance(path, (str, os.PathLike)):
        raise ParameterError(
            f"recommend_to_parquet takes requests or Interactions, and a path. Got {type(requests).__name__} and "
            f"{type(path).__name__}: write recommend_to_parquet(model, data.requests(), 'lists.parquet', k=10)."
        )
    n = len(requests) if isinstance(requests, Requests) else requests.n_users
    grouped = isinstance(eligible, tuple) and len(eligible) == 2 and isinstance(eligible[1], Mapping)
    groups = list(eligible[0]) if grouped else []
    if grouped and len(groups) != n:
        raise ParameterError(
            "recommend_to_parquet: the groups of eligible=(groups, options) must hold one label for each of "
            f"{n:,} people, in the order of those who ask. Got {len(groups):,}."
        )
    if not n:
        raise EmptyError("recommend_to_parquet: nobody asks. Check the rows that were selected.")
    target = Path(path)
    parts = [np.arange(start, min(start + block, n)) for start in range(0, n, block)]
    rules: dict[str, Any] = {"k": k, "exclude": exclude, "exclude_seen": exclude_seen, "threads": threads}
    try:
        with replaced(target, "recommend_to_parquet") as stream:
            writer = None
            for rows in track(parts, progress, label="recommend"):
                some = (groups[rows[0] : rows[-1] + 1], eligible[1]) if grouped else eligible
                recs = model.recommend(requests.take(rows), eligible=some, **rules)
                table = recs.to_arrow()
                writer = writer or pq.ParquetWriter(stream, table.schema)
                writer.write_table(table)
            if writer is not None:
                writer.close()
    except StorageError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"recommend_to_parquet: cannot write {target.name!r}: {error}") from error
    return target
