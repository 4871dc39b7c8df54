"""`tools/bench.py --page` fills the page of speed from what was run, whole sizes before small ones."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/bench.py"


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("bench_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool._common, "FOLDER", tmp_path)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    return tool


def record(what, *, quick, state="done"):
    line = {"what": what, "ours": 2.0, "unit": "s", "beside": "a|b", "theirs": 4.0, "ratio": 2.0, "gap": None}
    line["goal"] = ">= 1"
    named = {"reason": "", "seconds": 3.0, "cpu": 2.0, "date": "2026-11-27", "machine": "AMD EPYC"}
    return named | {"state": state, "quick": quick, "headlines": [line], "left out": []}


def page_of(bench, monkeypatch, target, *more):
    monkeypatch.setattr(sys, "argv", ["bench.py", "--page", str(target), *more])
    bench.main()
    return target.read_text()


def test_the_page_has_whole_runs_and_small_ones_where_there_are_no_others(bench, monkeypatch, tmp_path):
    page = tmp_path / "speed.md"
    with pytest.raises(SystemExit):  # nothing was run
        page_of(bench, monkeypatch, page)
    small = {name: record(f"small {name}", quick=True) for name in ("topk", "latency", "fit")}
    (tmp_path / "bench-quick.json").write_text(json.dumps(small))
    whole = {"topk": record("whole topk", quick=False), "fit": record("broken", quick=False, state="failed")}
    (tmp_path / "bench.json").write_text(json.dumps(whole))
    text = page_of(bench, monkeypatch, page)
    assert "whole topk" in text
    assert "small topk" not in text
    assert "small latency" in text
    assert "small fit" in text  # the whole run failed
    assert "broken" not in text
    assert text.count("\n## 2026-11-27\n") == 2
    assert text.count("(`--quick`)") == 1
    assert "a\\|b" in text  # a bar would end the cell
    assert "2.00 x | &gt;= 1 yes |" in text
    assert page_of(bench, monkeypatch, page) == text  # the same once more
    only = page_of(bench, monkeypatch, page, "latency")
    assert "small latency" in only
    assert "whole topk" not in only
