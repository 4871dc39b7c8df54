"""New items land where their attributes say."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError

NAMES = {"user_id": "item_id", "item_id": "attribute"}


def table(rows):
    return om.Interactions.from_frame(pd.DataFrame(rows, columns=["item_id", "attribute"]), columns=NAMES)


def model(n=12):
    random = np.random.default_rng(0)
    vectors = np.where(np.arange(n)[:, None] % 2, [0.0, 1.0], [1.0, 0.0]) + random.normal(0, 0.05, (n, 2))
    return om.models.FactorModel.from_arrays(vectors, items=np.arange(n), popularity=np.ones(n))


def test_the_map_is_a_ridge_around_the_means():
    known = model()
    kinds = [(i, "odd" if i % 2 else "even") for i in range(14)] + [(3, "rare")]
    wide = om.models.add_new_items(known, table(kinds), regularization=2.0)
    f = np.array([[1 - i % 2, i % 2, i == 3] for i in range(12)], float)  # even, odd, rare
    y = known.factors.astype(float)
    centred = f - f.mean(0)
    slope = np.linalg.solve(centred.T @ centred + 2 * np.eye(3), centred.T @ (y - y.mean(0)))
    new = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert wide.factors[12:] == pytest.approx(y.mean(0) + (new - f.mean(0)) @ slope, abs=1e-5)
    assert (wide.factors[:12] == known.factors).all()
    assert wide.popularity[12:].tolist() == [0, 0]
    assert set(wide.similar_items([12], k=5).to_frame()["item_id"]) <= {0, 2, 4, 6, 8, 10}


def test_known_items_left_out_are_found_again():
    log = om.EventLog.from_frame(om.simulate(n_users=200, n_items=30, days=60, seed=3).events)
    x = log.matrix(om.Weights(binary=True))
    full = om.ALS(factors=6, unobserved_weight=0.2, seed=1).fit(x)
    kinds = [(i, f"group {np.argmax(v)}") for i, v in zip(full.items.ids, full.factors, strict=True)]
    held = full.items.ids[::5]
    rest = np.flatnonzero(~np.isin(full.items.ids, held))
    narrow = om.models.FactorModel.build(
        full.factors[rest], items=full.items.take(rest), popularity=full.popularity[rest], loss=full.loss
    )
    wide = om.models.add_new_items(narrow, table(kinds), regularization=0.5)
    near = full.factors[::5] - wide.factors[wide.items.codes(held)]
    far = full.factors[::5] - narrow.factors.mean(0)
    assert (near**2).sum() < (far**2).sum()


def test_nothing_new_changes_nothing_and_nothing_known_is_an_error():
    known = model()
    assert om.models.add_new_items(known, table([(0, "a"), (1, "b")])) is known
    with pytest.raises(EmptyError, match="none of 12 known items has both"):
        om.models.add_new_items(known, table([(77, "a")]))
    with pytest.raises(ParameterError, match="takes a FactorModel"):
        om.models.add_new_items(None, table([(77, "a")]))
    with pytest.raises(SchemaError, match="attributes must be Interactions"):
        om.models.add_new_items(known, None)
