"""No plan ever violates consent, quiet hours, a cap, a budget or a capacity: 1,000 random worlds, checked by hand.

The check shares nothing with the library: zoneinfo per row, plain loops, dictionaries.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnireco.data import Audience, Dataset, EventLog, MessageLog
from omnireco.errors import ParameterError
from omnireco.planning import Budget, Candidates, Capacity, FrequencyCap, QuietHours, plan

ZONES = [
    "Asia/Kathmandu",  # +5:45
    "Australia/Lord_Howe",  # moves by half an hour
    "America/New_York",
    "Asia/Kolkata",
    "America/St_Johns",
    "Europe/London",
    "Pacific/Chatham",
    None,
]
STARTS = [  # a few days around every kind of clock change of 2025, and an ordinary week
    "2025-03-08T00:00Z",  # New York, forward
    "2025-11-01T00:00Z",  # New York, back
    "2025-04-05T00:00Z",  # Lord Howe and Chatham, back
    "2025-10-04T00:00Z",  # Lord Howe, forward
    "2025-06-01T00:00Z",
]
HOURS = ["00:00", "06:30", "08:00", "09:45", "12:00", "20:00", "21:00", "23:59"]
CHANNELS = np.array(["push", "email", "sms"])


def world(seed: int):
    """Return frames and rules of one random world, and what the rules mean in plain values."""
    rng = np.random.default_rng(seed)
    n_people, n = int(rng.integers(1, 12)), int(rng.integers(1, 70))
    people = pd.DataFrame(
        {
            "user_id": np.arange(n_people),
            "timezone": pd.array(rng.choice(np.array(ZONES, object), n_people), dtype="string"),
            **{f"consent_{c}": rng.random(n_people) < 0.8 for c in CHANNELS[: rng.integers(2, 4)]},
            "reachable_push": rng.random(n_people) < 0.9,
        }
    )
    start = pd.Timestamp(STARTS[rng.integers(len(STARTS))])
    minutes = rng.integers(0, 4 * 24 * 4, n) * 15 if rng.random() < 0.8 else rng.integers(0, 4 * 24 * 60, n)
    touches = pd.DataFrame(
        {
            "user_id": rng.integers(0, n_people + 1, n),  # one person is a stranger to the audience
            "item_id": rng.integers(0, 5, n),
            "channel": rng.choice(CHANNELS, n),
            "send_at": start + pd.to_timedelta(minutes, unit="min"),
            "value": np.round(rng.gamma(1.0, 1.0, n) - 0.1, int(rng.integers(1, 8))),
        }
    )
    quiet = [(*rng.choice(HOURS, 2, replace=False), [None, ("push",), ("email", "sms")][rng.integers(3)])]
    caps = [
        (int(rng.integers(0, 4)), int(rng.choice([1, 4, 24, 25, 72, 0])), [None, ("push",), ("push", "sms")][i])
        for i in rng.integers(0, 3, rng.integers(1, 4))
    ]
    budgets = [("email", float(rng.choice([0.1, 0.3, 1.0, 0.07])), float(rng.choice([0.0, 0.3, 0.7, 2.1])))]
    cells = [(str(rng.choice(CHANNELS)), int(rng.choice([15, 60, 1440])), int(rng.integers(0, 4)))]
    return people, touches, quiet, caps, budgets, cells


def make(people, touches, quiet, caps, budgets, cells, messages=None):
    audience = Audience.from_frame(people)
    maybe = {"missing": "ignore"}  # a world draws its rules without asking which channels it has
    rules = [QuietHours(start, end, channels=on, **maybe) for start, end, on in quiet]
    found = Candidates.from_frame(touches, Dataset(messages=messages, audience=audience), eligibility=rules)
    constraints = [FrequencyCap(n, per=f"{h}h" if h else None, channels=on, **maybe) for n, h, on in caps]
    constraints += [Budget(c, cost=cost, total=total, **maybe) for c, cost, total in budgets]
    constraints += [Capacity(c, per=f"{m}min", limit=limit, **maybe) for c, m, limit in cells]
    return plan(found, constraints=constraints)


def violations(sent, people, quiet, caps, budgets, cells, past=()):
    """Return everything that is wrong with a sent frame, by slow and plain means."""
    wrong = []
    known = people.set_index("user_id").to_dict("index")
    for row in sent.itertuples():
        person = known.get(row.user_id)
        if person is None or not person.get(f"consent_{row.channel}", False):
            wrong.append("consent")
            continue
        if not person.get(f"reachable_{row.channel}", True):
            wrong.append("reachable")
        zone = person["timezone"]
        local = None if pd.isna(zone) else row.send_at.to_pydatetime().astimezone(zoneinfo.ZoneInfo(zone))
        if local is None:
            if not pd.isna(row.send_at_local):
                wrong.append("local time invented")
        elif local.replace(tzinfo=None) != row.send_at_local.to_pydatetime():
            wrong.append("local time")
        for start, end, on in quiet:
            if on is not None and row.channel not in on:
                continue
            if local is None:
                wrong.append("zone unknown")
                continue
            clock = local.strftime("%H:%M:%S")
            inside = start <= clock < end if start < end else clock >= start or clock < end
            # "21:00:00" >= "21:00" holds as text, and "08:00:00" < "08:00" does not
            if inside:
                wrong.append("quiet hours")
    for n, hours, on in caps:
        by_person = defaultdict(list)
        for row in sent.itertuples():
            if on is None or row.channel in on:
                by_person[row.user_id].append(row.send_at)
        earlier = defaultdict(list)
        for user, channel, at in past:
            if on is None or channel in on:
                earlier[user].append(at)
        for user, times in by_person.items():
            if hours == 0:
                wrong += ["cap"] * (len(times) > n)
                continue
            both = times + earlier[user]
            for first in both:
                window = [t for t in both if first <= t < first + dt.timedelta(hours=hours)]
                if len(window) > n and any(t in times for t in window):
                    wrong.append("cap")
    for channel, cost, total in budgets:
        if cost * (sent["channel"] == channel).sum() > total + 1e-9:
            wrong.append("budget")
    for channel, minutes, limit in cells:
        cell = sent.loc[sent["channel"] == channel, "send_at"].dt.floor(f"{minutes}min")
        if cell.value_counts().max() > limit:
            wrong.append("capacity")
    return wrong


@pytest.mark.parametrize("block", range(20))
def test_no_plan_violates_a_rule(block):
    for seed in range(50 * block, 50 * block + 50):
        w = world(seed)
        best = make(*w)
        sent = best.to_frame()
        assert violations(sent, w[0], *w[2:]) == [], f"world {seed}"
        assert (sent["value"] > 0).all()
        assert best.value <= best.bound
        assert np.isclose(best.value, sent["value"].sum(), rtol=1e-12)
        assert sum(best.left_out.values()) + len(sent) == len(w[1])
        assert len(best.why_not()) + len(sent) == len(best.touches)
        assert "not chosen" not in best.left_out, f"world {seed}: a touch that fits was not sent"


def test_the_check_itself_notices():
    """The brute check is no rubber stamp: unplanned touches of the same worlds break every kind of rule."""
    seen = set()
    for seed in range(60):
        w = world(seed)
        everything = Candidates.from_frame(w[1]).to_frame()
        everything["send_at_local"] = pd.NaT
        seen |= set(violations(everything, w[0], *w[2:]))
    assert {"consent", "reachable", "quiet hours", "zone unknown", "cap", "budget", "capacity"} <= seen


def test_messages_of_the_past_use_up_the_cap():
    for seed in range(100):
        rng = np.random.default_rng(10_000 + seed)
        w = world(seed)
        first = w[1]["send_at"].min()
        n = int(rng.integers(1, 15))
        past = pd.DataFrame(
            {
                "user_id": rng.integers(0, 12, n),
                "channel": rng.choice(np.append(CHANNELS, "letter"), n),
                "sent_at": first - pd.to_timedelta(rng.integers(1, 80 * 60, n), unit="min"),
                "responded_at": pd.Series(pd.NaT, index=range(n), dtype="datetime64[us, UTC]"),
            }
        )
        best = make(*w, messages=MessageLog.from_frame(past))
        rows = list(past[["user_id", "channel", "sent_at"]].itertuples(index=False, name=None))
        assert violations(best.to_frame(), w[0], *w[2:], past=rows) == [], f"world {seed}"


@pytest.mark.parametrize("seed", range(25))
def test_the_order_of_rows_does_not_matter(seed):
    w = world(seed)
    shuffled = w[1].sample(frac=1.0, random_state=seed).reset_index(drop=True)
    people = w[0].sample(frac=1.0, random_state=seed)
    one, other = make(*w), make(people, shuffled, *w[2:])
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())
    pd.testing.assert_frame_equal(one.why_not(), other.why_not())
    pd.testing.assert_frame_equal(one.prices, other.prices)
    assert (one.value, one.bound) == (other.value, other.bound)


@pytest.mark.parametrize("seed", range(40))
def test_loosening_a_constraint_never_lowers_the_value(seed):
    people, touches, quiet, caps, budgets, cells = world(seed)
    tight = make(people, touches, quiet, caps, budgets, cells)
    looser = [
        make(people, touches, quiet, [(n + 1, h, on) for n, h, on in caps], budgets, cells),
        make(people, touches, quiet, caps[:-1], budgets, cells),
        make(people, touches, quiet, caps, [(c, cost, total + 1) for c, cost, total in budgets], cells),
        make(people, touches, quiet, caps, budgets, [(c, m, limit + 1) for c, m, limit in cells]),
        make(people, touches, quiet, caps, [], []),
    ]
    for loose in looser:
        assert loose.value >= tight.value - 1e-9
        assert loose.bound >= tight.bound - 1e-6


# consent from several sources, joined sets, hostile names and zones ---------------------------------------------------


def withdrawals_of(seed, people, touches):
    """Return a message log with unsubscriptions, events that withdraw and instants of consents, in plain rows too."""
    rng = np.random.default_rng(20_000 + seed)
    first = touches["send_at"].min()
    n = int(rng.integers(1, 12))
    minutes = rng.integers(-9 * 24 * 60, 3 * 24 * 60, n)
    sent_at = first - pd.to_timedelta(10 * 24 * 60, unit="min") + pd.to_timedelta(np.zeros(n), unit="min")
    left = pd.Series(first + pd.to_timedelta(minutes, unit="min")).where(rng.random(n) < 0.6)
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, 12, n),
            "channel": rng.choice(np.append(CHANNELS, "letter"), n),
            "sent_at": sent_at,
            "responded_at": pd.Series(pd.NaT, index=range(n), dtype="datetime64[us, UTC]"),
            "unsubscribed_at": left,
        }
    )
    events = pd.DataFrame(
        {
            "user_id": rng.integers(0, 12, 3),
            "item_id": 0,
            "channel": rng.choice(np.append(CHANNELS, "web"), 3),
            "event": "unsubscribed",
            "timestamp": first + pd.to_timedelta(rng.integers(-9 * 24 * 60, 3 * 24 * 60, 3), unit="min"),
        }
    )
    dated = people.copy()
    for name in [name for name in people if name.startswith("consent_")]:
        stamps = pd.Series(first + pd.to_timedelta(rng.integers(-9 * 24 * 60, 2 * 24 * 60, len(people)), unit="min"))
        dated[f"{name}_at"] = stamps.where(rng.random(len(people)) < 0.5).to_numpy("datetime64[us]")
        dated[f"{name}_at"] = dated[f"{name}_at"].dt.tz_localize("UTC")
    return dated, log, events


def without_consent(sent, people, log, events):
    """Return how many sent messages somebody had forbidden, by plain loops."""
    known = people.set_index("user_id").to_dict("index")
    asked = {name.removeprefix("consent_") for name in people if name.startswith("consent_") and name[-3:] != "_at"}
    wrong = 0
    for row in sent.itertuples():
        given = known[row.user_id].get(f"consent_{row.channel}_at")
        given = None if pd.isna(given) else given
        wrong += given is not None and row.send_at < given
        taken = [r.unsubscribed_at for r in log.itertuples() if (r.user_id, r.channel) == (row.user_id, row.channel)]
        taken += [
            r.timestamp
            for r in events.itertuples()
            if r.user_id == row.user_id and (r.channel == row.channel or r.channel not in asked)
        ]
        taken = [at for at in taken if not pd.isna(at)]
        wrong += bool(taken) and (given is None or given <= max(taken))
    return wrong


@pytest.mark.parametrize("block", range(5))
def test_no_plan_writes_to_who_has_withdrawn_anywhere(block):
    seen = 0
    for seed in range(40 * block, 40 * block + 40):
        people, touches, quiet, caps, budgets, cells = world(seed)
        people, log, events = withdrawals_of(seed, people, touches)
        logs = {"withdrawals": EventLog.from_frame(events)}
        audience = Audience.from_frame(people)
        data = Dataset(audience=audience, messages=MessageLog.from_frame(log))
        maybe = {"missing": "ignore"}
        rules = [QuietHours(start, end, channels=on, **maybe) for start, end, on in quiet]
        half = len(touches) // 2
        one = Candidates.from_frame(touches[:half], Dataset(audience=audience), eligibility=rules)
        other = Candidates.from_frame(touches[half:], data, **logs)
        constraints = [FrequencyCap(n, per=f"{h}h" if h else None, channels=on, **maybe) for n, h, on in caps]
        constraints += [Budget(c, cost=cost, total=total, **maybe) for c, cost, total in budgets]
        constraints += [Capacity(c, per=f"{m}min", limit=limit, **maybe) for c, m, limit in cells]
        past = list(log[["user_id", "channel", "sent_at"]].itertuples(index=False, name=None))
        whole = Candidates.from_frame(touches, data, eligibility=rules, **logs)
        for found in (whole, Candidates.concat([one, other])):  # a join is as strict as one set under all
            sent = plan(found, constraints=constraints).to_frame()
            assert without_consent(sent, people, log, events) == 0, f"world {seed}"
            assert violations(sent, people, quiet, caps, budgets, cells, past=past) == [], f"world {seed}"
            seen += found.left_out["Consent"]
    assert seen > 0


@given(
    zone=st.integers(-128, 127),
    name=st.sampled_from(["push", "Push", "push ", "", "puhs", "email"]) | st.text(max_size=8),
    start=st.sampled_from(HOURS[:4]),
    hour=st.integers(0, 23),
)
@settings(max_examples=60, deadline=None)
def test_hostile_zones_and_names_never_open_a_quiet_hour(zone, name, start, hour):
    known = Audience.from_frame(
        pd.DataFrame({"user_id": [1, 2], "timezone": ["Asia/Tokyo", "UTC"], "consent_push": True})
    )
    audience = Audience(
        known.users,
        known.zones,
        np.array([zone, 1], np.int32),
        known.channels,
        known.consent,
        known.reachable,
        {},
    )
    touches = pd.DataFrame(
        {
            "user_id": [1],
            "item_id": "tea",
            "channel": "push",
            "send_at": [pd.Timestamp("2025-06-01", tz="UTC") + pd.Timedelta(hours=hour)],
            "value": 1.0,
        }
    )
    rule = QuietHours(start, "23:59", channels=[name])
    if name != "push":
        with pytest.raises(ParameterError, match="is a name that nothing here has"):
            Candidates.from_frame(touches, Dataset(audience=audience), eligibility=[rule])
        return
    found = Candidates.from_frame(touches, Dataset(audience=audience), eligibility=[rule])
    for row in found.to_frame().itertuples():
        local = row.send_at.to_pydatetime().astimezone(zoneinfo.ZoneInfo(["Asia/Tokyo", "UTC"][zone]))
        assert zone in (0, 1)
        assert not start <= local.strftime("%H:%M") < "23:59"
