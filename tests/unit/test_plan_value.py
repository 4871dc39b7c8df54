"""A plan as a policy on the log of earlier messages: its value by hand, its interval, and where it is refused."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.evaluation import plan_value

CHANCE = {"email": 0.1, "push": 0.3, "web": 0.2}
START = pd.Timestamp("2025-05-01", tz="UTC")


def log(seed=0, *, n=6000, people=600, channels=("email", "push"), p=None, responses=None):
    rng = np.random.default_rng(seed)
    p = [1 / len(channels)] * len(channels) if p is None else p
    which = rng.choice(len(channels), n, p=p)
    channel = np.array(channels, object)[which]
    user = np.arange(n) % people
    sent = START + pd.to_timedelta(np.arange(n), unit="min")
    read = rng.random(n) < np.array([CHANCE[c] for c in channel]) if responses is None else responses(user, channel)
    frame = pd.DataFrame({"user_id": user, "channel": channel, "propensity": np.array(p)[which], "sent_at": sent})
    return om.MessageLog.from_frame(frame.assign(responded_at=pd.Series(sent + pd.Timedelta("1h")).where(read)))


def plan_of(users, channel, times=1):
    frame = pd.DataFrame({"user_id": np.repeat(users, times), "item_id": [f"i{j}" for j in range(times)] * len(users)})
    frame = frame.assign(channel=channel, value=1.0, send_at=pd.Timestamp("2025-11-01 12:00", tz="UTC"))
    return om.plan(om.planning.Candidates.from_frame(frame))


def test_by_hand():
    """Two people, planned one push and two e-mails: each counts as many messages as it is planned."""
    frame = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2],
            "channel": ["push", "email", "email", "push"],
            "propensity": [0.5, 0.5, 0.25, 0.75],
            "sent_at": START + pd.to_timedelta([0, 1, 2, 3], unit="h"),
            "responded_at": pd.Series([START + pd.Timedelta("9h"), pd.NaT, START + pd.Timedelta("9h"), pd.NaT]),
        }
    )
    plans = pd.DataFrame(
        {
            "user_id": [1, 2, 2],
            "item_id": ["a", "a", "b"],
            "channel": ["push", "email", "push"],
            "value": 1.0,
            "send_at": pd.Timestamp("2025-11-01", tz="UTC"),
        }
    )
    made = om.plan(om.planning.Candidates.from_frame(plans))
    found = plan_value(made, om.MessageLog.from_frame(frame), least_effective=1, least_covered=0, k=1)
    # weights: person 1: push 1/0.5 x 1/2 = 1, email 0; person 2: email 0.5/0.25 x 2/2 = 2, push 0.5/0.75 = 2/3
    assert found.table["value"][0] == pytest.approx((1 * 1 + 2 * 1 + 0) / (1 + 2 + 2 / 3))


def test_the_interval_covers_and_the_lift_is_over_the_log():
    hits, people = 0, np.arange(600)
    for seed in range(60):
        found = plan_value(plan_of(people, "push", 2), log(seed)).table.iloc[0]
        hits += found["low"] <= 0.3 <= found["high"]
    assert hits >= 53
    assert found["lift"] == pytest.approx(0.1, abs=0.03)


def test_the_value_is_of_the_people_of_the_plan():
    """Push works for some people only: a plan that knows them earns what they respond, not the mean of all."""

    def responses(user, channel):
        return np.random.default_rng(1).random(user.size) < np.where((channel == "push") & (user < 200), 0.6, 0.1)

    sent = log(responses=responses)
    mine, others = (
        plan_value(plan_of(who, "push"), sent, least_effective=200).table["value"][0]
        for who in (np.arange(200), np.arange(300, 600))
    )
    assert mine == pytest.approx(0.6, abs=0.07)
    assert others == pytest.approx(0.1, abs=0.05)


def test_a_plan_without_support_has_no_value():
    found = plan_value(plan_of(np.arange(400, 1400), "push"), log())  # most were never written to
    assert np.isnan(found.table["value"][0])
    assert "supports 20% of the planned messages" in found.verdict
    assert found.diagnostics["without_support"][0] == pytest.approx(0.8)
    with pytest.raises(EmptyError, match="none of 600 planned messages"):
        plan_value(plan_of(np.arange(600), "web"), log())


def test_people_who_could_not_be_sent_it_are_noticed():
    """Half of the people never got a push: the log knows the choice, and not for them."""
    rng, n = np.random.default_rng(0), 8000
    user = np.arange(n) % 800
    push = (rng.random(n) < 0.5) & (user < 400)
    frame = pd.DataFrame(
        {
            "user_id": user,
            "channel": np.where(push, "push", "email"),
            "propensity": np.where(user < 400, 0.5, 1.0),
            "sent_at": START + pd.to_timedelta(np.arange(n), unit="min"),
            "responded_at": pd.NaT,
        }
    )
    frame["responded_at"] = pd.to_datetime(frame["responded_at"], utc=True)
    found = plan_value(plan_of(np.arange(800), "push"), om.MessageLog.from_frame(frame))
    assert np.isnan(found.table["value"][0])
    assert "clearly below 1" in found.verdict


def test_hours_are_local():
    people = pd.DataFrame(
        {"user_id": np.arange(600), "timezone": np.where(np.arange(600) % 2, "Asia/Tokyo", "UTC"), "consent_push": True}
    )
    audience = om.Audience.from_frame(people)
    rng, n = np.random.default_rng(0), 6000
    user, hour = np.arange(n) % 600, rng.integers(0, 2, n) * 9 + 3  # 03:00 or 12:00 UTC: 12:00 or 21:00 in Tokyo
    local = (hour + np.where(user % 2, 9, 0)) % 24
    sent = START + pd.to_timedelta(np.arange(n) // 600, unit="D") + pd.to_timedelta(hour, unit="h")
    read = rng.random(n) < np.where(local == 12, 0.5, 0.1)
    frame = pd.DataFrame({"user_id": user, "channel": "push", "propensity": 0.5, "sent_at": sent})
    messages = om.MessageLog.from_frame(frame.assign(responded_at=pd.Series(sent + pd.Timedelta("10min")).where(read)))
    at = np.where(np.arange(600) % 2, 3, 12)
    planned = pd.DataFrame(
        {
            "user_id": np.arange(600),
            "item_id": "a",
            "channel": "push",
            "value": 1.0,
            "consent": True,
            "send_at": pd.Timestamp("2025-11-01", tz="UTC") + pd.to_timedelta(at, unit="h"),
        }
    )
    data = om.Dataset(messages=messages, audience=audience)
    made = om.plan(om.planning.Candidates.from_frame(planned.drop(columns="consent"), data))
    if not len(made):
        pytest.skip("consent is from now on")
    found = plan_value(made, data, by="hour")
    assert found.table["value"][0] == pytest.approx(0.5, abs=0.05)


def test_what_cannot_be_asked_is_refused():
    made = plan_of(np.arange(10), "push")
    with pytest.raises(ParameterError, match="by must be some of"):
        plan_value(made, log(), by="weather")
    with pytest.raises(SchemaError, match="no propensity"):
        plan_value(made, om.MessageLog.from_frame(log().to_frame().drop(columns="propensity")))
    with pytest.raises(EmptyError, match="sends nothing"):
        plan_value(
            om.plan(
                om.planning.Candidates.from_frame(
                    pd.DataFrame(
                        {"user_id": [1], "item_id": ["a"], "channel": ["push"], "value": [0.0], "send_at": [START]}
                    )
                )
            ),
            log(),
        )
    with pytest.raises(SchemaError, match="audience"):
        plan_value(made, log(), by=["channel", "hour"])
    with pytest.raises(ParameterError, match="plan"):
        plan_value("plan", log())


def test_propensities_of_another_choice_are_noticed():
    """By item with the propensities of channels: weights average 2, and no value may be read from them."""
    sent = log().to_frame().assign(item_id="i0")
    by_item = plan_value(plan_of(range(600), "push"), om.MessageLog.from_frame(sent), by="item_id")
    assert "clearly above 1" in by_item.diagnostics["refused"][0]
    assert by_item.table["value"].isna().all()
    small = om.MessageLog.from_frame(sent.assign(propensity=0.25))
    assert "clearly above 1" in plan_value(plan_of(range(600), "push"), small).diagnostics["refused"][0]


def test_the_order_the_clock_and_a_second_copy_of_the_log_change_nothing():
    plan, sent = plan_of(range(600), "push"), log().to_frame()
    one = plan_value(plan, om.MessageLog.from_frame(sent)).table
    times = ["sent_at", "responded_at"]
    tokyo = sent.assign(**{name: sent[name].dt.tz_convert("Asia/Tokyo") for name in times})
    for other in (sent.sample(frac=1, random_state=3), tokyo, pd.concat([sent, sent])):
        found = plan_value(plan, om.MessageLog.from_frame(other)).table
        pd.testing.assert_frame_equal(found, one)  # also the interval: it is over people
    twice = pd.concat([plan_of(range(600), "push", times=2).to_frame(), plan_of(range(600), "push").to_frame()])
    assert len(twice) == 1800
    pd.testing.assert_frame_equal(
        plan_value(plan_of(range(600), "push", times=2), om.MessageLog.from_frame(sent)).table, one
    )
