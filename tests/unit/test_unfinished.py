"""Carts left behind: what was begun and not finished, as of an instant."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError

START = pd.Timestamp("2025-01-01", tz="UTC")


def log_of(user, item, day, event="purchase"):
    at = START + pd.to_timedelta(np.asarray(day, float), unit="D")
    frame = pd.DataFrame({"user_id": user, "item_id": item, "timestamp": at, "event": event, "channel": "web"})
    return om.EventLog.from_frame(frame)


def test_unfinished_is_what_was_begun_and_not_finished():
    rows = [
        (1, "pan", 0.0, "add_to_cart"),
        (1, "pan", 0.5, "view"),
        (1, "lid", 0.0, "add_to_cart"),
        (1, "lid", 0.1, "purchase"),
        (2, "lid", 0.0, "purchase"),
        (2, "lid", 1.0, "add_to_cart"),
        (3, "cup", 1.999, "add_to_cart"),  # still at it
        (4, "cup", 3.0, "add_to_cart"),  # the future
        (5, "cup", 0.0, "view"),
    ]
    log = log_of(*zip(*rows, strict=True))
    data = om.Dataset(log)
    found = om.journeys.unfinished(data, at=START + pd.Timedelta("2D"))
    assert found[["user_id", "item_id", "touches"]].values.tolist() == [[2, "lid", 1], [1, "pan", 2]]
    assert found["last_at"].tolist() == [START + pd.Timedelta("1D"), START + pd.Timedelta("12h")]
    assert om.journeys.unfinished(data, at=START + pd.Timedelta("32.5D"))["user_id"].tolist() == [4]
    assert om.journeys.unfinished(data, at=START).empty
    with pytest.raises(ParameterError, match="begun: 'form' is a name that nothing here has"):
        om.journeys.unfinished(data, at=START, begun="form")


def test_now_is_the_end_of_the_data_and_a_log_will_do():
    log = log_of([1, 2], ["pan", "lid"], [0.0, 2.0], ["add_to_cart", "purchase"])
    data = om.Dataset(log)
    by_hand = om.journeys.unfinished(data, at=log.end)
    for found in (om.journeys.unfinished(data), om.journeys.unfinished(log), om.journeys.unfinished(log.to_frame())):
        pd.testing.assert_frame_equal(found, by_hand)
    cut = data.before(START + pd.Timedelta("1D"))
    found = om.journeys.unfinished(cut, missing="ignore")
    assert found["user_id"].tolist() == [1]
    with pytest.raises(TypeError, match=r"Write om\.journeys\.unfinished"):
        om.journeys.unfinished()
