"""The log of events: five people, seven events, by hand."""

import datetime as dt

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data import EventLog
from omnireco.data.events import require_events
from omnireco.errors import EmptyError, ParameterError, SchemaError


def frame():
    return pd.DataFrame(
        {
            "user_id": [30, 10, 20, 10, 40, 50, 10],
            "item_id": ["cup", "tea", "tea", "cup", "pot", "tea", "tea"],
            "channel": ["app", "web", "web", "store", "app", "store", "web"],
            "event": ["view", "view", "view", "purchase", "view", "purchase", "view"],
            "timestamp": pd.to_datetime([f"2025-05-0{day} 12:00" for day in (3, 1, 1, 2, 4, 5, 1)], utc=True),
            "value": [0, 1, 2, 3, 4, 5, 1],
            "store_id": [None, None, None, "s1", None, "s2", None],
            "device": ["ios", "pc", "pc", "till", "ios", "till", "pc"],
        }
    )


def log(**options):
    return EventLog.from_frame(frame(), **options)


def test_events_are_coded_and_in_order():
    events = log(context=["device"])
    assert events.users.ids.tolist() == [10, 20, 30, 40, 50]
    assert events.user.tolist() == [0, 0, 1, 0, 2, 3, 4]
    assert events.items.ids.tolist() == ["cup", "pot", "tea"]
    assert events.item.tolist() == [2, 2, 2, 0, 0, 1, 2]
    assert events.value.tolist() == [1, 1, 2, 3, 0, 4, 5]
    assert events.labels["store_id"][0].ids.tolist() == ["s1", "s2"]
    assert events.labels["store_id"][1].tolist() == [-1, -1, -1, 0, -1, -1, 1]
    assert events.labels["device"][0].ids.tolist() == ["ios", "pc", "till"]
    assert (events.n_users, events.n_items, len(events)) == (5, 3, 7)
    assert events.start == dt.datetime(2025, 5, 1, 12, tzinfo=dt.UTC)
    assert events.end == dt.datetime(2025, 5, 5, 12, 0, 0, 1, tzinfo=dt.UTC)
    assert repr(events) == "EventLog(7 events, 5 users, 3 items, 3 channels, 2025-05-01 to 2025-05-05)"
    assert events._repr_html_().startswith("<p>EventLog(7 events")
    for array in (events.user, events.item, events.channel, events.event, events.at, events.value):
        assert not array.flags.writeable


def test_pandas_polars_and_pyarrow_give_equal_logs_and_stay_as_they_were():
    source = frame()
    kept = source.copy(deep=True)
    expected = log(context=["device"]).to_frame()
    for table in (
        source,
        pl.from_pandas(source),
        pa.Table.from_pandas(source),
        pa.Table.from_pandas(source).to_batches(),
    ):
        whole = pa.Table.from_batches(table) if isinstance(table, list) else table
        pd.testing.assert_frame_equal(EventLog.from_frame(whole, context=["device"]).to_frame(), expected)
    pd.testing.assert_frame_equal(source, kept)


def test_the_log_shares_no_memory_with_the_frame():
    source = frame()
    events = EventLog.from_frame(source)
    source["value"] = 99.0
    source.loc[:, "user_id"] = 7
    assert events.value.max() == 5
    assert events.n_users == 5


def test_columns_by_other_names():
    renamed = frame().rename(columns={"user_id": "card", "timestamp": "when"})
    events = EventLog.from_frame(renamed, columns={"user_id": "card", "timestamp": "when"})
    pd.testing.assert_frame_equal(events.to_frame(), log().to_frame())
    with pytest.raises(SchemaError, match=r"EventLog.from_frame needs the columns 'user_id', 'timestamp'"):
        EventLog.from_frame(renamed)


def test_events_about_no_item():
    source = frame()
    source.loc[0, "item_id"] = None
    with pytest.raises(SchemaError, match=r"item_id is missing in 1 row \(position 0\)"):
        EventLog.from_frame(source)
    events = EventLog.from_frame(source, itemless="keep")
    assert (events.item == -1).sum() == 1
    assert events.matrix().nnz == 5
    assert events.to_frame()["item_id"].isna().sum() == 1
    assert len(EventLog.from_frame(events.to_frame(), itemless="keep")) == 7
    with pytest.raises(ParameterError, match="itemless must be one of 'raise', 'keep'"):
        EventLog.from_frame(source, itemless="drop")
    with pytest.raises(ParameterError, match=r"context must be a list of names, such as \['device'\]"):
        EventLog.from_frame(source, context="device")


