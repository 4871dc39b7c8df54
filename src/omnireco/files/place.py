"""The file on the disk: opened only when it is a regular one, and replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from omnireco.errors import StorageError

__all__ = ["open_regular", "replaced"]

_PART = ".part"


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file, or what a link leads to; a pipe is not waited for, a device is not read."""
    handle = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    stream = os.fdopen(handle, "rb")  # a folder is refused here
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        stream.close()
        raise StorageError(f"load: {path.name!r} is no regular file, but a pipe or device. Copy it to a file first.")
    return stream


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream to a part file beside the target, which is flushed to the disk and then takes its name.

    A link stays, and its target is replaced. A file that exists keeps its permissions. What a killed save has left
    behind is removed; another save that is still writing is left alone, and the last to end wins.
    """
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    _remove_left_over(target)
    part, stream = _part(target, mode)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if os.name == "nt":  # where an open file cannot be renamed
                stream.close()
            os.replace(part, target)
        _flush_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _mode(target: Path) -> int | None:
    """Return the permissions of the file that is there, if there is one."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"save: {target.name!r} is a folder, pipe or device. Name a file.")
    return stat.S_IMODE(found.st_mode)


def _part(target: Path, mode: int | None) -> tuple[Path, IO[bytes]]:
    """Return a new part file, locked for as long as it is open."""
    while True:
        part = target.with_name(f"{target.name}.{secrets.token_hex(4)}{_PART}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        handle = os.open(part, flags, 0o666 if mode is None else 0o600)
        stream = os.fdopen(handle, "wb")
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(handle, mode)
        if _lock(handle) and part.exists():  # else another save has just taken it for left over
            return part, stream
        stream.close()


def _remove_left_over(target: Path) -> None:
    """Remove part files of this target that nobody holds a lock of."""
    for part in target.parent.glob(f"{_escaped(target.name)}.{'[0-9a-f]' * 8}{_PART}"):
        with contextlib.suppress(OSError):
            handle = os.open(part, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(handle):
                    part.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)


def _lock(handle: int) -> bool:
    """Take the lock of an open file; False where another process has it."""
    try:
        import fcntl
    except ImportError:  # no such locks here: a file that is open cannot be removed either
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True


def _flush_folder(folder: Path) -> None:
    """Flush the new name to the disk, where folders can be flushed."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
