"""Blocks, threads, bars and memory: where work is cut, never what it gives."""

import threading

import pytest
from threadpoolctl import threadpool_info

from omnireco._core import compute as compute
from omnireco.errors import ParameterError


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_threads():
    assert compute.usable_threads() >= 1
    assert compute.usable_threads(3) == 3
    for threads in (0, -1, 1.5, True):
        with pytest.raises(ParameterError, match="threads must be an integer of at least 1"):
            compute.usable_threads(threads)


def test_row_blocks_cover_all_rows_once():
    blocks = list(compute.row_blocks(10, 4, memory=12))
    assert [(b.start, b.stop) for b in blocks] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert [b.stop - b.start for b in compute.row_blocks(5, 10**12, memory=1)] == [1] * 5
    assert list(compute.row_blocks(0, 8)) == []
    assert [b.stop for b in compute.row_blocks(5, 0, most=2)] == [2, 4, 5]


def test_split_evenly():
    assert [(s.start, s.stop) for s in compute.split_evenly(5, 3)] == [(0, 1), (1, 3), (3, 5)]
    assert len(compute.split_evenly(2, 9)) == 2
    assert compute.split_evenly(0, 4) == [slice(0, 0)]


def test_progress_reports_every_step():
    seen = []
    assert list(compute.track("abc", lambda done, total: seen.append((done, total)), label="x")) == list("abc")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert list(compute.track("ab", False, label="x")) == ["a", "b"]
    with pytest.raises(ParameterError, match=r"progress must be True, False or a callable\(done, total\). Got 'yes'"):
        list(compute.track("ab", "yes", label="x"))


def test_a_bar_goes_to_standard_error(capsys):
    assert list(compute.track("ab", True, label="walking")) == ["a", "b"]
    assert "walking" in capsys.readouterr().err


def test_one_blas_thread_until_the_last_one_leaves():
    before = blas_threads()
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with compute.one_blas_thread():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with compute.one_blas_thread():
        other.start()
        entered.wait(10)
    assert blas_threads() == {1}
    leave.set()
    other.join()
    assert blas_threads() == before


def test_the_limit_is_lifted_after_an_error():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), compute.one_blas_thread():
        _ = 1 / 0
    assert blas_threads() == before


def test_memory(tmp_path):
    assert compute.available_memory() > 1 << 20
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    assert compute._first_number(str(limit)) is None
    limit.write_text("4096\n")
    assert compute._first_number(str(limit)) == 4096
    limit.write_text("MemTotal: 9 kB\nMemAvailable: 7 kB\n")
    assert compute._first_number(str(limit), key="MemAvailable:") == 7
    assert compute._first_number(str(tmp_path / "none")) is None
