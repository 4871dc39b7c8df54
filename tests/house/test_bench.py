"""The page of `make bench`: what scripts hand over, how it is judged, and what the docs page keeps."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # loading it unsets them; they come back after the test
        monkeypatch.setenv(name, os.environ.get(name, ""))
    spec = importlib.util.spec_from_file_location("bench", PROJECT / "tools" / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(folder, name, body):
    (folder / f"{name}.py").write_text(f"import sys\nsys.path.insert(0, {str(PROJECT / 'benchmarks')!r})\n{body}")


@pytest.fixture
def small(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench._common, "FOLDER", tmp_path / "results")
    both = "from _common import headline, left_out, skip, data_folder\n"
    script(tmp_path, "good", f"{both}headline('a plan', 2.0, 's', beside='HiGHS', theirs=8.0, ratio=4.0, goal='>= 3')\n"
           "headline('a list', 0.25, beside='popularity', theirs=0.24, gap=[0.01, -0.01, 0.03], goal='> 0.02')\n"
           "left_out('faiss', 'it is not installed')\n")  # fmt: skip
    script(tmp_path, "bare", f"{both}skip('there is no disk')\n")
    script(tmp_path, "folder", f"{both}data_folder('films')\n")
    script(tmp_path, "wrong", f"{both}headline('before it fell', 1)\nraise ValueError('the rows differ')\n")
    script(tmp_path, "slow", "import time\ntime.sleep(60)\n")
    return bench


def test_a_script_that_runs_hands_over_its_numbers(small):
    record = small.run("good", quick=False, timeout=60)
    assert record["state"] == "done"
    first, second, third = small.rows_of("good", record)
    assert first[:6] == ("good", "a plan", "2 s", "HiGHS 8", "4.00 x", ">= 3 yes")
    assert second[4:6] == ("+0.0100 [-0.0100, +0.0300]", "> 0.02 NO")
    assert third[1] == "left out: faiss (it is not installed)"
    assert "a plan" in (small._common.FOLDER / "good.txt").read_text()


def test_small_sizes_are_not_judged(small):
    record = small.run("good", quick=True, timeout=60)
    assert small.rows_of("good", record)[0][5] == ">= 3"


def test_what_did_not_run_is_named_with_its_reason(small, monkeypatch):
    monkeypatch.delenv("OMNIRECO_DATA", raising=False)
    found = {name: small.run(name, quick=False, timeout=60) for name in ("bare", "folder", "wrong")}
    found["slow"] = small.run("slow", quick=False, timeout=1)
    told = {name: (one["state"], one["reason"]) for name, one in found.items()}
    assert told["bare"] == ("skipped", "there is no disk")
    assert told["folder"][0] == "skipped"
    assert "OMNIRECO_DATA" in told["folder"][1]
    assert told["wrong"] == ("failed", "ValueError: the rows differ")
    assert told["slow"] == ("failed", "stopped after 1 s")
    assert [row[1] for row in small.rows_of("wrong", found["wrong"])] == [
        "before it fell",
        "failed: ValueError: the rows differ",
    ]


def test_the_page_is_written_between_its_marks_and_again(small, tmp_path):
    record = small.run("good", quick=False, timeout=60) | {"machine": "a processor, tier numpy"}
    target = tmp_path / "speed.md"
    small.write_page(target, {"good": record})
    text = target.read_text()
    assert f"## {record['date']}\n\na processor, tier numpy." in text
    assert "| good | a plan | 2 s | HiGHS 8 | 4.00 x | &gt;= 3 yes |" in text
    target.write_text(text + "\nMore words.\n")
    small.write_page(target, {"good": record | {"date": "2001-02-03"}})
    again = target.read_text()
    assert again.count("| good |") == 1
    assert "## 2001-02-03" in again
    assert again.endswith("\nMore words.\n")
    target.write_text("no marks")
    with pytest.raises(SystemExit, match="the tables belong between them"):
        small.write_page(target, {"good": record})


def test_the_page_of_the_docs_has_its_marks(bench):
    text = (PROJECT / "docs" / "explanation" / "speed.md").read_text(encoding="utf-8")
    assert text.index(bench.BEGIN) < text.index(bench.END)
    assert bench.INTRODUCTION.split(bench.BEGIN)[0].split("\n")[0] in text


@pytest.mark.parametrize(
    ("frame", "keywords", "said"),
    [
        ({"person": ["a"], "item_id": ["b"]}, {}, "own.csv has no column user_id; it has person, item_id"),
        ({"user_id": [], "item_id": []}, {}, "own.csv has no rows under its header"),
        ({"user_id": ["a", None], "item_id": ["b", "c"]}, {}, "1 of 2 rows have no user_id"),
        (
            {"user_id": ["a", "b"], "item_id": ["b", "c"], "timestamp": ["2025-03-01", "yesterday"]},
            {"times": ["timestamp"]},
            "1 of 2 values of timestamp are no times, the first in line 3",
        ),
        (
            {"user_id": ["a"], "item_id": ["b"], "timestamp": [1741000000]},
            {"times": ["timestamp"]},
            "1 of 1 values of timestamp are no times",
        ),
    ],
)
def test_ones_own_file_is_refused_in_plain_words(bench, tmp_path, frame, keywords, said):
    path = tmp_path / "own.csv"
    pd.DataFrame(frame).to_csv(path, index=False)
    with pytest.raises(SystemExit, match=said):
        bench._common.own_log(path, **keywords)


def test_ones_own_file_is_read(bench, tmp_path):
    path = tmp_path / "own.csv"
    times = ["2025-03-01 10:00", "2025-03-09T11:00Z"]
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": times})
    frame.to_csv(path, index=False, sep=";")
    found = bench._common.own_log(path, times=["timestamp"], defaults={"channel": "all"})
    assert found["timestamp"].dt.tz is not None
    assert found["channel"].tolist() == ["all", "all"]
    last, horizon = bench._common.own_span(found, days=28)
    assert last == pd.Timestamp("2025-03-09 11:00", tz="UTC")
    assert pd.Timedelta("2D") < horizon < pd.Timedelta("2D1h")
    with pytest.raises(SystemExit, match="less than an hour"):
        bench._common.own_span(found.iloc[:1], days=28)
    with pytest.raises(SystemExit, match="There is no file"):
        bench._common.own_log(tmp_path / "other.csv")
    (tmp_path / "no.parquet").write_text("text")
    with pytest.raises(SystemExit, match="could not be read as parquet"):
        bench._common.own_log(tmp_path / "no.parquet")


def test_what_the_library_refuses_names_the_file(bench, tmp_path):
    from omnireco.errors import SchemaError

    with pytest.raises(SystemExit, match=r"own\.csv: two rows differ"), bench._common.plainly(tmp_path / "own.csv"):
        raise SchemaError("two rows differ")


def test_an_unknown_name_is_refused():
    done = subprocess.run(
        [sys.executable, str(PROJECT / "tools" / "bench.py"), "topq"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no benchmark topq; there are" in done.stderr


def test_numbers_that_json_does_not_know_are_handed_over(bench, tmp_path, monkeypatch):
    place = tmp_path / "lines"
    monkeypatch.setenv(bench._common.COLLECTED, str(place))
    bench._common.headline("a count", int(np.int64(12)), theirs=np.float32(2.5), beside="x")
    assert json.loads(place.read_text())["theirs"] == 2.5
