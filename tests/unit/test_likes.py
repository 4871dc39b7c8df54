"""Likes, dislikes and grades: from events to weight and target, through every model, excluded at once."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.testing import small_matrix


def log(rows, value=None):
    """Rows of (user, item, event); one a day, in order."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event"]).assign(channel="app")
    frame["timestamp"] = pd.date_range("2025-05-01", periods=len(frame), tz="UTC")
    if value is not None:
        frame["value"] = value
    return om.EventLog.from_frame(frame)


def cells(x):
    return {(u, i): (w, t) for u, i, w, t in x.to_frame().itertuples(index=False)}


def test_a_cell_is_the_weighted_mean_of_what_its_events_say():
    x = log([("a", 1, "view"), ("a", 1, "like"), ("a", 2, "view"), ("b", 1, "view")]).matrix(
        om.Weights(events={"like": 3}, targets={"view": 0.2, "like": 1})
    )
    fifth = pytest.approx(0.2)
    assert cells(x) == {("a", 1): (4, pytest.approx(0.8)), ("a", 2): (1, fifth), ("b", 1): (1, fifth)}
    assert x.layers["app"].nnz == x.nnz


def test_the_last_verdict_settles_a_cell():
    rows = [("a", 1, "like"), ("a", 1, "dislike"), ("a", 1, "view"), ("a", 2, "dislike"), ("a", 2, "like")]
    weights = om.Weights(targets={"like": 1, "dislike": 0}, verdicts=["like", "dislike"], events={"dislike": 2})
    assert cells(log(rows).matrix(weights)) == {("a", 1): (2, 0), ("a", 2): (1, 1)}
    by_default = om.Weights(targets={"like": 1, "dislike": 0})
    assert by_default.verdicts == ("dislike",)
    assert cells(log(rows).matrix(by_default))[("a", 1)] == (1, 0)  # a view after it does not undo a dislike
    fading = om.Weights(targets={"like": 1, "dislike": 0}, half_life="1D", verdicts=["like", "dislike"])
    assert cells(log(rows).matrix(fading))[("a", 2)][1] == 1


def test_ratings_are_graded_by_value_with_straight_lines_between():
    rows = [("a", item, "rating") for item in range(4)]
    x = log(rows, [1.0, 3.0, 4.0, 9.0]).matrix(om.Weights(targets={"rating": {1: 0, 4: 0.75, 5: 1}}))
    assert x.targets.data.tolist() == [0, 0.5, 0.75, 1]
    with pytest.raises(SchemaError, match="this log has no values"):
        log(rows).matrix(om.Weights(targets={"rating": {1: 0, 5: 1}}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": {"like": 2}}, r"targets\['like'\] must be a number"),
        ({"targets": {}}, "targets must map event types to numbers"),
        ({"targets": {"rating": {}}}, "maps no value"),
        ({"verdicts": ["like"]}, "verdicts need targets"),
        ({"targets": {"like": 1}, "events": {"return": -1}}, "'return' a weight below 0"),
    ],
)
def test_weights_refuse(arguments, message):
    with pytest.raises(ParameterError, match=message):
        om.Weights(**arguments)


def test_a_negative_value_is_no_weight_of_a_target():
    rows = log([("a", 1, "buy"), ("b", 1, "buy")], [3.0, -3.0])
    with pytest.raises(SchemaError, match="1 of 2 events weigh less than 0"):
        rows.matrix(om.Weights(targets={"buy": 1}, value="linear"))


def test_frames_carry_targets_and_everything_keeps_them(tmp_path):
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": list("aba"), "weight": [1.0, 2, 1], "target": [1.0, 0, 0.5]})
    x = om.Interactions.from_frame(frame)
    assert x.to_frame().equals(om.Interactions.from_frame(frame.iloc[::-1]).to_frame())
    assert cells(x.rows([2, 1])) == cells(x)
    moved = x.with_items(om.data.Vocabulary.from_ids(np.array(["b", "c", "a"], object), "item_id"))
    assert cells(moved) == cells(x)
    om.save(x, tmp_path / "x.omni")
    assert cells(om.load(tmp_path / "x.omni")) == cells(x)
    other = om.Interactions.from_frame(frame.assign(target=1.0))
    assert om.data.fingerprint(x) != om.data.fingerprint(other)
    assert x.without_targets().csr.toarray().tolist() == [[1, 0], [0.5, 0]]
    assert x.rejected().toarray().tolist() == [[0, 1], [0, 0]]
    with pytest.raises(SchemaError, match="1 of 3 rows have a target outside"):
        om.Interactions.from_frame(frame.assign(target=[1.0, 0, 3]))
    with pytest.raises(SchemaError, match="the same cells as csr"):
        om.Interactions(x.users, x.items, x.csr, x.layers, None, sp.csr_matrix(x.csr[:, ::-1]))