def test_split_by_hand():
    train, test = log().split("2025-05-03", horizon="36h")
    assert train.users.ids.tolist() == [10, 20]
    assert train.items.ids.tolist() == ["cup", "tea"]
    assert train.end == dt.datetime(2025, 5, 3, tzinfo=dt.UTC)
    assert test.users.ids.tolist() == [30]
    assert test.start == train.end
    assert test.end == dt.datetime(2025, 5, 4, 12, tzinfo=dt.UTC)
    assert len(log().split("2025-05-03").test) == 3
    at_the_cut = log().split("2025-05-03T12:00Z")
    assert [len(part) for part in at_the_cut] == [4, 3]


@pytest.mark.parametrize(
    ("cut", "horizon", "match"),
    [
        ("2025-05-01", None, "none of 7 events lies before 2025-05-01T00:00:00"),
        ("2025-06-01", None, "none of 7 events lies in the test window after 2025-06-01"),
        ("2025-05-05T13:00Z", "1D", "the test window.* choose a cut inside it"),
        ("2025-05-02T13:00Z", "1h", "none of 7 events lies in the test window"),
    ],
)
def test_a_cut_with_nothing_on_one_side(cut, horizon, match):
    with pytest.raises(EmptyError, match=match):
        log().split(cut, horizon=horizon)


def test_naive_cuts_are_refused():
    with pytest.raises(ParameterError, match="at has no time zone"):
        log().split(dt.datetime(2025, 5, 3))
    with pytest.raises(ParameterError, match="horizon must be a duration"):
        log().split("2025-05-03", horizon=14)


def test_before_and_between():
    assert log().before("2025-05-02").users.ids.tolist() == [10, 20]
    assert log().before("2025-04-01").end == dt.datetime(2025, 4, 1, tzinfo=dt.UTC)
    assert len(log().before("2025-04-01")) == 0
    assert log().between("2025-05-02", "2025-05-04").users.ids.tolist() == [10, 30]
    with pytest.raises(ParameterError, match="end must come after start"):
        log().between("2025-05-02", "2025-05-02")


def test_select():
    web = log().select(channels=["web"])
    assert web.channels.ids.tolist() == ["web"]
    assert len(web) == 3
    assert (web.start_us, web.end_us) == (log().start_us, log().end_us)
    assert len(log().select(channels=["app", "store"], events=["purchase"])) == 2
    with pytest.raises(ParameterError, match=r"'fax' is a name that nothing here has\. Known: 'app', 'store', 'web'"):
        log().select(channels=["fax"])
    with pytest.raises(ParameterError, match="'click' is a name that nothing here has"):
        log().select(events=["click"])
    for names in ("web", 5):
        with pytest.raises(ParameterError, match="select: channels must be a list of names"):
            log().select(channels=names)


def test_exact_repeats():
    once = log().deduplicated()
    assert len(once) == 6
    assert len(log(context=["device"]).deduplicated()) == 6
    other = frame()
    other.loc[6, "device"] = "phone"
    assert len(EventLog.from_frame(other, context=["device"]).deduplicated()) == 7
    assert len(once.before("2025-05-02").deduplicated()) == 2


def test_summary_by_hand():
    table = log().summary()
    assert table["channel"].tolist() == ["app", "store", "web"]
    assert table["events"].tolist() == [2, 2, 3]
    assert table["users"].tolist() == [2, 2, 2]
    assert table["items"].tolist() == [2, 2, 1]
    assert table["share"].tolist() == pytest.approx([2 / 7, 2 / 7, 3 / 7])
    assert table["value"].tolist() == [4, 8, 4]


def test_an_empty_log_answers_everything():
    empty = EventLog.from_frame(frame().iloc[:0])
    assert repr(empty) == "EventLog(0 events, 0 users, 0 items, 0 channels, no time)"
    assert empty.matrix().shape == (0, 0)
    assert len(empty.summary()) == len(empty.deduplicated()) == len(empty.to_frame()) == 0
    assert empty._repr_html_() == f"<p>{empty!r}</p>"
    with pytest.raises(EmptyError, match="none of 0 events"):
        empty.split("2025-01-01")
    with pytest.raises(EmptyError, match="fit: the log has no events"):
        require_events(empty, "fit")
    with pytest.raises(SchemaError, match=r"fit takes an EventLog. Got DataFrame: write EventLog.from_frame\(frame\)"):
        require_events(frame(), "fit")
