"""Defaults that follow the data: sparse shops, light and heavy cells; what is warned of, and the small search."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import DataWarning, ParameterError
from omnireco.evaluation import small_space, tune


def shop(n_users=3000, n_items=8000, topics=150, seed=0):
    """A sparse shop: two topics a person, popular goods more often; a tenth of the pairs is held out."""
    random = np.random.default_rng(seed)
    topic, popular = random.integers(0, topics, n_items), 1 / np.arange(1, n_items + 1) ** 0.7
    rows = []
    for user in range(n_users):
        own = np.flatnonzero(np.isin(topic, random.integers(0, topics, 2)))
        chance = popular[own] / popular[own].sum()
        rows += [(user, item) for item in random.choice(own, 9, replace=False, p=chance)]
        rows += [(user, item) for item in random.choice(n_items, 3, p=popular / popular.sum())]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"]).drop_duplicates()
    held = random.random(len(frame)) < 0.1
    return om.Interactions.from_frame(frame[~held], binary=True), frame[held]


def worth(estimator, x, held):
    known = held[held["user_id"].isin(x.users.ids)]
    lists = {"list": estimator.fit(x).recommend(x.rows(known["user_id"].unique()), k=20)}
    return om.evaluate(lists, known, k=20, metrics=[om.ndcg], n_bootstrap=0).cells[0].mean


def test_defaults_beat_popularity_on_a_sparse_shop_and_a_fixed_weight_does_not():
    x, held = shop()
    popular = worth(om.Popularity(), x, held)
    by_default = worth(om.ALS(factors=32), x, held)
    assert by_default > 2 * popular
    assert worth(om.ALS(factors=32, unobserved_weight=0.2), x, held) < 1.2 * popular  # right for films, not here
    assert worth(om.EASE(neighbors=50), x, held) > 2 * popular
    grid = [om.ALS(factors=32, unobserved_weight=weight) for weight in (0.003, 0.01, 0.03, 0.1)]
    assert by_default > 0.9 * max(worth(one, x, held) for one in grid)


def test_pure_svd_warns_where_its_factors_carry_little():
    x, _ = shop()
    with pytest.warns(DataWarning, match=r"32 factors carry \d+% of what people chose.*PureSVD\(factors=128\)"):
        om.models.PureSVD().fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        om.models.PureSVD(factors=2).fit(om.testing.small_matrix(seed=2))


def test_the_unobserved_weight_follows_cells_and_catalogue():
    x, _ = shop(n_users=200, n_items=400, topics=20)
    settled = om.ALS().settled(x)
    rows, columns = (np.diff(x.csr.indptr) > 0).sum(), np.unique(x.csr.indices).size
    assert settled.unobserved_weight == pytest.approx(min(0.5, 15 * x.nnz / (rows * columns)))
    heavy = om.Interactions.from_scipy(4 * x.csr)
    assert om.ALS().settled(heavy).unobserved_weight == pytest.approx(4 * settled.unobserved_weight)
    assert om.ALS(alpha=4.0).settled(x).unobserved_weight == pytest.approx(4 * settled.unobserved_weight)
    wider = om.Interactions.from_scipy(sp.hstack([x.csr, sp.csr_matrix((x.n_users, 500))]).tocsr())
    assert om.ALS().settled(wider) == settled  # goods that nobody chose change nothing
    model = om.ALS(factors=4).fit(x)
    assert model.loss.unobserved_weight == settled.unobserved_weight
    assert om.ALS(factors=4).loss(x, model) == settled.replace(factors=4).loss(x, model)
    assert om.ALS(unobserved_weight=0.0).settled(x).unobserved_weight == 0.0
    dense = om.Interactions.from_scipy(sp.csr_matrix(np.ones((4, 3), np.float32)))
    assert om.ALS().settled(dense).unobserved_weight == 0.5
    assert om.Popularity().settled(x) == om.Popularity()


def test_factors_learned_elsewhere_must_say_their_unobserved_weight():
    with pytest.raises(ParameterError, match=r"follows the data.*estimator.replace\(unobserved_weight=1.0\)"):
        om.models.FactorModel.from_arrays(np.eye(3), estimator=om.ALS(alpha=40.0))
    model = om.models.FactorModel.from_arrays(np.eye(3), estimator=om.ALS(alpha=40.0).replace(unobserved_weight=1.0))
    assert model.loss.unobserved_weight == 1.0


def test_the_small_space_steps_around_what_fit_would_take():
    data = om.simulate(n_users=60, n_items=20, days=60, seed=7).dataset()
    space = small_space(om.ALS(factors=8), data)
    assert space["factors"] == (4, 8, 16)
    assert None in space["unobserved_weight"]
    assert max(one for one in space["unobserved_weight"] if one) == pytest.approx(
        4 * om.ALS(factors=8).settled(data).unobserved_weight
    )
    found = tune(om.EASE(), data, horizon="10D", k=5)
    assert found.n_trials == 21
    assert found.trials["regularization"].nunique(dropna=False) == 5
    assert found.trials["dropout"].unique().tolist() == [0.0, 0.25, 0.5]
    with pytest.raises(ParameterError, match="BuyAgain has none of the parameters factors, neighbors"):
        tune(om.BuyAgain(), data, horizon="10D")


def test_the_ridge_of_short_histories_is_that_of_eight_cells():
    """Toys has five cells a history, and its best ridge is 40; heavier cells need their squares of it."""
    rng = np.random.default_rng(0)
    for length, cells in ((2, 8), (5, 8), (12, 12)):
        rows = np.repeat(np.arange(200), length)
        columns = np.concatenate([rng.choice(40, length, replace=False) for _ in range(200)])
        for weight in (1.0, 3.0):
            x = om.Interactions.from_scipy(
                sp.csr_matrix((np.full(rows.size, weight, np.float32), (rows, columns)), (200, 40))
            )
            assert om.EASE().settled(x).regularization == pytest.approx(5 * cells * weight**2)
