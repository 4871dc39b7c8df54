"""Where parallelism and memory are decided; nothing here changes a result."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from omnireco._core.checks import check_integer, shown
from omnireco.errors import ParameterError

__all__ = [
    "Progress",
    "aligned",
    "always_compiled",
    "available_memory",
    "check_progress",
    "compiled",
    "in_parallel",
    "in_threads",
    "one_blas_thread",
    "pays",
    "read_only",
    "require_memory",
    "row_blocks",
    "split_evenly",
    "suited",
    "ticker",
    "track",
    "usable_threads",
]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

Progress = bool | Callable[[int, int], object]
_Step = TypeVar("_Step")
_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile with numba at the first call, without the GIL, cached on disk where a disk can be written.

    Threads are ours (numba's own thread layer must not be entered twice at once), and arithmetic is never
    reordered: fastmath stays off. numba is imported at the first call too, and small work makes none (:func:`pays`).
    A cache that is full, damaged or unreadable costs the time to compile, and never an error.
    """
    return cast(_Function, _Kernel(function))


class _Kernel:
    """A function that numba compiles when it is first called, from Python or by another one that is compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self.taken = 0.0  # steps that Python took in this process
        self._dispatcher: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return (self._dispatcher or self._ready())(*arguments, **named)

    @property
    def dispatcher(self) -> Any:
        """Numba's own object, imported and made when it is first needed."""
        return self._dispatcher or self._ready()

    @property
    def _numba_type_(self) -> Any:
        """What numba asks a global of a function that it compiles: this is how kernels call one another."""
        return self.dispatcher._numba_type_

    @functools.cached_property
    def plain(self) -> Callable[..., Any]:
        """The function as Python runs it, and every kernel that it calls likewise."""
        own = self.py_func
        inner = {
            name: value.plain
            for name in own.__code__.co_names
            if isinstance(value := own.__globals__.get(name), _Kernel) and value is not self
        }
        return types.FunctionType(own.__code__, own.__globals__ | inner, own.__name__, own.__defaults__)

    def interpreted(self, *arguments: Any) -> Any:
        """Run :attr:`plain` as compiled code would: whole numbers wrap, and nothing warns."""
        with np.errstate(all="ignore"):
            return self.plain(*arguments)

    def _ready(self) -> Any:
        from omnireco._core.compiled import dispatcher_of

        with _PREPARING:
            if self._dispatcher is None:
                self._dispatcher = dispatcher_of(self.py_func)
        return self._dispatcher


_PREPARING = threading.Lock()


def pays(work: float, least: float) -> bool:
    """Return whether there is so much work that compiled code pays for being loaded, and once for being compiled.

    Below, numpy gives the same answer: loading numba takes half a second, and compiling a kernel for the first time
    on a machine one to three. What is small depends on the work alone, never on what a process has loaded, so that
    answers repeat to the bit.
    """
    return work >= least or _FORCED.inside > 0


_STEPS = 100_000  # of a loop that Python takes in some hundredths of a second
_OFTEN = 10  # so many times that is what loading compiled code takes


def suited(kernel: _Function, steps: float, *, least: float = _STEPS) -> _Function:
    """Return the kernel, or for few steps of its innermost loop the same function as Python runs it.

    For kernels that give the same bits either way. So this may count what the process has done already: a service that
    takes a few steps a million times is served by compiled code before long.
    """
    one: Any = kernel
    if pays(max(steps, one.taken / _OFTEN), least):
        return kernel
    one.taken += steps
    return cast(_Function, one.interpreted)


class _Forced:
    """Counts who wants every piece of work to run compiled: tests that compare, and ``warm_up``."""

    def __init__(self) -> None:
        self.inside = 0

    def __enter__(self) -> None:
        with _PREPARING:
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with _PREPARING:
            self.inside -= 1


_FORCED = _Forced()


def always_compiled() -> AbstractContextManager[None]:
    """Run compiled code however little work there is: for tests that compare both, and for ``warm_up``."""
    return _FORCED


_MOST_THREADS = 4_096


