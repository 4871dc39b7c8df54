"""Profiles of activity: their laws, and small truths by hand."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week.pooling import (
    DEFAULT,
    Base,
    Pooling,
    circular_kernel,
    day_kernel,
    fit_segments,
    half_strength,
    memberships,
    part_kernel,
    pool,
    population_profile,
)
from omnireco._kernels.week.strengths import Sessions, _block, _chances, _fit_strengths, _pasts, trust_of
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.activity import ActivityProfile, _chance_to_be_best
from omnireco.timing.sessions import session_starts

HOUR = 3_600_000_000
MONDAY = pd.Timestamp("2025-01-06", tz="UTC")


def draw(seed=0, n_users=80, days=120):
    """Early birds (ids even) and night owls (odd), 1 to 60 sessions each."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        peak = 7 if user % 2 == 0 else 21
        for _ in range(int(rng.integers(1, 60))):
            hour = (peak + rng.normal(0, 1.5)) % 24
            rows.append((user, MONDAY + pd.Timedelta(days=int(rng.integers(days))) + pd.Timedelta(hours=hour)))
    frame = pd.DataFrame(rows, columns=["user_id", "timestamp"])
    return frame.assign(item_id="a", channel="web", event="view")


def people(n_users=80, zone="UTC"):
    return om.Audience.from_frame(pd.DataFrame({"user_id": range(n_users), "timezone": zone, "consent_web": True}))


@pytest.fixture(scope="module")
def frame():
    return draw()


@pytest.fixture(scope="module")
def model(frame):
    return ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(frame), audience=people()))


def test_rows_are_probabilities(model):
    hours = model.hour_of_week(range(-3, 90))
    assert hours.shape == (93, 168)
    assert hours.dtype == np.float64
    assert (hours > 0).all()
    np.testing.assert_allclose(hours.sum(axis=1), 1.0, atol=1e-12)


def test_finds_the_two_kinds_of_people(model):
    hours = model.hour_of_week(range(80)).reshape(80, 7, 24).sum(axis=1)
    known = model.history >= 10
    assert set(hours[(np.arange(80) % 2 == 0) & known].argmax(axis=1)) <= {5, 6, 7, 8, 9}
    assert set(hours[(np.arange(80) % 2 == 1) & known].argmax(axis=1)) <= {19, 20, 21, 22, 23}


def test_no_history_gives_the_population_exactly(model):
    unknown = model.hour_of_week([-1, 999_999])
    assert (unknown == model.population).all()
    assert model.effective_sample_size([-1]).tolist() == [0.0]


def test_batch_equals_one_by_one(model):
    together = model.hour_of_week(range(20))
    single = np.concatenate([model.hour_of_week([user]) for user in range(20)])
    np.testing.assert_allclose(together, single, atol=1e-14)


def test_row_order_does_not_matter(frame, model):
    shuffled = frame.sample(frac=1.0, random_state=1)
    again = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(shuffled), audience=people()))
    assert (again.hour_of_week(range(80)) == model.hour_of_week(range(80))).all()


@pytest.mark.parametrize("shift", [1, 9, 24, 100])
def test_rotating_everybodys_clock_rotates_the_answer(frame, model, shift):
    moved = frame.assign(timestamp=frame["timestamp"] + pd.Timedelta(hours=shift))
    turned = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(moved), audience=people()))
    np.testing.assert_allclose(
        turned.hour_of_week(range(80)), np.roll(model.hour_of_week(range(80)), shift, axis=1), atol=1e-9
    )


def test_local_clocks_not_utc(frame, model):
    """The same instants read in Tokyo are nine hours later."""
    tokyo = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(frame), audience=people(zone="Asia/Tokyo")))
    np.testing.assert_allclose(
        tokyo.hour_of_week(range(80)), np.roll(model.hour_of_week(range(80)), 9, axis=1), atol=1e-9
    )


def test_renaming_people_changes_nothing_else(frame, model):
    names = {user: f"{(user * 37) % 80:03d}" for user in range(80)}
    renamed = frame.assign(user_id=frame["user_id"].map(names))
    audience = om.Audience.from_frame(
        pd.DataFrame({"user_id": list(names.values()), "timezone": "UTC", "consent_web": True})
    )
    again = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(renamed), audience=audience))
    np.testing.assert_allclose(
        again.hour_of_week([names[user] for user in range(80)]), model.hour_of_week(range(80)), atol=1e-9
    )


