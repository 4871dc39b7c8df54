"""Send times: the delay model by hand and by brute force, calibration, masks before the choice."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week.delay import TAUS, best_tau, log_delays, reading_after, send_value
from omnireco.data.clock import slots_by_zone
from omnireco.errors import IdKindError, NotFittedError, ParameterError, SchemaError
from omnireco.timing.activity import ActivityProfile
from omnireco.timing.calibration import fit_curve, person_factors
from omnireco.timing.sending.send_time import SendTime

HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=150, n_items=20, days=70, seed=3, company=om.worlds.Company(messages_per_week=4))


@pytest.fixture(scope="module")
def nouns(world):
    return (
        om.EventLog.from_frame(world.events),
        om.MessageLog.from_frame(world.messages),
        om.Audience.from_frame(world.users),
    )


@pytest.fixture(scope="module")
def data(nouns):
    log, sent, audience = nouns
    return om.Dataset(log, messages=sent, audience=audience)


@pytest.fixture(scope="module")
def model(data):
    return SendTime().fit(data)


def touches(audience, users, channel, at):
    """Touches at UTC microseconds."""
    at = pd.to_datetime(at, unit="us", utc=True)
    return om.data.Touches.of(om.Dataset(audience=audience), users, channel=channel, at=at, new_users=True)


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


def test_the_pull_that_explains_the_delays_is_found():
    """Everybody reads twice as much in the evening, all mail leaves at 10:00."""
    rng = np.random.default_rng(4)
    truth = np.tile(np.where(np.abs(np.arange(24) - 20) <= 1, 2.0, 1.0), 7)
    truth /= truth.sum()
    tau, n = 8.0, 40_000
    sent = rng.integers(0, 7, n) * 24 + 10
    weight = np.exp(-np.arange(168) / tau) * truth[(sent[:, None] + np.arange(168)) % 168]
    delay = (weight.cumsum(axis=1) / weight.sum(axis=1, keepdims=True) > rng.random((n, 1))).argmax(axis=1)
    person = np.zeros(n, int)
    score = np.array([log_delays(truth[None], person, sent, delay, t).sum() for t in TAUS])
    assert best_tau(score) == pytest.approx(tau, rel=0.1)
    assert best_tau(-np.arange(TAUS.size)) == TAUS[0]


def curve_of(log_rate, departure, activity, answered):
    return fit_curve(log_rate, departure, activity, answered, np.ones(answered.size))


def test_curve_recovers_its_parameters_and_the_mean():
    rng = np.random.default_rng(5)
    known, away, activity = rng.normal(size=20_000) - 2.0, rng.normal(size=20_000) * 0.5, rng.normal(size=20_000)
    chance = -np.expm1(-np.exp(0.2 + known + 0.8 * away + 0.3 * activity))
    answered = (rng.random(20_000) < chance).astype(float)
    curve = curve_of(known, away, activity, answered)
    assert curve.level == pytest.approx(0.2, abs=0.1)
    assert curve.slope == pytest.approx(0.8, abs=0.15)
    assert curve.lift == pytest.approx(0.3, abs=0.08)
    assert 0.01 < curve.slope_sd < 0.1
    assert -np.expm1(-curve.rate(known, away, activity)).mean() == pytest.approx(answered.mean(), rel=0.01)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_slope_cannot_turn_against_what_activity_says(sign):
    rng = np.random.default_rng(6)
    away = rng.normal(size=5_000)
    answered = (rng.random(5_000) < -np.expm1(-np.exp(-2.0 + sign * 3.0 * away))).astype(float)
    curve = curve_of(np.full(5_000, -2.0), away, np.zeros(5_000), answered)
    assert curve.slope == (0.0 if sign < 0 else 1.5)


@pytest.mark.parametrize("answers", [0.0, 1.0])
def test_curve_without_both_outcomes_is_finite(answers):
    curve = curve_of(np.full(100, -3.0), np.zeros(100), np.zeros(100), np.full(100, answers))
    assert np.isfinite([curve.level, curve.slope, curve.lift, curve.slope_sd]).all()
    assert curve.slope == pytest.approx(1.0)


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
        found = model.probability(touches(audience, sent.users.decode(sent.user[rows]), name, sent.sent_at[rows]))
        assert found.mean() == pytest.approx(sent.responded[rows].mean(), rel=1e-6)


def test_predictions_sort_the_answers(model, nouns):
    """People and hours that are told to answer more do: the top half has clearly more answers."""
    _, sent, audience = nouns
    rows = sent.channel == 0
    found = model.probability(touches(audience, sent.users.decode(sent.user[rows]), "email", sent.sent_at[rows]))
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
        np.testing.assert_allclose(model.probability(touches(audience, ids, "push", at)), line, rtol=1e-12)


def test_touches_of_several_channels_are_asked_together(model, nouns):
    audience, at = nouns[2], om.slots("2025-03-20", days=1).at
    ids, channel = np.tile(audience.users.ids[:12], 2), np.repeat(["email", "push"], 12)
    whole = model.probability(touches(audience, ids, list(channel), at))
    low, high = model.probability_interval(touches(audience, ids, list(channel), at))
    for name in ("email", "push"):
        some = np.flatnonzero(channel == name)
        one = touches(audience, ids[some], name, at[some])
        assert (whole[some] == model.probability(one)).all()
        assert (low[some] == model.probability_interval(one)[0]).all()
    assert (low <= high).all()


def test_the_touches_of_candidates_have_the_chance_that_the_candidates_have(model, data):
    recs = om.ItemKNN().fit(data).recommend(data.requests(), k=2)
    found = om.candidates(recs, data, model, om.slots("2025-03-20", days=2), channels=["email", "push"])
    np.testing.assert_allclose(model.probability(found.touches), found.probability, rtol=1e-12)


def test_hours_are_the_slot_probability_on_the_local_clock(model, nouns):
    audience = nouns[2]
    row = int(np.flatnonzero(audience.zone >= 0)[0])
    week = om.slots("2025-03-10", days=7)
    zone = np.full(len(week), audience.zone[row])
    hour = om.data.clock.hour_of_week(week.at, zone, audience.zones)
    grid = model.slot_probability(audience, np.array([row]), "email", week.at)[0]
    someone = audience.users.ids[row : row + 1]
    np.testing.assert_allclose(model.hour_probability(someone, "email")[0, hour], grid)
    both = (model.hour_probability(someone, "email") + model.hour_probability(someone, "push")) / 2
    np.testing.assert_allclose(model.hour_probability(someone), both)
    several = model.hour_probability([1003, -1, 1003, 1001], "email")
    assert (several[0] == several[2]).all()
    assert (several[3] == model.hour_probability([1001], "email")[0]).all()
    assert model.hour_probability([], "email").shape == (0, 168)


def test_without_a_zone_all_slots_are_equal(model, nouns):
    audience = nouns[2]
    lost = np.flatnonzero(audience.zone < 0)
    grid = model.slot_probability(audience, lost, "email", om.slots("2025-03-20", days=1).at)
    assert lost.size
    assert (grid == grid[:, :1]).all()


@pytest.fixture(scope="module")
def asked(world):
    """The same people, asked for consent on a channel that nothing was sent on."""
    return om.Audience.from_frame(world.users.assign(consent_sms=True))


def test_an_unseen_channel_has_the_stated_prior(model, asked):
    audience = asked
    grid = model.slot_probability(audience, np.arange(150), "sms", om.slots("2025-03-17", days=7).at)
    assert grid.mean() == pytest.approx(0.05, rel=0.2)
    lost = np.flatnonzero(audience.zone < 0)
    np.testing.assert_allclose(grid[lost], 0.05)


def test_an_empty_message_log_is_no_obstacle(nouns):
    log, sent, audience = nouns
    model = SendTime(base_rate=0.02).fit(om.Dataset(log, messages=sent.before("2000-01-01"), audience=audience))
    assert "0 messages, effect decay: 6 h assumed" in repr(model)
    grid = model.slot_probability(audience, np.arange(20), "email", om.slots("2025-03-17", days=7).at)
    assert np.isfinite(grid).all()
    assert grid.mean() == pytest.approx(0.02, rel=0.3)
    assert model.hour_probability([1001]).shape == (1, 168)


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
    if events == "one":  # at the end: messages that reach past the end of the events are refused
        did = did.assign(timestamp=sent["sent_at"].max() + pd.Timedelta(hours=5))
    if answered != "some":
        back = sent["sent_at"] + pd.Timedelta(hours=int(answered == "all"))
        sent = sent.assign(responded_at=back.where(np.full(len(sent), answered != "none")))
    model = SendTime().fit(
        om.Dataset(om.EventLog.from_frame(did), messages=om.MessageLog.from_frame(sent), audience=nouns[2])
    )
    for channel in ("email", "push"):
        chance = model.slot_probability(nouns[2], np.arange(150), channel, om.slots("2025-03-20", days=1).at)
        assert ((chance > 0) & (chance < 1)).all()
    assert np.isfinite(model.rate).all()


def test_unknown_people_have_the_populations_chance(model, nouns):
    audience = nouns[2]
    found = model.probability(touches(audience, [-7, -7], "email", np.array([0, 12 * HOUR])))
    assert found[0] == found[1]
    assert 0 < found[0] < 1


def test_row_order_of_the_log_does_not_matter(world, nouns, model):
    again = SendTime().fit(
        om.Dataset(
            om.EventLog.from_frame(world.events.sample(frac=1, random_state=0)),
            messages=om.MessageLog.from_frame(world.messages.sample(frac=1, random_state=0)),
            audience=om.Audience.from_frame(world.users.sample(frac=1, random_state=0)),
        )
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
        SendTime(expiry="1h", effect_decay="12h").fit(om.Dataset(log, messages=empty, audience=audience)),
        SendTime(effect_decay="12h").fit(om.Dataset(log, messages=empty, audience=audience)),
    )
    curves = [model.hour_probability([1001], "x") for model in (short, lasting)]
    spread = [curve.std() / curve.mean() for curve in curves]
    assert spread[0] > 1.5 * spread[1]


# best -----------------------------------------------------------------------------------------------


def test_best_obeys_consent_and_quiet_hours(model, nouns):
    audience = nouns[2]
    best = model.best(
        om.Dataset(audience=audience), "2025-03-29", 3, channel="email", quiet_hours=("21:00", "08:00")
    )  # over a DST day
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
    best = model.best(om.Dataset(audience=audience), "2025-03-20", 2, channel="push", quiet_hours=quiet)
    rows = audience.users.codes(best["user_id"].to_numpy())
    grid = model.slot_probability(audience, rows, "push", at)
    hour = om.data.clock.hour_of_week(at[None], audience.zone[rows][:, None], audience.zones)
    grid = np.where(quiet[hour] | ~own_days[audience.zone[rows]], -1, grid)
    np.testing.assert_allclose(best["probability"], grid.max(axis=1))
    pairs = model.best(om.Dataset(audience=audience), "2025-03-20", 2, channel="push", quiet_hours=("21:00", "08:00"))
    minute_true = pairs.set_index("user_id")["send_at"]
    whole_hours = audience.zones.ids[audience.zone[rows]]
    same = np.array([name not in ("Asia/Kolkata", "Asia/Kathmandu") for name in whole_hours])
    assert (best["send_at"].to_numpy() == minute_true.loc[best["user_id"]].to_numpy())[same].all()


def test_best_without_quiet_hours_answers_people_without_a_zone(model, nouns):
    audience = nouns[2]
    best = model.best(om.Dataset(audience=audience), "2025-03-20", 1, channel="email").set_index("user_id")
    lost = audience.users.ids[(audience.zone < 0) & audience.consent[:, 0] & audience.reachable[:, 0]]
    assert best.loc[lost, "send_at_local"].isna().all()
    assert (best.loc[lost, "send_at"] == pd.Timestamp("2025-03-20", tz="UTC")).all()


def test_nobody_is_sent_to_in_silence_all_week(model, nouns):
    best = model.best(om.Dataset(audience=nouns[2]), "2025-03-20", 7, channel="email", quiet_hours=np.ones(168, bool))
    assert best.empty
    assert best.columns.tolist() == ["user_id", "channel", "send_at", "send_at_local", "probability"]


@pytest.mark.parametrize(
    ("quiet", "message"),
    [
        (("21", 8), "quiet_hours: start must be a time of day without a zone"),
        (("21:00", "08:00", "09:00"), "quiet_hours must be two local times"),
        ("21:00", "quiet_hours must be two local times"),
        (("21:00", "21:00"), "must start and end at different times"),
        (np.zeros(24, bool), r"bool of shape \(168,\)"),
    ],
)
def test_bad_quiet_hours(model, nouns, quiet, message):
    with pytest.raises(ParameterError, match=message):
        model.best(om.Dataset(audience=nouns[2]), "2025-03-20", 1, channel="email", quiet_hours=quiet)


def test_best_needs_consent_to_have_been_asked(model, nouns):
    with pytest.raises(ParameterError, match="no consent for 'sms'; it knows 'email', 'push'"):
        model.best(om.Dataset(audience=nouns[2]), "2025-03-20", 1, channel="sms")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activity": 3}, "activity must be an ActivityProfile"),
        ({"base_rate": 0.0}, "base_rate must be greater than 0"),
        ({"base_rate": 1.0}, r"base_rate must be a number"),
        ({"effect_decay": "x"}, "effect_decay must be a duration"),
        ({"expiry": "20min"}, "expiry must be an hour or more"),
        ({"seed": 1.5}, "seed must be an integer"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ParameterError, match=message):
        SendTime(**parameters)


def test_arguments_in_the_wrong_order(nouns):
    log, sent, audience = nouns
    with pytest.raises(TypeError, match=r"Write SendTime.*om.Dataset\(events, messages=sent, audience=people\)"):
        SendTime().fit(log, sent, audience)
    with pytest.raises(SchemaError, match=r"SendTime.fit needs audience.*Write om.Dataset\(log, audience=people\)"):
        SendTime().fit(log)
    with pytest.raises(SchemaError, match=r"needs events and audience.*om.Dataset\(log, messages=sent, audience="):
        SendTime().fit(sent)
    with pytest.raises(SchemaError, match=r"messages must be a MessageLog. Got Audience"):
        SendTime().fit(om.Dataset(log, messages=audience, audience=sent))


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda m, a: m.probability([1001], "email", np.zeros(1, np.int64), a),
            "model.probability(om.data.Touches.of(",
        ),
        (lambda m, a: m.probability_interval([1001], "email", [0], a), "model.probability_interval(touches"),
        (lambda m, a: m.best(a, "2025-03-20"), "model.best(data, '2025-06-01', 7, channel="),
        (lambda m, a: m.hour_probability(), "model.hour_probability(user_ids, channel="),
        (lambda m, a: om.data.Touches.of(a, [1001]), "om.data.Touches.of(data, users, channel="),
    ],
)
def test_an_old_call_says_the_new_line(model, nouns, call, line):
    with pytest.raises(TypeError) as error:
        call(model, nouns[2])
    assert f"Write {line}" in str(error.value)


def test_verbs_of_the_model_on_the_parameters():
    with pytest.raises(NotFittedError, match=r"SendTime holds parameters only and has no best"):
        SendTime().best(None, "2025-01-01", 1, channel="email")
    with pytest.raises(NotFittedError, match=r"model = ActivityProfile\(...\)\.fit"):
        ActivityProfile().hour_of_week([1])
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        SendTime().colour  # noqa: B018


def test_habit_of_fitting_with_parameters_kept(data):
    slow = SendTime(activity=ActivityProfile(segments=1, half_life="30D"))
    model = slow.fit(data)
    assert len(model.activity.base.pi) == 1
    assert model.activity.half_life_us == 30 * 24 * HOUR


# doors ----------------------------------------------------------------------------------------------


def test_a_channel_that_nobody_has_is_no_assumption(model, nouns):
    audience, at = nouns[2], om.slots("2025-03-20", days=1).at
    with pytest.raises(ParameterError, match=r"channel must be one of .*'email', 'push'\). Got 'emial': add a column"):
        model.slot_probability(audience, np.arange(3), "emial", at)
    with pytest.raises(ParameterError, match="Got 'emial'"):
        touches(audience, [1001], "emial", at[:1])
    with pytest.raises(ParameterError, match="channel must be one of 'email', 'push'"):
        model.hour_probability([1001], "emial")


@pytest.mark.parametrize(
    ("rows", "at", "message"),
    [
        (np.array([0.5]), [0], r"rows must be rows of the audience, integers of shape \(n,\). Got float64"),
        (np.array(["x"]), [0], "rows must be rows of the audience"),
        (np.array([-1, 2]), [0], r"rows must lie in 0 to 149, .* 1 of 2 do not"),
        (np.array([150]), [0], "1 of 1 do not"),
        (np.arange(2), ["2025-03-20"], "at_us must be UTC microseconds"),
        (np.arange(2), [1.5], "at_us must be UTC microseconds"),
        (np.arange(2), [1_742_000_000_000_000_000], "of years up to 9999"),
    ],
)
def test_rows_and_instants_that_are_none(model, nouns, rows, at, message):
    with pytest.raises(SchemaError, match=message):
        model.slot_probability(nouns[2], rows, "email", at)


def test_instants_may_be_datetimes(model, nouns):
    at = om.slots("2025-03-20", days=1).at
    for unit in ("us", "ns", "s"):
        same = model.slot_probability(
            nouns[2], np.arange(5), "email", at.astype("datetime64[us]").astype(f"M8[{unit}]")
        )
        assert (same == model.slot_probability(nouns[2], np.arange(5), "email", at)).all()


def test_as_many_instants_as_people(model, nouns):
    with pytest.raises(ParameterError, match=r"at has 3 instants for 2 requests"):
        touches(nouns[2], [1001, 1002], "email", np.zeros(3, np.int64))


def test_ids_of_another_kind_never_meet(model, nouns):
    log, sent, audience = nouns
    with pytest.raises(IdKindError, match="integers"):
        touches(audience, ["1001"], "email", np.zeros(1, np.int64))
    strings = om.Audience.from_frame(audience.to_frame().assign(user_id=lambda frame: frame["user_id"].astype(str)))
    with pytest.raises(IdKindError, match="integers"):
        model.probability(touches(strings, ["1001"], "email", np.zeros(1, np.int64)))
    texts = sent.to_frame().assign(user_id=lambda frame: frame["user_id"].astype(str))
    with pytest.raises(IdKindError, match="can never match"):
        SendTime().fit(om.Dataset(log, messages=om.MessageLog.from_frame(texts), audience=audience))


@pytest.mark.parametrize("verb", ["slot_probability", "probability", "probability_interval", "best"])
def test_what_is_no_audience_and_what_are_no_touches(model, verb):
    arguments, needed = {
        "slot_probability": (([1001], np.zeros(1, int), "email", [0]), r"audience must be an Audience\. Got"),
        "probability": (([1001],), "takes Touches. Got list. Write om.data.Touches.of"),
        "probability_interval": ((None,), "takes Touches. Got NoneType"),
        "best": ((None, "2025-01-01", 1), "takes a Dataset. Got NoneType"),
    }[verb]
    with pytest.raises(SchemaError, match=needed):
        getattr(model, verb)(*arguments, **({"channel": "email"} if verb == "best" else {}))


# interval -------------------------------------------------------------------------------------------


def test_intervals_hold_the_chance(model, asked):
    at = om.slots("2025-03-20", days=1).at
    for channel in ("email", "push", "sms"):
        for user in (1001, 1002, -5):
            ids = np.full(at.size, user)
            these = touches(asked, ids, channel, at)
            low, high = model.probability_interval(these)
            chance = model.probability(these)
            assert ((low > 0) & (low <= chance) & (chance <= high) & (high < 1)).all()


def test_what_is_only_assumed_is_hardly_known(model, asked):
    at = om.slots("2025-03-20", days=1).at
    at = at[9:10]
    low, high = model.probability_interval(touches(asked, [1002], "sms", at))
    assert high[0] / low[0] > 20


def test_a_higher_level_is_a_wider_interval(model, asked):
    these = touches(asked, [1001, 1002], "email", om.slots("2025-03-20", days=1, every="12h").at)
    ends = [model.probability_interval(these, confidence=level) for level in (0.5, 0.9, 0.95, 0.99)]
    widths = np.array([high - low for low, high in ends])
    assert (np.diff(widths, axis=0) > 0).all()
    for wrong in (0, 1, -1, "x", None):
        with pytest.raises(ParameterError, match="confidence"):
            model.probability_interval(these, confidence=wrong)


# repr -----------------------------------------------------------------------------------------------


def test_the_first_sentence_says_what_hours_rest_on(model, nouns):
    log, sent, audience = nouns
    assert repr(model).startswith("SendTimeModel(Hours rest for email on randomised answers; for push on ")
    plain = om.MessageLog.from_frame(sent.to_frame().drop(columns="propensity"))
    assert "email on answers" in repr(SendTime().fit(om.Dataset(log, messages=plain, audience=audience)))
    assert repr(SendTime().fit(om.Dataset(log, audience=audience))).startswith("SendTimeModel(Hours rest on activity. ")
    nothing = log.before("2000-01-01")
    assert "Hours rest on nothing: they are assumed." in repr(SendTime().fit(om.Dataset(nothing, audience=audience)))


def test_nobodys_zone_is_known(nouns):
    """No hour can be learned; the chance is that of the log."""
    log, sent, audience = nouns
    lost = om.Audience.from_frame(audience.to_frame().assign(timezone=None))
    model = SendTime().fit(om.Dataset(log, messages=sent, audience=lost))
    grid = model.slot_probability(lost, np.arange(150), "email", om.slots("2025-03-20", days=1).at)
    assert (grid == grid[:, :1]).all()
    assert grid.mean() == pytest.approx(sent.responded[sent.channel == 0].mean(), rel=0.3)


def test_one_channel_of_two_without_messages_left(nouns):
    log, sent, audience = nouns
    one = om.MessageLog.from_frame(sent.to_frame().query("channel == 'email'").head(1))
    model = SendTime().fit(om.Dataset(log, messages=one, audience=audience))
    grid = model.slot_probability(audience, np.arange(150), "email", om.slots("2025-03-20", days=1).at)
    assert ((grid > 0) & (grid < 0.6)).all()
