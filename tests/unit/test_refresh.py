"""New items without a fit, fits that start from a model, and whether today looks like the training data."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError
from omnireco.live import Live, drift, profile, refitted, updated

WEIGHTS = om.Weights(events={"view": 1, "purchase": 4}, half_life="30D", missing="ignore")


def world(**more):
    return om.simulate(**({"n_users": 120, "n_items": 24, "days": 60, "seed": 4} | more)).dataset()


def without(data, items):
    frame = data.events.to_frame()
    log = om.EventLog.from_frame(frame[~frame["item_id"].isin(items)], itemless="keep", timestamp="instant")
    return om.Dataset(log, end=data.end)


NEW = ["i03", "i11", "i20"]


@pytest.mark.parametrize(
    "als",
    [
        om.ALS(factors=6, seed=3, weights=WEIGHTS),
        om.ALS(
            factors=6, seed=3, weights=WEIGHTS, confidence_weights=True, unobserved_weight=1.0, frequency_scaling=0.0
        ),
        om.ALS(factors=40, seed=3, weights=WEIGHTS),
    ],
)
def test_a_new_item_gets_the_vector_of_a_full_ridge_regression_on_its_people(als):
    data = world()
    model = als.fit(without(data, NEW))
    found = updated(model, data)
    assert set(found.items.ids) == set(data.events.items.ids)
    old = found.items.codes(model.items.ids)
    assert found.factors[old].tobytes() == model.factors.tobytes()
    x = data.events.matrix(WEIGHTS, at=data.end)
    people = model.place(x.with_items(model.items)).astype(np.float64)
    warm = np.diff(x.with_items(model.items).csr.indptr) > 0
    people = people[warm]
    loss = model.loss
    for item in NEW:
        column = np.asarray(x.csr[:, x.items.codes([item])[0]].todense()).ravel()[warm]
        chosen = column != 0
        weight, pull, _ = loss.cells(column[chosen].astype(np.float32), None)
        ridge = loss.ridge(np.array([chosen.sum()]), len(people))[0]
        normal = loss.unobserved_weight * people.T @ people + ridge * np.eye(people.shape[1])
        normal += (people[chosen].T * weight) @ people[chosen]
        wanted = np.linalg.solve(normal, people[chosen].T @ pull)
        np.testing.assert_allclose(found.factors[found.items.codes([item])[0]], wanted, rtol=2e-4, atol=2e-5)
    assert updated(found, data) is found or updated(found, data).factors.tobytes() == found.factors.tobytes()


def test_with_targets_too():
    data = world()
    weights = om.Weights(targets={"view": 0.5, "purchase": 1.0}, half_life="30D", missing="ignore")
    model = om.ALS(factors=6, seed=3, weights=weights).fit(without(data, NEW))
    found = updated(model, data)
    assert set(found.items.ids) == set(data.events.items.ids)
    assert np.isfinite(found.factors).all()
    assert np.abs(found.factors[found.items.codes(NEW)]).max() > 0.01


def test_a_live_service_recommends_what_was_new_and_waits_no_longer():
    data = world()
    model = om.ALS(factors=8, seed=3, weights=WEIGHTS).fit(without(data, NEW))
    live = Live(model)
    at = data.end
    live.observe({"user_id": 1, "event": "view", "channel": "web", "item_id": "i11", "timestamp": "2025-02-20"})
    assert live.state(1, at=at).waiting == 1
    live.swap(updated(model, data))
    assert live.state(1, at=at).waiting == 0
    answer = live.recommend(1, 24, at=at)
    assert not answer.cold
    assert {"i03", "i20"} < set(answer.items)


def test_items_that_only_strangers_chose_stay_out():
    data = world()
    model = om.ALS(factors=4, weights=WEIGHTS).fit(data)
    times = pd.to_datetime(["2025-03-01"], utc=True)
    stranger = pd.DataFrame(
        {"user_id": [10**6], "item_id": ["brand new"], "channel": "web", "event": "view", "timestamp": times}
    )
    assert updated(model, om.EventLog.from_frame(stranger, timestamp="instant")) is model


def test_three_sweeps_from_a_model_come_as_low_as_sixteen_from_nothing():
    data = world(n_users=200)
    als = om.ALS(factors=8, seed=3, weights=WEIGHTS)
    old = als.fit(data.before("2025-02-20"))
    x = data.events.matrix(WEIGHTS, at=data.end)
    whole, cold = als.fit(x), als.replace(iterations=3).fit(x)
    warm = refitted(als, old, x)
    losses = {name: als.loss(x, one) for name, one in (("whole", whole), ("cold", cold), ("warm", warm))}
    assert losses["warm"] < losses["cold"]
    assert losses["warm"] < 1.01 * losses["whole"]
    assert refitted(als, old, x, threads=1).factors.tobytes() == warm.factors.tobytes()


def test_a_refit_takes_new_items_and_people():
    data = world()
    als = om.ALS(factors=8, seed=3, weights=WEIGHTS)
    found = refitted(als, als.fit(without(data.before("2025-02-01"), NEW)), data)
    assert set(found.items.ids) == set(data.events.items.ids)
    assert found.event_weights == WEIGHTS


def test_arguments_of_a_refresh_are_checked():
    data = world()
    als = om.ALS(factors=8, weights=WEIGHTS)
    model = als.fit(data)
    for call, words in (
        (lambda: updated(om.EASE().fit(data), data), "model must be"),
        (lambda: refitted(om.EASE(), model, data), "estimator must be"),
        (lambda: refitted(als.replace(factors=9), model, data), "factors of the model"),
        (lambda: refitted(als, model, data, sweeps=0), "sweeps"),
        (lambda: updated(om.models.FactorModel.from_arrays(np.eye(3)), data), "unknown weights"),
        (lambda: profile(model, data.events), "data must be"),
        (lambda: profile(model, data, days=0), "days"),
        (lambda: drift(1, 2), "before must be"),
        (lambda: drift(profile(model, data), profile(model, data), level=2), "level"),
    ):
        with pytest.raises((ParameterError, EmptyError), match=words):
            call()


def test_the_same_world_raises_no_alarm_and_a_changed_one_does():
    data = world(n_users=400, days=90)
    past = data.before("2025-03-01")
    model = om.ALS(factors=8, seed=3, weights=WEIGHTS).fit(past)
    then = profile(model, past)
    calm = drift(then, profile(model, data.before("2025-03-08"), like=then)).set_index("what")
    assert not calm["alarm"].any()
    assert calm.loc["age", "psi"] == pytest.approx(7, abs=0.1)
    frame = data.events.before("2025-03-08").to_frame()
    late = frame["timestamp"] >= "2025-03-01"
    frame.loc[late, "channel"] = "kiosk"
    frame.loc[late & (np.arange(len(frame)) % 2 == 0), "item_id"] = "nobody knows it"
    changed = om.Dataset(om.EventLog.from_frame(frame, timestamp="instant"), end="2025-03-08")
    loud = drift(then, profile(model, changed, like=then)).set_index("what")
    assert loud.loc[["channel", "item"], "alarm"].all()
    assert not loud.loc["event", "alarm"]


def test_the_same_world_some_weeks_later_raises_no_alarm():
    alarms = []
    for seed in range(4):
        data = om.simulate(n_users=300, n_items=30, days=90, seed=seed).dataset()
        past = data.before("2025-02-20")
        model = om.ALS(factors=4, iterations=3, seed=3, weights=WEIGHTS).fit(past)
        then = profile(model, past)
        table = drift(then, profile(model, data.before("2025-03-15"), like=then))  # histories have grown by a third
        alarms += table.loc[table["alarm"], "what"].tolist()
    assert not alarms


def test_profiles_that_cannot_be_compared_are_refused():
    data = world()
    model = om.ALS(factors=4, seed=3, weights=WEIGHTS).fit(data)
    past = profile(model, data.before("2025-02-15"))
    with pytest.raises(ParameterError, match="like=before"):
        drift(past, profile(model, data))
    now = profile(model, data, like=past)
    with pytest.raises(ParameterError, match="Turn them round"):
        drift(now, past)


def test_a_profile_is_saved_and_names_nobody(tmp_path):
    data = world()
    found = profile(om.ALS(factors=4, weights=WEIGHTS).fit(data), data)
    again = om.load(om.save(found, tmp_path / "a"))
    assert drift(found, again)["psi"].abs().max() == 0.0
    assert not om.files.people_in(found)
    with pytest.raises(EmptyError, match="days=30"):
        profile(om.ALS(factors=4, weights=WEIGHTS).fit(data), om.Dataset(data.events, end="2026-01-01"))
