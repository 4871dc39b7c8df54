"""Our metrics against plain loops, scikit-learn and ranx, to 1e-9."""

import math
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

import omnireco as om

N_USERS, N_ITEMS = 60, 40


def world(seed, *, longest=20):
    """Ragged lists with scores and truth of 1 to 12 items, some of which no list could hold."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(N_USERS, N_ITEMS))
    lists = {u: np.argsort(-scores[u])[: random.integers(3, longest + 1)] for u in range(N_USERS)}
    lists[0] = np.argsort(-scores[0])[:longest]
    truth = {u: set(random.choice(N_ITEMS + 5, random.integers(1, 13), replace=False)) for u in range(N_USERS)}
    frame = pd.DataFrame(
        [(u, i, scores[u, i]) for u in lists for i in lists[u]], columns=["user_id", "item_id", "score"]
    )
    chosen = pd.DataFrame([(u, i) for u in truth for i in truth[u]], columns=["user_id", "item_id"])
    return scores, lists, truth, frame, chosen


def loop_ndcg(items, relevant, k, *, every=False):
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(items[:k], 1) if item in relevant)
    best = len(relevant) if every else min(k, len(relevant))
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, best + 1))


def loop_recall(items, relevant, k, *, achievable=False):
    return len(relevant & set(items[:k])) / (min(k, len(relevant)) if achievable else len(relevant))


def loop_precision(items, relevant, k):
    return len(relevant & set(items[:k])) / k


def loop_reciprocal_rank(items, relevant, k):
    return next((1 / rank for rank, item in enumerate(items[:k], 1) if item in relevant), 0.0)


def loop_hit(items, relevant, k):
    return float(any(item in relevant for item in items[:k]))


def loop_average_precision(items, relevant, k, *, every=False):
    total = sum(
        loop_precision(items, relevant, r) for r in range(1, min(k, len(items)) + 1) if items[r - 1] in relevant
    )
    return total / (len(relevant) if every else min(k, len(relevant)))


@pytest.mark.parametrize(
    ("metric", "loop"),
    [
        (om.ndcg, loop_ndcg),
        (partial(om.ndcg, ideal="all"), partial(loop_ndcg, every=True)),
        (om.recall, loop_recall),
        (partial(om.recall, divide_by="achievable"), partial(loop_recall, achievable=True)),
        (om.precision, loop_precision),
        (om.evaluation.mean_reciprocal_rank, loop_reciprocal_rank),
        (om.hit_rate, loop_hit),
        (om.evaluation.average_precision, loop_average_precision),
        (partial(om.evaluation.average_precision, divide_by="relevant"), partial(loop_average_precision, every=True)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_accuracy_equals_a_plain_loop(metric, loop, seed):
    _, lists, truth, frame, chosen = world(seed)
    for k in (1, 5, 20):
        report = om.evaluate({"m": frame}, chosen, k=k, metrics=[metric], n_bootstrap=0)
        found = report.per_user("m", metric)
        expected = [loop(list(lists[u]), truth[u], k) for u in found["user_id"]]
        np.testing.assert_allclose(found["value"], expected, rtol=0, atol=1e-12)


def test_novelty_and_diversity_equal_a_plain_loop():
    _, lists, _, frame, chosen = world(0)
    random = np.random.default_rng(1)
    train = pd.DataFrame({"user_id": random.integers(0, 25, 300), "item_id": random.integers(0, N_ITEMS - 4, 300)})
    owners = {i: set(train.user_id[train.item_id == i]) for i in range(N_ITEMS)}
    category = {i: None if i % 7 == 0 else f"c{i % 3}" for i in range(N_ITEMS)}
    catalog = pd.DataFrame({"item_id": list(category), "category": list(category.values())})
    by_category = partial(om.evaluation.diversity, by="category")
    report = om.evaluate(
        {"m": frame},
        chosen,
        k=10,
        metrics=[om.evaluation.novelty, om.evaluation.diversity],
        train=train,
    )
    goods = om.Dataset(catalog=om.Catalog.from_frame(catalog))
    described = om.evaluate({"m": frame}, chosen, k=10, metrics=[by_category], train=goods)
    n = train.user_id.nunique()

    def novelty(items):
        return np.mean([-math.log2(max(1, len(owners[i])) / n) for i in items])

    def distance(items, known, between):
        kept = [i for i in items if known(i)]
        pairs = [between(a, b) for at, a in enumerate(kept) for b in kept[at + 1 :]]
        return np.mean(pairs) if pairs else np.nan

    def cosine(a, b):
        return 1 - len(owners[a] & owners[b]) / math.sqrt(len(owners[a]) * len(owners[b]))

    for u in range(N_USERS):
        items = list(lists[u][:10])
        expected = [
            novelty(items),
            distance(items, lambda i: owners[i], cosine),
            distance(items, category.get, lambda a, b: category[a] != category[b]),
        ]
        found = [
            made.per_user("m", metric)["value"][u]
            for made, metric in (
                (report, om.evaluation.novelty),
                (report, om.evaluation.diversity),
                (described, by_category),
            )
        ]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_ndcg_equals_scikit_learn(seed):
    from sklearn.metrics import ndcg_score

    random = np.random.default_rng(seed)
    scores = random.normal(size=(N_USERS, N_ITEMS))
    relevant = random.random((N_USERS, N_ITEMS)) < 0.15
    relevant[:, 0] = True
    user, item = np.indices(scores.shape).reshape(2, -1)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "score": scores.ravel()})
    chosen = frame[relevant.ravel()][["user_id", "item_id"]]
    report = om.evaluate({"m": frame}, chosen, k=[1, 5, 20, N_ITEMS], metrics=[om.ndcg], n_bootstrap=0)
    for row in report.to_frame().itertuples():
        assert row.mean == pytest.approx(ndcg_score(relevant, scores, k=row.k), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_whole_rankings_equals_scikit_learn(seed):
    from sklearn.metrics import label_ranking_average_precision_score

    random = np.random.default_rng(seed)
    scores = random.normal(size=(N_USERS, N_ITEMS))
    relevant = random.random((N_USERS, N_ITEMS)) < 0.15
    relevant[:, 3] = True
    user, item = np.indices(scores.shape).reshape(2, -1)
    frame = pd.DataFrame({"user_id": user, "item_id": item, "score": scores.ravel()})
    chosen = frame[relevant.ravel()][["user_id", "item_id"]]
    report = om.evaluate({"m": frame}, chosen, k=N_ITEMS, metrics=[om.evaluation.average_precision], n_bootstrap=0)
    expected = label_ranking_average_precision_score(relevant, scores)
    assert report.to_frame().loc[0, "mean"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow  # ranx compiles itself for a minute
def test_means_equal_ranx():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's own deprecations are not ours to fix
        ranx = pytest.importorskip("ranx", reason="ranx is a referee, not a dependency")
        _, lists, truth, frame, chosen = world(7)
        qrels = ranx.Qrels({str(u): {str(i): 1 for i in truth[u]} for u in truth})
        run = ranx.Run({str(u): {str(i): float(-r) for r, i in enumerate(lists[u])} for u in lists})
        theirs = ranx.evaluate(qrels, run, [f"{name}@{k}" for name in ("ndcg", "mrr", "map") for k in (5, 20)])
    metrics = [
        om.ndcg,
        om.evaluation.mean_reciprocal_rank,
        partial(om.evaluation.average_precision, divide_by="relevant"),
    ]
    ours = om.evaluate({"m": frame}, chosen, k=[5, 20], metrics=metrics, n_bootstrap=0).to_frame()["mean"]
    np.testing.assert_allclose(ours, list(theirs.values()), rtol=0, atol=1e-9)
