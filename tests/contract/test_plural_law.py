"""Numbers agree with their nouns in whatever a value shows of itself: "1 user", "2 users"."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core.checks import count_of

_SPEC = importlib.util.spec_from_file_location("gallery", Path(__file__).parent / "gallery.py")
gallery = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(gallery)

ONE_OF_MANY = re.compile(r"(?<![\d.,@/:=#-])\b1 (?:str |int )?(?!is\b|was\b|has\b|this\b|less\b|its\b|plus\b)[a-z]+s\b")
AT = pd.to_datetime(["2025-05-01 09:00"], utc=True)


def one_of_everything():
    """Values that hold one person, one item, one channel and one of whatever else they count."""
    events = pd.DataFrame({"user_id": ["a"], "item_id": ["x"], "channel": ["app"], "event": ["view"], "timestamp": AT})
    sent = pd.DataFrame({"user_id": ["a"], "channel": ["app"], "sent_at": AT, "responded_at": AT})
    people = pd.DataFrame({"user_id": ["a"], "timezone": ["UTC"], "consent_app": [True], "plan": ["b"]})
    log, audience = om.EventLog.from_frame(events), om.Audience.from_frame(people, attributes=["plan"])
    x, messages = log.matrix(), om.MessageLog.from_frame(sent)
    lists = om.Popularity().fit(x).recommend(x, k=1, exclude_seen=False)
    touches = pd.DataFrame({"user_id": ["a"], "item_id": ["x"], "channel": ["app"], "send_at": AT, "value": [1.0]})
    candidates = om.planning.Candidates.from_frame(touches)
    links = pd.DataFrame({"kind_a": ["email"], "id_a": ["e"], "kind_b": ["card"], "id_b": ["c"]})
    live = om.LinearBandit().start(["tea"], n_features=1)
    activity = om.timing.ActivityProfile(segments=1).fit(om.Dataset(log, audience=audience))
    return [
        log, audience, x, messages, lists, candidates, candidates.touches, om.plan(candidates), log.users,
        om.Catalog.from_frame(pd.DataFrame({"item_id": ["x"]})), om.identity.Identities.from_links(links),
        om.slots("2025-05-01", days=1, every="24h"),
        om.Requests.from_frame(events[["user_id", "timestamp"]]),
        om.ALS(factors=1, iterations=1).fit(x), om.EASE().fit(x),
        om.ItemKNN(neighbors=1).fit(x), om.models.UserKNN(neighbors=1).fit(x), activity,
        om.timing.ReadingClock().fit(om.Dataset(messages=messages, audience=audience)),
        om.SendTime().fit(om.Dataset(log, messages=messages, audience=audience)),
        om.timing.Fatigue().fit(messages), om.choices.ChannelPreference().fit(messages),
        live, live.decide(np.ones((1, 1))), log.check(), om.evaluation.channel_report(log, completes="view"),
        om.models.people_attributes(audience),
        om.models.explain(om.ItemKNN(neighbors=1).fit(x), x, lists),
    ]  # fmt: skip


def shows(value):
    html = getattr(value, "_repr_html_", None)
    return " ".join([repr(value), "" if html is None else html()])


def test_one_of_everything():
    assert [found[0] for value in one_of_everything() for found in ONE_OF_MANY.finditer(shows(value))] == []


@pytest.mark.parametrize("name", [*gallery.VALUES, *gallery.STATES])
def test_every_value_in_every_state(name):
    value = (gallery.VALUES | gallery.STATES)[name]()
    assert [found[0] for found in ONE_OF_MANY.finditer(shows(value))] == []


def test_the_law_sees_a_wrong_plural():
    assert ONE_OF_MANY.search("EventLog(1 users)")
    assert ONE_OF_MANY.search("1 str ids")
    assert not ONE_OF_MANY.search("EventLog(1 user, 21 users, 2025-01-01 to 2025-01-02)")
    assert (count_of(1, "user"), count_of(1234, "user"), count_of(2, "entry", "entries")) == (
        "1 user",
        "1,234 users",
        "2 entries",
    )
