"""What a number below zero does in every model, as the table on the page on models says.

Goods come in pairs. Two questions: does a dislike of one good in a person's own history lower the other of its pair;
and does it lower a good for people who have its pair that others had the pair and disliked it?
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import EmptyError


def crowd(*, disliking=0):
    draw = np.random.default_rng(0)
    rows = np.zeros((60 + disliking, 8))
    for user in range(60):
        for pair in draw.choice(4, 2, replace=False):
            rows[user, 2 * pair : 2 * pair + 2] = draw.random(2) < 0.85
        rows[user, draw.integers(8)] = 1
    rows[60:, 0], rows[60:, 1] = 1, -1
    return om.Interactions.from_scipy(sp.csr_matrix(rows))


SAID = {  # estimator: (in a person's own history, in other people's)
    "popularity": (om.Popularity(), "ignored", "ignored"),
    "popularity-weight": (om.Popularity(by="weight"), "ignored", "against"),
    "buy-again": (om.BuyAgain(), "ignored", "against"),  # of the good itself in the history: see below
    "knn": (om.ItemKNN(), "against", "against"),
    "knn-asymmetric": (om.ItemKNN(similarity="asymmetric", alpha=0.7), "against", "against"),
    "knn-sets": (
        om.ItemKNN(similarity="jaccard"),
        "against",
        "against",
    ),  # the pair was not chosen: one item less alike
    "ease": (om.EASE(regularization=2.0), "against", "against"),
    "ease-sparse": (om.EASE(regularization=2.0, neighbors=4), "against", "against"),
    "slim": (om.models.SLIM(regularization=1.0, sparsity=0.01), "against", "against"),
    "p3alpha": (om.models.P3alpha(), "against", "ignored"),
    "rp3beta": (om.models.RP3beta(), "against", "ignored"),
    "gfcf": (om.models.GFCF(factors=2), "against", "against"),  # the disliked cell is no edge, its neighbour still is
    "pure-svd": (om.models.PureSVD(factors=4), "against", "against"),
    "user-knn": (om.models.UserKNN(neighbors=20), "ignored", "against"),
    "next-basket": (om.models.NextBasket(linear=om.EASE(regularization=2.0)), "against", "against"),
    "als": (om.ALS(factors=5, dislike=-1.0), "against", "against"),
    "cross-channel": (om.models.CrossChannel(estimator=om.ALS(factors=5, dislike=-1.0)), "against", "against"),
    "blend": (om.Blend(models={"ease": om.EASE(regularization=2.0), "knn": om.ItemKNN()}), "against", "against"),
}


def score(model, history, item):
    x = om.Interactions.from_scipy(sp.csr_matrix(np.array([history], np.float64)), items=model.items)
    return float(model.score(x, [item])[0, 0])


@pytest.mark.parametrize("name", SAID)
def test_a_dislike_in_the_own_history(name):
    estimator, own, _ = SAID[name]
    model = estimator.fit(crowd())
    without = score(model, [0, 0, 0, 0, 1, 0, 0, 0], 1)
    disliked = score(model, [-1, 0, 0, 0, 1, 0, 0, 0], 1)
    liked = score(model, [1, 0, 0, 0, 1, 0, 0, 0], 1)
    if own == "against":
        assert disliked < without < liked
    elif name != "user-knn":
        assert disliked == without
    else:  # people who are unlike do not speak; those who are alike still do
        assert disliked <= without


@pytest.mark.parametrize("name", SAID)
def test_dislikes_of_others(name):
    estimator, _, others = SAID[name]
    before, after = (score(estimator.fit(crowd(disliking=n)), [1, 0, 0, 0, 0, 0, 0, 0], 1) for n in (0, 15))
    if others == "against":
        assert after < before
    else:
        assert after == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize("name", SAID)
def test_only_dislikes_are_answered_in_finite_numbers(name):
    estimator = SAID[name][0]
    x = om.Interactions.from_scipy(sp.csr_matrix(-crowd().csr))
    try:
        model = estimator.fit(x)
    except EmptyError:
        return
    for asked in (x, crowd()):
        lists = model.recommend(asked.rows(asked.users.ids[:5]), k=3)
        assert np.isfinite(lists.scores[lists.codes >= 0]).all()


@pytest.mark.parametrize("name", SAID)
def test_what_was_disliked_is_seen_and_not_shown(name):
    model = SAID[name][0].fit(crowd())
    x = om.Interactions.from_scipy(sp.csr_matrix(np.array([[-1.0, 0, 0, 1, 0, 0, 0, 0]])), items=model.items)
    shown = model.recommend(x, k=8).codes[0]
    assert not {0, 3} & set(shown.tolist())


def test_buy_again_holds_a_returned_good_against_itself():
    model = om.BuyAgain().fit(crowd())
    assert score(model, [-1, 0, 0, 0, 1, 0, 0, 0], 0) < score(model, [0, 0, 0, 0, 1, 0, 0, 0], 0)


def said(*people):
    """A log of people, each a list of (event, item), a day apart."""
    rows = [
        (user, item, event, pd.Timestamp("2025-05-01", tz="UTC") + pd.Timedelta(days=day))
        for user, steps in enumerate(people)
        for day, (event, item) in enumerate(steps)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event", "timestamp"])
    return om.EventLog.from_frame(frame.assign(channel="web"))


LIKED = [("like", 6), ("like", 0), ("like", 1)]
SOME = [LIKED] * 20 + [[("like", 6), ("like", 3)]] * 20 + [[("dislike", 7), ("like", 5)], [("like", 2), ("like", 4)]]
NEXT = om.Weights(events={"dislike": -1.0}, step_half_life=2.0)


def test_next_item_holds_a_dislike_in_the_history_against_what_follows():
    model = om.models.NextItem(regularization=1.0, weights=NEXT).fit(said(*SOME))
    disliked, without, liked = (score(model, [first, 0, 0, 0, 0, 0, 1, 0], 1) for first in (-1, 0, 1))
    assert disliked < without < liked
    asked = said(*SOME, [("like", 6), ("dislike", 0)]).matrix(NEXT)  # as the page says histories are made
    lists = model.recommend(asked.rows([len(SOME)]), k=8)
    assert not {6, 0} & set(lists.codes[0].tolist())
    assert lists.scores[0][lists.codes[0] == 1] == pytest.approx(score(model, [-1, 0, 0, 0, 0, 0, 0.5**0.5, 0], 1))


def test_next_item_predicts_dislikes_of_others_unless_it_is_told_what_to_predict():
    others = [[("like", 6), ("like", 0), ("dislike", 1)]] * 15
    for events in (None, ["like"]):
        estimator = om.models.NextItem(regularization=1.0, weights=NEXT, events=events)
        before, after = (
            score(estimator.fit(said(*people)), [1, 0, 0, 0, 0, 0, 0, 0], 1) for people in (SOME, SOME + others)
        )
        assert after > before if events is None else after < before - 0.2


@pytest.mark.parametrize(("then", "sign"), [(3, -1), (1, 1)])
def test_typed_ease_learns_what_a_dislike_says(then, sign):
    """After a dislike of 0 people took 3 (so it speaks against 1), or they took 1 (so it speaks for it)."""
    log = said(*SOME, *[[("like", 6), ("dislike", 0), ("like", then)]] * 20)
    model = om.models.TypedEASE(target="like", regularization=1.0).fit(log)
    asked = said([("like", 6)], [("like", 6), ("dislike", 0)], [("like", 6), ("like", 0)], [("dislike", 3)])
    without, disliked, liked = model.score(model.inputs(asked), [1])[:3, 0]
    assert (disliked - without) * sign > 0.01
    assert liked > without
    shown = model.recommend(model.inputs(asked), k=8)
    for person, item in ((1, 0), (3, 3)):  # seen
        assert item not in shown.codes[person]


def test_typed_ease_does_not_count_dislikes_of_others_as_targets():
    others = [[("like", 6), ("like", 0), ("dislike", 1)]] * 15
    asked = said([("like", 0)])
    one, other = (
        om.models.TypedEASE(target="like", regularization=1.0).fit(said(*people)) for people in (SOME, SOME + others)
    )
    assert other.popularity.tolist()[1] == one.popularity.tolist()[1]
    before, after = (float(model.score(model.inputs(asked), [1])[0, 0]) for model in (one, other))
    assert after == pytest.approx(before, abs=0.05)  # only that 0 follows 6 is learned from them
