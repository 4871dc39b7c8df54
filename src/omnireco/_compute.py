"""Where parallelism and memory are decided; nothing here changes a result."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from omnireco._checks import check_integer
from omnireco.errors import ParameterError

__all__ = ["Progress", "compiled", "one_blas_thread", "row_blocks", "split_evenly", "track", "usable_threads"]

Progress = bool | Callable[[int, int], object]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile with numba at the first call, without the GIL, cached on disk where a disk can be written.

    Threads are ours (numba's own thread layer must not be entered twice at once), and arithmetic is never
    reordered: fastmath stays off. Only kernel modules, which are imported when first needed, use this.
    """
    from numba import njit

    try:
        kernel = njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:  # no folder for the cache: read-only disk without a home
        kernel = njit(function, nogil=True, error_model="numpy")
    return cast(Function, kernel)


def usable_threads(threads: int | None = None) -> int:
    """Return how many threads to use: those asked for, or every core this process may run on."""
    if threads is not None:
        return check_integer(threads, "threads", low=1)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _OneBlasThread:
    """Counts who needs BLAS on one thread: the first to come sets the limit, the last to leave lifts it.

    The limit belongs to the process. If two threads each saved and restored it, the later one would
    save the limit of the earlier one, and BLAS would stay on one thread for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limits: Any = None

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limits = threadpool_limits(limits=1, user_api="blas")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limits.restore_original_limits()
                self._limits = None


_ONE_BLAS_THREAD = _OneBlasThread()


def one_blas_thread() -> AbstractContextManager[None]:
    """Hold BLAS to one thread while our own threads run (two owners of parallelism fight)."""
    return _ONE_BLAS_THREAD


def row_blocks(
    n_rows: int, bytes_per_row: int, *, memory: int = 128 << 20, most: int = 1 << 16
) -> Iterator[slice]:
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