def graded(seed=3, zero=0.3):
    """A matrix with targets, some of them 0; no row and no column is all zeros."""
    x = small_matrix(n_users=40, n_items=25, seed=seed)
    aims = np.random.default_rng(seed).choice([0.0, 0.5, 1.0], x.nnz, p=[zero, 0.2, 0.8 - zero]).astype(np.float32)
    targets = sp.csr_matrix((aims, x.csr.indices.copy(), x.csr.indptr.copy()), x.shape)
    return om.Interactions(x.users, x.items, x.csr, x.layers, None, targets)


MODELS = [
    om.ALS(factors=4, iterations=3),
    om.EASE(regularization=5.0),
    om.ItemKNN(),
    om.models.UserKNN(),
    om.models.RP3beta(),
    om.models.PureSVD(factors=3),
    om.models.GFCF(factors=3),
    om.Popularity(),
    om.BuyAgain(),
    om.models.CrossChannel(estimator=om.ALS(factors=4, iterations=3)),
    om.Blend(models={"als": om.ALS(factors=4, iterations=3), "ease": om.EASE(regularization=5.0)}),
]


@pytest.mark.parametrize("estimator", MODELS, ids=lambda e: type(e).__name__)
def test_what_was_rejected_is_never_shown_and_batches_agree(estimator):
    x = graded()
    model = estimator.fit(x)
    rejected = x.rejected().toarray() > 0
    for exclude_seen in (True, False):
        recs = model.recommend(x, k=x.n_items, exclude_seen=exclude_seen)
        for row, codes in enumerate(recs.codes):
            shown = set(codes[codes >= 0].tolist())
            barred = (x.csr[[row]].toarray().ravel() != 0) if exclude_seen else rejected[row]
            assert shown.isdisjoint(np.flatnonzero(barred))
            assert len(shown) == x.n_items - barred.sum()
    one = model.recommend(x.rows([x.users.ids[7]]), k=5)
    assert (one.codes[0] == model.recommend(x, k=5).codes[7]).all()
    flipped = model.recommend(x.take(np.arange(x.n_users)[::-1].copy()), k=5)
    assert (flipped.codes[::-1] == model.recommend(x, k=5).codes).all()
    scores = model.score(x, x.items.ids)
    recs = model.recommend(x, k=3)
    np.testing.assert_allclose(np.take_along_axis(scores, recs.codes, 1), recs.scores, rtol=1e-5, atol=1e-6)


def test_models_without_targets_learn_from_weight_times_target():
    x = graded()
    ours, plain = om.EASE(regularization=5.0).fit(x), om.EASE(regularization=5.0).fit(x.without_targets())
    np.testing.assert_array_equal(ours.weights, plain.weights)
    assert om.Popularity().fit(x).popularity.sum() == (x.targets.data > 0).sum()


def test_als_reads_weight_and_target_apart():
    x = graded()
    bare = om.Interactions(x.users, x.items, x.csr, x.layers)
    aims = om.Interactions.from_scipy(x.targets, users=x.users, items=x.items)
    estimator = om.ALS(factors=4, iterations=3)
    model, other = estimator.fit(x), estimator.fit(bare.with_targets(aims))
    np.testing.assert_array_equal(model.factors, other.factors)
    np.testing.assert_array_equal(model.place(x), other.place(bare, aims))
    assert estimator.loss(x, model) == estimator.loss(bare, other, aims)
    with pytest.raises(ParameterError, match="x has targets of its own"):
        estimator.loss(x, model, aims)
    with pytest.raises(TypeError, match=r"Write ALS\(...\).fit\(om.Dataset\(events\)\)"):
        estimator.fit(x, aims)
    with pytest.raises(ParameterError, match="graded=True"):
        om.ALS(graded=True).fit(x)
    told = om.models.explain(model, x, model.recommend(x, k=3))
    table = told.to_frame().groupby(["user_id", "item_id"])["contribution"].sum()
    recs = model.recommend(x, k=3).to_frame().set_index(["user_id", "item_id"])["score"]
    np.testing.assert_allclose(table.reindex(recs.index, fill_value=0.0), recs, rtol=1e-4, atol=1e-5)


def test_who_only_disliked_gets_what_is_popular_without_it():
    frame = pd.DataFrame(
        {"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa"), "weight": 1.0, "target": [1.0, 1, 1, 0.5, 0]}
    )
    x = om.Interactions.from_frame(frame)
    for estimator in (om.ALS(factors=2), om.EASE(regularization=1.0)):
        model = estimator.fit(x)
        assert model.recommend(x.rows([3]), k=2, exclude_seen=False).to_frame()["item_id"].tolist() == ["b"]
        assert (model.score(x.rows([3]), x.items.ids) == model.popularity).all()
    with pytest.raises(EmptyError, match="all 5 cells have the target 0"):
        om.EASE().fit(om.Interactions.from_frame(frame.assign(target=0.0)))
