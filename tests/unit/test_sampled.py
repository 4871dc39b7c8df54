"""Sampled metrics: refused without the explicit word, marked wherever shown, and right by hand when asked for."""

import functools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.evaluation import SampledNegatives
from omnireco.testing import small_matrix


def setting():
    x = small_matrix(n_users=40, n_items=25, seed=3)
    truth = pd.DataFrame({"user_id": np.arange(40), "item_id": np.arange(40) % 25})
    return x, om.ItemKNN().fit(x).recommend(x, k=25, exclude_seen=False), truth


def test_no_negatives_without_the_word():
    _, lists, truth = setting()
    for word in (10, True, om.evaluation.SampledNegatives):
        with pytest.raises(ParameterError, match=r"(?s)another order.*Krichene and Rendle.*SampledNegatives\(100\)"):
            om.evaluate({"m": lists}, truth, k=5, metrics=[om.ndcg], negatives=word)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sampled'\. Write om\.evaluate"):
        om.evaluate({"m": lists}, truth, k=5, metrics=[om.ndcg], sampled=True)
    for wrong in (0, 1.5, "10"):
        with pytest.raises(ParameterError, match="negatives must be"):
            om.evaluation.SampledNegatives(wrong)


def test_every_output_says_so():
    _, lists, truth = setting()
    ask = functools.partial(om.evaluate, truth=truth, k=5, metrics=[om.ndcg, om.recall], n_bootstrap=50)
    report = ask({"a": lists, "b": lists}, negatives=SampledNegatives(10))
    assert "SAMPLED: 10 negatives" in repr(report)
    assert "Krichene" in report._repr_html_()
    assert report.to_frame()["metric"].str.endswith("(sampled, 10 negatives)").all()
    assert report.differences("a")["metric"].str.contains("sampled").all()
    assert len(report.per_user("a", om.ndcg)) == 40
    assert len(report.per_user("a", "ndcg (sampled, 10 negatives)")) == 40
    assert (report.differences("a")["difference"] == 0).all()  # the same draws for every model
    assert report.to_frame().equals(ask({"a": lists, "b": lists}, negatives=SampledNegatives(10)).to_frame())
    full = ask({"a": lists})
    assert "SAMPLED" not in repr(full)
    assert full.split in repr(full)
    assert full.to_frame().attrs["split"] == full.split
    assert full.to_frame()["mean"].sum() < report.to_frame()["mean"].sum() / 2  # what sampling flatters


def test_candidates_by_hand():
    """Ranked 1 2 3 4 5, truth 4; with all four others drawn nothing changes, with train's 1 and 2 out it is second."""
    rows = pd.DataFrame({"user_id": 7, "item_id": [1, 2, 3, 4, 5], "rank": [1, 2, 3, 4, 5]})
    truth = pd.DataFrame({"user_id": [7], "item_id": [4]})
    ask = functools.partial(om.evaluate, {"m": rows}, truth, k=3, metrics=[om.evaluation.mean_reciprocal_rank])
    assert ask(negatives=SampledNegatives(4)).cells[0].mean == 0
    train = pd.DataFrame({"user_id": [7, 7, 8, 8, 8], "item_id": [1, 2, 3, 4, 5]})
    assert ask(negatives=SampledNegatives(99), train=train).cells[0].mean == 0.5
    with pytest.raises(ParameterError, match="are too short for sampled metrics: for 1 of 1"):
        om.evaluate(
            {"m": rows.head(3)}, truth, k=3, metrics=[om.recall], negatives=SampledNegatives(1), train=train.tail(2)
        )


def test_no_negatives_to_draw_but_the_truth_is_all_that_counts():
    x, lists, truth = setting()
    whole = om.evaluate(
        {"m": lists}, truth, k=25, metrics=[om.evaluation.mean_reciprocal_rank], negatives=SampledNegatives(24)
    )
    full = om.evaluate({"m": lists}, truth, k=25, metrics=[om.evaluation.mean_reciprocal_rank])
    assert whole.cells[0].mean == full.cells[0].mean  # all others drawn: the same as all items
    one = om.evaluate(
        {"m": lists}, truth, k=25, metrics=[om.evaluation.mean_reciprocal_rank], negatives=SampledNegatives(1)
    )
    assert set(one.cells[0].values) <= {1.0, 0.5}
    assert x.n_items == 25
