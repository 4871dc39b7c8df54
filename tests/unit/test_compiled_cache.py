"""The cache of compiled code: whatever happened to its files, the call answers, and what can be kept is kept again."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba")

SOURCE = """
from omnireco._core.compute import compiled

@compiled
def total(values):
    found = 0.0
    for one in values:
        found += one
    return found

@compiled
def largest(values):
    found = values[0]
    for one in values:
        found = max(found, one)
    return found
"""
VALUES = np.arange(5.0)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return what a new process does: it loads the kernels, whose cache lies in a folder of its own."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "kernels.py").write_text(SOURCE)

    def load():
        spec = importlib.util.spec_from_file_location("kernels", tmp_path / "kernels.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def files(tmp_path: Path, name: str, ending: str) -> list[Path]:
    return sorted((tmp_path / "cache").rglob(f"kernels.{name}-*.{ending}"))


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("no such code"),
    "a flipped bit": flipped,
    "another pickle": lambda path: path.write_bytes(pickle.dumps({"no": "code"})),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "gone": Path.unlink,
    "a folder": replaced_by_a_folder,
}


@pytest.mark.parametrize("ending", ["nbc", "nbi"])
@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_files_are_compiled_again(how, ending, start, tmp_path):
    assert start().total(VALUES) == 10.0
    for path in files(tmp_path, "total", ending):
        DAMAGE[how](path)
    assert start().total(VALUES) == 10.0
    again = start()
    assert again.total(VALUES) == 10.0
    if how != "a folder":  # which nobody but its owner removes
        assert sum(again.total.dispatcher.stats.cache_hits.values()) == 1  # what was compiled again is found again


def test_code_of_another_kernel_is_not_run(start, tmp_path):
    module = start()
    assert (module.total(VALUES), module.largest(VALUES)) == (10.0, 4.0)
    ours, other = files(tmp_path, "total", "nbc")[0], files(tmp_path, "largest", "nbc")[0]
    ours.write_bytes(other.read_bytes())
    assert start().total(VALUES) == 10.0


def test_code_of_an_older_source_is_not_run(start, tmp_path, monkeypatch):
    """numba writes its index first: when the disk then runs full, the index names what an older source left there."""
    start().total(VALUES)
    old = files(tmp_path, "total", "nbc")[0]
    whole = old.read_bytes()
    (tmp_path / "kernels.py").write_text(SOURCE.replace("found = 0.0", "found = 7.00"))
    assert start().total(VALUES) == 17.0
    old.write_bytes(whole)
    assert start().total(VALUES) == 17.0


def test_a_damaged_file_is_told_once_and_without_a_traceback(start, tmp_path, caplog):
    start().total(VALUES)
    DAMAGE["a flipped bit"](files(tmp_path, "total", "nbc")[0])
    with caplog.at_level(logging.WARNING, logger="omnireco"):
        start().total(VALUES)
    assert [record.exc_info for record in caplog.records] == [None]
    assert "compiling again" in caplog.text


@pytest.mark.parametrize("name", ["replace", "open"])
def test_a_full_disk_keeps_nothing_and_fails_nothing(name, start, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if name == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(numba.core.caching, "open", full, raising=False)
    module = start()
    assert (module.total(VALUES), module.largest(VALUES)) == (10.0, 4.0)
    assert not files(tmp_path, "total", "nb[ci]")
    monkeypatch.undo()


@pytest.mark.parametrize("place", ["a file", "below a file", "without rights"])
def test_a_folder_that_cannot_be_written(place, start, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    if place == "without rights":
        folder.mkdir(mode=0o500)
    else:
        folder.write_text("")
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder if place == "a file" else folder / "inside"))
    assert start().total(VALUES) == 10.0


def test_a_cache_that_goes_away_while_it_is_used(start, tmp_path):
    import shutil

    module = start()
    module.total(VALUES)
    shutil.rmtree(tmp_path / "cache")
    assert module.total(VALUES.astype(np.float32)) == 10.0  # other types: compiled and kept anew
    assert start().total(VALUES) == 10.0


def test_code_in_a_folder_that_can_only_be_read_is_used(start, tmp_path, monkeypatch, caplog):
    """An image that is built with its code, and runs read-only or as somebody else, compiles nothing."""
    start().total(VALUES)
    kept = files(tmp_path, "total", "nb[ci]")

    def refused(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(numba.core.caching.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(os, "replace", refused)
    with caplog.at_level(logging.INFO, logger="omnireco"):
        again = start()
        assert again.total(VALUES) == 10.0
    assert sum(again.total.dispatcher.stats.cache_hits.values()) == 1
    assert "compiled" not in caplog.text
    assert again.largest(VALUES) == 4.0  # what is not there is compiled, and kept nowhere
    assert files(tmp_path, "total", "nb[ci]") == kept
    assert not files(tmp_path, "largest", "nb[ci]")


def test_compiling_is_told_once_and_counted(start, caplog, monkeypatch, capsys):
    from omnireco._core import compiled

    monkeypatch.setattr(compiled._WATCH, "told", False)
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)  # as at a prompt, or in a notebook
    n = len(compiled.COMPILED)
    with caplog.at_level(logging.INFO, logger="omnireco"):
        module = start()
        assert (module.total(VALUES), module.largest(VALUES)) == (10.0, 4.0)
    assert [one.name.rpartition(".")[2] for one in compiled.COMPILED[n:]] == ["total", "largest"]
    assert all(one.seconds > 0 and one.folder for one in compiled.COMPILED[n:])
    line = "compiling, once on this machine; om.warm_up() does it beforehand"
    assert caplog.text.count(line) == capsys.readouterr().err.count(f"omnireco: {line}") == 1
    assert "compiled kernels.total in " in caplog.text


def test_seconds_of_kernels_within_are_not_counted_twice():
    from omnireco._core.compiled import COMPILED, _Watch

    watch, n = _Watch(told=True), len(COMPILED)
    watch.begin("outer", "")
    watch.begin("failed", "")
    watch.begin("inner", "")
    watch.end("inner", "")
    watch.end("outer", "")
    watch.end("unknown", "")
    assert [one.name for one in COMPILED[n:]] == ["inner", "outer"]
    assert not watch.open
    del COMPILED[n:]


def test_nothing_is_kept_where_there_is_no_folder(start, monkeypatch):
    from omnireco._core import compiled

    monkeypatch.setattr(compiled._Checked, "_locator_classes", [])
    module = start()
    assert module.total(VALUES) == 10.0
    assert compiled.COMPILED[-1].folder == ""


def test_code_of_a_neighbour_that_changed_is_compiled_again(start, tmp_path, caplog):
    from omnireco._core import compiled

    (tmp_path / "neighbour.py").write_text("STEP = 1")
    assert start().total(VALUES) == 10.0
    compiled.sources_of.cache_clear()  # as in a new process
    with caplog.at_level(logging.WARNING, logger="omnireco"):
        assert start().total(VALUES) == 10.0
    assert not caplog.records  # what it was made from is the same: read, not compiled
    (tmp_path / "neighbour.py").write_text("STEP = 2")  # what numba does not look at
    compiled.sources_of.cache_clear()
    with caplog.at_level(logging.WARNING, logger="omnireco"):
        assert start().total(VALUES) == 10.0
    assert "compiling again" in caplog.text
    compiled.sources_of.cache_clear()
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="omnireco"):
        assert start().total(VALUES) == 10.0
    assert not caplog.records  # and kept anew
