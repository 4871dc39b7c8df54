"""Where parallelism and memory are decided; nothing here changes a result."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from omnireco._checks import check_integer
from omnireco.errors import ParameterError

__all__ = ["Progress", "one_blas_thread", "row_blocks", "split_evenly", "track", "usable_threads"]

Progress = bool | Callable[[int, int], object]


def usable_threads(threads: int | None = None) -> int:
    """Return how many threads to use: those asked for, or every core this process may run on."""
    if threads is not None:
        return check_integer(threads, "threads", low=1)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread while our own threads run (two owners of parallelism fight)."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits


def row_blocks(n_rows: int, bytes_per_row: int, *, memory: int = 128 << 20, most: int = 1 << 16) -> Iterator[slice]:
    """Yield slices over rows, each of at most ``memory`` bytes (and at least one row)."""
    size = max(1, min(most, memory // max(1, bytes_per_row)))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def track(steps: Iterable[Any], total: int, progress: Progress, *, label: str) -> Iterator[Any]:
    """Yield ``steps`` and report after each: a tqdm bar for True, a call ``(done, total)`` for a callable."""
    if progress is False or progress is None:
        yield from steps
        return
    if progress is True:
        from tqdm.auto import tqdm

        yield from tqdm(steps, total=total, desc=label, leave=False)
        return
    if not callable(progress):
        raise ParameterError(f"progress must be True, False or a callable(done, total). Got {progress!r}.")
    for done, step in enumerate(steps, start=1):
        yield step
        progress(done, total)


def split_evenly(n: int, parts: int) -> Sequence[slice]:
    """Return at most ``parts`` slices that cover ``range(n)`` in order."""
    parts = max(1, min(parts, n))
    edges = [n * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
