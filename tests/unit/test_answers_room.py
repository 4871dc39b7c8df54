"""What counts as an answer, hours by kind of message, and corrections by messages left out."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.messages import NEVER
from omnireco.timing import responses
from omnireco.timing.answers.counted import answers_by_kind
from omnireco.timing.answers.held_out import (
    FOLDS,
    corrected,
    fit_correction,
    folds,
    no_correction,
    some_people,
    unexplained,
)
from omnireco.timing.answers.kinds import hours_of_kinds

T = pd.Timestamp("2025-03-03 09:00", tz="UTC")


def hours(n):
    return pd.Timedelta(hours=n)


@pytest.fixture
def log():
    """Three messages: a bot's open, a bot's open with a click, a purchase."""
    frame = pd.DataFrame({"user_id": [1, 2, 3], "channel": "email", "sent_at": [T, T, T + hours(1)]})
    frame["responded_at"] = [T + hours(0.001), T + hours(0.001), pd.NaT]
    frame["clicked_at"] = [pd.NaT, T + hours(2), pd.NaT]
    frame["machine"] = [True, True, None]
    events = pd.DataFrame(
        {
            "user_id": [3, 3, 1, 1],
            "item_id": "a",
            "channel": "web",
            "event": ["purchase", "purchase", "purchase", "view"],
            "timestamp": [T + hours(5), T + hours(9), T - hours(1), T + hours(3)],
        }
    )
    end = pd.DataFrame({"user_id": [9], "channel": ["email"], "sent_at": [T + hours(99)], "responded_at": [pd.NaT]})
    return om.MessageLog.from_frame(pd.concat([frame, end])), om.EventLog.from_frame(events)


def test_answers_are_responses_clicks_or_purchases(log):
    messages, events = log
    found = {name: answers_by_kind(messages, events, name)[0] != NEVER for name in ("auto", "clicks", "purchases")}
    assert found["auto"].tolist() == found["clicks"].tolist() == [False, True, False, False]
    assert found["purchases"].tolist() == [False, False, True, False]
    at = answers_by_kind(messages, events, "purchases")[0][2]
    assert pd.Timestamp(at, unit="us", tz="UTC") == T + hours(5)  # the first of two


def test_what_is_not_in_the_log_is_refused(log):
    messages, events = log
    plain = om.MessageLog.from_frame(messages.to_frame().drop(columns=["clicked_at", "machine"]))
    with pytest.raises(om.errors.SchemaError, match="no clicked_at"):
        answers_by_kind(plain, events, "clicks")
    views = om.EventLog.from_frame(events.to_frame().assign(event="view"))
    with pytest.raises(om.errors.SchemaError, match="no event of the log is called 'purchase'"):
        answers_by_kind(messages, views, "purchases")
    with pytest.raises(om.errors.ParameterError, match="answers"):
        om.SendTime(answers="opens")


def test_noise_is_corrected_and_the_order_stays():
    rng = np.random.default_rng(0)
    noisy = np.log(0.05) + rng.normal(0, 0.5, 40_000)  # nothing but noise
    answered = rng.random(noisy.size) < 0.05
    correction = fit_correction(noisy, answered, np.ones(noisy.size))
    after = corrected(np.linspace(-4.5, -1.5, 50), correction)
    assert (np.diff(after) > 0).all()
    assert np.exp(corrected(np.array([-3.7, -2.3]), correction)) == pytest.approx(0.05, rel=0.2)
    np.testing.assert_array_equal(fit_correction(noisy[:500], answered[:500], np.ones(500)), no_correction())
    np.testing.assert_array_equal(corrected(noisy, no_correction()), noisy)


def test_folds_do_not_depend_on_names_or_order():
    rng = np.random.default_rng(1)
    person, watched = rng.integers(0, 40, 3000), rng.integers(1, 5000, 3000)
    found, order = folds(person, watched, 40), rng.permutation(3000)
    renamed = rng.permutation(40)
    np.testing.assert_array_equal(folds(renamed[person[order]], watched[order], 40), found[order])
    assert np.bincount(found, minlength=FOLDS) == pytest.approx(1000, rel=0.1)
    some = some_people(person, watched, 40, 0.5)
    assert 0.2 < some.mean() < 0.8
    assert all(np.unique(some[person == k]).size == 1 for k in range(40))


def test_what_is_not_explained_is_noticed():
    rng = np.random.default_rng(2)
    person, hour = rng.integers(0, 50, 40_000), rng.integers(0, 168, 40_000)
    rate = 0.1 * rng.gamma(2.0, 0.5, (50, 6))[person, hour % 24 // 4]
    answered = rng.random(rate.size) < rate
    assert unexplained(person, hour, np.full(rate.size, 0.1), answered) == pytest.approx(2**-0.5, abs=0.2)
    assert unexplained(person, hour, rate, answered) < 0.15


def test_a_kind_has_hours_of_its_own_and_without_messages_those_of_the_channel():
    rng = np.random.default_rng(3)
    kind, hour = rng.integers(0, 2, 20_000), rng.integers(0, 168, 20_000)
    good = np.where(kind == 0, hour % 24 >= 18, hour % 24 < 6)
    answered = rng.random(kind.size) < np.where(good, 0.2, 0.05)
    expected, weight = np.full(kind.size, answered.mean()), np.ones(kind.size)
    more, sd = hours_of_kinds(kind, 3, hour, answered, expected, weight)
    assert more[0, 20] - more[0, 3] > 1.0
    assert more[1, 3] - more[1, 20] > 1.0
    assert abs(more[2, :168]).max() < 0.01
    assert sd[2, 3] > 3 * sd[0, 3]
    alone = hours_of_kinds(np.zeros_like(kind), 1, hour, answered, expected, weight)[0]
    assert not alone.any()


def test_offers_and_services_have_their_hours_and_an_offer_that_ends_goes_out_earlier():
    rng = np.random.default_rng(4)
    n, people = 12_000, 60
    kind, hour = rng.choice(["offer", "service"], n), rng.integers(0, 24, n)
    good = np.where(kind == "offer", (hour >= 19) & (hour <= 21), (hour >= 8) & (hour <= 10))
    sent = pd.Timestamp("2025-03-03", tz="UTC") + pd.to_timedelta(rng.integers(0, 60, n) * 24 + hour, unit="h")
    back = pd.Series(sent + pd.Timedelta("9min")).where(rng.random(n) < np.where(good, 0.25, 0.05))
    user = rng.integers(0, people, n)
    frame = pd.DataFrame({"user_id": user, "channel": "push", "sent_at": sent, "responded_at": back, "kind": kind})
    audience = pd.DataFrame({"user_id": range(people), "timezone": "UTC", "consent_push": True})
    did = pd.DataFrame({"user_id": user, "item_id": "x", "channel": "web", "event": "view", "timestamp": sent})
    data = om.Dataset(
        om.EventLog.from_frame(did), messages=om.MessageLog.from_frame(frame), audience=om.Audience.from_frame(audience)
    )
    model = om.SendTime().fit(data)

    def best(**more):
        return model.best(data, "2025-06-02", 1, channel="push", **more)

    assert best(kind="offer")["send_at_local"].dt.hour.between(18, 21).mean() > 0.95
    assert best(kind="service")["send_at_local"].dt.hour.between(8, 10).mean() > 0.95
    early = best(kind="offer", expires_at="2025-06-02T12:00Z")
    assert (early["send_at_local"].dt.hour < 12).all()
    assert (early["probability"] <= best(kind="offer")["probability"] + 1e-12).all()
    touches = om.data.Touches.of(data, early["user_id"], channel="push", at=best(kind="offer")["send_at"])
    np.testing.assert_allclose(model.probability(touches, kind="offer"), best(kind="offer")["probability"])
    low, high = model.probability_interval(touches, kind="offer")
    assert (
        (low <= model.probability(touches, kind="offer")) & (model.probability(touches, kind="offer") <= high)
    ).all()
    with pytest.raises(om.errors.ParameterError, match="kind must be"):
        best(kind="nudge")
    with pytest.raises(om.errors.ParameterError, match="expires_at must lie after"):
        best(expires_at="2025-06-01")


def test_folds_divide_the_messages_of_a_person_whenever_the_offer_ends():
    data = om.simulate(n_users=120, n_items=20, days=120, seed=2).dataset()
    sent_log, activity = data.messages, om.timing.ActivityProfile().fit(data)
    rows, back = np.arange(len(sent_log)), sent_log.responded_at
    sent = [responses.sent_on(sent_log, rows, back, activity, data.audience, end) for end in (None, 12)]
    n = data.messages.n_users
    parts = [folds(one.person, one.age, n) for one in sent]
    assert (parts[0] == parts[1]).all()  # where the offer ends does not decide who is left out
    several = np.bincount(sent[1].person, minlength=n) > 12
    spread = np.array([np.unique(parts[1][sent[1].person == person]).size for person in np.flatnonzero(several)])
    assert (spread > 1).all()
