"""Who comes back without a message: worlds in which the model is right, and worlds in which it is not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week.returning import EDGES, Hazard, States, clock, return_chance, states_of
from omnireco.errors import DataWarning, EmptyError, ParameterError
from omnireco.journeys import Returns

START = pd.Timestamp("2025-01-01", tz="UTC")


def log_of(rows, **columns):
    frame = pd.DataFrame(rows, columns=["user_id", "day"])
    at = START + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("s")
    return om.EventLog.from_frame(frame.assign(item_id="a", channel="web", event="view", timestamp=at, **columns))


def world(kind="plain", n=1500, days=120, seed=0):
    """Gamma rates; bursts, people who leave for good, or a season in the last days, where the name says so."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(n):
        rate, day = rng.gamma(1.0, 0.25) + 0.02, rng.uniform(0, 5)
        while day < days:
            rows.append((person, day))
            if kind == "bursts" and rng.random() < 0.6:
                day += rng.exponential(0.15)
            elif kind == "leavers" and rng.random() < 0.08:
                break
            else:
                day += rng.exponential(1 / (rate * (4 if kind == "season" and day > days - 20 else 1)))
    return om.Dataset(log_of(rows))


def deciles(model, past, later, within="7D"):
    found = model.returns(past.requests(), within=within)
    came = found["user_id"].isin(later.events.users.ids)
    return found, came


@pytest.mark.parametrize("kind", ["plain", "bursts", "leavers"])
def test_chances_are_calibrated_in_what_comes_next(kind):
    past, later = world(kind).split("2025-04-20", horizon="7D")
    model = Returns(horizon="5D").fit(past)
    found, came = deciles(model, past, later)
    assert abs(found["probability"].sum() / came.sum() - 1) < 0.1
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 0.7), (0.7, 1.0)):
        some = found["probability"].between(low, high)
        if some.sum() > 60:
            assert abs(found["probability"][some].mean() - came[some].mean()) < 0.13, (kind, low)
    assert (found["low"] <= found["probability"] + 1e-9).all()
    assert (found["probability"] <= found["high"] + 1e-9).mean() > 0.97


def test_people_who_left_for_good_are_seen():
    past, _ = world("leavers").split("2025-04-20", horizon="7D")
    model = Returns(horizon="5D").fit(past)
    assert 0.05 < model.leaving < 0.12  # 0.08 in truth
    found = model.returns(past.requests())
    silent = found["last_at"] < pd.Timestamp("2025-03-01", tz="UTC")
    assert found.loc[silent & (found["visits"] > 5), "probability"].median() < 0.05
    assert Returns(horizon="5D").fit(world("plain").split("2025-04-20").past).leaving < 0.01


def test_a_season_is_said_aloud_and_widens_the_intervals():
    past, _ = world("season").split("2025-04-20", horizon="7D")
    with pytest.warns(DataWarning, match="times as fast as expected"):
        model = Returns(horizon="5D").fit(past)
    calm = Returns(horizon="5D").fit(world("plain").split("2025-04-20").past)
    assert model.log_sd > 2 * calm.log_sd
    assert model.ratio > 1.4
    wide, narrow = (m.returns(d.requests()) for m, d in ((model, past), (calm, past)))
    assert (wide["high"] - wide["low"]).mean() > (narrow["high"] - narrow["low"]).mean()
    assert "at most" in model.verdict


def test_bursts_make_the_hazard_fall():
    rates = Returns().fit(world("bursts")).to_frame()["visits_per_day"].to_numpy()
    assert rates[0] > 3 * rates[6]
    even = Returns().fit(world("plain")).to_frame()["visits_per_day"].to_numpy()
    assert 0.5 < even[1] / even[5] < 2


def test_visits_by_messages_are_kept_apart():
    rng, rows, sent = np.random.default_rng(0), [], []
    for person in range(300):
        rows += [(person, day) for day in np.cumsum(rng.exponential(10.0, 40)) if day < 90]
        for day in range(4, 90, 4):
            push = START + pd.Timedelta(days=day)
            sent.append((person, push, push + pd.Timedelta(minutes=5)))
            rows.append((person, day + 6 / 1440))
    messages = pd.DataFrame(sent, columns=["user_id", "sent_at", "responded_at"]).assign(channel="push")
    data = om.Dataset(log_of(rows), messages=om.MessageLog.from_frame(messages))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        apart, together = Returns().fit(data), Returns().fit(om.Dataset(data.events))
    assert apart.n_caused > 0.95 * 22 * 300
    assert together.n_caused == 0
    chance = [m.returns(d.requests(), within="7D")["probability"].mean() for m, d in ((apart, data), (together, data))]
    assert abs(chance[0] - (1 - np.exp(-0.7))) < 0.05
    assert chance[1] > chance[0] + 0.2


