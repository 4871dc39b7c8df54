"""The next basket: its score by hand, repeats and new items, and the world in which nobody buys again."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import DataWarning, ParameterError
from omnireco.models.sequence.basket_search import held_out


def baskets(rows, *, days=7):
    """Return a log of (person, step, item), one basket a week."""
    start = pd.Timestamp("2025-01-01", tz="UTC")
    return om.EventLog.from_frame(
        pd.DataFrame(
            {
                "user_id": [row[0] for row in rows],
                "item_id": [row[2] for row in rows],
                "channel": "store",
                "event": "purchase",
                "timestamp": [start + pd.Timedelta(days=days * row[1]) for row in rows],
            }
        )
    )


def shop(n_people=30, n_steps=12, n_items=20, again=0.7, seed=4, uneven=False):
    """Return a log where a share of what people buy is what they bought before; uneven: some come seldom."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(n_people):
        own = rng.choice(n_items, 4, replace=False)
        for step in range(2 + person % n_steps if uneven else n_steps):
            item = rng.choice(own) if rng.random() < again else rng.integers(n_items)
            rows.append((person, step, f"i{item:02d}"))
    return baskets(rows)


@pytest.mark.parametrize(
    "linear", [om.EASE(regularization=2.0), om.EASE(regularization=2.0, neighbors=3), om.ItemKNN()]
)
def test_the_score_by_hand(linear):
    x = shop(again=0.6, uneven=True).matrix(om.Weights(step_half_life=3.0))
    model = om.models.NextBasket(neighbors=4, neighbors_weight=0.7, linear_weight=0.3, linear=linear).fit(x)
    dense = np.asarray(x.csr.todense(), np.float64)
    share = dense / dense.sum(axis=1, keepdims=True)
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    close = unit @ unit.T
    held = dense > 0
    close[(held[:, None, :] == held[None, :, :]).all(axis=2)] = -np.inf
    mean = np.zeros_like(share)
    for row in range(len(dense)):
        near = np.argsort(-close[row], kind="stable")[:4]
        mean[row] = close[row, near] @ share[near] / close[row, near].sum()
    binary = om.Interactions.from_scipy(sp.csr_matrix(held.astype(np.float32)), items=x.items)
    weights = linear.fit(binary).weights
    weights = weights.toarray() if sp.issparse(weights) else weights
    expected = dense / dense.sum(axis=1).mean() + 0.7 * mean + 0.3 * share @ weights
    np.testing.assert_allclose(model.score(x, x.items.ids), expected, rtol=1e-4, atol=1e-6)


def test_without_neighbours_and_pairs_it_is_personal_frequency():
    log = shop()
    model = om.models.NextBasket(neighbors_weight=0.0, linear_weight=0.0).fit(log)
    asked = model.inputs(log)
    found = model.score(asked, asked.items.ids)
    dense = np.asarray(asked.csr.todense())
    np.testing.assert_allclose(found, dense / dense.sum(axis=1).mean(), rtol=1e-5)


def test_the_decay_by_basket_and_by_day():
    """Two people are too few to search on: then the half-lives are 20 steps and 90 days."""
    log = baskets([(1, 0, "old"), (1, 1, "new"), (2, 0, "old"), (2, 1, "tea"), (2, 2, "tea")])
    model = om.models.NextBasket(neighbors_weight=0.0, linear_weight=0.0).fit(log)
    old, new = model.inputs(log).rows([1]).csr.toarray()[0][model.items.codes(["old", "new"])]
    assert old / new == pytest.approx(2 ** (-1 / 20) * 2 ** (-7 / 90), rel=1e-5)


def test_new_items_come_from_people_alike():
    """Two tastes: what is new to a person is ranked by those who share their taste."""
    rows = [(p, s, f"{'a' if p < 10 else 'b'}{(p + s) % 5}") for p in range(20) for s in range(8)]
    rows += [(99, s, "a0") for s in range(3)] + [(99, 4, "a1")]
    log = baskets(rows)
    lists = om.models.NextBasket(neighbors=5).fit(log).recommend(om.Dataset(log).requests([99]), k=3)
    assert set(lists.to_frame()["item_id"]) == {"a2", "a3", "a4"}
    again = (
        om.models.NextBasket(neighbors=5).fit(log).recommend(om.Dataset(log).requests([99]), k=2, exclude_seen=False)
    )
    assert again.to_frame()["item_id"].tolist() == ["a0", "a1"]


