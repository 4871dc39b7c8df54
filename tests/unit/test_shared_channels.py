"""What a channel with many answers tells of one with few, where it must not, slow answers, and strangers."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core.units import WEEK
from omnireco._kernels.week import curves
from omnireco._kernels.week.kinds import Evidence, Follows, fit_follows
from omnireco.timing import departures
from omnireco.timing.sending import response_model

START, PEOPLE = pd.Timestamp("2025-03-03", tz="UTC"), 120
HOURS = np.arange(24)
OWN, OTHER = (np.random.default_rng(seed).integers(0, 24, PEOPLE) for seed in (5, 6))


def around(own, user, hour):
    away = np.minimum((hour - own[user]) % 24, (own[user] - hour) % 24)
    return 0.03 + 0.25 * np.exp(-0.5 * (away / 2.0) ** 2)


def sent(law, n, channel, seed, hours=HOURS, delay=10):
    rng = np.random.default_rng(seed)
    user, hour = rng.integers(0, PEOPLE, n), rng.choice(hours, n)
    at = START + pd.to_timedelta(rng.integers(0, 60, n) * 24 + hour, unit="h")
    late = pd.to_timedelta(rng.exponential(delay, n), unit="min")
    back = pd.Series(at).add(late).where(rng.random(n) < law(user, hour))
    return pd.DataFrame({"user_id": user, "channel": channel, "sent_at": at, "responded_at": back})


def dataset(*frames, zone="UTC"):
    rng = np.random.default_rng(1)
    minute = rng.integers(0, 60 * 24, 4_000) * 60 + rng.integers(0, 60, 4_000)
    did = {"user_id": rng.integers(0, PEOPLE, 4_000), "item_id": "x", "channel": "web", "event": "view"}
    events = pd.DataFrame({**did, "timestamp": START + pd.to_timedelta(minute, unit="min")})
    people = {"user_id": range(PEOPLE), "timezone": zone, "consent_push": True, "consent_email": True}
    log, messages = om.EventLog.from_frame(events), om.MessageLog.from_frame(pd.concat(frames))
    return om.Dataset(log, messages=messages, audience=om.Audience.from_frame(pd.DataFrame(people)))


def value(model, data, law, channel="push"):
    """Return the true mean chance at the hours that a model recommends."""
    hour = model.slot_probability(data.audience, np.arange(PEOPLE), channel, om.slots("2025-06-02", days=1).at).argmax(
        1
    )
    return law(np.arange(PEOPLE), hour).mean()


def test_few_pushes_learn_from_many_mails_with_the_same_habits():
    def law(user, hour):
        return around(OWN, user, hour)

    few, many = sent(law, 900, "push", 2), sent(law, 9_000, "email", 3)
    data, alone = dataset(few, many), dataset(few)
    model = om.SendTime().fit(data)
    assert model.shared[model.channels.codes(["push"])[0]] > 0
    assert model.shared[model.channels.codes(["email"])[0]] == 0
    assert value(model, data, law) > 1.5 * value(om.SendTime().fit(alone), alone, law)


@pytest.mark.parametrize("n", [600, 4_000])
def test_channels_with_other_hours_are_not_pooled(n):
    def evening(user, hour):
        return np.where((hour >= 18) & (hour <= 21), 0.2, 0.05) + 0.0 * user

    def night(user, hour):
        return np.where((hour >= 1) & (hour <= 4), 0.4, 0.1) + 0.0 * user

    few, many = sent(night, n, "push", 2), sent(evening, 9_000, "email", 3)
    data = dataset(few, many)
    model = om.SendTime().fit(data)
    assert (model.shared == 0).all()
    assert value(model, data, night) == pytest.approx(0.4)
    assert value(model, data, evening, "email") == pytest.approx(0.2)


def test_too_few_answers_to_judge_share_nothing():
    def law(user, hour):
        return np.full(user.size, 0.05)

    data = dataset(sent(law, 60, "push", 2), sent(law, 2_000, "email", 3))
    assert (om.SendTime().fit(data).shared == 0).all()


@pytest.mark.parametrize("delay", [120, 240, 480])
@pytest.mark.parametrize("high", [0.05, 0.06, 0.2])
def test_slow_answers_alone_make_no_hour_of_the_night_the_best(delay, high):
    """Sends at 8, 12, 16 and 20, answered hours later: what is known is known of these hours."""

    def law(user, hour):
        return np.where(hour == 20, high, 0.05) + 0.0 * user

    data = dataset(sent(law, 6_000, "push", 7, hours=[8, 12, 16, 20], delay=delay))
    model = om.SendTime().fit(data)
    chance = model.slot_probability(data.audience, np.arange(PEOPLE), "push", om.slots("2025-06-02", days=1).at)
    best = np.unique(chance.argmax(axis=1))
    assert set(best) <= {8, 12, 16, 20}
    assert high < 0.2 or set(best) == {20}
    assert chance.max() < 1.3 * high


def test_new_subscribers_have_everybodys_hours_and_the_widest_interval():
    def law(user, hour):
        return around(np.full(PEOPLE, 19), user, hour)

    data = dataset(sent(law, 6_000, "push", 8))
    model = om.SendTime().fit(data)
    people = pd.DataFrame(
        {"user_id": [0, 900, 901], "timezone": ["UTC", "UTC", None], "consent_push": True, "consent_email": True}
    )
    asked = om.Dataset(audience=om.Audience.from_frame(people))
    best = model.best(asked, "2025-06-02", 1, channel="push")
    assert best["user_id"].tolist() == [0, 900, 901]
    assert best["send_at_local"].dt.hour[1] in range(17, 22)
    touches = om.data.Touches.of(asked, people["user_id"], channel="push", at="2025-06-02T19:00Z")
    table = model.table(touches)
    assert table["low"][1] < table["probability"][1] < table["high"][1]
    assert table["high"][1] / table["low"][1] >= table["high"][0] / table["low"][0]
    # without a zone: one chance, whatever the hour, between the worst and the best
    hours = model.slot_probability(asked.audience, np.array([1, 2]), "push", om.slots("2025-06-02", days=1).at)
    assert np.ptp(hours[1]) == 0
    assert hours[0].min() < hours[1, 0] < hours[0].max()
    assert pd.isna(best["send_at_local"][2])
    assert len(model.best(asked, "2025-06-02", 1, channel="push", quiet_hours=("21:00", "08:00"))) == 2


def test_a_table_is_what_probability_and_its_interval_say():
    def law(user, hour):
        return around(OWN, user, hour)

    data = dataset(sent(law, 4_000, "push", 9))
    model = om.SendTime().fit(data)
    at = pd.date_range("2025-06-02", periods=24, freq="1h", tz="UTC")
    touches = om.data.Touches.of(data, np.repeat([4, 3], 12), channel="push", at=at)
    table = model.table(touches, confidence=0.9)
    assert table.columns.tolist() == ["user_id", "channel", "send_at", "send_at_local", "probability", "low", "high"]
    assert table["user_id"].tolist() == [4] * 12 + [3] * 12
    assert (table["send_at"] == at).all()
    assert (table["send_at_local"].dt.hour == at.hour).all()
    low, high = model.probability_interval(touches, confidence=0.9)
    np.testing.assert_array_equal(table["probability"], model.probability(touches))
    np.testing.assert_array_equal(table["low"], low)
    np.testing.assert_array_equal(table["high"], high)
    wider = model.table(touches, confidence=0.99)
    assert (wider["low"] < table["low"]).all()
    assert (wider["high"] > table["high"]).all()
    assert len(model.table(touches.take(np.zeros(0, np.int64)))) == 0
    with pytest.raises(om.errors.SchemaError, match="Touches"):
        model.table([1, 2])
    for bad in (0.0, 1.0, 90, "0.9"):
        with pytest.raises(om.errors.ParameterError, match="confidence"):
            model.table(touches, confidence=bad)


def test_what_is_answered_before_an_end_is_the_value_of_an_offer_that_ends_then():
    """A life of 6 hours and an end in 6 hours are one thing, and so is what was read on the way."""
    data = om.simulate(n_users=60, n_items=20, days=60, seed=3).dataset()
    model = om.SendTime().fit(data)
    ids = data.audience.users.ids[:20]
    people, of_channel = model._people(ids, "email")[0], response_model._settings(model, 0)
    known = model.activity.cells, model.activity.tables()
    hour = np.tile(np.arange(WEEK), (20, 1))
    for left in (1, 6, 30, 200):
        share = np.exp(curves.log_in_time(people, *known, of_channel, hour, np.array([[left]])))
        ends = np.exp(curves.values(people, *known, of_channel._replace(life=left)))
        whole = np.exp(curves.values(people, *known, of_channel))
        part = ends / whole  # values are relative to each person's mean
        np.testing.assert_allclose(share / share.mean(axis=1, keepdims=True), part / part.mean(axis=1, keepdims=True))
        short = np.exp(curves.log_in_time(people, *known, of_channel._replace(life=left), hour, np.array([[left + 5]])))
        np.testing.assert_allclose(short, 1.0)
    none = curves.log_in_time(people, *known, of_channel, np.full((20, 1), WEEK), np.array([[3]]))
    np.testing.assert_allclose(none, np.log(-np.expm1(3 * np.log(of_channel.rho))))
    assert (curves.log_in_time(people, *known, of_channel, hour, np.array([[0]])) == -np.inf).all()


def test_folds_take_over_the_share_and_the_number_of_kinds_and_nobodys_kind():
    rng = np.random.default_rng(0)
    n, k = 40, 3
    row = np.repeat(np.arange(n), 5)
    read, pull = rng.random((row.size, k)) + 0.1, rng.random((n, k)) + 0.1
    found = Evidence(row, read[:, 0], read, pull[:, 0], pull, np.full(n, 5))
    member, like = np.ones((n, 1)), Follows(0.4, np.full((1, 2), 0.5))
    learned = fit_follows(found, member, 1.0, 3.0, like=like)
    assert learned.own == 0.4
    assert learned.follows.shape == (1, 2)
    assert abs(learned.follows - 0.5).max() > 1e-3  # from these people, not from the others
    np.testing.assert_allclose(learned.follows.sum(axis=1), 1.0)


def test_people_without_kinds_are_told_from_those_with():
    """Somebody whose kinds are all 0 was left out, and follows the segments; so does the unknown, -1."""
    kinds = np.array([[0.0, 0.0], [0.25, 0.75], [0.0, 1.0]], np.float32)
    assert departures.known_kinds(np.array([0, 1, -1, 2]), kinds).tolist() == [-1, 1, -1, 2]
    assert departures.known_kinds(np.array([0, 1]), np.empty((2, 0), np.float32)).tolist() == [-1, -1]


def test_where_all_reading_is_ones_own_somebody_unknown_has_the_widest_factor():
    """With ``own == 1`` nobody has a kind; the factor of a stranger is as little known as the least known of all."""

    def law(user, hour):
        return np.where(user % 2 == 0, 0.3, 0.02) + 0.0 * hour

    data = dataset(sent(law, 3_000, "push", 4))
    model = om.SendTime().fit(data)
    code = int(model.channels.codes(["push"])[0])
    if model.own[code] == 1.0:
        assert not model.kinds[code].any()
    chance, low, high = model._band(np.array([0, 999]), "push", 1.96, None)
    assert model.factor_sd[:, code].max() > 0
    assert (np.log(high[1] / low[1]) >= np.log(high[0] / low[0]) - 0.3).all()
    assert (high[1] / chance[1]).min() > np.exp(1.0 * model.factor_sd[:, code].max())