def test_new_users_are_like_their_group():
    rng, rows = np.random.default_rng(1), []
    for person in range(400):
        day = 1.0
        while day < 80:
            rows.append((person, day))
            day += rng.exponential(2.0 if person % 2 else 20.0)
    rows += [(9001, 79.0), (9002, 79.0)]
    people = pd.DataFrame({"user_id": [*range(400), 9001, 9002], "timezone": "UTC"})
    people["club"] = [*np.where(np.arange(400) % 2, "yes", "no"), "yes", "no"]
    data = om.Dataset(log_of(rows), audience=om.Audience.from_frame(people, attributes=["club"]))
    model = Returns(groups="club").fit(data)
    found = model.returns(data.requests([9001, 9002]))["probability"].to_numpy()
    assert found[0] > found[1] + 0.15
    with pytest.raises(ParameterError, match="no attribute 'town'"):
        Returns(groups="town").fit(data)


def test_the_state_of_a_person_by_hand():
    week = np.ones(168)
    at = (np.array([0.0, 2.0, 26.0]) * 3_600_000_000).astype(np.int64)
    states = states_of(np.zeros(3, int), clock(at, week), np.array([True, True, False]), clock(at[2:], week) + 5.0)
    assert states.own.tolist() == [1.0]  # the first is where it begins, the third was caused
    assert states.visits.tolist() == [3]
    np.testing.assert_allclose(states.since, [5.0])
    # gaps of 2 and of 24 hours: 3 + 2 hours in the first bin, then 3, 6 and 12
    np.testing.assert_allclose(states.closed[0, :5], [5.0, 3.0, 6.0, 12.0, 0.0])
    assert states.ended.sum() == 1


def test_with_a_constant_hazard_and_no_leaving_it_is_the_gamma_poisson():
    hazard = Hazard(np.full(EDGES.size - 1, 0.01), 2.0, np.ones(1), 1e-300)
    states = States(np.array([3.0]), np.array([4]), np.zeros((1, EDGES.size - 1)), np.array([50.0]), np.zeros(1))
    chance = return_chance(hazard, states, np.zeros(1, int), np.array([24.0]))
    np.testing.assert_allclose(chance, 1 - ((2 + 0.5) / (2 + 0.5 + 0.24)) ** 5)


def test_later_events_change_nothing_and_nobody_known_is_missing():
    data = world(n=200)
    model = Returns().fit(data.before("2025-03-01"))
    early, whole = (d.requests(at="2025-03-01") for d in (data.before("2025-03-01"), data))
    a, b = model.returns(early).set_index("user_id"), model.returns(whole).set_index("user_id")
    pd.testing.assert_frame_equal(a, b.loc[a.index])
    nobody = model.returns(data.requests([99_999], new_users=True))
    assert nobody["probability"].isna().all()
    assert nobody["visits"].tolist() == [0]


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(EmptyError, match="nobody came twice"):
        Returns().fit(log_of([(1, 1.0), (2, 2.0)]))
    with pytest.raises(ParameterError, match="horizon"):
        Returns(horizon="soon")
    with pytest.raises(ParameterError, match="prior_strength"):
        Returns(prior_strength=0)
    with pytest.raises(ParameterError, match="groups must be the name"):
        Returns(groups=3)
    data = world(n=100)
    with pytest.raises(ParameterError, match="confidence must be between"):
        Returns().fit(data).returns(data.requests(), confidence=1.0)
    with pytest.raises(ParameterError, match="'vew'"):
        Returns(events=["vew"]).fit(data)


def test_too_short_a_log_is_not_checked():
    model = Returns(horizon="30D").fit(world(n=200, days=60))
    assert np.isnan(model.ratio)
    assert model.verdict.startswith("Not checked")
    assert model.calibration.empty


def test_cells_of_the_calibration_have_five_people():
    assert (Returns().fit(world(n=120)).calibration["people"] >= 5).all()


CHANGES = {
    "events": ["view"],
    "session_gap": "12h",
    "groups": "age_group",
    "prior_strength": 40.0,
    "horizon": "2D",
    "n_checks": 2,
}


@pytest.mark.parametrize("name", CHANGES)
def test_fit_reads_every_parameter(name):
    data = om.simulate(n_users=150, n_items=20, days=60, seed=1).dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        plain, other = Returns().fit(data), Returns(**{name: CHANGES[name]}).fit(data)
    a, b = (m.returns(data.requests())[["probability", "low", "high"]].to_numpy() for m in (plain, other))
    assert a.shape != b.shape or not np.array_equal(a, b, equal_nan=True)


def test_no_event_is_no_visit():
    with pytest.raises(ParameterError, match="events is empty: no event would be a visit"):
        Returns(events=[])
