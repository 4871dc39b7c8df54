"""Rows that are wrong: refused in words, or dropped with their positions; and rows that are only suspicious."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError

DAY = pd.Timestamp("2025-05-01", tz="UTC")


def events(n=6, **changes):
    rows = {
        "user_id": [f"u{i % 3}" for i in range(n)],
        "item_id": [f"i{i}" for i in range(n)],
        "channel": ["web"] * n,
        "event": ["view"] * n,
        "timestamp": pd.date_range(DAY, periods=n, freq="h"),
        "value": np.arange(n, dtype=float),
    }
    return pd.DataFrame(rows | changes)


def at_rows(frame, column, changes):
    frame = frame.astype({column: object})
    for row, value in changes.items():
        frame.loc[row, column] = value
    return frame


# ---- the doors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "changes", "problem", "rows"),
    [
        ("user_id", {1: None, 4: None}, "missing", [1, 4]),
        ("user_id", {1: 7, 4: None}, "wrong kind", [1]),
        ("item_id", {0: None}, "missing", [0]),
        ("item_id", {0: b"x"}, "wrong kind", [0]),
        ("channel", {2: None}, "missing", [2]),
        ("event", {5: 3.5}, "wrong kind", [5]),
        ("event", {5: "\ud800"}, "wrong kind", [5]),
        ("timestamp", {3: pd.NaT}, "missing", [3]),
        ("timestamp", {3: "yesterday"}, "wrong kind", [3]),
        ("timestamp", {3: dt.datetime(2025, 5, 1)}, "wrong kind", [3]),
        ("value", {0: -np.inf, 1: np.inf}, "not finite", [0, 1]),
        ("value", {0: "12,50"}, "wrong kind", [0]),
    ],
)
def test_bad_rows_are_refused_or_dropped_by_position(column, changes, problem, rows):
    frame = at_rows(events(), column, changes)
    before = frame.copy(deep=True)
    with pytest.raises(SchemaError, match=column):
        om.EventLog.from_frame(frame)
    log = om.EventLog.from_frame(frame, on_invalid="drop")
    pd.testing.assert_frame_equal(frame, before)
    report = log.quality
    assert report.rows(problem).tolist() == rows
    assert report.dropped.tolist() == sorted(changes)
    assert (report.n_rows, report.n_kept, report.n_dropped) == (6, len(log), len(changes))
    good = om.EventLog.from_frame(events().drop(index=list(changes)))
    pd.testing.assert_frame_equal(log.to_frame(), good.to_frame())


def test_several_findings_in_one_row_drop_it_once():
    frame = at_rows(at_rows(events(), "user_id", {2: None}), "value", {2: np.inf, 3: np.inf})
    report = om.EventLog.from_frame(frame, on_invalid="drop").quality
    assert report.dropped.tolist() == [2, 3]
    table = report.to_frame()
    assert table["problem"].tolist() == ["missing", "not finite"]
    assert table["rows"].tolist() == table["dropped"].tolist() == [1, 2]
    assert table["first_rows"].tolist() == ["2", "2, 3"]
    assert "dropna" not in str(report)
    assert repr(report) == (
        "QualityReport(EventLog.from_frame: 6 rows, 2 dropped; user_id missing 1, value not finite 2)"
    )
    assert "first_rows" in report._repr_html_()


def test_a_clean_frame_has_a_clean_report():
    for how in ("raise", "drop"):
        report = om.EventLog.from_frame(events(), on_invalid=how).quality
        assert report.ok
        assert report.dropped.size == 0
        assert "nothing found" in str(report)
        assert len(report.to_frame()) == 0


def test_integers_that_a_missing_cell_made_floats_are_ids_again():
    frame = events(user_id=[1.0, 2.0, np.nan, 3.0, 2.5, 1.0])
    with pytest.raises(SchemaError, match="must hold integers or strings"):
        om.EventLog.from_frame(frame)
    log = om.EventLog.from_frame(frame, on_invalid="drop")
    assert log.users.ids.tolist() == [1, 2, 3]
    assert log.quality.rows("missing").tolist() == [2]
    assert log.quality.rows("wrong kind").tolist() == [4]


def test_itemless_events_are_kept_where_they_may_be():
    frame = events(item_id=[1, None, 3, 4, 5, None])
    assert len(om.EventLog.from_frame(frame, on_invalid="drop")) == 4
    log = om.EventLog.from_frame(frame, on_invalid="drop", itemless="keep")
    assert log.quality.ok
    assert log.items.ids.tolist() == [1, 3, 4, 5]


def test_a_column_of_the_wrong_kind_is_an_error_either_way():
    for bad in (
        {"timestamp": ["2025-05-01"] * 6},
        {"timestamp": pd.date_range("2025-05-01", periods=6)},
        {"value": ["1"] * 6},
        {"user_id": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]},
        {"channel": [1] * 6},
    ):
        with pytest.raises(SchemaError, match=next(iter(bad))):
            om.EventLog.from_frame(events(**bad), on_invalid="drop")
    with pytest.raises(ParameterError, match="on_invalid must be one of 'raise', 'drop'"):
        om.EventLog.from_frame(events(), on_invalid="ignore")


def test_everything_may_be_dropped():
    log = om.EventLog.from_frame(events(user_id=[None] * 6), on_invalid="drop")
    assert len(log) == 0
    assert log.quality.dropped.tolist() == [0, 1, 2, 3, 4, 5]
    empty = om.EventLog.from_frame(events().iloc[:0], on_invalid="drop")
    assert (len(empty), empty.quality.n_rows) == (0, 0)


@pytest.mark.parametrize(
    "dress", [pl.from_pandas, pa.Table.from_pandas, lambda frame: frame.assign(value=frame.pop("value"))]
)
def test_other_libraries_drop_the_same_rows(dress):
    frame = at_rows(at_rows(events(), "user_id", {1: None}), "timestamp", {3: pd.NaT})
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    frame["value"] = [0.5, 1, 2, 3, 4, np.inf]
    log = om.EventLog.from_frame(dress(frame), on_invalid="drop")
    assert log.quality.dropped.tolist() == [1, 3, 5]


def test_categories_and_large_integers():
    frame = events(user_id=pd.Categorical(["a", None, "b", "a", "b", "a"]))
    assert om.EventLog.from_frame(frame, on_invalid="drop").quality.dropped.tolist() == [1]
    large = np.array([1, 2, 3, 2**63, 5, 6], np.uint64)
    assert om.EventLog.from_frame(events(user_id=large), on_invalid="drop").quality.dropped.tolist() == [3]
    years = pa.array([1_746_000_000, 1, 2, 400_000_000_000, 4, 5], pa.timestamp("s", "UTC"))
    table = pa.table(events().drop(columns="timestamp")).append_column("timestamp", years)
    report = om.EventLog.from_frame(table, on_invalid="drop").quality
    assert report.rows("out of range").tolist() == [3]


def test_parts_of_a_log_keep_the_report():
    log = om.EventLog.from_frame(at_rows(events(), "user_id", {1: None}), on_invalid="drop")
    assert log.before("2025-05-02").quality is log.quality


def test_messages():
    sent = pd.date_range(DAY, periods=6, freq="h")
    frame = pd.DataFrame(
        {
            "user_id": ["a", None, "b", "c", "d", "e"],
            "channel": "push",
            "sent_at": sent,
            "responded_at": [pd.NaT, sent[1], sent[1], sent[4], pd.NaT, pd.NaT],
            "propensity": [0.5, 0.5, 0.5, 0.5, 1.5, np.nan],
            "item_id": [1, 2, None, 4, 5, 6],
        }
    )
    with pytest.raises(SchemaError, match="user_id is missing"):
        om.MessageLog.from_frame(frame)
    log = om.MessageLog.from_frame(frame, on_invalid="drop")
    report = log.quality
    assert log.users.ids.tolist() == ["a", "c"]
    assert log.items.ids.tolist() == [1, 4]  # integers again
    assert {one.problem: one.rows.tolist() for one in report.findings} == {
        "missing": [1],
        "not finite": [5],
        "before sending": [2],
        "no probability": [4],
    }
    assert report.dropped.tolist() == [1, 2, 4, 5]
    assert len(log) == report.n_kept
    assert log.before("2026-01-01").quality is report
    clicked = frame[["user_id", "channel", "sent_at"]].assign(
        responded_at=pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]"),
        clicked_at=[sent[0], pd.NaT, sent[0], sent[3], pd.NaT, pd.NaT],
        machine=[None, True, False, 0.5, 80.0, "maybe"],
    )
    report = om.MessageLog.from_frame(clicked, on_invalid="drop").quality
    assert {(one.column, one.problem): one.rows.tolist() for one in report.findings} == {
        ("user_id", "missing"): [1],
        ("machine", "no probability"): [4],
        ("machine", "wrong kind"): [5],
        ("clicked_at", "before sending"): [2],
    }
    assert om.MessageLog.from_frame(frame.iloc[[0, 3]].astype({"item_id": int})).quality.ok


# ---- checks of a log ---------------------------------------------------------------------------------------


def test_duplicates_by_id_and_by_everything():
    twice = pd.concat([events(), events().iloc[[2]]], ignore_index=True)
    log = om.EventLog.from_frame(twice)
    report = log.check()
    assert report.rows("duplicate").tolist() == [3]
    assert len(log.deduplicated()) == 6

    twice["event_id"] = ["a", "b", "c", "d", "e", None, "f"]  # two ids: two events
    assert om.EventLog.from_frame(twice).check().rows("duplicate").size == 0
    twice["event_id"] = ["a", "b", "c", "d", "a", None, None]  # the fifth was delivered again, later
    log = om.EventLog.from_frame(twice)
    finding = next(one for one in log.check().findings if one.problem == "duplicate")
    assert log.to_frame().iloc[finding.rows]["item_id"].tolist() == ["i4"]
    assert finding.people == 1
    assert len(log.deduplicated()) == 6
    everything = pd.concat([events(event_id=[None] * 6)] * 2)
    assert len(om.EventLog.from_frame(everything).deduplicated()) == 6


def test_clocks_placeholders_returns():
    frame = events(
        user_id=["null", "a", "00000000-0000-0000-0000-000000000000", "b", "c", "c"],
        event=["view", "purchase", "Refund", "view", "order_cancelled", "view"],
        value=[1.0, 2, -3, 4, 5, 6],
    )
    frame.loc[3, "timestamp"] = pd.Timestamp(0, tz="UTC")
    frame.loc[4, "timestamp"] = pd.Timestamp("2038-01-19", tz="UTC")
    log = om.EventLog.from_frame(frame)
    report = log.check(at="2025-06-01")
    shown = log.to_frame()
    found = {one.problem: shown.iloc[one.rows]["item_id"].tolist() for one in report.findings}
    assert found == {
        "epoch": ["i3"],
        "future": ["i4"],
        "placeholder": ["i0", "i2"],
        "return": ["i2", "i4"],
        "negative": ["i2"],
    }
    assert "future" not in {one.problem for one in log.check().findings}
    kept = log.without(report, ["epoch", "future", "placeholder"])
    assert kept.items.ids.tolist() == ["i1", "i5"]
    assert (kept.quality.n_rows, kept.quality.n_kept, kept.quality.n_dropped) == (6, 2, 4)
    for said in (repr(report), str(report), report.to_frame().to_string()):
        assert "null" not in said
        assert "00000000" not in said


def test_bots_by_rate_and_by_never_sleeping():
    def one(name, at):
        n = len(at)
        return events(n, user_id=[name] * n, timestamp=at, value=np.zeros(n))

    crawler = one("crawler", pd.date_range(DAY, periods=61, freq="900ms"))
    quick = one("quick", pd.date_range(DAY, periods=60, freq="900ms"))
    basket = one("basket", pd.DatetimeIndex([DAY] * 300))
    kiosk = one("kiosk", pd.date_range(DAY, periods=74, freq="h"))
    tired = one("tired", pd.date_range(DAY, periods=70, freq="h"))
    log = om.EventLog.from_frame(pd.concat([crawler, quick, basket, kiosk, tired]))
    report = log.check()
    assert set(log.without(report, "bot").users.ids) == {"quick", "basket", "tired"}
    finding = next(one for one in report.findings if one.problem == "bot")
    assert finding.people == 2
    assert "more than 60 instants within 1min: 1 people" in finding.what
    assert "kiosk" not in str(report)
    assert "bot" not in {one.problem for one in log.check(rates={}, sleepless=None).findings}
    assert log.check(rates={"1h": 59}, sleepless=None).rows("bot").size == 61 + 60


def test_bots_agree_with_a_plain_loop():
    draw = np.random.default_rng(3)
    n = 3_000
    at = DAY + pd.to_timedelta(draw.integers(0, 86_400, n), unit="s")
    log = om.EventLog.from_frame(
        events(n, user_id=draw.integers(0, 12, n), item_id=draw.integers(0, 9, n), timestamp=at, value=np.zeros(n))
    )
    for limit in (3, 8, 15):
        slow = set()
        for person in range(log.n_users):
            when = np.unique(log.at[log.user == person])  # noqa: PD008
            if max(((when >= t) & (when < t + 600_000_000)).sum() for t in when) > limit:
                slow.add(person)
        found = log.check(rates={"10min": limit}, sleepless=None).rows("bot")
        assert set(log.user[found]) == slow
        assert found.size == np.isin(log.user, list(slow)).sum()


def test_wrong_questions():
    log = om.EventLog.from_frame(events())
    report = log.check()
    with pytest.raises(ParameterError, match="no problem is called 'robots'"):
        log.without(report, "robots")
    with pytest.raises(ParameterError, match="must come from this very log"):
        log.before("2025-05-01T03:00:00Z").without(report, "bot")
    with pytest.raises(ParameterError, match="must come from this very log"):
        log.without(log.quality, "bot")
    with pytest.raises(ParameterError, match="rates must map durations to counts"):
        log.check(rates=[60])
    with pytest.raises(ParameterError, match=r"rates\['1min'\] must be an integer of at least 1"):
        log.check(rates={"1min": 0})
    assert om.EventLog.from_frame(events().iloc[:0]).check(at="2025-01-01").ok


def test_a_report_of_another_log_is_refused():
    log = om.EventLog.from_frame(events())
    other = om.EventLog.from_frame(events().assign(timestamp=lambda f: f["timestamp"] + pd.Timedelta("1min")))
    assert len(other) == len(log)
    with pytest.raises(ParameterError, match="must come from this very log"):
        log.without(other.check(), "duplicate")
    assert len(log.without(om.EventLog.from_frame(events()).check(), "bot")) <= len(log)  # an equal log is the same
