"""Lines that a C library prints on its own, and no option of it stops, kept out of the process's standard output."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_lines"]

_PIECE = 1 << 16


@contextmanager
def without_lines(start: bytes) -> Iterator[None]:
    """Drop lines on file descriptor 1 that begin so while inside; whatever else anybody writes meanwhile goes through.

    Descriptor 1 is a pipe meanwhile, which a thread passes on line by line. Several threads may be inside at once. A
    child that is forked has the true descriptor again; a program started meanwhile writes through the pipe to its end.
    Without a standard output nothing is done.
    """
    inside = _STATE.enter(start)
    try:
        yield
    finally:
        if inside:
            _STATE.leave()


class _State:
    """Who is inside, and the true standard output."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.true = -1
        self.pump: threading.Thread | None = None

    def enter(self, start: bytes) -> bool:
        """Put the pipe in the place of the standard output; return whether there is one."""
        with self.lock:
            if self.inside == 0:
                try:
                    self.true = os.dup(1)
                except OSError:
                    return False
                _flush()
                read, write = os.pipe()
                self.pump = threading.Thread(target=_pass_on, args=(read, os.dup(self.true), start), daemon=True)
                self.pump.start()
                os.dup2(write, 1)
                os.close(write)
            self.inside += 1
        return True

    def leave(self) -> None:
        """Put the true standard output back when the last one leaves."""
        with self.lock:
            self.inside -= 1
            if self.inside:
                return
            _flush()
            os.dup2(self.true, 1)
            os.close(self.true)
            pump, self.pump = self.pump, None
        if pump is not None:
            pump.join(1.0)  # longer only while a program started meanwhile still writes

    def forked(self) -> None:
        """Put the true standard output back in a child, which has no thread that reads the pipe."""
        if self.inside:
            os.dup2(self.true, 1)
            os.close(self.true)
        self.__init__()  # type: ignore[misc]


def _pass_on(read: int, true: int, start: bytes) -> None:
    """Copy lines from one descriptor to the other, all but those that begin so."""
    rest = b""
    while piece := os.read(read, _PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        _write(true, b"".join(line + b"\n" for line in lines if not line.startswith(start)))
    if not rest.startswith(start):
        _write(true, rest)
    os.close(read)
    os.close(true)


def _write(descriptor: int, data: bytes) -> None:
    """Write everything; a reader that has gone is not our concern."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return


def _flush() -> None:
    """Let the C library write what it holds back."""
    import ctypes

    try:
        ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)
    except (OSError, AttributeError):
        return


_STATE = _State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_STATE.forked)
