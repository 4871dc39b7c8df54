"""What a C library prints on its own stays out of the standard output, and what others print does not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

from omnireco._core.quiet import without_lines
from omnireco.planning import Budget, Candidates, Capacity, FrequencyCap, plan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the C library is asked by its name on POSIX")


def c_prints(text):
    ctypes.CDLL(None).printf(b"%s", text)


def test_lines_are_dropped_and_others_pass(capfd):
    with without_lines(b"Highs"):
        c_prints(b"Highs says something\n")
        os.write(1, b"mine\nHighs again\nno end")
    os.write(1, b" after\n")
    assert capfd.readouterr().out == "mine\nno end after\n"


def test_the_output_is_put_back_after_an_error_and_between_threads(capfd):
    def work():
        for _ in range(30):
            with without_lines(b"Highs"):
                os.write(1, b"line\nHighs\n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ValueError, match="inside"), without_lines(b"Highs"):
        raise ValueError("inside")
    os.write(1, b"Highs at the end\n")
    assert capfd.readouterr().out == "line\n" * 120 + "Highs at the end\n"


def test_programs_started_meanwhile_are_heard(capfd):
    with without_lines(b"Highs"):
        subprocess.run([sys.executable, "-c", "print('heard')"], check=True)
    assert capfd.readouterr().out == "heard\n"


FORK = """
import os, sys
from omnireco._core.quiet import without_lines
with without_lines(b"Highs"):
    child = os.fork()
    if child == 0:
        os.write(1, b"Highs of a child\\n")
        with without_lines(b"Highs"):
            os.write(1, b"Highs within\\nchild\\n")
        os._exit(0)
    os.waitpid(child, 0)
    os.write(1, b"Highs of the parent\\n")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_the_true_output():
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, capture_output=True)
    assert found.stdout == b"Highs of a child\nchild\n"


def test_without_a_standard_output_nothing_fails():
    code = "import os; os.close(1)\nfrom omnireco._core.quiet import without_lines\nwith without_lines(b'H'): pass"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plan_prints_nothing(capfd):
    """A search of HiGHS that mends a solution, and says so on the output of the process."""
    rng = np.random.default_rng(3)
    n = 300 * 6
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(300), 6),
            "item_id": rng.integers(0, 20, n),
            "channel": np.array(["email", "push", "sms"], object)[rng.integers(0, 3, n)],
            "send_at": pd.Timestamp("2025-06-02", tz="UTC") + pd.to_timedelta(rng.integers(0, 60, n), unit="h"),
            "value": np.round(rng.gamma(1, 1, n) - 0.2, 6),
        }
    )
    rules = [
        FrequencyCap(1, per="4h"),
        FrequencyCap(3, per="7D"),
        FrequencyCap(1, per="2D", channels="sms"),
        Budget(["sms", "push"], cost={"sms": 0.07, "push": 0.02}, total=3.0),
        Budget("email", cost=0.01, total=0.6),
        Capacity("push", per="1h", limit=2),
        Capacity("email", per="6h", limit=30),
        Capacity("sms", per="1D", limit=20),
    ]
    found = plan(Candidates.from_frame(frame, once_per_item=True), constraints=rules, holdout=0.1)
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr().out == ""
    assert found.exact
