"""After the purchase: planted intervals, planted follow-ups, carts left behind."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError

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
    due = model.due(train, at=cut)
    first = test.to_frame().groupby(["user_id", "item_id"], as_index=False)["timestamp"].min()
    held = due.merge(first, on=["user_id", "item_id"])
    inside = (held["timestamp"] >= held["low_at"]) & (held["timestamp"] <= held["high_at"])
    assert 0.7 < inside.mean() < 0.92
    assert (held["low_at"] >= cut - pd.Timedelta("1s")).all()
    soon = due.merge(first, on=["user_id", "item_id"], how="left")["timestamp"] < cut + pd.Timedelta("7D")
    assert om.models.calibration_error(due["chance"], soon) < 0.07
    recs = model.recommend(train, at=cut, k=2)
    assert (np.diff(recs.scores, axis=1) <= 0).all()


def test_a_person_is_pulled_from_the_item_by_their_own_rhythm():
    model = om.journeys.Refills().fit(LOG)
    fast = log_of([1] * 12 + [2], ["soap"] * 13, [*range(0, 60, 5), 55])
    due = model.due(fast, at=START + pd.Timedelta("56D")).set_index("user_id")
    own, stranger = ((due["due_at"] - due["last_at"]).dt.total_seconds() / 86_400).loc[[1, 2]]
    assert 4 < own < 9
    assert stranger > 14


def test_the_future_changes_nothing():
    model, cut = om.journeys.Refills().fit(LOG), START + pd.Timedelta("200D")
    pd.testing.assert_frame_equal(model.due(LOG, at=cut), model.due(LOG.before(cut), at=cut))


def test_follow_ups_know_the_direction():
    draw = np.random.default_rng(0)
    rows = []
    for person in range(400):
        rows += [(person, i, draw.uniform(0, 200)) for i in ("tea", "cup", "pan", "lid") if draw.random() < 0.5]
        if draw.random() < 0.5:
            day = draw.uniform(0, 150)
            rows.append((person, "tent", day))
            if draw.random() < 0.6:
                rows.append((person, "mat", day + draw.uniform(1, 20)))
    model = om.journeys.FollowUps(within="30D").fit(log_of(*zip(*rows, strict=True)))
    assert model.recommend(["tent"], k=2).to_frame()["item_id"].tolist() == ["mat"]
    assert "tent" not in model.recommend(["mat"], k=4).to_frame()["item_id"].tolist()
    frame = model.to_frame()
    assert frame.iloc[0][["item_id", "next_item_id"]].tolist() == ["tent", "mat"]
    assert ((frame["low"] <= frame["lift"]) & (frame["lift"] <= frame["high"])).all()
    assert (frame["people"] <= frame["bought"]).all()
    plain = frame[frame["item_id"].isin(["tea", "cup"]) & frame["next_item_id"].isin(["pan", "lid"])]
    assert ((plain["low"] < 1.5) & (plain["high"] > 0.7)).all()


def test_follow_ups_look_at_so_many_later_items_whatever_lies_in_the_same_basket():
    basket = [f"same{n}" for n in range(9)]
    items, days = ["tent", *basket, "mat", "mug", "pan", "end"], [0.0] * 10 + [1, 2, 3, 99]
    log = log_of([1] * 14 + [2], [*items, "mat"], [*days, 4])
    for most in (1, 2, 3, 50):
        frame = om.journeys.FollowUps(within="30D", most=most).fit(log).to_frame()
        followers = frame.loc[frame["item_id"] == "tent", "next_item_id"]
        assert set(followers) == {"mat", "mug", "pan"} & set(items[10 : 10 + most])


def test_follow_ups_count_people_as_a_loop_does():
    draw = np.random.default_rng(3)
    n = 120
    log = log_of(draw.integers(0, 12, n), draw.integers(0, 6, n), draw.integers(0, 60, n))
    model = om.journeys.FollowUps(within="10D", prior=1.0).fit(log)
    frame = log.to_frame().groupby(["user_id", "item_id"], as_index=False)["timestamp"].min()
    end = pd.Timestamp(log.end)
    want = {}
    for _, mine in frame.groupby("user_id"):
        for _, a in mine.iterrows():
            for _, b in mine.iterrows():
                gap = b["timestamp"] - a["timestamp"]
                if pd.Timedelta(0) < gap <= pd.Timedelta("10D") and a["timestamp"] + pd.Timedelta("10D") <= end:
                    want[a["item_id"], b["item_id"]] = want.get((a["item_id"], b["item_id"]), 0) + 1
    found = model.to_frame()
    assert dict(zip(zip(found["item_id"], found["next_item_id"], strict=True), found["people"], strict=True)) == want


def test_unfinished_is_what_was_begun_and_not_finished():
    rows = [
        (1, "pan", 0.0, "add_to_cart"),
        (1, "pan", 0.5, "view"),
        (1, "lid", 0.0, "add_to_cart"),
        (1, "lid", 0.1, "purchase"),
        (2, "lid", 0.0, "purchase"),
        (2, "lid", 1.0, "add_to_cart"),
        (3, "cup", 1.999, "add_to_cart"),  # still at it
        (4, "cup", 3.0, "add_to_cart"),  # the future
        (5, "cup", 0.0, "view"),
    ]
    log = log_of(*zip(*rows, strict=True))
    found = om.journeys.unfinished(log, at=START + pd.Timedelta("2D"))
    assert found[["user_id", "item_id", "touches"]].values.tolist() == [[2, "lid", 1], [1, "pan", 2]]
    assert found["last_at"].tolist() == [START + pd.Timedelta("1D"), START + pd.Timedelta("12h")]
    assert om.journeys.unfinished(log, at=START + pd.Timedelta("32.5D"))["user_id"].tolist() == [4]
    assert om.journeys.unfinished(log, at=START).empty
    with pytest.raises(ParameterError, match="begun: 'form' is a name that nothing here has"):
        om.journeys.unfinished(log, at=START, begun="form")


def test_bad_input():
    with pytest.raises(EmptyError, match="bought anything twice"):
        om.journeys.Refills().fit(log_of([1, 2], ["a", "a"], [0, 1]))
    with pytest.raises(EmptyError, match="before the end of the log"):
        om.journeys.FollowUps(within="90D").fit(log_of([1, 1], ["a", "b"], [0, 1]))
    with pytest.raises(ParameterError, match="'sale' is a name that nothing here has"):
        om.journeys.Refills(events=["sale"]).fit(LOG)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        om.journeys.Refills().fit(LOG).due(LOG, at=LOG.end, confidence=1.5)
    with pytest.raises(om.errors.NotFittedError):
        om.journeys.Refills().recommend(LOG, at=LOG.end, k=2)


def test_saved_and_loaded(tmp_path):
    refills, follow = om.journeys.Refills(events=["purchase"]).fit(LOG), om.journeys.FollowUps().fit(LOG)
    again = om.load(om.save(refills, tmp_path / "refills.omnireco"))
    pd.testing.assert_frame_equal(again.due(LOG, at=LOG.end), refills.due(LOG, at=LOG.end))
    other = om.load(om.save(follow, tmp_path / "follow.omnireco"))
    pd.testing.assert_frame_equal(other.to_frame(), follow.to_frame())
