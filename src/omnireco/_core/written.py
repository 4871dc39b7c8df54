"""Files on the disk: read only when they are regular ones, replaced whole or not at all; CSV that nothing runs."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from omnireco.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["open_regular", "replaced", "without_formulas", "write_text"]

_PART = ".part"
_LONGEST = 241  # bytes of a target's name in that of its part; systems allow 255 in all
_STREAM = re.compile(r"/dev/(std(in|out|err)|fd/.*)|/proc/.*")
_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # seconds; a scanner of new files or a reader lets go within one
_LEFT_OVER = 86_400.0  # seconds after which a part is left over where no lock tells
_FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")  # also their forms of full width


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
def replaced(path: Path, where: str = "save") -> Iterator[IO[bytes]]:
    """Give a stream to a part file beside the target, which is flushed to the disk and then takes its name.

    A link stays, and its target is replaced. A file that exists keeps its permissions, and its owner and group where
    this process may give them; a group that cannot be kept loses its permissions. What a killed save has left behind is
    removed; another save that is still writing is left alone, and the last to end wins. Where a file that is open
    cannot be replaced (Windows), it is tried for a second.
    """
    if _STREAM.fullmatch(os.path.abspath(path)):  # leads to a file where it is redirected, which must not be replaced
        raise StorageError(f"{where}: {path.name!r} is a folder, pipe or device. Name a file.")
    target = Path(os.path.realpath(path))
    part, stream = _part(target, _older(target, where))
    _remove_left_over(target, part)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not _has_locks():  # where an open file cannot be renamed
                stream.close()
            _take_the_name(part, target, where)
        _flush_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, where: str) -> Path:
    r"""Write a text in UTF-8 with the line ends that it has, on every system.

    Raises
    ------
    StorageError
        When the file cannot be written; an older one stays as it was.
    """
    try:
        with replaced(path, where) as stream:
            stream.write(text.encode("utf-8"))
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{where}: cannot write {path.name!r}: {error.strerror or error}.") from error
    return path


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in which a spreadsheet takes no text for a formula; its numbers and times stay what they are.

    A text that begins with ``= + - @``, a tab or a line break, perhaps behind blanks or apostrophes, gets an apostrophe
    before it. To read such a file back, remove one apostrophe where what follows it begins so.

    >>> import pandas as pd
    >>> without_formulas(pd.DataFrame({"user_id": ["+4915112345", "ann"], "value": [-1.0, 2.0]})).values.tolist()
    [["'+4915112345", -1.0], ['ann', 2.0]]
    """
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufcmM"]
    safe = frame.assign(**{name: frame[name].astype(object).map(_safe) for name in texts})
    return safe.rename(columns=_safe)


def _safe(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _take_the_name(part: Path, target: Path, where: str) -> None:
    """Rename the part; wait a little where Windows says that somebody has the target open."""
    for wait in (*_WAITS, None):
        try:
            os.replace(part, target)
        except PermissionError as error:
            if _has_locks():  # POSIX replaces a file that is open: this is about the folder
                raise
            if wait is None:
                raise StorageError(
                    f"{where}: cannot replace {target.name!r}: another program or process has it open or mapped, and "
                    "Windows replaces no such file. Close it there, or write under a new name."
                ) from error
            time.sleep(wait)
        else:
            return


def _older(target: Path, where: str) -> os.stat_result | None:
    """Return what is known of the file that is there, if there is one."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"{where}: {target.name!r} is a folder, pipe or device. Name a file.")
    return found


def _part(target: Path, older: os.stat_result | None) -> tuple[Path, IO[bytes]]:
    """Return a new part file, locked for as long as it is open."""
    while True:
        part = target.with_name(f"{_stem(target)}.{secrets.token_hex(4)}{_PART}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        handle = os.open(part, flags, 0o666 if older is None else 0o600)
        stream = os.fdopen(handle, "wb")
        if older is not None and hasattr(os, "fchmod"):
            _give_to_the_same(handle, older)
        if _lock(handle) and part.exists():  # else another save has just taken it for left over
            return part, stream
        stream.close()


def _give_to_the_same(handle: int, older: os.stat_result) -> None:
    """Give a file the owner, group and permissions of an older one; another group than the older one's gets none."""
    mode, ours = stat.S_IMODE(older.st_mode), os.fstat(handle)
    if older.st_uid != ours.st_uid:
        with contextlib.suppress(OSError):  # only root may
            os.fchown(handle, older.st_uid, -1)
    if older.st_gid != ours.st_gid:
        try:
            os.fchown(handle, -1, older.st_gid)
        except OSError:
            mode &= ~stat.S_IRWXG
    os.fchmod(handle, mode)


def _stem(target: Path) -> str:
    """Return the beginning of the names of a target's parts: its own name, as far as a name may be long."""
    return os.fsdecode(os.fsencode(target.name)[:_LONGEST])


def _remove_left_over(target: Path, ours: Path) -> None:
    """Remove other part files of this target that nobody holds a lock of, or that are old where there are no locks."""
    for part in target.parent.glob(f"{_escaped(_stem(target))}.{'[0-9a-f]' * 8}{_PART}"):
        if part == ours:
            continue
        with contextlib.suppress(OSError):
            if not _has_locks():
                if os.stat(ours).st_mtime - os.stat(part).st_mtime > _LEFT_OVER:
                    part.unlink(missing_ok=True)
                continue
            handle = os.open(part, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(handle):
                    part.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)


def _has_locks() -> bool:
    """Whether this is a system of POSIX: a file that is open may be locked, renamed and removed."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        return False
    return True


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
