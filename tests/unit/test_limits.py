"""Determinants by brute force, limits by counting, stability by looking for somebody who was wronged."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.testing import small_matrix


def long_lists(seed=1, k=12):
    x = small_matrix(seed=seed)
    model = om.EASE(regularization=5.0).fit(x)
    return x, model, model.recommend(x, k=k, exclude_seen=False), om.ItemKNN(neighbors=30).fit(x)


@pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.9])
def test_each_pick_is_the_one_that_raises_the_determinant_most(trade_off):
    _, _, lists, alike = long_lists()
    found = om.models.dpp(lists, k=4, trade_off=trade_off, similarity=alike)
    wide = alike.weights.toarray().astype(np.float64)
    for row in range(10):
        codes = lists.codes[row]
        kernel = wide[np.ix_(codes, codes)]
        kernel = (kernel + kernel.T) / 2 / np.abs(wide).max()
        np.fill_diagonal(kernel, 1.0)
        lack = max(0.0, 1e-10 - np.linalg.eigvalsh(kernel)[0])
        kernel = (kernel + lack * np.eye(len(codes))) / (1 + lack)
        score = lists.scores[row].astype(np.float64)
        relevance = (score - score.min()) / (score.max() - score.min())
        quality = np.exp(relevance * trade_off / (2 * (1 - trade_off)))
        full = quality[:, None] * kernel * quality[None, :]
        picked = []
        for _ in range(4):
            gains = [
                np.linalg.det(full[np.ix_([*picked, c], [*picked, c])]) if c not in picked else -np.inf
                for c in range(len(codes))
            ]
            picked.append(int(np.argmax(gains)))
        assert found.codes[row].tolist() == codes[picked].tolist()


def test_dpp_at_its_ends_and_edges():
    _, _, lists, alike = long_lists()
    assert (om.models.dpp(lists, k=5, trade_off=1.0, similarity=alike).codes == lists.codes[:, :5]).all()
    assert om.models.dpp(lists, k=30, trade_off=0.5, similarity=alike).codes.shape == (40, 30)
    one = om.models.dpp(lists.rows(lists.users.ids[[3]]), k=5, trade_off=0.4, similarity=alike)
    assert (one.codes[0] == om.models.dpp(lists, k=5, trade_off=0.4, similarity=alike).codes[3]).all()


def test_dpp_sees_the_set_where_mmr_sees_pairs_and_twins_come_last():
    twins = np.eye(4, dtype=np.float32)
    twins[0, 1] = twins[1, 0] = 1.0
    alike = om.models.ItemModel(
        om.data.Vocabulary(np.arange(4)), np.ones(4, np.float32), twins - np.eye(4, dtype=np.float32)
    )
    lists = om.Recommendations.from_frame(
        pd.DataFrame({"user_id": 1, "item_id": range(4), "score": [4.0, 3.9, 2.0, 1.0]})
    )
    assert om.models.dpp(lists, k=4, trade_off=0.7, similarity=alike).codes[0].tolist() == [0, 2, 3, 1]


def test_best_sellers_by_hand():
    x = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 3, 4, 1, 2, 3, 1], "item_id": list("aaaabbcd")}))
    model = om.Popularity().fit(x)  # a 4, b 2, c 1, d 1: half of all is a
    lists = model.recommend(x, k=4, exclude_seen=False)
    assert om.models.limit_popularity(lists, model, k=3, max_popular=0).codes[0].tolist() == [1, 2, 3]
    assert om.models.limit_popularity(lists, model, k=3, max_popular=1, share=0.7).codes[0].tolist() == [0, 2, 3]
    assert om.models.limit_popularity(lists, model, k=3, max_popular=0, share=1.0).codes[0].tolist() == [-1, -1, -1]
    assert om.models.limit_popularity(lists, model, k=2, max_popular=0, share=0.0).codes[0].tolist() == [0, 1]


@given(st.integers(0, 1000), st.integers(0, 5), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_nobody_is_wronged_by_a_limit(seed, most, k):
    draw = np.random.default_rng(seed)
    codes = np.array([draw.permutation(6)[:5] for _ in range(9)], np.int32)
    scores = -np.sort(-draw.random((9, 5)).astype(np.float32), axis=1)
    users, items = om.data.Vocabulary(np.arange(9)), om.data.Vocabulary(np.arange(6))
    lists = om.Recommendations(users, items, codes, scores)
    found = om.models.limit_exposure(lists, k=k, max_per_item=most)
    shown = [[c for c in row if c >= 0] for row in found.codes.tolist()]
    counts = np.bincount(list(itertools.chain(*shown)), minlength=6)
    assert (counts <= most).all()
    place = {(u, int(c)): p for u in range(9) for p, c in enumerate(codes[u])}
    for u in range(9):
        assert [place[u, c] for c in shown[u]] == sorted(place[u, c] for c in shown[u])
        worst = max((place[u, c] for c in shown[u]), default=-1) if len(shown[u]) == k else 5
        for c in codes[u].tolist():
            if c in shown[u] or place[u, c] > worst:
                continue
            keepers = [v for v in range(9) if c in shown[v]]
            assert len(keepers) == most
            assert all(place[v, c] <= place[u, c] for v in keepers)


def test_limits_of_single_items():
    x, _, lists, _ = long_lists()
    item = lists.items.ids[lists.codes[0, 0]]
    found = om.models.limit_exposure(lists, k=5, max_per_item={item: 2})
    assert (found.codes == lists.codes[0, 0]).sum() <= 2
    assert (om.models.limit_exposure(lists, k=5, max_per_item={}).codes == lists.codes[:, :5]).all()
    assert (om.models.limit_exposure(lists, k=5, max_per_item=0).codes == -1).all()
    assert x.n_users == len(found)


def test_the_cost_of_a_rule_is_the_paired_difference():
    x, model, lists, alike = long_lists()
    truth = x.take(np.arange(20))
    changed = {"same": lists.head(5), "dpp": om.models.dpp(lists, k=5, trade_off=0.2, similarity=alike)}
    table = om.evaluation.cost_of(changed, lists, truth, k=5, metrics=[om.ndcg, om.recall]).set_index(
        ["model", "metric"]
    )
    assert (table.loc["same", ["difference", "changed"]] == 0).all().all()
    report = om.evaluate({"a": lists.head(5), "b": changed["dpp"]}, truth, k=5, metrics=[om.ndcg])
    assert table.loc[("dpp", "ndcg"), "difference"] == report.differences("a")["difference"][0]
    new = [len(set(a) - set(b)) / 5 for a, b in zip(changed["dpp"].codes, lists.codes[:, :5], strict=True)]
    assert table.loc[("dpp", "ndcg"), "changed"] == pytest.approx(np.mean(new))
    assert model.items == lists.items


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x, m, r, s: om.models.dpp(r, k=3, trade_off=2, similarity=s), "trade_off"),
        (
            lambda x, m, r, s: om.models.dpp(r, k=3, trade_off=0.5, similarity=om.Popularity().fit(x)),
            "must be an ItemModel",
        ),
        (lambda x, m, r, s: om.models.limit_popularity(r, om.EASE(), k=3, max_popular=1), "must be a fitted model"),
        (
            lambda x, m, r, s: om.models.limit_popularity(r, m, k=3, max_popular=-1),
            "max_popular must be an integer of at least 0",
        ),
        (lambda x, m, r, s: om.models.limit_popularity(r, m, k=3, max_popular=1, share=2), "share"),
        (
            lambda x, m, r, s: om.models.limit_exposure(r, k=3, max_per_item=-1),
            "max_per_item must be an integer of at least 0",
        ),
        (lambda x, m, r, s: om.evaluation.cost_of([r], r, x, k=3), "cost_of takes lists"),
        (lambda x, m, r, s: om.evaluation.cost_of({"before": r}, r, x, k=3), "another name than 'before'"),
    ],
)
def test_refusals(call, says):
    with pytest.raises((ParameterError, TypeError, ValueError), match=says):
        call(*long_lists())