def test_infinite_prior_gives_the_segment(frame):
    log = om.EventLog.from_frame(frame)
    lonely = ActivityProfile(prior_strength=float("inf"), segments=1).fit(om.Dataset(log, audience=people()))
    np.testing.assert_allclose(lonely.hour_of_week(range(80)), np.tile(lonely.population, (80, 1)), atol=1e-12)
    grouped = (
        ActivityProfile(prior_strength=float("inf"), segments=2)
        .fit(om.Dataset(log, audience=people()))
        .hour_of_week(range(80))
    )
    distinct = grouped.reshape(80, 7, 24).sum(axis=1).argmax(axis=1)
    assert set(distinct) <= {5, 6, 7, 8, 9, 19, 20, 21, 22, 23}


def test_a_weak_prior_gives_the_persons_own_smoothed_histogram(frame):
    model = ActivityProfile(prior_strength=1e-6, half_life=None).fit(
        om.Dataset(om.EventLog.from_frame(frame), audience=people())
    )
    counts = model.counts(np.arange(80))
    own = counts @ circular_kernel(168, model.pooling.hour_width)
    shrunk = trust_of(model.history, model.trust)[:, None]
    own = own / own.sum(axis=1, keepdims=True) * shrunk + (1 - shrunk) * model.population
    np.testing.assert_allclose(model.hour_of_week(range(80)), own, atol=1e-3)


def test_prior_strength_is_what_was_asked_for(frame):
    model = ActivityProfile(prior_strength=12.0).fit(om.Dataset(om.EventLog.from_frame(frame), audience=people()))
    assert model.prior_strength == pytest.approx(12.0, rel=1e-9)


def test_people_without_a_zone_have_no_local_hours(frame):
    audience = om.Audience.from_frame(
        pd.DataFrame({"user_id": range(80), "timezone": ["UTC"] * 70 + [None] * 10, "consent_web": True})
    )
    model = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(frame), audience=audience))
    assert (model.hour_of_week(range(70, 80)) == model.population).all()
    assert "80 users, 10 without a zone" in repr(model)
    some = om.Audience.from_frame(pd.DataFrame({"user_id": range(70), "timezone": "UTC", "consent_web": True}))
    absent = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(frame), audience=some))
    assert (absent.hour_of_week(range(80)) == model.hour_of_week(range(80))).all()


def test_nobody_has_a_zone(frame):
    model = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(frame), audience=people(zone=None)))
    np.testing.assert_allclose(model.hour_of_week(range(80)), 1 / 168)
    assert "80 without a zone, 0 sessions" in repr(model)


def test_an_events_own_offset_beats_the_persons_zone(frame):
    log = om.EventLog.from_frame(frame.assign(utc_offset_min="120"), context=["utc_offset_min"])
    own = ActivityProfile().fit(om.Dataset(log, audience=people(zone=None)))
    berlin = ActivityProfile().fit(
        om.Dataset(
            om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"] + pd.Timedelta(hours=2))),
            audience=people(),
        )
    )
    np.testing.assert_allclose(own.hour_of_week(range(80)), berlin.hour_of_week(range(80)), atol=1e-9)
    zoned = om.EventLog.from_frame(frame.assign(timezone="Asia/Tokyo"), context=["timezone"])
    tokyo = ActivityProfile().fit(om.Dataset(om.EventLog.from_frame(frame), audience=people(zone="Asia/Tokyo")))
    assert (
        ActivityProfile().fit(om.Dataset(zoned, audience=people())).hour_of_week([3]) == tokyo.hour_of_week([3])
    ).all()


