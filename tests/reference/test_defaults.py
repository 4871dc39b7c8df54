"""Every recommender as it comes, on every data set here: better than popularity, or fit warns why."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om

FOLDER = os.environ.get("OMNIRECO_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="OMNIRECO_DATA names the folder of the data")
SETS = {
    "films": ("movielens_100k/ratings.parquet", "user_id", "item_id"),
    "articles": ("deskdrop_articles/events.parquet", "user_id", "item_id"),
    "groceries": ("complete_journey/transactions.parquet", "household_id", "product_id"),
    "toys": ("amazon_toys_seq/sequences.parquet", "user_id", "item_id"),
}
MODELS = {
    "EASE": om.EASE(),
    "EASE of few": om.EASE(neighbors=50),
    "ALS": om.ALS(),
    "ItemKNN": om.ItemKNN(),
    "UserKNN": om.models.UserKNN(),
    "RP3beta": om.models.RP3beta(),
    "P3alpha": om.models.P3alpha(),
    "GFCF": om.models.GFCF(),
    "PureSVD": om.models.PureSVD(),
    "Blend": om.Blend(),
}


def halves(name, people=4_000, items=1_500):
    """Return a fifth of the cells and the rest, of the most popular items and at most so many people."""
    file, person, item = SETS[name]
    pairs = pd.read_parquet(Path(FOLDER) / file, columns=[person, item]).dropna().drop_duplicates()
    pairs = pairs[pairs[item].isin(pairs[item].value_counts().index[:items])]
    user, code = (pd.factorize(pairs[column], sort=True)[0] for column in (person, item))
    matrix = sp.csr_matrix((np.ones(len(pairs), np.float32), (user, code)))[:people].tocoo()
    out = np.random.default_rng(0).random(matrix.nnz) < 0.2
    sides = [
        sp.csr_matrix((np.ones(int(side.sum()), np.float32), (matrix.row[side], matrix.col[side])), matrix.shape)
        for side in (~out, out)
    ]
    return tuple(om.Interactions.from_scipy(side) for side in sides)


@pytest.mark.parametrize("name", SETS)
def test_defaults_beat_popularity_or_fit_warns(name):
    train, test = halves(name)
    lists, warned = {"Popularity": om.Popularity().fit(train).recommend(train, k=20)}, set()
    for model, estimator in MODELS.items():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            lists[model] = estimator.fit(train).recommend(train, k=20)
        if any(issubclass(one.category, om.errors.DataWarning) for one in said):
            warned.add(model)
    table = om.evaluate(lists, test, k=20, metrics=[om.ndcg], n_bootstrap=0).to_frame().set_index("model")["mean"]
    below = {model for model in MODELS if table[model] <= table["Popularity"]}
    assert below <= warned, table.round(4).to_dict()
    assert table["Blend"] > 1.2 * table["Popularity"], table.round(4).to_dict()
