"""The same loss as the library implicit, from the same start: equal value, equal lists within noise."""

import numpy as np
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from omnireco._core.compute import one_blas_thread
from omnireco._kernels.als.least_squares import full_loss, learn
from omnireco.data import Interactions
from omnireco.models.matrix.factors import ALS, FactorModel

CLASSIC = {"confidence_weights": True, "unobserved_weight": 1.0, "frequency_scaling": 0.0, "regularization": 0.01}


def tastes(n_users=600, n_items=200, seed=0):
    """Ten tastes of twenty items; two cells of each person are held out."""
    draw = np.random.default_rng(seed)
    taste = draw.integers(0, 10, (n_users, 2))
    popularity = 1 / (1 + np.arange(20)) ** 0.7
    rows, columns = [], []
    for user in range(n_users):
        own = draw.choice(20, size=8, replace=False, p=popularity / popularity.sum())
        items = np.unique(own + 20 * taste[user, draw.integers(0, 2, 8)])
        other = draw.integers(0, n_items, 2)
        items = np.unique(np.r_[items, other])
        rows += [user] * items.size
        columns += items.tolist()
    whole = sp.csr_matrix((draw.integers(1, 4, len(rows)).astype(np.float32), (rows, columns)), (n_users, n_items))
    held = draw.random(whole.nnz) < 0.25
    coo = whole.tocoo()
    train = sp.csr_matrix((coo.data[~held], (coo.row[~held], coo.col[~held])), whole.shape)
    return Interactions.from_scipy(train), sp.csr_matrix((coo.data[held], (coo.row[held], coo.col[held])), whole.shape)


def recall(model, x, test):
    codes = model.recommend(x, k=10).codes
    hits = [np.isin(codes[u], test[u].indices).sum() for u in range(x.n_users)]
    return float(sum(hits) / test.nnz)


@pytest.mark.parametrize(("factors", "alpha"), [(16, 1.0), (48, 4.0)])
def test_equal_loss_and_recall(factors, alpha):
    x, test = tastes()
    loss = ALS(factors=factors, alpha=alpha, **CLASSIC)._loss()
    draw = np.random.default_rng(7)
    users, items = ((draw.random((n, factors)) * 0.01).astype(np.float32) for n in x.shape)
    with one_blas_thread():  # or it warns
        peer = AlternatingLeastSquares(
            factors=factors, regularization=0.01, iterations=15, use_cg=False, num_threads=1, random_state=0
        )
    peer.user_factors, peer.item_factors = users.copy(), items.copy()
    confidence = x.to_scipy()
    confidence.data = 1 + alpha * confidence.data
    peer.fit(confidence, show_progress=False)
    ours = learn(x.csr, None, loss, users, items, iterations=15, steps=8, threads=2)
    theirs = full_loss(x.csr, None, loss, peer.user_factors, peer.item_factors)
    assert full_loss(x.csr, None, loss, *ours) == pytest.approx(theirs, rel=1e-4)
    quick = learn(x.csr, None, loss, users, items, iterations=15, threads=2)
    assert full_loss(x.csr, None, loss, *quick) <= theirs * 1.01
    estimator = ALS(alpha=alpha, **CLASSIC)
    mine, their = (
        recall(FactorModel.from_arrays(f, items=x.items, estimator=estimator), x, test)
        for f in (quick[1], peer.item_factors)
    )
    assert mine == pytest.approx(their, abs=0.02)
