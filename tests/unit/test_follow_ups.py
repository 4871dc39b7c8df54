"""What follows a purchase: planted pairs, counts by a loop, and baskets that ask."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, SchemaError

START = pd.Timestamp("2025-01-01", tz="UTC")


def log_of(user, item, day, event="purchase"):
    at = START + pd.to_timedelta(np.asarray(day, float), unit="D")
    frame = pd.DataFrame({"user_id": user, "item_id": item, "timestamp": at, "event": event, "channel": "web"})
    return om.EventLog.from_frame(frame)


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
    assert model.after(["tent"], k=2).to_frame()["item_id"].tolist() == ["mat"]
    assert "tent" not in model.after(["mat"], k=4).to_frame()["item_id"].tolist()
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
        frame = om.journeys.FollowUps(within="30D", max_next_items=most).fit(log).to_frame()
        followers = frame.loc[frame["item_id"] == "tent", "next_item_id"]
        assert set(followers) == {"mat", "mug", "pan"} & set(items[10 : 10 + most])


def test_follow_ups_count_people_as_a_loop_does():
    draw = np.random.default_rng(3)
    n = 120
    log = log_of(draw.integers(0, 12, n), draw.integers(0, 6, n), draw.integers(0, 60, n))
    model = om.journeys.FollowUps(within="10D", prior_strength=1.0).fit(log)
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


def follows():
    """After the tent comes the mat, after the printer the ink."""
    rows = []
    for person in range(40):
        first, next_, day = ("tent", "mat", 0.0) if person % 2 else ("printer", "ink", 1.0)
        rows += [(person, first, day), (person, next_, day + 2.0 + person % 3)]
        rows.append((person, "tea", 60.0))
    return log_of(*zip(*rows, strict=True))


LOG = follows()
MODEL = om.journeys.FollowUps(within="20D", prior_strength=1.0).fit(LOG)


def test_a_basket_is_followed_and_nothing_of_it_is_shown():
    data = om.Dataset(LOG)
    recs = MODEL.recommend(data.requests([900, 901], new_users=True, given=[["tent"], ["printer", "tent"]]), k=3)
    assert recs.key == "user_id"
    shown = recs.to_frame().groupby("user_id")["item_id"].apply(set).to_dict()
    assert shown == {900: {"mat"}, 901: {"mat", "ink"}}
    alone = {item: MODEL.after([item], k=1).scores[0, 0] for item in ("tent", "printer")}
    assert sorted(recs.scores[1, :2].tolist()) == sorted(alone.values())


def test_without_a_basket_the_last_purchase_is_followed():
    data = om.Dataset(LOG)
    asked = data.requests([1, 1, 2], at=[START, START + pd.Timedelta("12h"), START + pd.Timedelta("36h")])
    recs = MODEL.recommend(asked, k=2)
    assert recs.key == "request_id"
    assert recs.to_frame()[["request_id", "item_id"]].values.tolist() == [[1, "mat"], [2, "ink"]]
    late = data.requests([1], at=START + pd.Timedelta("12h"), exclude=[["mat"]])
    assert (MODEL.recommend(late, k=2).codes == -1).all()
    seen = data.requests([1], at="2025-01-08", given=[["tent"]])  # the mat is theirs already
    assert "mat" not in MODEL.recommend(seen, k=3).to_frame()["item_id"].tolist()
    assert "mat" in MODEL.recommend(seen, k=3, exclude_seen=False).to_frame()["item_id"].tolist()
    some = MODEL.recommend(data.requests([900], new_users=True, given=[["tent", "printer"]]), k=3, eligible=["ink"])
    assert some.to_frame()["item_id"].tolist() == ["ink"]


def test_old_signatures_name_the_new_line():
    with pytest.raises(SchemaError, match=r"takes Requests. Got list: write data.requests"):
        MODEL.recommend(["tent"], k=2)
    with pytest.raises(TypeError, match=r"Write model.recommend\(data.requests"):
        MODEL.recommend(k=2)
    with pytest.raises(EmptyError, match="before the end of the log"):
        om.journeys.FollowUps(within="90D").fit(log_of([1, 1], ["a", "b"], [0, 1]))


def test_saved_and_loaded(tmp_path):
    other = om.load(om.save(MODEL, tmp_path / "follow.omnireco"))
    pd.testing.assert_frame_equal(other.to_frame(), MODEL.to_frame())
    asked = om.Dataset(LOG).requests()
    assert (other.recommend(asked, k=3).codes == MODEL.recommend(asked, k=3).codes).all()
