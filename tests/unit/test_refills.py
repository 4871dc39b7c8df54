"""When things are needed again: planted intervals, and requests at any instant."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError

START = pd.Timestamp("2025-01-01", tz="UTC")


def log_of(user, item, day, event="purchase"):
    at = START + pd.to_timedelta(np.asarray(day, float), unit="D")
    frame = pd.DataFrame({"user_id": user, "item_id": item, "timestamp": at, "event": event, "channel": "web"})
    return om.EventLog.from_frame(frame)


def renewals(seed=0, people=150, days=400):
    """Three items with intervals of 8, 20 and 60 days; people differ by a factor, and a tenth never comes back."""
    draw = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for item, gap in (("milk", 8), ("soap", 20), ("bulb", 60)):
            own, t = gap * np.exp(draw.normal(0, 0.4)), draw.uniform(0, 30)
            while t < days:
                rows.append((person, item, t))
                if draw.random() < 0.02:
                    break
                t += own * np.exp(draw.normal(0, 0.25))
    return log_of(*zip(*rows, strict=True))


LOG = renewals()


def test_refill_dates_find_planted_intervals_and_cover_what_happens():
    cut = START + pd.Timedelta("250D")
    train, test = LOG.split(cut)
    model = om.journeys.Refills().fit(train)
    days = dict(zip(model.items.ids, np.exp(model.mu), strict=True))
    for item, gap in (("milk", 8), ("soap", 20), ("bulb", 60)):
        assert days[item] == pytest.approx(gap, rel=0.2)
    due = model.due(om.Dataset(train).requests(at=cut))
    first = test.to_frame().groupby(["user_id", "item_id"], as_index=False)["timestamp"].min()
    held = due.merge(first, on=["user_id", "item_id"])
    inside = (held["timestamp"] >= held["low_at"]) & (held["timestamp"] <= held["high_at"])
    assert 0.7 < inside.mean() < 0.92
    assert (held["low_at"] >= cut - pd.Timedelta("1s")).all()
    soon = due.merge(first, on=["user_id", "item_id"], how="left")["timestamp"] < cut + pd.Timedelta("7D")
    assert om.models.calibration_error(due["probability"], soon) < 0.07
    recs = model.recommend(om.Dataset(train).requests(at=cut), k=2)
    assert (np.diff(recs.scores, axis=1) <= 0).all()


def test_a_person_is_pulled_from_the_item_by_their_own_rhythm():
    model = om.journeys.Refills().fit(LOG)
    fast = log_of([1] * 12 + [2], ["soap"] * 13, [*range(0, 60, 5), 55])
    due = model.due(om.Dataset(fast).requests(at=START + pd.Timedelta("56D"))).set_index("user_id")
    own, stranger = ((due["due_at"] - due["last_at"]).dt.total_seconds() / 86_400).loc[[1, 2]]
    assert 4 < own < 9
    assert stranger > 14


def test_the_future_changes_nothing():
    model, cut = om.journeys.Refills().fit(LOG), START + pd.Timedelta("200D")
    data = om.Dataset(LOG)
    pd.testing.assert_frame_equal(model.due(data.requests(at=cut)), model.due(data.before(cut).requests()))


def test_each_request_has_a_now_of_its_own():
    model, data = om.journeys.Refills().fit(LOG), om.Dataset(LOG)
    days = ["2025-03-01", "2025-08-01"]
    both = model.due(data.requests([3, 3], at=days))
    assert set(both.columns[:1]) == {"request_id"}
    for number, day in enumerate(days):
        alone = model.due(data.requests([3], at=day)).drop(columns="user_id")
        mine = both[both["request_id"] == number].drop(columns="request_id").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone)


def test_lists_hold_what_is_due_and_nothing_excluded():
    model, data = om.journeys.Refills().fit(LOG), om.Dataset(LOG)
    asked = data.requests([3, 999], new_users=True)
    recs = model.recommend(asked, k=5)
    assert set(recs.to_frame()["user_id"]) == {3}  # nobody knows what strangers buy
    assert (recs.codes[1] == -1).all()
    best = model.due(data.requests([3]))
    assert recs.to_frame()["item_id"].tolist() == best["item_id"].tolist()
    np.testing.assert_allclose(recs.scores[0, : len(best)], best["probability"], rtol=1e-6, atol=1e-30)
    first = best["item_id"][0]
    for some in (
        model.recommend(data.requests([3], exclude=[[first]]), k=5),
        model.recommend(data.requests([3], given=[[first]]), k=5),
        model.recommend(data.requests([3]), k=5, exclude=[first]),
        model.recommend(data.requests([3]), k=5, eligible=[item for item in model.items.ids if item != first]),
    ):
        assert some.to_frame()["item_id"].tolist() == best["item_id"].tolist()[1:]
    with pytest.raises(ParameterError, match="without seen items nothing is left"):
        model.recommend(asked, k=2, exclude_seen=True)


def test_bad_input():
    with pytest.raises(EmptyError, match="no repeat purchases"):
        om.journeys.Refills().fit(log_of([1, 2], ["a", "a"], [0, 1]))
    with pytest.raises(ParameterError, match="'sale' is a name that nothing here has"):
        om.journeys.Refills(events=["sale"]).fit(LOG)
    model, data = om.journeys.Refills().fit(LOG), om.Dataset(LOG)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        model.due(data.requests(), confidence=1.5)
    with pytest.raises(om.errors.NotFittedError):
        om.journeys.Refills().recommend(data.requests(), k=2)
    with pytest.raises(TypeError, match=r"Write model.due\(data.requests\(at=now\)\)"):
        model.due(LOG, at=LOG.end)
    with pytest.raises(TypeError, match=r"Write model.recommend\(data.requests\(at=now\), k=10\)"):
        model.recommend(LOG, at=LOG.end, k=3)
    with pytest.raises(SchemaError, match=r"takes Requests. Got EventLog"):
        model.recommend(LOG, k=3)


def test_saved_and_loaded(tmp_path):
    refills = om.journeys.Refills(events=["purchase"]).fit(LOG)
    again, asked = om.load(om.save(refills, tmp_path / "refills.omnireco")), om.Dataset(LOG).requests()
    pd.testing.assert_frame_equal(again.due(asked), refills.due(asked))
