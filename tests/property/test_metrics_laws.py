"""Laws every metric keeps, on lists and truth that hypothesis makes up."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco.evaluation.metrics import RankedLists

ACCURACY = [
    om.ndcg,
    partial(om.ndcg, ideal="all"),
    om.recall,
    partial(om.recall, divide_by="achievable"),
    om.precision,
    om.evaluation.mean_reciprocal_rank,
    om.hit_rate,
    om.evaluation.average_precision,
    partial(om.evaluation.average_precision, divide_by="relevant"),
]
PERFECT = [
    om.ndcg,
    partial(om.recall, divide_by="achievable"),
    om.evaluation.mean_reciprocal_rank,
    om.hit_rate,
    om.evaluation.average_precision,
]


@st.composite
def ranked(draw):
    """One to six users with lists of one to eight places, some of which end early."""
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    length = np.array(draw(st.lists(st.integers(0, k), min_size=n, max_size=n)))
    listed = np.arange(k) < length[:, None]
    hits = np.array(draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=n, max_size=n))) & listed
    missed = np.array(draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)))
    codes = np.where(listed, np.arange(k) + 20 * np.arange(n)[:, None], -1).astype(np.int32)
    return RankedLists(codes, hits, np.maximum(hits.sum(1) + missed, 1))


@st.composite
def world(draw):
    """Frames of lists and truth over few users and items, so that they meet."""
    users, items = range(draw(st.integers(1, 6))), list(range(draw(st.integers(2, 9))))
    lists = {u: draw(st.permutations(items))[: draw(st.integers(1, len(items)))] for u in users}
    truth = {u: draw(st.sets(st.integers(0, len(items) + 2), max_size=len(items))) for u in users}
    assume(any(truth.values()))
    rows = [(u, i, rank) for u in users for rank, i in enumerate(lists[u], 1)]
    chosen = [(u, i) for u in users for i in truth[u]]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "rank"]), pd.DataFrame(
        chosen, columns=["user_id", "item_id"]
    )


@given(ranked())
def test_between_zero_and_one(lists):
    for metric in ACCURACY:
        values = metric(lists)
        assert values.shape == (lists.n_users,)
        assert ((values >= 0) & (values <= 1)).all(), metric


@given(ranked(), st.randoms(use_true_random=False))
def test_turning_a_miss_into_a_hit_never_lowers(lists, random):
    misses = np.argwhere(~lists.hits & (lists.codes >= 0) & (lists.hits.sum(1) < lists.n_relevant)[:, None])
    assume(len(misses))
    user, rank = misses[random.randrange(len(misses))]
    hits = lists.hits.copy()
    hits[user, rank] = True
    better = RankedLists(lists.codes, hits, lists.n_relevant)
    for metric in ACCURACY:
        assert (metric(better) >= metric(lists) - 1e-15).all(), metric


@given(ranked(), st.randoms(use_true_random=False))
def test_moving_a_hit_up_never_lowers(lists, random):
    movable = np.argwhere(lists.hits[:, 1:] & ~lists.hits[:, :-1])
    assume(len(movable))
    user, rank = movable[random.randrange(len(movable))]
    hits = lists.hits.copy()
    hits[user, [rank, rank + 1]] = True, False
    better = RankedLists(lists.codes, hits, lists.n_relevant)
    for metric in ACCURACY:
        assert (metric(better) >= metric(lists) - 1e-15).all(), metric


@given(ranked())
def test_longer_lists_never_find_less(lists):
    for metric in (om.recall, om.hit_rate, om.evaluation.mean_reciprocal_rank, partial(om.ndcg, ideal="all")):
        for k in range(1, lists.k):
            assert (metric(lists.head(k)) <= metric(lists.head(k + 1))).all(), metric


@given(st.integers(1, 12), st.integers(1, 30))
def test_a_perfect_list_scores_exactly_one(k, n_relevant):
    codes = np.arange(k, dtype=np.int32)[None]
    lists = RankedLists(codes, codes < n_relevant, np.array([n_relevant]))
    for metric in PERFECT:
        assert metric(lists)[0] == 1, metric
    if n_relevant <= k:
        assert om.recall(lists)[0] == om.ndcg(lists, ideal="all")[0] == 1
    if n_relevant >= k:
        assert om.precision(lists)[0] == 1


@settings(max_examples=40, deadline=None)
@given(world(), st.randoms(use_true_random=False))
def test_order_of_rows_and_duplicates_change_nothing(frames, random):
    lists, truth = frames
    k = int(lists["rank"].max())
    shuffled = lists.sample(frac=1, random_state=random.randrange(1 << 30))
    doubled = pd.concat([truth, truth]).sample(frac=1, random_state=random.randrange(1 << 30))
    given_ = {
        "k": [1, k] if k > 1 else 1,
        "metrics": [*ACCURACY, om.coverage, om.evaluation.novelty, om.evaluation.diversity],
    }
    lists_of = {"train": lists, "n_bootstrap": 20}
    one = om.evaluate({"m": lists}, truth, **given_, **lists_of)
    two = om.evaluate({"m": shuffled}, doubled, **given_, **(lists_of | {"train": shuffled}))
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame(), check_exact=True)


@settings(max_examples=40, deadline=None)
@given(world(), st.booleans())
def test_names_of_people_and_items_change_nothing(frames, keep_order):
    lists, truth = frames
    sign = 1 if keep_order else -1  # -1 turns the order of users and items around
    metrics = [*ACCURACY, om.coverage, om.evaluation.novelty, om.evaluation.diversity]
    k = int(lists["rank"].max())

    def renamed(frame):
        ids = {name: [f"{500 + sign * value:04d}" for value in frame[name]] for name in ("user_id", "item_id")}
        return frame.assign(**ids)

    one = om.evaluate({"m": lists}, truth, k=k, metrics=metrics, train=lists, n_bootstrap=20).to_frame()
    two = om.evaluate(
        {"m": renamed(lists)}, renamed(truth), k=k, metrics=metrics, train=renamed(lists), n_bootstrap=20
    ).to_frame()
    kept = list(one.columns) if keep_order else ["model", "metric", "k", "mean", "n_users"]
    pd.testing.assert_frame_equal(one[kept], two[kept], rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(world())
def test_evaluating_more_models_or_lengths_changes_no_number(frames):
    lists, truth = frames
    k = int(lists["rank"].max())
    alone = om.evaluate({"m": lists}, truth, k=1, metrics=[om.ndcg], n_bootstrap=20).to_frame()
    more = om.evaluate(
        {"other": lists, "m": lists}, truth, k=sorted({1, k}), metrics=[om.recall, om.ndcg], n_bootstrap=20
    ).to_frame()
    same = more[(more.model == "m") & (more.metric == "ndcg") & (more.k == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, same, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(world())
def test_the_mean_lies_inside_its_interval(frames):
    lists, truth = frames
    frame = om.evaluate({"m": lists}, truth, k=1, metrics=ACCURACY, n_bootstrap=200).to_frame().dropna()
    assert (frame["low"] <= frame["mean"] + 1e-12).all()
    assert (frame["mean"] <= frame["high"] + 1e-12).all()
    assert frame["low"].to_numpy() == pytest.approx(np.clip(frame["low"], 0, 1))
