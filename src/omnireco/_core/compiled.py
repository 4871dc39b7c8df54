"""The cache of compiled code: what cannot be read is compiled again, and what cannot be written is not kept.

numba keeps machine code as pickles in ``__pycache__`` beside the source, or in ``NUMBA_CACHE_DIR``. Whoever can write
there runs code in every process that reads it, as with any ``.pyc``: the folder belongs to those who may install the
library, and to nobody else. What is guarded against here is damage: a disk that ran full, a file cut short, flipped
bits, a folder that may not be read.
"""

# mypy: ignore-errors
from __future__ import annotations

import hashlib
import logging
import pickle
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

__all__ = ["ForgivingCache"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class _Checked(CompileResultCacheImpl):
    """Compiled code with a checksum of what it is and of what it was made from.

    A linker that is handed broken code ends the process. And numba writes its index before the code: where the disk
    runs full between the two, or files are mixed up, the index leads to what another version of the source was.
    """

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

    def _digest(self, target_context: Any, body: bytes) -> str:
        made_from = (self.filename_base, self.locator.get_source_stamp(), target_context.codegen().magic_tuple())
        return hashlib.sha256(repr((numba.__version__, *made_from)).encode() + body).hexdigest()


class ForgivingCache(FunctionCache):
    """numba's cache of a function, of which no failure reaches the caller."""

    _impl_class = _Checked

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return compiled code, or None when there is none that can be read and was made for these types."""
        try:
            found = super().load_overload(sig, target_context)
            if found is None or tuple(found.signature.args) == tuple(sig):
                return found
        except Exception as error:  # noqa: BLE001 - whatever a damaged pickle raises
            _log.warning("compiled code of %s cannot be read (%s): compiling again", self._name, type(error).__name__)
        self._start_again()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code where that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001 - a full disk, a folder that is gone, an index that is damaged
            _log.warning("compiled code of %s cannot be kept (%s)", self._name, type(error).__name__)

    def _start_again(self) -> None:
        """Forget the index, so that what is compiled now is found next time."""
        try:
            self.flush()
        except OSError as error:
            _log.debug("the index of %s cannot be written (%s)", self._name, type(error).__name__)
