"""A history that takes one event at a time is the row of the matrix that took them together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco.data.asking.one_history import History

ITEMS = ["cup", "hat", "pen", "tea"]
KINDS = [
    om.Weights(),
    om.Weights(half_life="5D"),
    om.Weights(events={"view": 0.5, "return": -2.0}, channels={"store": 3.0}, half_life="36h", missing="ignore"),
    om.Weights(value="log", half_life="5D"),
    om.Weights(value="linear", events={"view": 0.0}, missing="ignore"),
]


def frame(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "hour", "event", "channel", "value"])
    at = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    return frame.assign(timestamp=at)


PAST = [("ann", item, 3.0 * n, "view", "web", 2.0) for n, item in enumerate(ITEMS)]
PAST += [("bob", "tea", 1.0, "return", "store", 1.0), ("bob", "cup", 9.0, "buy", "web", 4.0)]
OLD = om.EventLog.from_frame(frame(PAST))
EVENT = st.tuples(
    st.sampled_from(ITEMS),
    st.floats(0, 2_000),
    st.sampled_from(["view", "return", "buy", "wish"]),
    st.sampled_from(["web", "store", "app"]),
    st.floats(-50, 50),
)


def observed(history, events):
    for item, hour, event, channel, value in events:
        at = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(hour, unit="h")
        history = history.observe(item, at=at, event=event, channel=channel, value=value)
    return history


@settings(max_examples=25, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=6), st.sampled_from(KINDS))
def test_one_at_a_time_equals_the_updated_matrix(events, weights):
    x = OLD.matrix(weights)
    new = om.EventLog.from_frame(frame([("bob", *event) for event in events]))
    together = x.updated(new)
    one = observed(History.of(x, "bob"), events)
    expected = together.rows(["bob"])
    scale = 2.0 ** (-(one.at_us - together.at_us) / pd.Timedelta(weights.half_life or "1D").value * 1000)
    scale = scale if weights.half_life else 1.0
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(one.csr.toarray(), expected.csr.toarray() * scale, **close)
    mine = one.to_interactions("bob")
    for name, layer in mine.layers.items():
        np.testing.assert_allclose(layer.toarray(), expected.layers[name].toarray() * scale, **close)


def test_a_history_is_a_value_and_says_nobodys_name():
    x = OLD.matrix(om.Weights(half_life="5D"))
    before = History.of(x, "bob")
    kept = before.csr.toarray()
    after = before.observe("pen", at="2025-03-04T00:00Z", event="view", channel="web")
    assert np.array_equal(before.csr.toarray(), kept)
    assert after.csr.nnz == before.csr.nnz + 1
    assert "bob" not in repr(after)
    assert repr(after) == "History(3 items of 4, 2 channels)"


def test_a_stranger_begins_with_nothing_and_is_answered():
    x = OLD.matrix(om.Weights())
    history = History.empty(x).observe("tea", at="2025-03-04T00:00Z", event="view", channel="web")
    found = om.ItemKNN().fit(x).recommend(history.to_interactions("new"), k=2)
    assert len(found.to_frame()) == 2


def test_long_silence_neither_overflows_nor_forgets_what_is_new():
    x = OLD.matrix(om.Weights(half_life="1h"))
    history = History.of(x, "ann").observe("tea", at="2075-03-04T00:00Z", event="view", channel="web")
    assert history.csr.nnz == 1
    assert history.csr.sum() == pytest.approx(1.0)


def test_unknown_items_and_events_without_an_item_only_move_the_clock():
    x = OLD.matrix(om.Weights(half_life="5D"))
    for item in ("ufo", None):
        later = History.of(x, "bob").observe(item, at="2025-04-01T00:00Z", event="view", channel="web")
        assert later.csr.nnz == 2
        assert later.at_us > x.at_us


def test_what_is_not_an_event_is_refused():
    history = History.of(OLD.matrix(om.Weights(value="log")), "bob")
    good = {"at": "2025-04-01T00:00Z", "event": "buy", "channel": "web", "value": 1.0}
    with pytest.raises(om.errors.SchemaError, match="needs a value"):
        history.observe("tea", **(good | {"value": None}))
    with pytest.raises(om.errors.SchemaError, match="needs a value"):
        history.observe("tea", **(good | {"value": float("nan")}))
    with pytest.raises(om.errors.IdKindError):
        history.observe(7, **good)
    with pytest.raises(om.errors.OmnirecoError, match="at"):
        history.observe("tea", **(good | {"at": 5}))
    with pytest.raises(om.errors.ParameterError, match="channel must be"):
        history.observe("tea", **(good | {"channel": None}))
    with pytest.raises(om.errors.UnknownIdError):
        History.of(OLD.matrix(om.Weights()), "nobody")
    with pytest.raises(om.errors.ParameterError, match="cannot be updated"):
        History.of(OLD.matrix(om.Weights(binary=True)), "bob")