def test_sessions_of_a_person_count_once():
    user = np.array([1, 0, 1, 1, 0])
    at = np.array([0, 10, 29, 60, 50]) * 60_000_000
    order = np.argsort(at, kind="stable")
    starts = session_starts(user[order], at[order], 30 * 60_000_000)
    assert sorted(at[order][starts] // 60_000_000) == [0, 10, 50, 60]


def test_sessions_caused_by_messages_are_left_out():
    at = MONDAY + pd.to_timedelta([10, 34, 58, 82.0], unit="h")
    frame = pd.DataFrame({"user_id": 1, "item_id": "a", "channel": "web", "event": "view", "timestamp": at})
    sent = pd.DataFrame(
        {
            "user_id": [1, 1, 2],
            "channel": "email",
            "sent_at": [at[1] - pd.Timedelta("20min"), at[2] - pd.Timedelta("3h"), at[3]],
            "responded_at": [pd.NaT, at[2], pd.NaT],
        }
    )
    sent["responded_at"] = pd.to_datetime(sent["responded_at"], utc=True)
    log, audience = om.EventLog.from_frame(frame), people(5)
    model = ActivityProfile(half_life=None).fit(
        om.Dataset(log, messages=om.MessageLog.from_frame(sent), audience=audience)
    )
    assert model.n_caused == 2
    assert "2 caused by messages left out" in repr(model)
    assert np.flatnonzero(model.counts(np.array([0]))[0]).tolist() == [10, 82]


def test_old_sessions_fade():
    at = MONDAY + pd.to_timedelta([0, 24 * 30], unit="h")
    frame = pd.DataFrame({"user_id": 1, "item_id": "a", "channel": "web", "event": "view", "timestamp": at})
    model = ActivityProfile(half_life="30D").fit(om.Dataset(om.EventLog.from_frame(frame), audience=people(3)))
    assert model.effective_sample_size([1])[0] == pytest.approx(1.5, abs=1e-6)
    assert model.history.tolist() == [2]


def test_knowing_more_makes_surer(model):
    history = model.effective_sample_size(range(80))
    little, much = int(history.argmin()), int(history.argmax())
    sd = model.standard_deviation([little, much, -1])
    p = model.hour_of_week([little, much, -1])
    width = (sd**2 / (p * (1 - p))).mean(axis=1)
    assert width[1] < width[0] < width[2]


def test_best_hour_says_how_sure_it_is(model):
    hour, chance = model.best_hour([0, 1, -1])
    assert (hour == model.hour_of_week([0, 1, -1]).argmax(axis=1)).all()
    assert ((chance >= 0) & (chance <= 1)).all()
    assert model.best_hour([1])[1][0] == pytest.approx(chance[1], rel=1e-12)


def test_model_is_read_only(model):
    with pytest.raises(ValueError, match="read-only"):
        model.population[0] = 1.0


def test_chance_to_be_best_against_draws():
    rng = np.random.default_rng(0)
    shapes = np.stack([np.full(168, 0.05), rng.gamma(0.5, 1.0, 168), 30 * rng.dirichlet(np.ones(168)), np.ones(168)])
    shapes[3, 7] = 30.0
    best = shapes.argmax(axis=1)
    found = _chance_to_be_best(shapes, best)
    for row in range(4):
        drawn = rng.standard_gamma(shapes[row], (20_000, 168)).argmax(axis=1) == best[row]
        assert found[row] == pytest.approx(drawn.mean(), abs=0.012)
    assert found[3] > 0.99


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"half_life": "soon"}, "half_life must be a duration"),
        ({"half_life": "0D"}, "half_life must be longer than zero"),
        ({"session_gap": 30}, "session_gap must be a duration"),
        ({"segments": 0}, "segments must be an integer in the range"),
        ({"prior_strength": 0.0}, "prior_strength must be greater than 0"),
        ({"prior_strength": float("nan")}, "prior_strength must be a finite number"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ParameterError, match=message):
        ActivityProfile(**parameters)


def test_wrong_nouns(frame):
    log = om.EventLog.from_frame(frame)
    with pytest.raises(TypeError, match=r"Write ActivityProfile.*om.Dataset\(events, messages=sent, audience=people\)"):
        ActivityProfile().fit(log, people())
    with pytest.raises(SchemaError, match=r"ActivityProfile.fit needs audience.*om.Dataset\(log, audience=people\)"):
        ActivityProfile().fit(frame)
    with pytest.raises(SchemaError, match=r"audience must be an Audience\. Got DataFrame"):
        ActivityProfile().fit(om.Dataset(log, audience=frame))
    with pytest.raises(SchemaError, match="messages must be a MessageLog"):
        ActivityProfile().fit(om.Dataset(log, messages=frame, audience=people()))


