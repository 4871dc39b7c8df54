"""Messages and what came back, by hand."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data.messages import NEVER, MessageLog
from omnireco.errors import SchemaError


def frame(**changes):
    return pd.DataFrame(
        {
            "user_id": [2, 1, 1],
            "channel": ["sms", "email", "email"],
            "sent_at": pd.to_datetime(["2025-05-03", "2025-05-01", "2025-05-02"], utc=True),
            "responded_at": pd.to_datetime([None, "2025-05-04", "2025-05-02"], utc=True),
            "item_id": ["tea", None, "cup"],
            "creative_id": [7, 7, 8],
            "propensity": [0.5, 1.0, 0.25],
        }
        | changes
    )


def test_by_hand():
    log = MessageLog.from_frame(frame())
    assert log.user.tolist() == [0, 0, 1]
    assert log.responded.tolist() == [True, True, False]
    assert log.responded_at[2] == NEVER
    assert log.item.tolist() == [-1, 0, 1]
    assert log.propensity.tolist() == [1.0, 0.25, 0.5]
    assert (log.n_users, len(log)) == (2, 3)
    assert log.end == dt.datetime(2025, 5, 4, 0, 0, 0, 1, tzinfo=dt.UTC)
    assert repr(log) == "MessageLog(3 messages, 2 users, 2 channels, 2 responses)"


def test_before_forgets_later_responses():
    log = MessageLog.from_frame(frame()).before("2025-05-03")
    assert len(log) == 2
    assert log.responded.tolist() == [False, True]
    assert log.channels.ids.tolist() == ["email"]
    assert log.end == dt.datetime(2025, 5, 3, tzinfo=dt.UTC)
    at_the_answer = MessageLog.from_frame(frame()).before("2025-05-04")
    assert at_the_answer.responded.sum() == 1


def test_every_frame_and_back():
    expected = MessageLog.from_frame(frame()).to_frame()
    for table in (pl.from_pandas(frame()), pa.Table.from_pandas(frame()), expected, frame()[::-1]):
        pd.testing.assert_frame_equal(MessageLog.from_frame(table).to_frame(), expected)
    bare = MessageLog.from_frame(frame()[["user_id", "channel", "sent_at", "responded_at"]])
    assert bare.propensity is None
    assert (bare.item == -1).all()
    assert "propensity" not in bare.to_frame()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"responded_at": pd.to_datetime([None, "2025-04-30", None], utc=True)},
            r"precedes sent_at in 1 row \(position 1\)",
        ),
        ({"propensity": [0, 1, 0.5]}, r"propensity must lie in \(0, 1\]; it does not in 1 row \(position 0\)"),
        ({"propensity": [1.5, 1, 2]}, r"it does not in 2 rows \(positions 0, 2\)"),
        ({"sent_at": pd.to_datetime(["2025-05-03", None, "2025-05-02"], utc=True)}, "sent_at is missing in 1 row"),
        ({"channel": [1, 2, 3]}, "channel must hold strings"),
    ],
)
def test_refused(changes, match):
    with pytest.raises(SchemaError, match=match):
        MessageLog.from_frame(frame(**changes))


def test_nobody_answered():
    assert MessageLog.from_frame(frame(responded_at=[None, None, None])).responded.sum() == 0
    empty = MessageLog.from_frame(frame().iloc[:0])
    assert len(empty) == len(empty.to_frame()) == 0
    assert empty.before("2025-01-01").n_users == 0


def test_machines_clicks_and_unsubscriptions():
    clicked = pd.to_datetime(["2025-05-05", None, "2025-05-04"], utc=True)
    left = pd.to_datetime([None, "2025-05-09", None], utc=True)
    log = MessageLog.from_frame(frame(machine=[None, 0.9, True], clicked_at=clicked, unsubscribed_at=left))
    assert log.machine.tolist()[:2] == [0.9, 1.0]
    assert np.isnan(log.machine[2])
    assert log.responded.tolist() == [True, True, True]  # a click is a response
    assert log.responded_at[2] == log.clicked_at[2]
    assert log.end == dt.datetime(2025, 5, 9, 0, 0, 0, 1, tzinfo=dt.UTC)
    earlier = log.before("2025-05-04")
    assert earlier.responded.tolist() == [False, True, False]
    assert np.isnan(earlier.machine[0])
    assert earlier.clicked_at.tolist() == [NEVER, NEVER, NEVER] == earlier.unsubscribed_at.tolist()
    pd.testing.assert_frame_equal(MessageLog.from_frame(log.to_frame()).to_frame(), log.to_frame())
    with pytest.raises(SchemaError, match=r"machine must lie in \[0, 1\]; it does not in 1 row"):
        MessageLog.from_frame(frame(machine=[0.0, 1.5, None]))
    with pytest.raises(SchemaError, match=r"Texts are neither true nor false in 1 row \(position 2\)"):
        MessageLog.from_frame(frame(machine=["yes", "no", "0.5"]))
    assert MessageLog.from_frame(frame(machine=["True", "no", "yes"])).machine.tolist() == [0.0, 1.0, 1.0]
    with pytest.raises(SchemaError, match="clicked_at precedes sent_at in 1 row"):
        MessageLog.from_frame(frame(clicked_at=pd.to_datetime(["2025-05-01", None, None], utc=True)))
