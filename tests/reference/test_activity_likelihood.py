"""On real logs the profiles never do worse than the population's week, whatever the history."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.clock import hour_of_week
from omnireco.timing.sessions import local_hours, session_starts
from omnireco.timing.skill import timing_skill

DATA = os.environ.get("OMNIRECO_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="set OMNIRECO_DATA to the folder that holds commit_activity_rails")
GAP = 30 * 60_000_000


def commits():
    """People who travel: every event has its own offset."""
    frame = pd.read_parquet(Path(DATA) / "commit_activity_rails" / "events.parquet")
    frame = pd.DataFrame(
        {
            "user_id": frame["user_id"].astype("int64"),
            "item_id": "rails",
            "channel": "git",
            "event": frame["event_type"].astype(str),
            "timestamp": frame["event_time_utc"].dt.tz_localize("UTC"),
            "utc_offset_min": frame["utc_offset_min"].astype(str),
        }
    )
    return om.EventLog.from_frame(frame, context=["utc_offset_min"]), None


def purchases():
    """One visit per basket, on the clock of New York."""
    columns = ["household_id", "basket_id", "transaction_timestamp"]
    frame = pd.read_parquet(Path(DATA) / "complete_journey" / "transactions.parquet", columns=columns)
    frame = frame.drop_duplicates("basket_id").rename(
        columns={"household_id": "user_id", "basket_id": "item_id", "transaction_timestamp": "timestamp"}
    )
    frame = frame.assign(channel="store", event="purchase")
    return om.EventLog.from_frame(frame), "America/New_York"


def held_out(log, users, audience):
    """Later sessions per person of the past and local hour."""
    rows = session_starts(log.user, log.at, GAP)
    hours = local_hours(log, audience, rows)
    user = users.codes(log.users.ids, missing="none")[log.user[rows]]
    known = (user >= 0) & (hours >= 0)
    cells = np.bincount(user[known].astype(np.int64) * 168 + hours[known], minlength=len(users) * 168)
    return cells.reshape(len(users), 168).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("load", [commits, purchases])
@pytest.mark.parametrize("share", [0.6, 0.8])
def test_never_below_the_population_in_any_stratum(load, share):
    log, zone = load()
    cut = pd.Timestamp(int(np.quantile(log.at, share)), unit="us", tz="UTC")
    train, test = log.split(cut.to_pydatetime())
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": log.users.ids, "timezone": zone, "consent_x": True}))
    model = om.timing.ActivityProfile().fit(om.Dataset(train, audience=audience))
    past = held_out(train, train.users, audience)
    population = past.sum(axis=0) + 1.0
    table = timing_skill(
        {"profile": model.hour_of_week(train.users.ids)},
        population / population.sum(),
        held_out(test, train.users, audience),
        past.sum(axis=1),
    ).set_index("history")
    print(table)
    assert set(table.index) == {"1-5", "6-20", "21-100", "101+", "all"}
    assert (table["nats"] >= 0).all()
    assert table.loc["all", "low"] > 0.02


def test_offsets_are_the_truth():
    """Most commits fall into working hours once each author's own offset is used."""
    log, _ = commits()
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": [0], "timezone": None, "consent_x": True}))
    hours = local_hours(log, audience, np.arange(len(log)))
    assert hours.min() == 0
    utc = hour_of_week(log.at, np.zeros(len(log), np.int32), om.data.Vocabulary.from_ids(["UTC"]))
    night = [((found % 24 >= 1) & (found % 24 < 7)).mean() for found in (hours, utc)]
    assert night[0] < 0.6 * night[1]
