"""The main job on a small simulated company, from files to files."""

import re

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.cli import main

pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')


@pytest.fixture(scope="module")
def world():
    return om.simulate(100, 20, days=42, seed=8)


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("company")
    for name in ("events", "messages", "users", "items"):
        getattr(world, name).to_parquet(path / f"{name}.parquet")
    return path


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "demo"
    assert main(["demo", "--quick", "--data", str(folder), "--out", str(path)]) == 0
    return path


def test_recommendations_are_ten_each_and_new_where_they_say_so(out, world):
    recs = pd.read_parquet(out / "recommendations.parquet")
    assert list(recs) == ["user_id", "item_id", "rank", "score", "list"]
    assert set(recs["list"]) == {"all", "new"}
    assert recs.groupby(["list", "user_id"]).size().max() == 10
    new = recs[recs["list"] == "new"].merge(world.events[["user_id", "item_id"]].drop_duplicates())
    assert len(new) == 0


def test_the_plan_keeps_every_rule(out, world):
    plan = pd.read_parquet(out / "plan.parquet")
    users = world.users.set_index("user_id")
    assert len(plan) > 0
    for row in plan.itertuples():
        assert users.loc[row.user_id, f"consent_{row.channel}"]
        assert users.loc[row.user_id, f"reachable_{row.channel}"]
    zones = users.loc[plan["user_id"], "timezone"]
    assert zones.notna().all()
    local = [at.tz_convert(zone) for at, zone in zip(plan["send_at"], zones, strict=True)]
    assert all(8 <= at.hour < 21 for at in local)
    assert plan.groupby("user_id").size().max() <= 2
    csv = pd.read_csv(out / "plan.csv")
    assert len(csv) == len(plan)
    np.testing.assert_allclose(csv["value"], plan["value"])


def test_the_report_is_one_file_that_a_person_can_read(out):
    html = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|url\(", html)
    sections = [
        *("In short", "Two people&#x27;s weeks", "Channels and journeys", "The data", "What to offer", "When to write"),
        *("One week of messages", "How far to trust this"),
    ]
    places = [html.index(f"<h2>{section}</h2>") for section in sections]
    assert places == sorted(places)
    assert html.count("data:image/png;base64,") >= 8
    assert "nan" not in re.sub(r"base64,[^\"]+", "", html).lower().split()


def test_equal_seeds_write_equal_files(out, folder, tmp_path, capsys):
    command = ["demo", "--quick", "--no-progress", "--data", str(folder), "--out", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    for name in ("recommendations.parquet", "plan.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(out / name), pd.read_parquet(tmp_path / name))


def test_events_alone_give_recommendations_and_say_why_there_is_no_plan(folder, tmp_path, capsys):
    events = tmp_path / "events.csv"
    pd.read_parquet(folder / "events.parquet").to_csv(events, index=False)
    assert main(["demo", "--quick", "--data", str(events), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "no users file" in said.out
    for step in ("reading", "choosing settings", "testing", "recommending", "writing"):
        assert step in said.err  # a bar for whoever waits
    assert (tmp_path / "out" / "recommendations.parquet").exists()
    assert not (tmp_path / "out" / "plan.parquet").exists()
    assert "no plan" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_ids_of_people_are_in_neither_the_log_nor_the_report(out, folder, tmp_path, capsys):
    frame = pd.read_parquet(folder / "events.parquet")
    for name in ("events", "messages", "users"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table.assign(user_id="person-" + table["user_id"].astype(str)).to_parquet(tmp_path / f"{name}.parquet")
    assert frame["user_id"].dtype == "int64"
    assert main(["demo", "--quick", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "person-" not in capsys.readouterr().out
    assert "person-" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_log_that_is_too_short_is_refused_kindly(tmp_path, capsys):
    om.simulate(20, 5, days=3).events.to_parquet(tmp_path / "events.parquet")
    assert main(["demo", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "the log covers" in capsys.readouterr().err


def test_people_who_never_try_anything_new_get_the_other_list_only(tmp_path, capsys):
    people, days = range(20), range(40)
    frame = pd.DataFrame([(p, f"i{p % 4}", d) for p in people for d in days], columns=["user_id", "item_id", "day"])
    frame["timestamp"] = pd.Timestamp("2025-01-01T12:00:00Z") + pd.to_timedelta(frame["day"], unit="D")
    frame.assign(channel="web", event="view").to_parquet(tmp_path / "events.parquet")
    assert main(["demo", "--quick", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "Left out, since nobody did so in the test period" in capsys.readouterr().out
    assert set(pd.read_parquet(tmp_path / "out" / "recommendations.parquet")["list"]) == {"all"}
