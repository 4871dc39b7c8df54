"""Values know their kinds in a process where nobody has asked for a file: what depends on imports depends on luck."""

import subprocess
import sys

import pytest

START = """
import sys
import omnireco as om
data = om.simulate(n_users=60, n_items=20, days=60, seed=7).dataset()
"""
KINDS = {
    "a backtest keeps its cells": """
import tempfile
with tempfile.TemporaryDirectory() as folder:
    one = om.evaluation.backtest({"popular": om.Popularity()}, data, horizon="7D", n=2, k=5, folder=folder)
    assert len(one.leaderboard)
""",
    "a part weighs and is asked for people": """
from omnireco._core.form import form_of
assert "omnireco.files.kinds" not in sys.modules
assert form_of(type(data.events.quality)).nbytes(data.events.quality)
assert list(form_of(type(data)).find_people(data))
""",
    "values in values are measured without files": """
from omnireco._core.small import _measured
before = _measured(data.events), _measured(om.SendTime().fit(data)), _measured(data.messages)
assert "omnireco.files.kinds" not in sys.modules
import omnireco.files
assert before == (_measured(data.events), _measured(om.SendTime().fit(data)), _measured(data.messages))
assert before[0]["users"] == data.events.n_users
""",
}


@pytest.mark.parametrize("code", KINDS.values(), ids=KINDS)
def test_a_fresh_process_knows_every_kind(code):
    subprocess.run([sys.executable, "-c", START + code], check=True, timeout=300)


def test_a_file_of_the_live_room_loads_where_only_load_was_imported(tmp_path):
    make = """
om.save(om.live.Snapshot(om.Popularity().fit(data), known_until=data.end), sys.argv[1])
"""
    path = tmp_path / "live.omnireco"
    subprocess.run([sys.executable, "-c", START + make, str(path)], check=True, timeout=300)
    subprocess.run([sys.executable, "-c", "import sys, omnireco as om; om.load(sys.argv[1])", str(path)], check=True)
