"""Compiled code and its cache: what cannot be read is compiled again, and what cannot be written is not kept.

numba keeps machine code as pickles in ``__pycache__`` beside the source, or in ``NUMBA_CACHE_DIR``. Whoever can write
there runs code in every process that reads it, as with any ``.pyc``: the folder belongs to those who may install the
library, and to nobody else. What is guarded against here is damage: a disk that ran full, a file cut short, flipped
bits, a folder that may not be read.
"""

# mypy: ignore-errors
from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache
from numba.core.serialize import dumps

__all__ = ["COMPILED", "Compiled", "ForgivingCache", "dispatcher_of"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel that this process compiled: its name, the seconds of CPU, and where it is kept ("" for nowhere)."""

    name: str
    seconds: float
    folder: str


COMPILED: list[Compiled] = []  # by this process, in order; what ``warm_up`` reports


def dispatcher_of(function: Callable[..., Any]) -> Any:
    """Return numba's dispatcher of a function, without the GIL and with our cache."""
    kernel = numba.njit(function, nogil=True, error_model="numpy")
    try:
        kernel._cache = ForgivingCache(function)  # what cache=True does, with a cache that cannot fail
    except (RuntimeError, OSError):
        _log.debug("no folder for compiled code: it is compiled in every process")  # a read-only disk without a home
        kernel._cache = _NoCache(function)
    return kernel


@dataclass(slots=True)
class _Open:
    """A kernel that is being compiled: since when, and the seconds of those that it calls."""

    name: str
    since: float
    inner: float = 0.0


@dataclass(slots=True)
class _Watch:
    """What is being compiled: kernels that call others wait for them. numba's lock lets one thread in at a time."""

    open: list[_Open] = field(default_factory=list)
    told: bool = False

    def begin(self, name: str, folder: str) -> None:
        """Note the start; say once per process that code is compiled: in the log, and to whoever sits at a prompt."""
        self.open.append(_Open(name, time.process_time()))
        if self.told:
            return
        self.told = True
        how_often = "once on this machine" if folder else "in every process, since no folder for it can be written"
        line = f"compiling, {how_often}; om.warm_up() does it beforehand"
        _log.info(line)
        if hasattr(sys, "ps1"):  # a prompt or a notebook: somebody waits, and has set up no logging
            print(f"omnireco: {line}", file=sys.stderr, flush=True)  # noqa: T201

    def end(self, name: str, folder: str) -> None:
        """Note what was compiled, without the seconds of the kernels within; forget what failed meanwhile."""
        while self.open and self.open[-1].name != name:
            self.open.pop()
        if not self.open:
            return
        one = self.open.pop()
        whole = time.process_time() - one.since
        own = whole - one.inner
        if self.open:
            self.open[-1].inner += whole
        COMPILED.append(Compiled(name, own, folder))
        _log.info("compiled %s in %.1f s", name, own)


_WATCH = _Watch()


def _readable(place: type) -> type:
    """Return a kind of place for compiled code that is also taken where it can only be read, and holds the code.

    numba passes over a folder that it cannot write, even if everything lies in it: a service in a read-only container
    would compile in every process what its image was built with.
    """

    class Readable(place):
        def __init__(self, function: Callable[..., Any], file: str) -> None:
            super().__init__(function, file)
            line = function.__code__.co_firstlineno
            self._index = f"{Path(file).stem}.{function.__qualname__}-{line}.py*.nbi"

        def ensure_cache_path(self) -> None:
            try:
                super().ensure_cache_path()
            except OSError:
                if next(Path(self.get_cache_path()).glob(self._index), None) is None:
                    raise

    return Readable


@functools.cache
def sources_of(folder: Path) -> str:
    """Return a digest of all sources that the kernels of a folder may be made of: theirs, and the vector instructions.

    numba looks at the file of a kernel only, and kernels have code of their neighbours woven in.
    """
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob("*.py")), Path(__file__).with_name("simd.py")):
        body = path.read_bytes()
        digest.update(f"{path.name} {len(body)} ".encode() + body)
    return digest.hexdigest()


class _Checked(CompileResultCacheImpl):
    """Compiled code with a checksum of what it is and of what it was made from.

    A linker that is handed broken code ends the process. And numba writes its index before the code: where the disk
    runs full between the two, or files are mixed up, the index leads to what another version of the source was.
    """

    _locator_classes: ClassVar[list[Any]] = [
        *map(_readable, CompileResultCacheImpl._locator_classes[:2]),  # NUMBA_CACHE_DIR, and beside the source
        *CompileResultCacheImpl._locator_classes[2:],
    ]

    def reduce(self, compiled: Any) -> tuple[str, bytes]:
        """Return what is kept of compiled code."""
        body = dumps(super().reduce(compiled))
        return self._digest(compiled.target_context, body), body

    def rebuild(self, target_context: Any, payload: tuple[str, bytes]) -> Any:
        """Return compiled code, when it is what was kept, of this function, for this machine."""
        digest, body = payload
        if self._digest(target_context, body) != digest:
            raise ValueError("the checksum differs")
        return super().rebuild(target_context, pickle.loads(body))

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._sources = sources_of(Path(function.__code__.co_filename).resolve().parent)

    def _digest(self, target_context: Any, body: bytes) -> str:
        stamp = self.locator.get_source_stamp()
        made_from = (self.filename_base, stamp, self._sources, target_context.codegen().magic_tuple())
        return hashlib.sha256(repr((numba.__version__, *made_from)).encode() + body).hexdigest()


class ForgivingCache(FunctionCache):
    """numba's cache of a function, of which no failure reaches the caller."""

    _impl_class = _Checked

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._kernel = f"{function.__module__.removeprefix('omnireco._kernels.')}.{function.__name__}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return compiled code, or None when there is none that can be read and was made for these types."""
        try:
            found = super().load_overload(sig, target_context)
            if found is None:
                _WATCH.begin(self._kernel, self._cache_path)
                return None
            if tuple(found.signature.args) == tuple(sig):
                return found
        except Exception as error:  # noqa: BLE001 - whatever a damaged pickle raises
            _log.warning("compiled code of %s cannot be read (%s): compiling again", self._kernel, type(error).__name__)
        self._start_again()
        _WATCH.begin(self._kernel, self._cache_path)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code where that is possible."""
        kept = False
        try:
            super().save_overload(sig, data)
            kept = True
        except Exception as error:  # noqa: BLE001 - a full disk, a folder that is gone, an index that is damaged
            _log.warning("compiled code of %s cannot be kept (%s)", self._kernel, type(error).__name__)
        _WATCH.end(self._kernel, self._cache_path if kept else "")

    def _start_again(self) -> None:
        """Forget the index, so that what is compiled now is found next time."""
        try:
            self.flush()
        except OSError as error:
            _log.debug("the index of %s cannot be written (%s)", self._kernel, type(error).__name__)


class _NoCache(NullCache):
    """No cache: nothing is kept, and the log still says what is compiled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._kernel = function.__name__

    def load_overload(self, sig: Any, target_context: Any) -> None:
        """Find nothing."""
        _WATCH.begin(self._kernel, "")

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep nothing."""
        _WATCH.end(self._kernel, "")
