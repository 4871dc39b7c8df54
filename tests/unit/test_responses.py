"""Who and what counts for everybody's hours: one person with half of a log, and propensities that are none."""

import warnings

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import DataWarning
from omnireco.timing.responses import contradicted

N = 60
EVENING = np.where((np.arange(24) >= 18) & (np.arange(24) <= 21), 0.20, 0.05)
START = pd.Timestamp("2025-03-03", tz="UTC")


def dataset(user, hour, yes, rng, **more):
    sent = START + pd.to_timedelta(rng.integers(0, 60, user.size) * 24 + hour, unit="h")
    back = pd.Series(sent).add(pd.to_timedelta(rng.exponential(30, user.size), unit="min")).where(yes)
    frame = pd.DataFrame({"user_id": user, "channel": "email", "sent_at": sent, "responded_at": back, **more})
    seen = START + pd.to_timedelta(rng.integers(6 * 60, 24 * 60, 2000) + 1440 * rng.integers(0, 60, 2000), unit="min")
    who = rng.integers(0, N, 2000)
    events = pd.DataFrame({"user_id": who, "item_id": "x", "channel": "web", "event": "view", "timestamp": seen})
    people = pd.DataFrame({"user_id": range(N), "timezone": "UTC", "consent_email": True})
    return om.Dataset(events, messages=om.MessageLog.from_frame(frame), audience=om.Audience.from_frame(people))


def monday(model, data):
    return model.slot_probability(data.audience, np.arange(N), "email", om.slots("2025-06-02", days=1).at)


@pytest.mark.parametrize("seed", range(3))
def test_one_person_with_half_of_the_log_does_not_speak_for_everybody(seed):
    rng, n = np.random.default_rng(seed), 5000
    user, hour = np.where(rng.random(n) < 0.5, 0, rng.integers(1, N, n)), rng.integers(0, 24, n)
    own = np.where((hour >= 6) & (hour <= 9), 0.6, 0.3)
    data = dataset(user, hour, rng.random(n) < np.where(user == 0, own, EVENING[hour]), rng)
    best = monday(om.SendTime().fit(data), data)[1:].argmax(axis=1)
    assert np.mean((best >= 18) & (best <= 21)) > 0.9


def test_somebody_with_a_few_messages_more_counts_in_full():
    from omnireco.timing.responses import _alike

    assert _alike(np.repeat(np.arange(100), 10)) == 1.0
    assert _alike(np.array([], int)) == 1.0
    heavy = _alike(np.r_[np.zeros(500, int), np.arange(1, 501)])
    assert heavy[:500].sum() == pytest.approx(50)  # a twentieth of the log
    assert (heavy[500:] == 1.0).all()


def test_propensities_that_contradict_themselves_are_left_out_with_a_warning():
    rng, n = np.random.default_rng(10), 4000
    user, hour = rng.integers(0, N, n), rng.integers(0, 24, n)
    yes = rng.random(n) < EVENING[hour]
    for chosen in (np.full(n, 0.9), np.where(yes, 0.02, 0.9)):
        data = dataset(user, hour, yes, rng, propensity=chosen)
        with pytest.warns(
            DataWarning, match=r"propensities on 'email' are not those of its messages: .* drop the column"
        ):
            model = om.SendTime().fit(data)
        assert model.rests_on == "Hours rest for email on answers."
        assert 18 <= np.bincount(monday(model, data).argmax(axis=1)).argmax() <= 21
    dropped = dataset(user, hour, yes, rng)  # the advice: without the column
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        om.SendTime().fit(dropped)


@pytest.mark.parametrize("seed", range(20))
def test_propensities_of_a_lot_are_believed(seed):
    rng, n = np.random.default_rng(seed), int(10 ** np.random.default_rng(seed).uniform(1, 4))
    table = rng.dirichlet(np.full(rng.integers(2, 30), rng.choice([0.05, 0.3, 1.0])), n)
    drawn = (rng.random(n)[:, None] < table.cumsum(axis=1)).argmax(axis=1)
    assert not contradicted(table[np.arange(n), drawn])
    assert not contradicted(np.ones(n))
    assert not contradicted(np.full(n, np.nan))


def test_a_log_that_was_hardly_drawn_is_not_called_randomised():
    rng, n = np.random.default_rng(3), 4000
    user, hour = rng.integers(0, N, n), rng.integers(0, 24, n)
    yes = rng.random(n) < EVENING[hour]
    few = np.r_[np.full(40, 0.5), np.ones(n - 40)]
    for chosen, says in ((np.full(n, 1 / 24), "randomised answers"), (few, "answers"), (np.ones(n), "answers")):
        model = om.SendTime().fit(dataset(user, hour, yes, rng, propensity=chosen))
        assert model.rests_on == f"Hours rest for email on {says}."
