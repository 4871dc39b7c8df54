"""Sets of eligible items that are asked for again and again: what is remembered of them never changes an answer."""

import datetime as dt
from functools import cache

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.topk.exact import ItemIndex, rank_one, topk
from omnireco._kernels.topk.tiers import available
from omnireco.live import Live, Rules, quick

NOW = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
ITEMS = [f"i{n:03d}" for n in range(203)]  # no multiple of 8


@cache
def model(name="als"):
    if name == "als":
        numbers = np.random.default_rng(3).standard_normal((len(ITEMS), 12)).astype(np.float32)
        numbers[50:60] = numbers[40:50]  # ties
        return om.models.FactorModel.from_arrays(
            numbers,
            items=ITEMS,
            popularity=np.arange(len(ITEMS)) % 7,
            estimator=om.ALS(weights=om.Weights(half_life="30D"), unobserved_weight=0.01),
        )
    draw = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"user_id": draw.integers(0, 60, 900), "item_id": draw.choice(ITEMS, 900), "channel": "web", "event": "view",
         "timestamp": pd.Timestamp(NOW) - pd.to_timedelta(draw.integers(1, 10**6, 900), "s")}
    )  # fmt: skip
    return om.EASE(weights=om.Weights(half_life="30D")).fit(om.Dataset(om.EventLog.from_frame(frame)))


def served(name="als"):
    live = Live(model(name), rules=Rules(repeat_after=None))
    for user in range(8):
        draw = np.random.default_rng(user)
        live.observe(
            [
                {"user_id": user, "event": "view", "channel": "web", "item_id": str(item),
                 "timestamp": NOW - dt.timedelta(hours=n + 1)}
                for n, item in enumerate(draw.choice(model(name).items.ids, 3 * user, replace=False))
            ]
        )  # fmt: skip
    return live


def batch(live, user, k, **rules):
    found = live.snapshot.model.recommend(
        live.data_of(user, at=NOW).requests([user], exclude=rules.pop("exclude", None), new_users=True), k=k, **rules
    )
    held = found.codes[0] >= 0
    return found.items.ids[found.codes[0][held]].tolist(), found.scores[0][held].tobytes()


def alone(live, user, k, exclude=None, **rules):
    found = live.recommend(user, k, at=NOW, exclude=() if exclude is None else exclude[0], **rules)
    return found.items.tolist(), found.scores.tobytes()


def masks(m):
    draw = np.random.default_rng(1)
    for share in (0.0, 0.02, 0.5, 0.67, 0.97, 1.0):
        yield draw.random(m) < share
    one = np.zeros(m, np.bool_)
    one[m // 2] = True
    yield one
    wide = draw.random((m, 2)) < 0.5
    yield wide[:, 0]  # not contiguous


@pytest.mark.parametrize("name", ["als", "ease"])
def test_the_answer_is_that_of_a_batch_however_often_a_set_is_asked_for(name, monkeypatch):
    monkeypatch.setattr(quick, "_WORTH", 2)
    live, ids = served(name), model(name).items.ids
    sets = [None, *masks(len(ids)), ids[:40].tolist(), pd.Series(np.arange(len(ids)) % 2 == 0)]
    for eligible in sets + sets[::-1]:
        for user in (0, 1, 5, 7, "nobody" if name == "als" else 999):
            for k in (3, 60, 300):
                for more in ({}, {"exclude": [ids[30:45].tolist()]}, {"exclude_seen": False}):
                    asked = {"eligible": eligible} | more
                    for _ in range(2):
                        if isinstance(user, str):
                            assert alone(live, 10**6, k, **asked) == batch(live, 10**6, k, **asked)
                        else:
                            assert alone(live, user, k, **asked) == batch(live, user, k, **asked)


def test_a_mask_that_was_changed_in_place_is_another_one(monkeypatch):
    monkeypatch.setattr(quick, "_WORTH", 2)
    live, mask = served(), np.arange(len(ITEMS)) % 3 != 0
    first = [alone(live, 5, 5, eligible=mask) for _ in range(4)][-1]
    for item in first[0]:
        mask[ITEMS.index(item)] = False
        assert item not in alone(live, 5, 5, eligible=mask)[0]
    assert not set(alone(live, 5, 5, eligible=mask)[0]) & set(first[0])
    mask[-1] = not mask[-1]  # behind the last whole word
    assert alone(live, 5, 300, eligible=mask) == batch(live, 5, 300, eligible=mask)


def test_answers_of_strangers_are_copies():
    live = served()
    first = live.recommend(10**6, 5, at=NOW)
    kept = first.items.copy(), first.scores.copy()
    first.items[:], first.scores[:] = "x", -1
    again = live.recommend(10**6, 5, at=NOW)
    assert (again.items.tolist(), again.scores.tolist()) == (kept[0].tolist(), kept[1].tolist())


@pytest.mark.parametrize("tier", available())
def test_an_index_of_some_items_answers_as_the_whole_with_a_mask(tier, monkeypatch):
    monkeypatch.setenv("OMNIRECO_TOPK_TIER", tier)
    draw = np.random.default_rng(2)
    for m, d, spread in ((3000, 24, 0.0), (3000, 8, 2.0), (70, 5, 0.5)):
        items = (draw.standard_normal((m, d)) * np.exp(spread * draw.standard_normal((m, 1)))).astype(np.float32)
        items[m // 2 :] = items[: m - m // 2]  # every score twice
        index = ItemIndex(items)
        for share in (0.01, 0.3, 0.9):
            mask = draw.random(m) < share
            mask[3] = True
            among = index.among(np.flatnonzero(mask).astype(np.int32))
            for k in (1, 10, 200):
                query = draw.standard_normal((1, d)).astype(np.float32)
                out = np.unique(draw.integers(0, m, 40)).astype(np.int32)
                for left in (out, out[:0]):
                    found = rank_one(query.copy(), index, k=k, out=left, mask=mask, among=among)
                    rows = (np.array([0, left.size]), left) if left.size else None
                    codes, scores = topk(query, items, k=k, exclude=rows, eligible=mask)
                    assert found[0].tolist() == codes.tolist()
                    assert found[1].tobytes() == scores.tobytes()
