"""A file is replaced whole or not at all: two savers, a kill, a full disk, a folder that may not be written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import omnireco as om
from omnireco.errors import ParameterError, StorageError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks and signals of POSIX")


def model(n: int) -> om.models.FactorModel:
    return om.models.FactorModel.from_arrays(np.eye(n))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


KILLED = """
import os, signal, sys
import numpy as np
import omnireco as om
replace = os.replace
def kill(*where):
    if sys.argv[2] == "after":
        replace(*where)
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = kill
om.save(om.models.FactorModel.from_arrays(np.eye(3)), sys.argv[1])
"""


@pytest.mark.parametrize(("moment", "n"), [("before", 2), ("after", 3)])
def test_a_kill_leaves_the_old_file_or_the_new_one_and_the_next_save_cleans(moment, n, tmp_path):
    path = om.save(model(2), tmp_path / "model")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(om.load(path).items) == n
    assert len(names(tmp_path)) == (2 if moment == "before" else 1)
    om.save(model(4), path)
    assert names(tmp_path) == ["model"]
    assert len(om.load(path).items) == 4


def test_many_savers_at_once_leave_one_whole_file(tmp_path):
    path, failed = tmp_path / "model", []

    def work(n: int) -> None:
        try:
            for _ in range(10):
                om.save(model(n), path)
                assert len(om.load(path).items) in range(2, 8)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(tmp_path) == ["model"]


def test_a_save_leaves_another_that_is_still_writing_alone(tmp_path, monkeypatch):
    path, flush = tmp_path / "model", os.fsync

    def meanwhile(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        om.save(model(5), path)  # ends first
        flush(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    om.save(model(2), path)
    assert len(om.load(path).items) == 2  # the last to end wins
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("call", "code", "told"),
    [("fsync", errno.ENOSPC, "No space left"), ("replace", errno.EACCES, "Permission denied"),
     ("open", errno.EROFS, "Read-only file system"), ("open", errno.EDQUOT, "quota")],
)  # fmt: skip
def test_a_save_that_fails_keeps_the_older_file_and_leaves_no_other(call, code, told, tmp_path, monkeypatch):
    path = om.save(model(2), tmp_path / "model")

    def fail(*_args, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=f"save: cannot write 'model': .*{told}"):
        om.save(model(3), path)
    monkeypatch.undo()
    assert len(om.load(path).items) == 2
    assert names(tmp_path) == ["model"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
def test_a_disk_that_is_full(tmp_path, monkeypatch):
    """Every write fails, the last one at the close too: buffers are flushed where an error can be told."""
    monkeypatch.setattr("omnireco._core.written._part", lambda *_: (tmp_path / "part", open("/dev/full", "wb")))  # noqa: SIM115
    with pytest.raises(StorageError, match="No space left"):
        om.save(model(3), tmp_path / "model")
    assert names(tmp_path) == []


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(StorageError, match="cannot write 'model': No such file"):
        om.save(model(2), tmp_path / "absent" / "model")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write 'model': Not a directory"):
        om.save(model(2), tmp_path / "file" / "model")
    with pytest.raises(StorageError, match="File name too long"):
        om.save(model(2), tmp_path / ("m" * 300))
    with pytest.raises(StorageError, match="File name too long"):
        om.load(tmp_path / ("m" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    path = om.save(model(2), tmp_path / "model")
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        om.save(model(3), path)
    tmp_path.chmod(0o700)
    assert len(om.load(path).items) == 2


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for verb in (om.load, lambda path: om.save(model(2), path)):
        with pytest.raises(StorageError, match="Too many levels of symbolic links"):
            verb(tmp_path / "a")


def test_a_link_to_nothing_is_saved_through(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "later")
    with pytest.raises(StorageError, match="no file 'link'"):
        om.load(tmp_path / "link")
    om.save(model(2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(om.load(tmp_path / "later").items) == 2


@pytest.mark.parametrize("path", ["", None, 3, b"model", "a\0b", "."])
def test_what_is_no_name_of_a_file(path):
    for verb in (om.load, lambda path: om.save(model(2), path)):
        with pytest.raises((ParameterError, StorageError), match=r"path must be a file's name|is a folder|cannot read"):
            verb(path)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_that_the_process_gives(umask, tmp_path):
    before = os.umask(umask)
    try:
        path = om.save(model(2), tmp_path / "model")
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
        path.chmod(0o604)
        assert om.save(model(3), path).stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["m" * 255, "\u00e9" * 127])
def test_a_name_as_long_as_a_system_allows(name, tmp_path):
    path = om.save(model(2), tmp_path / name)
    left = tmp_path / f"{os.fsdecode(os.fsencode(name)[:241])}.0123abcd.part"
    left.write_bytes(b"")
    om.save(model(3), path)
    assert names(tmp_path) == [name]
    assert len(om.load(path).items) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_stays_that_of_its_owner_and_group(tmp_path, monkeypatch):
    path = om.save(model(2), tmp_path / "model")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    om.save(model(3), path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 23456, 0o640)

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    om.save(model(4), path)
    assert path.stat().st_mode & 0o777 == 0o600  # another group may not read what this one could


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="streams that have names")
def test_what_a_stream_is_redirected_to_is_not_replaced(tmp_path):
    program = "import omnireco as om; om.save(om.models.FactorModel.from_arrays([[1.0]]), '/dev/stdout')"
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run([sys.executable, "-c", program], stdout=out, stderr=subprocess.PIPE, check=False)
    assert b"StorageError: save: 'stdout' is a folder, pipe or device. Name a file." in done.stderr
    assert (tmp_path / "out").read_bytes() == b""
