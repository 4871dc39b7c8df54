"""What a re-ordering costs, on two people and one place; against longer lists it is in test_limits.py."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om


def lists_of(*items):
    frame = pd.DataFrame({"user_id": range(1, len(items) + 1), "item_id": items, "rank": 1})
    return om.Recommendations.from_frame(frame)


BEFORE, TRUTH = lists_of("a", "b"), pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]})


def cost(after, **options):
    return om.evaluation.cost_of(after, BEFORE, TRUTH, k=1, metrics=[om.hit_rate], n_bootstrap=200, **options)


def test_one_of_two_hits_is_lost():
    row = cost(lists_of("a", "c")).iloc[0]
    assert row[["model", "metric", "k"]].tolist() == ["after", "hit_rate", 1]
    assert row[["before", "after", "difference", "changed"]].tolist() == pytest.approx([1.0, 0.5, -0.5, 0.5])
    assert (row["low"], row["high"]) == (-1.0, 0.0)  # two people: both may be drawn twice
    assert row["n_users"] == 2


def test_the_same_lists_cost_nothing_and_move_nothing():
    assert (cost(BEFORE)[["difference", "low", "high", "changed"]] == 0).to_numpy().all()


def test_several_rules_each_have_a_row():
    table = cost({"swapped": lists_of("b", "a"), "other": lists_of("c", "c")}).set_index("model")
    assert table["difference"].to_dict() == {"swapped": -1.0, "other": -1.0}
    assert table["changed"].to_dict() == {"swapped": 1.0, "other": 1.0}


def test_only_the_first_k_count_as_before():
    frame = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["a", "c", "b", "c"], "rank": [1, 2, 1, 2]})
    long = om.Recommendations.from_frame(frame)
    after = lists_of("c", "c")
    table = om.evaluation.cost_of(after, long, TRUTH, k=1, metrics=[om.hit_rate], n_bootstrap=10)
    assert table["changed"].tolist() == [1.0]  # c was on the list, but not shown
    assert np.isclose(table["before"][0], 1.0)