def usable_threads(threads: int | None = None) -> int:
    """Return how many threads to use: those asked for, or every core this process may run on."""
    if threads is not None:
        return min(check_integer(threads, "threads", low=1), _MOST_THREADS)
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
        self._found: tuple[int, Any] = (0, None)

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                _free_blas()
                self._limits = self._libraries().limit(limits=1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _free_blas()
                self._limits.restore_original_limits()
                self._limits = None
                _free_blas()

    def _libraries(self) -> Any:
        """Return the BLAS libraries of this process; looking for them costs 2 ms, so only after another import."""
        from threadpoolctl import ThreadpoolController

        imported = len(sys.modules)
        if self._found[0] != imported:
            self._found = imported, ThreadpoolController().select(user_api="blas")
        return self._found[1]


def _free_blas() -> None:
    """Let any thread set the limit of BLAS.

    Newer threadpoolctl (3.8) obeys only the thread that set a limit first and ignores others in silence; here the
    first to come and the last to leave may be two threads.
    """
    import threadpoolctl

    controller: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(controller, "clear_controlling_thread"):
        controller.clear_controlling_thread(force=True)


_ONE_BLAS_THREAD = _OneBlasThread()


def one_blas_thread() -> AbstractContextManager[None]:
    """Limit BLAS to one thread while our own threads run (nested parallelism is slower)."""
    return _ONE_BLAS_THREAD


def row_blocks(n_rows: int, bytes_per_row: int, *, memory: int = 128 << 20, most: int = 1 << 16) -> Iterator[slice]:
    """Yield slices over rows, each of at most ``memory`` bytes (and at least one row)."""
    size = max(1, min(most, memory // max(1, bytes_per_row)))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


@contextmanager
def ticker(total: int, progress: Progress, *, label: str) -> Iterator[Callable[[], object]]:
    """Give a function to call after each of ``total`` steps: it moves a bar, or calls ``progress(done, total)``."""
    check_progress(progress)
    if progress is True:
        from tqdm.auto import tqdm

        with tqdm(total=total, desc=label, leave=False) as bar:
            yield bar.update
    elif callable(progress):
        done = itertools.count(1)
        yield lambda: progress(next(done), total)
    else:
        yield lambda: None


def check_progress(progress: Any) -> None:
    """Refuse what is neither True, False nor a function."""
    if not (progress is True or progress is False or callable(progress)):
        raise ParameterError(f"progress must be True, False or a callable(done, total). Got {shown(progress)}.")


def track(steps: Sequence[_Step], progress: Progress, *, label: str) -> Iterator[_Step]:
    """Yield steps and report after each."""
    with ticker(len(steps), progress, label=label) as tick:
        for step in steps:
            yield step
            tick()


def split_evenly(n: int, parts: int) -> Sequence[slice]:
    """Return at most ``parts`` slices that cover ``range(n)`` in order."""
    parts = max(1, min(parts, n))
    edges = [n * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def in_parallel(steps: Sequence[Callable[[], _Result]], threads: int | None = None) -> list[_Result]:
    """Run steps that write to different memory and release the GIL; return their results in order."""
    workers = min(usable_threads(threads), len(steps))
    if workers <= 1:
        return [step() for step in steps]
    with ThreadPoolExecutor(workers) as pool:
        return [done.result() for done in [pool.submit(step) for step in steps]]


def in_threads(work: Callable[[int, int], object], n: int, *, threads: int | None = None, least: int = 1 << 16) -> None:
    """Call ``work(start, stop)`` on ranges that cover ``range(n)``, each on a thread; ``work`` must release the GIL.

    Ranges are at least ``least`` long, and there are four per thread, so that a core that is busy elsewhere does
    not hold up the rest.
    """
    workers = min(usable_threads(threads), max(1, n // least))
    if workers == 1:
        work(0, n)
        return
    with ThreadPoolExecutor(workers) as pool:
        parts = split_evenly(n, min(4 * workers, n // least))
        for done in [pool.submit(work, part.start, part.stop) for part in parts]:
            done.result()


def read_only(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Return a contiguous read-only view (a copy where it must be): numba compiles once for it, whoever owns it."""
    view = np.ascontiguousarray(array, dtype).view()
    view.setflags(write=False)
    return view


def aligned(size: int, dtype: type) -> np.ndarray:
    """Return an array (size,) to be filled, which starts on a cache line: vectors across two lines cost twice."""
    raw: np.ndarray = np.empty(size + 64, dtype)
    start = -raw.ctypes.data % 64 // raw.itemsize
    return raw[start : start + size]


def available_memory() -> int:
    """Return how many bytes this process may still take: free memory, inside the container's limit if there is one."""
    limit, used = _first_number("/sys/fs/cgroup/memory.max"), _first_number("/sys/fs/cgroup/memory.current")
    free = _first_number("/proc/meminfo", key="MemAvailable:")
    known = [1024 * free] if free is not None else []
    if limit is not None and used is not None:
        known.append(limit - used)
    return max(0, min(known)) if known else 8 << 30


def require_memory(verb: str, needed: float, what: str, advice: str, *, limit: float | None = None) -> None:
    """Raise a ParameterError when the peak of a computation does not fit, before it starts.

    Parameters
    ----------
    verb : str
        What needs it: ``"EASE.fit"``.
    needed : float
        Bytes at the peak, beyond what is held already.
    what : str
        What for: ``"20,000 items squared"``.
    advice : str
        What fits instead.
    limit : float, optional
        Bytes that may be taken; :func:`available_memory` by default.
    """
    free = available_memory() if limit is None else limit
    if needed > free:
        raise ParameterError(
            f"{verb} needs {needed / 2**30:,.1f} GiB for {what}, and {free / 2**30:,.1f} GiB are free. {advice}."
        )


def _first_number(path: str, *, key: str = "") -> int | None:
    """Return the number behind a key of a system file, or None where there is no such file or number."""
    try:
        with open(path) as lines:
            words = next((line.removeprefix(key).split() for line in lines if line.startswith(key)), [])
    except OSError:
        return None
    return int(words[0]) if words and words[0].isdigit() else None
