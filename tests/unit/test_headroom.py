"""Headroom: what each interval advises; measured on people with and without hours of their own in test_explore.py."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError

SKILL = pd.DataFrame({"model": ["profile"], "nats": [0.25]})


def found(low, high, worthwhile=0.02):
    return om.timing.Headroom(
        skill=SKILL,
        lift=(low + high) / 2,
        low=low,
        high=high,
        prior_strength=8.0,
        people=1234,
        sessions=1,
        worthwhile=worthwhile,
    )


@pytest.mark.parametrize(
    ("low", "high", "advice"),
    [
        (0.05, 0.15, "Personal timing can help here."),
        (0.02, 0.15, "Personal timing can help here."),  # as much as is worthwhile is enough
        (-0.01, 0.019, "Do not bother: send at the best common hour."),
        (-0.01, 0.02, "Not proven, so do not bother yet"),
        (-0.01, 0.15, "Not proven, so do not bother yet"),
    ],
)
def test_the_interval_decides(low, high, advice):
    assert found(low, high).verdict.startswith(advice)


def test_the_numbers_are_shown():
    assert "+10.0% attention (+5.0% to +15.0%)" in found(0.05, 0.15).verdict
    assert "1,234 people, 1 later sessions" in found(0.05, 0.15).verdict
    assert repr(found(0.05, 0.15)) == "Headroom(lift +10.0% (+5.0% to +15.0%), 1,234 people)"
    assert "0.25" in found(0.05, 0.15)._repr_html_()


def _pushes(kind, seed, n=250, per=40):
    """People with hours of their own, and pushes at random hours, answered by another rule than activity or by it."""
    rng = np.random.default_rng(seed)
    own, start = rng.choice([8, 13, 19, 22], n), pd.Timestamp("2025-01-06", tz="UTC")
    user = rng.integers(0, n, 60 * n)
    hour = rng.integers(0, 120, user.size) * 24 + (own[user] + rng.normal(0, 1.2, user.size)) % 24
    seen = {"user_id": user, "item_id": "x", "channel": "app", "event": "view"}
    events = pd.DataFrame(seen | {"timestamp": start + pd.to_timedelta(hour, unit="h")})
    reader, at = rng.integers(0, n, per * n), rng.integers(0, 24, per * n)
    near = np.abs((at - own[reader] + 12) % 24 - 12) <= 2
    chance = {
        "flat": np.full(at.size, 0.1),
        "evening": np.where((at >= 18) & (at < 22), 0.24, 0.06),
        "own": np.where(near, 0.24, 0.06),
    }[kind]
    sent = start + pd.to_timedelta(rng.integers(0, 120, at.size) * 24 + at + rng.random(at.size) * 0.9, unit="h")
    back = pd.Series(sent + pd.to_timedelta(rng.exponential(0.05, at.size), unit="h")).where(
        rng.random(at.size) < chance
    )
    messages = pd.DataFrame({"user_id": reader, "channel": "push", "sent_at": sent, "responded_at": back})
    people = pd.DataFrame({"user_id": np.arange(n), "timezone": "UTC", "consent_push": True})
    audience = om.Audience.from_frame(people)
    return om.Dataset(om.EventLog.from_frame(events), messages=om.MessageLog.from_frame(messages), audience=audience)


@pytest.mark.parametrize("kind", ["flat", "evening"])
def test_activity_promises_what_responses_deny(kind):
    data = _pushes(kind, 1)
    assert (
        om.timing.headroom(data, n_bootstrap=100).low > 0.5
    )  # people have hours, and this assumes that they read then
    found = om.timing.headroom(data, channel="push", n_bootstrap=100)
    assert found.low < 0.02
    assert "push responses" in found.verdict
    assert "can help" not in found.verdict


def test_responses_confirm_habits_where_people_answer_by_them():
    found = om.timing.headroom(_pushes("own", 0), channel="push", n_bootstrap=100)
    assert found.low > 0.02
    assert found.high < 4.0  # nobody can gain more than four times
    assert "can help" in found.verdict


def test_a_channel_must_have_messages_and_responses():
    data = _pushes("flat", 0, n=60, per=5)
    with pytest.raises(ParameterError, match="channel must be"):
        om.timing.headroom(data, channel="mail")
    with pytest.raises(SchemaError, match="messages"):
        om.timing.headroom(om.Dataset(data.events, audience=data.audience), channel="push")
    frame = data.messages.to_frame()
    silent = om.MessageLog.from_frame(frame.assign(responded_at=frame["sent_at"].where(frame["sent_at"].isna())))
    with pytest.raises(EmptyError, match="leave out channel="):
        om.timing.headroom(om.Dataset(data.events, messages=silent, audience=data.audience), channel="push")
