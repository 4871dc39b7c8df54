"""Journeys as paths, by hand."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Paths
from omnireco.errors import EmptyError, ParameterError, SchemaError

START = pd.Timestamp("2025-01-01", tz="UTC")


def log_of(rows, end=None):
    frame = pd.DataFrame(rows, columns=["user_id", "day", "channel", "event"])
    at = START + pd.to_timedelta(frame.pop("day"), unit="D")
    return om.EventLog.from_frame(frame.assign(item_id="a", value=5.0, timestamp=at))


ROWS = [
    (1, 0, "mail", "click"), (1, 1, "web", "view"), (1, 2, "shop", "purchase"),  # mail > web, 2 days
    (1, 3, "shop", "purchase"),  # nothing before it
    (2, 0, "web", "view"), (2, 40, "app", "view"), (2, 41, "app", "purchase"),  # web alone; then app
    (3, 99, "web", "view"),  # too near to the end
]  # fmt: skip


def words(paths):
    names = paths.channels.ids
    return sorted(
        (" > ".join(names[paths.channel[a:b]]), float(done))
        for a, b, done in zip(paths.start[:-1], paths.start[1:], paths.conversions, strict=True)
    )


def test_journeys_by_hand():
    paths = Paths.of(log_of(ROWS), window="10D")
    assert words(paths) == [("app", 1.0), ("mail > web", 1.0), ("web", 0.0)]
    assert (paths.unprompted, paths.undecided) == (1, 1)
    assert sorted(paths.hours.tolist()) == [0.0, 24.0, 24.0, 48.0]
    assert paths.value.sum() == 10
    assert dict(zip(paths.channels.ids, paths.people(), strict=True)) == {"app": 1, "mail": 1, "web": 2}


def test_messages_with_a_response_are_touches_and_bot_opens_are_not():
    sent = pd.DataFrame({"user_id": [2, 2, 1], "channel": ["push", "push", "mail"], "machine": [0.0, 1.0, 0.0]})
    sent["sent_at"] = START + pd.to_timedelta([39.0, 40.5, 0.0], unit="D")
    sent["responded_at"] = sent["sent_at"] + pd.Timedelta("1h")
    messages = om.MessageLog.from_frame(sent)
    log = log_of(ROWS)
    assert words(Paths.of(om.Dataset(log, messages=messages), window="10D"))[-2:] == [("push > app", 1.0), ("web", 0.0)]
    every = words(Paths.of(om.Dataset(log, messages=messages), window="10D", messages="sent"))
    assert ("push > app > push", 1.0) in every
    assert words(Paths.of(om.Dataset(log, messages=messages), window="10D", messages=None)) == words(
        Paths.of(log, window="10D")
    )


def test_the_order_of_rows_changes_nothing():
    a, b = (Paths.of(log_of(rows), window="10D") for rows in (ROWS, ROWS[::-1]))
    assert words(a) == words(b)


def test_counted_paths():
    frame = pd.DataFrame({"way": ["a > b", "b>a", "a > b"], "conversions": [2, 0, 1], "nulls": [1, 4, 0]})
    paths = Paths.from_frame(frame, columns={"path": "way"})
    assert words(paths) == [("a > b", 1.0), ("a > b", 2.0), ("b > a", 0.0)]
    assert paths.people().tolist() == [8, 8]
    arrows = Paths.from_frame(
        frame.replace({"way": {"a > b": "a|b", "b>a": "b|a"}}), columns={"path": "way"}, separator="|"
    )
    assert words(arrows) == words(paths)


@pytest.mark.parametrize(
    ("frame", "error", "text"),
    [
        ({"path": ["a >"], "conversions": [1]}, SchemaError, "empty channel"),
        ({"path": ["a"], "conversions": [-1]}, SchemaError, "conversions must be 0 or more"),
        ({"path": ["a"], "conversions": [1], "nulls": [-2]}, SchemaError, "nulls must be 0 or more"),
        ({"path": ["a"]}, SchemaError, "conversions"),
        ({"path": np.array([], object), "conversions": np.array([], float)}, EmptyError, "no rows"),
    ],
)
def test_wrong_frames_are_refused(frame, error, text):
    with pytest.raises(error, match=text):
        Paths.from_frame(pd.DataFrame(frame))


def test_wrong_arguments_are_refused():
    log = log_of(ROWS)
    with pytest.raises(ParameterError, match="'buy'"):
        Paths.of(log, completes="buy")
    with pytest.raises(ParameterError, match="messages must be one of"):
        Paths.of(log, messages="opened")
    with pytest.raises(EmptyError, match="there is no journey"):
        Paths.of(log_of([(1, 0, "shop", "purchase")]))
    with pytest.raises(ParameterError, match="separator"):
        Paths.from_frame(pd.DataFrame({"path": ["a"], "conversions": [1]}), separator=" ")


def test_value_without_conversions_is_refused():
    frame = pd.DataFrame({"path": ["a", "b"], "conversions": [0, 3], "value": [5.0, 6.0], "nulls": [4, 4]})
    with pytest.raises(SchemaError, match="value is given without conversions in 1 row"):
        Paths.from_frame(frame)
    assert Paths.from_frame(frame.assign(value=[0.0, 6.0])).value.tolist() == [0.0, 6.0]
