"""Send times: the delay model by hand and by brute force, calibration, masks before the choice."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.clock import slots_by_zone
from omnireco.errors import NotFittedError, ParameterError, SchemaError
from omnireco.response.activity import ActivityProfile
from omnireco.response.calibration import fit_curve, person_factors, sigmoid
from omnireco.response.delay import fit_reading, fit_tau, occurrence_to_exposure, reading_after, send_value
from omnireco.response.send_time import SendTime

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=150, n_items=20, days=70, seed=3, messages_per_week=4)


@pytest.fixture(scope="module")
def nouns(world):
    return (
        om.EventLog.from_frame(world.events),
        om.MessageLog.from_frame(world.messages),
        om.Audience.from_frame(world.users),
    )


@pytest.fixture(scope="module")
def model(nouns):
    return SendTime().fit(*nouns)


# kernels --------------------------------------------------------------------------------------------


def test_value_of_sending_against_brute_force():
    rng = np.random.default_rng(0)
    p, tau = rng.random((3, 168)) * 0.2, 2.0
    slow = np.zeros((3, 168))
    for hour in range(168):
        alive = np.ones(3)
        for j in range(100):
            slow[:, hour] += alive * p[:, (hour + j) % 168]
            alive = alive * (1 - p[:, (hour + j) % 168]) * np.exp(-1 / tau)
    np.testing.assert_allclose(send_value(p, tau), slow, rtol=1e-12)


@pytest.mark.parametrize("life", [1, 24, 168, 200])
def test_value_with_a_finite_life_against_brute_force(life):
    rng = np.random.default_rng(1)
    p, tau = rng.random((2, 168)) * 0.2, 30.0
    slow = np.zeros((2, 168))
    for hour in range(168):
        alive = np.ones(2)
        for j in range(life):
            slow[:, hour] += alive * p[:, (hour + j) % 168]
            alive = alive * (1 - p[:, (hour + j) % 168]) * np.exp(-1 / tau)
    np.testing.assert_allclose(send_value(p, tau, life=life), slow, rtol=1e-9)


def test_value_turns_with_the_clock():
    p = np.random.default_rng(2).random((2, 168)) * 0.3
    np.testing.assert_allclose(send_value(np.roll(p, 31, axis=1), 6.0), np.roll(send_value(p, 6.0), 31, axis=1))


def test_the_best_hour_is_at_the_peak_or_before_it():
    """One reading hour a week, at 100: the best moment is that hour, the hour before is second, after it is worst."""
    p = np.full((1, 168), 1e-6)
    p[0, 100] = 0.5
    value = send_value(p, 6.0)[0]
    assert np.argsort(-value)[:3].tolist() == [100, 99, 98]
    assert value.argmin() == 101


def test_reading_after_is_the_linear_value():
    r = np.random.default_rng(3).dirichlet(np.ones(168), 2)
    tiny = 1e-9
    np.testing.assert_allclose(reading_after(r, 4.0), send_value(r * tiny, 4.0) / tiny, rtol=1e-6)


def test_finds_the_planted_pull_and_reading_hours():
    """Everybody reads twice as much in the evening, all mail leaves at 10:00: counts of answers would mislead."""
    rng = np.random.default_rng(4)
    truth = np.tile(np.where(np.abs(np.arange(24) - 20) <= 1, 2.0, 1.0), 7)
    truth /= truth.sum()
    r, tau, n = np.full((1, 168), 1 / 168), 8.0, 40_000
    sent = rng.integers(0, 7, n) * 24 + 10
    weight = np.exp(-np.arange(168) / tau) * truth[(sent[:, None] + np.arange(168)) % 168]
    delay = (weight.cumsum(axis=1) / weight.sum(axis=1, keepdims=True) > rng.random((n, 1))).argmax(axis=1)
    person = np.zeros(n, int)
    assert fit_tau(truth[None], person, sent, delay) == pytest.approx(tau, rel=0.1)
    ratio = occurrence_to_exposure(r, np.ones((1, 1)), person, sent, (sent + delay) % 168, tau)[0]
    found = ratio.reshape(7, 24).mean(axis=0)
    assert np.bincount((sent + delay) % 24).argmax() == 10  # the sender's timetable
    assert found.argmax() in (19, 20, 21)  # the readers'
    assert found[20] / found[12] == pytest.approx(2.0, rel=0.25)


def test_no_reading_correction_without_evidence():
    """People who answer exactly as they come: half of them does not help to foresee the other half."""
    rng = np.random.default_rng(5)
    r = rng.dirichlet(np.ones(168), 100)
    person, sent = rng.integers(0, 100, 500), rng.integers(0, 168, 500)
    weight = np.exp(-np.arange(168) / 6.0) * r[person[:, None], (sent[:, None] + np.arange(168)) % 168]
    delay = (weight.cumsum(axis=1) / weight.sum(axis=1, keepdims=True) > rng.random((500, 1))).argmax(axis=1)
    member = rng.dirichlet(np.ones(3), 100)
    assert (fit_reading(r, member, person, sent, (sent + delay) % 168, 6.0) == 1.0).all()
    all_evening = np.full(500, 20)
    assert fit_reading(r, member, person, sent, all_evening, 6.0)[:, 20].min() > 2.0


def test_curve_recovers_its_parameters_and_the_mean():
    rng = np.random.default_rng(5)
    value, activity = rng.normal(size=20_000) * 0.5, rng.normal(size=20_000)
    answered = (rng.random(20_000) < sigmoid(-2.0 + 0.8 * value + 0.3 * activity)).astype(float)
    curve = fit_curve(value, activity, answered, base_rate=0.05)
    assert curve.intercept == pytest.approx(-2.0, abs=0.1)
    assert curve.slope == pytest.approx(0.8, abs=0.15)
    assert curve.lift == pytest.approx(0.3, abs=0.08)
    assert curve.chance(value, activity).mean() == pytest.approx(answered.mean(), abs=1e-9)


@pytest.mark.parametrize(("answers", "rate"), [(0, 1 / 120), (1, 101 / 120)])
def test_curve_without_both_outcomes_is_shrunk(answers, rate):
    curve = fit_curve(np.zeros(100), np.zeros(100), np.full(100, float(answers)), base_rate=0.05)
    assert curve.chance(np.zeros(1), np.zeros(1))[0] == pytest.approx(rate)


def test_person_factors_shrink_to_one():
    person = np.repeat(np.arange(200), 10)
    same = np.tile([1.0] + [0.0] * 9, 200)
    factor, strength = person_factors(person, np.full(2000, 0.1), same, 201)
    assert strength == 1e6
    np.testing.assert_allclose(factor, 1.0)
    keen = np.where(person < 20, 1.0, 0.0)
    factor, strength = person_factors(person, np.full(2000, 0.1), keen, 201)
    assert strength < 3
    assert factor[:20].min() > 3
    assert factor[20:200].max() < 0.6
    assert factor[200] == 1.0


# model ----------------------------------------------------------------------------------------------


def test_mean_predicted_equals_observed_per_channel(model, nouns):
    _, sent, audience = nouns
    for code, name in enumerate(sent.channels.ids):
        rows = sent.channel == code
        found = model.probability(sent.users.decode(sent.user[rows]), name, sent.sent_at[rows], audience)
        assert found.mean() == pytest.approx(sent.responded[rows].mean(), rel=1e-6)


def test_predictions_sort_the_answers(model, nouns):
    """People and hours that are told to answer more do: the top half has clearly more answers."""
    _, sent, audience = nouns
    rows = sent.channel == 0
    found = model.probability(sent.users.decode(sent.user[rows]), "email", sent.sent_at[rows], audience)
    answered = sent.responded[rows]
    half = found > np.median(found)
    assert answered[half].mean() > 1.5 * answered[~half].mean()


def test_slot_probability_agrees_with_probability(model, nouns):
    audience = nouns[2]
    at = om.slots("2025-03-20", days=2, every="30min").at
    rows = np.array([5, 0, 77, 5])
    grid = model.slot_probability(audience, rows, "push", at)
    assert grid.shape == (4, 96)
    assert ((grid > 0) & (grid < 1)).all()
    for row, line in zip(rows, grid, strict=True):
        ids = np.full(at.size, audience.users.ids[row])
        np.testing.assert_allclose(model.probability(ids, "push", at, audience), line, rtol=1e-12)


def test_curve_is_the_slot_probability_on_the_local_clock(model, nouns):
    audience = nouns[2]
    row = int(np.flatnonzero(audience.zone >= 0)[0])
    week = om.slots("2025-03-10", days=7)
    zone = np.full(len(week), audience.zone[row])
    hour = om.data.clock.hour_of_week(week.at, zone, audience.zones)
    grid = model.slot_probability(audience, np.array([row]), "email", week.at)[0]
    np.testing.assert_allclose(model.curve(audience.users.ids[row], "email")[hour], grid)
    both = (model.curve(audience.users.ids[row], "email") + model.curve(audience.users.ids[row], "push")) / 2
    np.testing.assert_allclose(model.curve(audience.users.ids[row]), both)


def test_without_a_zone_all_slots_are_equal(model, nouns):
    audience = nouns[2]
    lost = np.flatnonzero(audience.zone < 0)
    grid = model.slot_probability(audience, lost, "email", om.slots("2025-03-20", days=1).at)
    assert lost.size
    assert (grid == grid[:, :1]).all()


def test_an_unseen_channel_has_the_stated_prior(model, nouns):
    audience = nouns[2]
    grid = model.slot_probability(audience, np.arange(150), "sms", om.slots("2025-03-17", days=7).at)
    assert grid.mean() == pytest.approx(0.05, rel=0.2)
    lost = np.flatnonzero(audience.zone < 0)
    np.testing.assert_allclose(grid[lost], 0.05)


def test_an_empty_message_log_is_no_obstacle(nouns):
    log, sent, audience = nouns
    model = SendTime(base_rate=0.02).fit(log, sent.before("2000-01-01"), audience)
    assert "0 messages, pull: 6 h assumed" in repr(model)
    grid = model.slot_probability(audience, np.arange(20), "email", om.slots("2025-03-17", days=7).at)
    assert np.isfinite(grid).all()
    assert grid.mean() == pytest.approx(0.02, rel=0.3)
    assert model.curve(1001).shape == (168,)


@pytest.mark.parametrize("answered", ["some", "all", "at once", "none"])
@pytest.mark.parametrize("events", ["own", "caused by messages", "one", "none"])
@pytest.mark.parametrize("people", ["few", "one"])
def test_every_extreme_log_gives_chances(world, nouns, events, answered, people):
    """Nothing to learn from, or only one side of it, is no reason for a warning (which are errors here) or a NaN."""
    sent, did = world.messages, world.events
    some = sent["user_id"].unique()[: {"few": 25, "one": 1}[people]]
    sent, did = sent[sent["user_id"].isin(some)], did[did["user_id"].isin(some)]
    if events == "caused by messages":
        did = did.head(1).merge(sent[["sent_at"]], how="cross").assign(user_id=sent["user_id"].to_numpy())
        did = did.assign(timestamp=did.pop("sent_at"))
    did = did.head({"one": 1, "none": 0}.get(events, len(did)))
    if answered != "some":
        back = sent["sent_at"] + pd.Timedelta(hours=int(answered == "all"))
        sent = sent.assign(responded_at=back.where(np.full(len(sent), answered != "none")))
    model = SendTime().fit(om.EventLog.from_frame(did), om.MessageLog.from_frame(sent), nouns[2])
    for channel in ("email", "push", "other"):
        chance = model.slot_probability(nouns[2], np.arange(150), channel, om.slots("2025-03-20", days=1).at)
        assert ((chance > 0) & (chance < 1)).all()
    assert np.isfinite(model.rate).all()


def test_unknown_people_have_the_populations_chance(model, nouns):
    audience = nouns[2]
    found = model.probability([-7, -7], "email", np.array([0, 12 * HOUR]), audience)
    assert found[0] == found[1]
    assert 0 < found[0] < 1


def test_row_order_of_the_log_does_not_matter(world, nouns, model):
    again = SendTime().fit(
        om.EventLog.from_frame(world.events.sample(frac=1, random_state=0)),
        om.MessageLog.from_frame(world.messages.sample(frac=1, random_state=0)),
        om.Audience.from_frame(world.users.sample(frac=1, random_state=0)),
    )
    at = om.slots("2025-03-20", days=1).at
    rows = np.arange(150)
    assert (
        again.slot_probability(nouns[2], rows, "email", at) == model.slot_probability(nouns[2], rows, "email", at)
    ).all()


def test_an_expiring_offer_prefers_hours_closer_to_reading(nouns):
    """A message that lives for one hour is worth what is read in that hour: the curve is steeper."""
    log, _, audience = nouns
    empty = nouns[1].before("2000-01-01")
    short, lasting = (
        SendTime(life="1h", pull="12h").fit(log, empty, audience),
        SendTime(pull="12h").fit(log, empty, audience),
    )
    spread = [model.curve(1001, "x").std() / model.curve(1001, "x").mean() for model in (short, lasting)]
    assert spread[0] > 1.5 * spread[1]


# best -----------------------------------------------------------------------------------------------


def test_best_obeys_consent_and_quiet_hours(model, nouns):
    audience = nouns[2]
    best = model.best(audience, "2025-03-29", 3, channel="email", quiet_hours=("21:00", "08:00"))  # over a DST day
    hour = best["send_at_local"].dt.hour
    assert ((hour >= 8) & (hour < 21)).all()
    assert best["user_id"].is_monotonic_increasing
    allowed = audience.consent[:, 0] & audience.reachable[:, 0] & (audience.zone >= 0)
    assert best["user_id"].tolist() == audience.users.ids[allowed].tolist()
    assert str(best["send_at"].dtype) == "datetime64[us, UTC]"


def test_best_is_the_best_allowed_slot_not_the_edge(model, nouns):
    audience = nouns[2]
    at, own_days = slots_by_zone(om.slots("2025-03-20", days=2), audience.zones)
    quiet = np.tile((np.arange(24) < 8) | (np.arange(24) >= 21), 7)
    best = model.best(audience, "2025-03-20", 2, channel="push", quiet_hours=quiet)
    rows = audience.users.codes(best["user_id"].to_numpy())
    grid = model.slot_probability(audience, rows, "push", at)
    hour = om.data.clock.hour_of_week(at[None], audience.zone[rows][:, None], audience.zones)
    grid = np.where(quiet[hour] | ~own_days[audience.zone[rows]], -1, grid)
    np.testing.assert_allclose(best["probability"], grid.max(axis=1))
    pairs = model.best(audience, "2025-03-20", 2, channel="push", quiet_hours=("21:00", "08:00"))
    minute_true = pairs.set_index("user_id")["send_at"]
    whole_hours = audience.zones.ids[audience.zone[rows]]
    same = np.array([name not in ("Asia/Kolkata", "Asia/Kathmandu") for name in whole_hours])
    assert (best["send_at"].to_numpy() == minute_true.loc[best["user_id"]].to_numpy())[same].all()


def test_best_without_quiet_hours_answers_people_without_a_zone(model, nouns):
    audience = nouns[2]
    best = model.best(audience, "2025-03-20", 1, channel="email").set_index("user_id")
    lost = audience.users.ids[(audience.zone < 0) & audience.consent[:, 0] & audience.reachable[:, 0]]
    assert best.loc[lost, "send_at_local"].isna().all()
    assert (best.loc[lost, "send_at"] == pd.Timestamp("2025-03-20", tz="UTC")).all()


def test_nobody_is_sent_to_in_silence_all_week(model, nouns):
    best = model.best(nouns[2], "2025-03-20", 7, channel="email", quiet_hours=np.ones(168, bool))
    assert best.empty
    assert best.columns.tolist() == ["user_id", "channel", "send_at", "send_at_local", "probability"]


@pytest.mark.parametrize(
    ("quiet", "message"),
    [
        (("21", 8), "quiet_hours must be two local times"),
        ("21:00", "quiet_hours must be two local times"),
        (("21:00", "21:00"), "must start and end at different times"),
        (np.zeros(24, bool), r"bool of shape \(168,\)"),
    ],
)
def test_bad_quiet_hours(model, nouns, quiet, message):
    with pytest.raises(ParameterError, match=message):
        model.best(nouns[2], "2025-03-20", 1, channel="email", quiet_hours=quiet)


def test_best_needs_consent_to_have_been_asked(model, nouns):
    with pytest.raises(ParameterError, match="no consent for 'sms'; it knows 'email', 'push'"):
        model.best(nouns[2], "2025-03-20", 1, channel="sms")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activity": 3}, "activity must be an ActivityProfile"),
        ({"base_rate": 0.0}, "base_rate must be greater than 0"),
        ({"base_rate": 1.0}, r"base_rate must be a number"),
        ({"pull": "x"}, "pull must be a duration"),
        ({"life": "20min"}, "life must be an hour or more"),
        ({"seed": 1.5}, "seed must be an integer"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ParameterError, match=message):
        SendTime(**parameters)


def test_arguments_in_the_wrong_order(nouns):
    log, sent, audience = nouns
    with pytest.raises(SchemaError, match=r"takes \(log, messages, audience\). Got Audience"):
        SendTime().fit(log, audience, sent)


def test_verbs_of_the_model_on_the_parameters():
    with pytest.raises(NotFittedError, match=r"SendTime holds parameters only and has no best"):
        SendTime().best(None, "2025-01-01", 1, channel="email")
    with pytest.raises(NotFittedError, match=r"model = ActivityProfile\(...\)\.fit"):
        ActivityProfile().hour_of_week([1])
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        SendTime().colour  # noqa: B018


def test_habit_of_fitting_with_parameters_kept(nouns):
    slow = SendTime(activity=ActivityProfile(segments=1, half_life="30D"))
    model = slow.fit(*nouns)
    assert len(model.activity.base.pi) == 1
    assert model.activity.half_life_us == 30 * 24 * HOUR
