"""SLIM, walks, filters, singular vectors, neighbours: numbers by hand, slow truth, and every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.models.matrix.graph import keep_largest
from omnireco.models.matrix.svd import right_singular_vectors
from omnireco.testing import small_matrix


def matrix(rows):
    return om.Interactions.from_scipy(sp.csr_matrix(np.array(rows, np.float32)))


TRIANGLE = matrix([[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]])


def test_p3alpha_by_hand():
    # item 0 is with people 0, 1, 2 (1/3 each); they step on evenly over 2, 2 and 3 items
    model = om.models.P3alpha(neighbors=3, normalize=False).fit(TRIANGLE)
    weights = model.weights.toarray()
    assert weights[0, 1] == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert weights[0, 2] == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert weights[2, 0] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert (np.diag(weights) == 0).all()


def test_rp3beta_divides_by_popularity_and_normalizes_rows():
    plain = om.models.RP3beta(neighbors=3, alpha=1.0, beta=0.0, normalize=False).fit(TRIANGLE).weights.toarray()
    held = om.models.RP3beta(neighbors=3, alpha=1.0, beta=1.0, normalize=False).fit(TRIANGLE).weights.toarray()
    assert held == pytest.approx(plain / np.array([3, 3, 2])[None, :])
    even = om.models.RP3beta(neighbors=3, alpha=1.0, beta=1.0).fit(TRIANGLE).weights.toarray()
    assert even.sum(axis=1) == pytest.approx(1)


def test_walks_treat_a_dislike_as_no_path():
    liked, disliked = matrix([[1, 1, 0], [1, 0, 1]]), matrix([[1, 1, -1], [1, -1, 1]])
    for estimator in (om.models.RP3beta(), om.models.P3alpha(), om.models.GFCF(factors=2)):
        one, other = (np.asarray(sp.csr_matrix(estimator.fit(x).weights).toarray()) for x in (liked, disliked))
        assert one == pytest.approx(other)


def test_gfcf_is_its_formula():
    x = small_matrix(seed=2)
    dense = x.csr.toarray().astype(np.float64)
    user, item = dense.sum(1), dense.sum(0)
    normal = dense / np.sqrt(user)[:, None] / np.sqrt(np.where(item > 0, item, 1))[None, :]
    vectors = np.linalg.svd(normal)[2][:4].T
    root = np.sqrt(item)
    inverse = np.where(root > 0, 1 / np.where(root > 0, root, 1), 0)
    expected = normal.T @ normal + 0.5 * (inverse[:, None] * (vectors @ vectors.T) * root[None, :])
    assert om.models.GFCF(factors=4, low_pass=0.5).fit(x).weights == pytest.approx(expected, abs=1e-5)


def test_pure_svd_is_the_truncated_svd_whichever_solver():
    x = small_matrix(n_users=400, n_items=300, seed=4)  # many items, few factors: Lanczos
    dense = x.csr.toarray().astype(np.float64)
    vectors = np.linalg.svd(dense, full_matrices=False)[2][:5].T
    scores = om.models.PureSVD(factors=5).fit(x).score(x, x.items.ids)
    assert scores == pytest.approx(dense @ vectors @ vectors.T, abs=1e-4)
    whole = right_singular_vectors(x.csr, 150)[0][:, :5]  # many factors: decomposed whole
    assert np.abs(whole.T @ vectors) == pytest.approx(np.eye(5), abs=1e-6)


def test_singular_vectors_leave_out_rounding():
    x = sp.csr_matrix(np.outer([1.0, 2, 3], [1.0, 1, 0, 1]))
    vectors, values = right_singular_vectors(x, 4)
    assert vectors.shape == (4, 1)
    assert values == pytest.approx([np.sqrt(14 * 3)])


def test_a_projection_checks_its_maps():
    items = om.data.Vocabulary(np.arange(3))
    with pytest.raises(ParameterError, match=r"encode \(2, 2\) and decode \(3, 2\)"):
        om.models.ProjectionModel.from_arrays(np.ones((2, 2)), np.ones((3, 2)), items=items, popularity=np.ones(3))
    with pytest.raises(ParameterError, match="must be finite"):
        om.models.ProjectionModel.from_arrays(
            np.full((3, 2), np.nan), np.ones((3, 2)), items=items, popularity=np.ones(3)
        )


def test_a_projection_places_people_by_a_sum():
    x = small_matrix(seed=1)
    model = om.models.PureSVD(factors=3).fit(x)
    assert model.place(x) == pytest.approx(x.csr.toarray() @ model.encode, abs=1e-5)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_slim_meets_the_conditions_of_its_optimum(nonnegative):
    x = small_matrix(seed=6)
    ridge, lasso = 3.0, 2.0
    model = om.models.SLIM(
        regularization=ridge, sparsity=lasso, nonnegative=nonnegative, tolerance=1e-9, iterations=5000
    ).fit(x)
    weights = model.weights.toarray().astype(np.float64)
    dense = x.csr.toarray().astype(np.float64)
    slope = dense.T @ (dense - dense @ weights) - ridge * weights
    off = ~np.eye(x.n_items, dtype=bool)
    assert slope[(weights > 0) & off] == pytest.approx(lasso, abs=1e-3)
    at_zero = (weights == 0) & off
    assert (slope[at_zero] <= lasso + 1e-3).all()
    if nonnegative:
        assert (weights >= 0).all()
    else:
        assert slope[(weights < 0) & off] == pytest.approx(-lasso, abs=1e-3)
        assert (slope[at_zero] >= -lasso - 1e-3).all()
    assert (np.diag(weights) == 0).all()


def test_slim_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x = small_matrix(seed=8)
    dense, n = x.csr.toarray().astype(np.float64), x.n_users
    alpha, ratio = 0.1, 0.2
    ours = om.models.SLIM(
        regularization=n * alpha * (1 - ratio), sparsity=n * alpha * ratio, tolerance=1e-8, iterations=5000
    ).fit(x)
    for column in range(5):
        others = dense.copy()
        others[:, column] = 0
        peer = linear_model.ElasticNet(
            alpha=alpha, l1_ratio=ratio, positive=True, fit_intercept=False, tol=1e-10, max_iter=20_000
        ).fit(others, dense[:, column])
        assert ours.weights[:, [column]].toarray().ravel() == pytest.approx(peer.coef_, abs=1e-5)


def test_slim_keeps_the_neighbours_asked_for_and_stops_when_told():
    x = small_matrix(seed=8)
    few = om.models.SLIM(regularization=1.0, sparsity=0.01, neighbors=2).fit(x)
    assert np.bincount(few.weights.indices, minlength=x.n_items).max() == 2
    assert om.models.SLIM(iterations=1).fit(x).weights.nnz > 0


def test_user_knn_by_hand():
    x = matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
    model = om.models.UserKNN(neighbors=2, similarity="jaccard", chosen="by person").fit(x)
    scores = model.score(x.take(np.array([0])), x.items.ids)[0]
    # person 3 holds the same items and has nothing to add; persons 1 (2/3) and 2 (1/3) speak
    assert scores == pytest.approx([2 / 3, 1, 2 / 3, 1 / 3])
    cosine = (
        om.models.UserKNN(neighbors=1, shrinkage=1.0, chosen="by person")
        .fit(x)
        .score(x.take(np.array([0])), x.items.ids)[0]
    )
    assert cosine == pytest.approx(np.array([1, 1, 1, 0]) * 2 / (np.sqrt(6) + 1))
    alike = model.similar_items([0], k=1)
    assert alike.to_frame()[["item_id", "score"]].to_numpy().tolist() == [[1, pytest.approx(3 / 4)]]


def test_people_who_would_choose_the_person_speak():
    x = matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]])
    model = om.models.UserKNN(neighbors=1, similarity="jaccard").fit(x)
    # nearest: 0 -> 1 (2/3), 1 -> 0 (2/3), 2 -> 3 (1/2), 3 -> 2 (1/2): only person 1 would choose person 0
    assert model.reach == pytest.approx([2 / 3, 2 / 3, 1 / 2, 1 / 2])
    assert model.score(x.take(np.array([0])), x.items.ids)[0] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0])
    assert (om.models.UserKNN(neighbors=9).fit(x).reach == 0).all()


def test_keep_largest_breaks_ties_by_column():
    rows = sp.csr_matrix(np.array([[1.0, 3, 3, 3], [0, 0, 0, 5]]))
    assert keep_largest(rows, 2).toarray().tolist() == [[0, 3, 3, 0], [0, 0, 0, 5]]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (om.models.GFCF(memory=10.0), r"GFCF\.fit needs .* items squared.* Use GFCF\(dense=False\)"),
        (om.models.GFCF(dense=False, memory=10.0), r"GFCF\.fit needs .* have together.* Use RP3beta"),
        (om.models.SLIM(memory=10.0), r"SLIM\.fit needs .* Use RP3beta or ItemKNN"),
    ],
)
def test_what_does_not_fit_in_memory_says_so(estimator, message):
    with pytest.raises(ParameterError, match=message):
        estimator.fit(small_matrix())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: om.models.PureSVD(factors=0), "factors must be an integer of at least 1"),
        (lambda: om.models.P3alpha(alpha=-1), "alpha must be"),
        (lambda: om.models.RP3beta(beta=-1), "beta must be"),
        (lambda: om.models.RP3beta(normalize=1), "normalize must be True or False"),
        (lambda: om.models.GFCF(low_pass=-1), "low_pass must be"),
        (lambda: om.models.SLIM(sparsity=-1), "sparsity must be"),
        (lambda: om.models.SLIM(neighbors=0), "neighbors must be"),
        (lambda: om.models.UserKNN(chosen="me"), "chosen must be one of 'by them', 'by person'"),
        (lambda: om.models.UserKNN(similarity="pearson"), "similarity must be one of 'cosine', 'jaccard'"),
        (lambda: om.Blend(models={}), "models must map names to estimators"),
        (lambda: om.Blend(models={"a": om.EASE()}, weights={"b": 1}), "weights names 'b', and the models are 'a'"),
        (lambda: om.Blend(models={"a": om.EASE()}, scale="z"), "scale must be one of"),
        (lambda: om.models.BlendModel.of({}), "there is no model to blend"),
        (lambda: om.models.BlendModel.of({"a": om.EASE()}), "takes a mapping of names to fitted models"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_blend_is_the_weighted_sum():
    x = small_matrix(seed=3)
    ease, knn = om.EASE(regularization=5.0).fit(x), om.ItemKNN().fit(x)
    plain = om.models.BlendModel.of({"ease": ease, "knn": knn}, weights={"knn": 0.25}, scale="none")
    a, b = (model.score(x, x.items.ids) for model in (ease, knn))
    assert plain.score(x, x.items.ids) == pytest.approx(a + 0.25 * b, rel=1e-5)
    even = om.models.BlendModel.of({"ease": ease, "knn": knn})
    spread = a / a.std(axis=1, keepdims=True) + b / b.std(axis=1, keepdims=True)
    assert even.score(x, x.items.ids) == pytest.approx(spread, rel=1e-4)
    ranks = om.models.BlendModel.of({"ease": ease}, scale="rank").recommend(x, k=5)
    assert (ranks.codes == ease.recommend(x, k=5).codes).all()
    assert plain.similar_items([0], k=3).k == 3


def test_a_blend_refuses_models_of_other_items():
    one, other = small_matrix(seed=1), small_matrix(n_items=9, seed=1)
    with pytest.raises(ParameterError, match="'b' and the first model know other items"):
        om.models.BlendModel.of({"a": om.Popularity().fit(one), "b": om.Popularity().fit(other)})


@pytest.mark.parametrize(
    "estimator",
    [
        om.models.PureSVD(factors=3),
        om.models.UserKNN(neighbors=4, similarity="jaccard"),
        om.models.SLIM(),
        om.models.GFCF(factors=3),
        om.Blend(
            models={"svd": om.models.PureSVD(factors=2), "knn": om.models.UserKNN(), "walk": om.models.RP3beta()},
            scale="rank",
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_files_keep_every_model(estimator, tmp_path):
    x = small_matrix(seed=9)
    model = estimator.fit(x)
    again = om.load(om.save(model, tmp_path / "model.omnireco"))
    assert repr(again) == repr(model)
    one, other = (m.recommend(x, k=6) for m in (model, again))
    assert (one.codes == other.codes).all()
    assert (one.scores == other.scores).all()


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day", "event"])
    stamps = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(frame["day"], unit="D")
    return om.EventLog.from_frame(frame.assign(channel="web", timestamp=stamps).drop(columns="day"))


def test_steps_decay_by_instant_not_by_row():
    log = log_of([(1, "a", 0, "buy"), (1, "b", 1, "buy"), (1, "c", 1, "buy"), (1, "d", 9, "buy"), (2, "a", 9, "buy")])
    x = log.matrix(om.Weights(step_half_life=1.0))
    assert x.to_scipy().toarray().tolist() == [[0.25, 0.5, 0.5, 1.0], [1.0, 0, 0, 0]]
    no_b = log_of([(1, "a", 0, "buy"), (1, "b", 1, "view"), (1, "d", 9, "buy")])  # what weighs 0 is no step
    assert no_b.matrix(om.Weights(events={"view": 0}, step_half_life=1.0)).to_scipy().toarray().tolist() == [
        [0.5, 0, 1]
    ]
    with pytest.raises(ParameterError, match="step_half_life must be greater than 0"):
        om.Weights(step_half_life=0)


def test_next_item_is_its_ridge():
    rows = [(1, "a", 0, "buy"), (1, "b", 1, "buy"), (1, "c", 2, "buy"), (2, "b", 0, "buy"), (2, "c", 1, "buy")]
    rows += [(2, "a", 1, "buy"), (3, "c", 0, "buy")]
    model = om.models.NextItem(regularization=2.0, weights=om.Weights(step_half_life=1.0), context_steps=1).fit(
        log_of(rows)
    )
    z = np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])  # before: b of 1, c of 1, the pair {a, c} of 2
    y = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 1]])
    assert model.weights == pytest.approx(np.linalg.solve(z.T @ z + 2 * np.eye(3), z.T @ y), abs=1e-6)
    z[1, 0] = 0.5  # a wider window also sees a, one step further back
    wide = om.models.NextItem(regularization=2.0, weights=om.Weights(step_half_life=1.0), context_steps=5).fit(
        log_of(rows)
    )
    assert wide.weights == pytest.approx(np.linalg.solve(z.T @ z + 2 * np.eye(3), z.T @ y), abs=1e-6)
    assert model.popularity.tolist() == [2, 2, 3]


def test_next_item_predicts_one_type_from_all():
    rows = [(1, "a", 0, "view"), (1, "b", 1, "buy"), (1, "c", 2, "view"), (2, "a", 0, "view"), (2, "b", 3, "buy")]
    model = om.models.NextItem(regularization=1.0, events=["buy"]).fit(log_of(rows))
    assert model.weights[0, 1] > 0
    assert (model.weights[:, [0, 2]] == 0).all()


def test_next_item_refuses():
    with pytest.raises(om.errors.EmptyError, match="did one thing after another"):
        om.models.NextItem().fit(log_of([(1, "a", 0, "buy"), (2, "b", 1, "buy")]))
    with pytest.raises(ParameterError, match=r"'sell' is a name that nothing here has\. Known: 'buy'"):
        om.models.NextItem(events=["sell"]).fit(log_of([(1, "a", 0, "buy"), (1, "b", 1, "buy")]))
    with pytest.raises(ParameterError, match=r"NextItem\.fit needs"):
        om.models.NextItem(memory=1.0).fit(log_of([(1, "a", 0, "buy"), (1, "b", 1, "buy")]))
    with pytest.raises(ParameterError, match="weights must be a Weights"):
        om.models.NextItem(weights=0.7)


def test_gfcf_in_two_parts_gives_the_scores_of_the_dense_matrix():
    x = small_matrix()
    whole, parts = om.models.GFCF(factors=4).fit(x), om.models.GFCF(factors=4, dense=False).fit(x)
    assert parts.score(x, x.items.ids) == pytest.approx(whole.score(x, x.items.ids), abs=1e-5)


def test_singular_vectors_of_few_people_and_many_items_need_no_items_squared():
    from omnireco.models.matrix import svd

    x = sp.random(6, 5000, 0.01, format="csr", random_state=0)
    vectors, values = svd.right_singular_vectors(x, 4)
    _, expected, rows = np.linalg.svd(x.toarray(), full_matrices=False)
    assert values == pytest.approx(expected[:4])
    assert np.abs((vectors * rows[:4].T).sum(axis=0)) == pytest.approx(np.ones(4))


@pytest.mark.parametrize("similarity", ["cosine", "asymmetric", "jaccard", "dice", "tversky"])
def test_neighbours_of_items_are_the_same_compiled_and_on_threads(similarity):
    from omnireco._core.compute import always_compiled
    from omnireco._kernels.similarity import nearest

    for seed in range(6):
        x = sp.random(200, 150, density=0.1, random_state=seed, format="csr", dtype=np.float32)
        x.data = np.round(3 * x.data) - seed % 2  # equal similarities at the last place, and dislikes
        x.eliminate_zeros()
        rules = {"neighbors": [1, 5, 400][seed % 3], "shrinkage": float(seed % 2), "alpha": 0.3, "beta": 0.4}
        plain = nearest(x, similarity, **rules)
        with always_compiled():
            for threads in (1, 2):
                found = nearest(x, similarity, threads=threads, **rules)
                for part in ("indptr", "indices", "data"):
                    np.testing.assert_array_equal(getattr(found, part), getattr(plain, part))
