"""Variety, quotas, calibration, promotions: what they move by hand, and what they must not."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.lists.diversify import calibrated, mmr, promoted, quotas
from omnireco.testing import small_matrix

LISTS = om.Recommendations.from_frame(
    pd.DataFrame({"user_id": [1] * 4 + [2] * 2, "item_id": list("abcdba"), "score": [9.0, 8, 7, 1, 5, 4]})
)
KINDS = om.Catalog.from_frame(pd.DataFrame({"item_id": list("abcd"), "category": ["x", "x", "y", None]}))


def items(lists, user=1):
    frame = lists.to_frame()
    return "".join(frame.loc[frame["user_id"] == user, "item_id"])


def test_mmr_by_hand():
    alike = np.zeros((4, 4), np.float32)
    alike[0, 1] = alike[1, 0] = 1.0  # a and b are twins
    knn = om.models.ItemModel(LISTS.items, np.ones(4, np.float32), alike)
    assert items(mmr(LISTS, k=3, trade_off=1.0, similarity=knn)) == "abc"
    # b: 0.5 * 7/8 - 0.5 * 1 < c: 0.5 * 6/8 and < d: 0
    assert items(mmr(LISTS, k=3, trade_off=0.5, similarity=knn)) == "acd"
    assert items(mmr(LISTS, k=9, trade_off=0.5, similarity=knn), user=2) == "ba"


def test_quotas_limit_categories_and_keep_the_order():
    assert items(quotas(LISTS, KINDS, k=3, max_per_category=1)) == "acd"
    assert items(quotas(LISTS, KINDS, k=3, max_per_category={"x": 0})) == "cd"
    assert items(quotas(LISTS, KINDS, k=3, max_per_category=1), user=2) == "b"
    with pytest.raises(ParameterError, match="'z' is a name that nothing here has"):
        quotas(LISTS, KINDS, k=3, max_per_category={"z": 1})
    with pytest.raises(SchemaError, match="quotas needs a Catalog"):
        quotas(LISTS, om.Catalog.from_frame(pd.DataFrame({"item_id": ["a"]})), k=3, max_per_category=1)


def test_calibration_follows_the_past():
    past = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 1], "item_id": ["c", "d"]}))
    assert items(calibrated(LISTS, past, KINDS, k=3, strength=0.0)) == "abc"
    assert items(calibrated(LISTS, past, KINDS, k=1, strength=0.9)) == "c"
    assert items(calibrated(LISTS, past, KINDS, k=2, strength=0.9), user=2) == "ba"  # no past: only cut


def test_promotions_move_only_what_is_there():
    assert items(promoted(LISTS, k=4, pin=["d", "b"])) == "dbac"
    assert items(promoted(LISTS, k=4, pin=["d", "b"]), user=2) == "ba"
    assert items(promoted(LISTS, k=4, boost={"c": 1})) == "acbd"
    assert items(promoted(LISTS, k=4, boost={"a": -1})) == "bacd"
    assert items(promoted(LISTS, k=4, bury=["a"])) == "bcda"
    with pytest.raises(ParameterError, match="pinned and buried at once"):
        promoted(LISTS, k=4, pin=["a"], bury=["a"])


def test_mmr_refuses_what_it_cannot_compare():
    with pytest.raises(ParameterError, match="similarity must be an ItemModel"):
        mmr(LISTS, k=2, trade_off=0.5, similarity=None)
    with pytest.raises(ParameterError, match="does not know 4 of 4 items"):
        mmr(
            LISTS,
            k=2,
            trade_off=0.5,
            similarity=om.models.ItemModel(om.data.Vocabulary.from_ids(["z"]), np.ones(1), np.ones((1, 1))),
        )


def test_lists_stay_lists():
    x = small_matrix(seed=5)
    long = om.EASE().fit(x).recommend(x, k=12)
    for short in (mmr(long, k=5, trade_off=0.3, similarity=om.ItemKNN().fit(x)), promoted(long, k=5, pin=[0, 1])):
        assert short.codes.shape == (x.n_users, 5)
        for row in range(x.n_users):
            shown = short.codes[row][short.codes[row] >= 0]
            assert np.unique(shown).size == shown.size
            assert set(shown) <= set(long.codes[row])


def test_what_was_rejected_stays_away_with_its_twin():
    alike = np.zeros((4, 4), np.float32)
    alike[0, 1] = alike[1, 0] = 1.0
    knn = om.models.ItemModel(LISTS.items, np.ones(4, np.float32), alike)
    no = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 1], "item_id": ["a", "zebra"], "weight": [-1.0, 1]}))
    assert items(om.models.avoid(LISTS, no, k=4, strength=0.0, similarity=knn)) == "bcd"
    assert items(om.models.avoid(LISTS, no, k=4, strength=0.5, similarity=knn)) == "cbd"
    assert items(om.models.avoid(LISTS, no, k=4, strength=0.5, similarity=knn), user=2) == "ba"
    with pytest.raises(SchemaError, match="disliked must be Interactions"):
        om.models.avoid(LISTS, None, k=4, strength=0.5, similarity=knn)