# kernels --------------------------------------------------------------------------------------------


def test_kernels_are_stochastic_and_circular():
    theta = np.random.default_rng(0).dirichlet(np.ones(168))
    for kernel in (circular_kernel(168, 1.0), circular_kernel(24, 0.0), day_kernel(theta, 1.0), part_kernel(theta)):
        np.testing.assert_allclose(kernel.sum(axis=1), 1.0)
    assert circular_kernel(168, 1.0)[0, 167] == pytest.approx(circular_kernel(168, 1.0)[5, 6])


def test_pool_by_hand_without_kernels():
    """One session on Monday 00:00, no smoothing, even population: each level is (k p + c) / (k + 1)."""
    theta = np.full(168, 1 / 168)
    counts = np.zeros((1, 168))
    counts[0, 0] = 1.0
    far = 1e15
    p = pool(counts, Base(theta, theta[None], np.ones(1)), Pooling((far, far, 3.0, 1.0), 0.0, 0.0))[0]
    midnight = (3 / 168 + 1 / 7) / 4  # the hour of the day, on any day
    assert p[0] == pytest.approx((midnight + 1) / 2, rel=1e-6)
    assert p[24] == pytest.approx(midnight / 2, rel=1e-6)
    assert p[1] == pytest.approx(3 / 168 / 4 / 2, rel=1e-6)


def test_half_strength_by_hand():
    far = float("inf")
    assert half_strength(Pooling((1.0, far, far, 10.0), 1.0, 1.0)) == pytest.approx(10.0)
    assert half_strength(Pooling((1.0, far, far, far), 1.0, 1.0)) == far
    assert half_strength(DEFAULT) == pytest.approx(
        half_strength(DEFAULT.with_half_strength(5.0)) * half_strength(DEFAULT) / 5
    )


def test_population_of_nothing_is_even():
    np.testing.assert_allclose(population_profile(np.zeros((0, 168)), np.zeros(168)), 1 / 168)


def test_segments_find_planted_groups():
    rng = np.random.default_rng(0)
    kinds = np.zeros((3, 168))
    for kind, peak in enumerate((8, 13, 21)):
        kinds[kind] = np.tile(np.exp(-0.5 * ((np.arange(24) - peak) / 1.5) ** 2), 7) + 0.01
    kinds /= kinds.sum(axis=1, keepdims=True)
    group = np.repeat([0, 1, 2], 40)
    counts = np.stack([rng.multinomial(30, kinds[kind]) for kind in group]).astype(float)
    base = fit_segments(counts, population_profile(counts, counts.sum(axis=0)), 3)
    member = memberships(counts, base).argmax(axis=1)
    assert all(len(set(member[group == kind])) == 1 for kind in range(3))
    assert len(set(member)) == 3


def test_gradient_of_the_strengths(frame):
    """The fitted strengths are a stationary point: moving any of them loses likelihood."""
    log = om.EventLog.from_frame(frame)
    hour = ((log.at // HOUR + 72) % 168).astype(np.int32)
    blocks = [_block(past, None, 2) for past in _pasts(Sessions(log.user, hour, log.at, log.n_users))]
    best, value = _fit_strengths(blocks, DEFAULT, steps=200)

    def value_at(strengths):
        total = sum(block.weight.sum() for block in blocks)
        pooling = Pooling(tuple(strengths), best.hour_width, best.day_width)
        loss = 0.5 * ((np.log(strengths) - np.log(DEFAULT.strengths)) ** 2).sum()
        return (sum(block.weight @ np.log(_chances(block, pooling)[-1]) for block in blocks) - loss) / total

    assert value == pytest.approx(value_at(np.array(best.strengths)))
    for level in range(4):
        for factor in (0.7, 1.4):
            moved = np.array(best.strengths)
            moved[level] *= factor
            if -1.0 <= np.log(moved[level]) <= 9.0:
                assert value_at(moved) < value + 1e-7
