"""Models that implicit has trained, served here: the same lists where it can place a history, and who is refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking

import omnireco as om
from omnireco._core.compute import one_blas_thread
from omnireco.data import Interactions
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.models import BPR, FactorModel, LogisticMF


def matrix(n_users=300, n_items=120, seed=0):
    draw = np.random.default_rng(seed)
    taste = draw.integers(0, 6, n_users)
    rows = np.repeat(np.arange(n_users), 12)
    items = (taste[rows] * 20 + (draw.random(rows.size) ** 2 * 20).astype(int)) % n_items
    return Interactions.from_frame(pd.DataFrame({"user_id": rows, "item_id": items, "value": 1.0}))


@pytest.mark.parametrize("n_items", [120, 6000], ids=["numpy", "compiled"])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 40.0])
def test_lists_of_an_als_model_are_its_own(alpha, n_items):
    wide = sp.random(200, n_items, 0.004, "csr", np.float32, random_state=1)
    wide.data[:] = 1
    x = matrix() if n_items == 120 else Interactions.from_scipy(wide)
    with one_blas_thread():  # or it warns
        peer = AlternatingLeastSquares(factors=32, alpha=alpha, num_threads=1, random_state=3, iterations=4)
        peer.fit(x.to_scipy(), show_progress=False)
        everybody = np.arange(x.n_users)
        theirs = peer.recalculate_user(everybody, x.to_scipy())
        codes, _ = peer.recommend(everybody, x.to_scipy(), N=10, recalculate_user=True)
    served = FactorModel.from_implicit(peer, x)
    warm = np.diff(x.csr.indptr) > 0
    np.testing.assert_allclose(served.place(x)[warm], theirs[warm], atol=1e-5 * np.abs(theirs).max())
    same = served.recommend(x, k=10).codes[warm] == codes[warm]
    assert same.mean() > 0.999  # rounding may turn neighbours round


def test_a_model_of_pairs_finds_what_people_like():
    x = matrix()
    for estimator in (BPR(factors=8, iterations=60, seed=1), LogisticMF(factors=8, seed=1)):
        model = estimator.fit(x)
        again = estimator.fit(x)
        assert np.array_equal(model.factors, again.factors)
        lists = model.recommend(x, k=5)
        own = x.csr.indices[x.csr.indptr[:-1]] // 20
        assert np.mean(lists.codes[:, 0] // 20 == own) > 0.8  # of their own taste; chance is 1 in 6


def test_negative_cells_are_no_choices():
    x = matrix()
    csr = x.to_scipy()
    csr.data[::3] *= -1
    model = BPR(factors=4, iterations=5).fit(Interactions.from_scipy(csr))
    assert np.isfinite(model.factors).all()


def test_refusals():
    x = matrix()
    with pytest.raises(ParameterError, match="not fitted"):
        FactorModel.from_implicit(BayesianPersonalizedRanking(factors=4), x)
    peer = BayesianPersonalizedRanking(factors=4, iterations=2)
    peer.fit(x.to_scipy(), show_progress=False)
    with pytest.raises(SchemaError, match=r"120 items and x has 20"):
        FactorModel.from_implicit(peer, matrix(n_items=20))
    with pytest.raises(SchemaError, match="from_arrays"):
        FactorModel.from_implicit(om.ALS(factors=2).fit(x), x)
    with pytest.raises(SchemaError):
        FactorModel.from_implicit(peer, x.to_scipy())
    with pytest.raises(ParameterError, match="learning_rate"):
        BPR(learning_rate=0)
    with pytest.raises(ParameterError, match="negatives"):
        LogisticMF(negatives=0)


@pytest.mark.parametrize("kind", [AlternatingLeastSquares, BayesianPersonalizedRanking])
def test_a_model_of_another_matrix_is_noticed(kind):
    log = om.EventLog.from_frame(om.simulate(n_users=300, n_items=60, days=120, seed=3).events)
    x = log.matrix().rows(log.users.ids[:60])
    with one_blas_thread():
        peer = kind(factors=8, num_threads=1, random_state=3)
        peer.fit(x.to_scipy(), show_progress=False)
        assert len(FactorModel.from_implicit(peer, x).items) == 60
        with pytest.raises(SchemaError, match="60 people and x has 30"):
            FactorModel.from_implicit(peer, x.rows(x.users.ids[:30]))
        peer.fit(x.to_scipy().T.tocsr(), show_progress=False)  # as before implicit 0.5, and square
        with pytest.warns(DataWarning, match="as a coin would"):
            FactorModel.from_implicit(peer, x)