def test_it_says_when_nobody_buys_again():
    rows = [(p, s, f"i{s:02d}") for p in range(30) for s in range(8)]
    with pytest.warns(DataWarning, match=r"0 of 210 events are repeats .* use EASE or NextItem"):
        om.models.NextBasket().fit(om.Dataset(baskets(rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        om.models.NextBasket().fit(shop())
        om.models.NextBasket().fit(baskets(rows[:20]))  # too few to tell


def test_a_block_and_the_compiled_search_change_nothing(monkeypatch):
    x = shop(n_people=60).matrix()
    model = om.models.NextBasket(neighbors=5).fit(x)
    one = model.recommend(x, k=5, exclude_seen=False)
    monkeypatch.setattr("omnireco.models.matrix.neighbors._PAIRS", 1.0)
    two = model.recommend(x, k=5, exclude_seen=False, threads=2)
    assert np.array_equal(one.codes, two.codes)
    assert np.array_equal(one.scores, two.scores)


def drifting(n_people=150, n_steps=16, n_items=40, seed=1):
    """Return a log where everybody buys one product for four baskets, and then another one."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(n_people):
        start = rng.integers(4)
        for step in range(n_steps):
            now = (person * 7 + (step + start) // 4 * 11) % n_items
            rows.append((person, step, f"i{now if rng.random() < 0.8 else rng.integers(n_items):02d}"))
    return baskets(rows)


def test_the_search_finds_how_fast_habits_change():
    """Where habits change a short half-life is found, where they stay a longer one."""
    fast = om.models.NextBasket().settled(drifting()).weights
    slow = om.models.NextBasket().settled(shop(n_people=150, n_steps=16, n_items=40)).weights

    def kept(weights):  # of a basket of half a year and 24 baskets ago
        days = {None: 1.0, "365D": 2 ** (-168 / 365), "90D": 2 ** (-168 / 90), "30D": 2 ** (-168 / 30)}
        return days[weights.half_life] * (
            1.0 if weights.step_half_life is None else 2 ** (-24 / weights.step_half_life)
        )

    assert kept(fast) < 0.05
    assert kept(slow) > 2 * kept(fast)


def test_what_is_given_stays_and_only_the_rest_is_found():
    log, given = shop(n_people=120), om.Weights(half_life="50D")
    settled = om.models.NextBasket(weights=given, neighbors=7, linear_weight=0.05).settled(log)
    assert (settled.weights, settled.neighbors, settled.linear_weight) == (given, 7, 0.05)
    assert settled.neighbors_weight is not None
    assert settled.settled(log) == settled
    whole = om.models.NextBasket().settled(log)
    assert whole == om.models.NextBasket().settled(om.Dataset(log))
    one, two = (estimator.fit(log) for estimator in (om.models.NextBasket(), whole))
    asked = one.inputs(log)
    assert np.array_equal(one.score(asked, asked.items.ids), two.score(asked, asked.items.ids))
    assert one.event_weights == whole.weights


def test_a_matrix_and_few_people_take_the_defaults():
    plain = {"neighbors": 100, "neighbors_weight": 0.3, "linear_weight": 0.3}
    matrix = om.models.NextBasket().settled(shop(n_people=120).matrix())
    assert {name: getattr(matrix, name) for name in plain} == plain
    few = om.models.NextBasket().settled(shop(n_people=49))
    assert {name: getattr(few, name) for name in plain} == plain
    assert few.weights == om.Weights(step_half_life=20.0, half_life="90D")


def test_the_search_never_reads_the_held_out_baskets():
    """Of people whose last basket is held out the past knows nothing of it."""
    log = shop(n_people=80)
    held = held_out(log, om.Weights())
    frame = log.to_frame()
    last = frame.groupby("user_id")["timestamp"].max().max()
    assert (held.past.to_frame()["timestamp"] < last).all()
    assert held.asked.size == 80
    assert held.truth.sum() == held.sizes.sum() == (frame["timestamp"] == last).sum()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"neighbors": 0}, "neighbors must be"),
        ({"neighbors_weight": -1.0}, "neighbors_weight must be"),
        ({"linear_weight": float("nan")}, "linear_weight must be"),
        ({"linear": om.EASE}, r"linear must be an estimator.*NextBasket\(linear=EASE\(neighbors=100\)\)"),
        ({"linear": om.Popularity()}, r"learns no item-to-item weights\. Write NextBasket\("),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        om.models.NextBasket(**wrong).fit(shop())
