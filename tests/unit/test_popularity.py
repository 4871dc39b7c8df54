"""The baselines, by hand."""

import pandas as pd
import pytest

from omnireco.data import Interactions
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.matrix.popularity import BuyAgain, Popularity

X = Interactions.from_frame(
    pd.DataFrame(
        {
            "user_id": [1, 1, 2, 3, 4, 5, 5],
            "item_id": ["tea", "cup", "tea", "tea", "pot", "cup", "pot"],
            "weight": [1.0, 9.0, 1.0, 1.0, 2.0, 1.0, 1.0],
        }
    )
)  # people: tea 3, cup 2, pot 2; weight: cup 10, tea 3, pot 3


def names(recs, user):
    return recs.rows([user]).to_frame()["item_id"].tolist()


def test_popularity_by_people():
    model = Popularity().fit(X)
    recs = model.recommend(X, k=3, exclude_seen=False)
    assert names(recs, 1) == ["tea", "cup", "pot"]
    assert recs.scores[0].tolist() == [3, 2, 2]
    assert names(model.recommend(X, k=3), 5) == ["tea"]
    assert repr(model) == "PopularityModel(3 items, personal=0)"


def test_popularity_by_weight():
    recs = Popularity(by="weight").fit(X).recommend(X, k=3, exclude_seen=False)
    assert names(recs, 1) == ["cup", "pot", "tea"]
    assert recs.scores[0].tolist() == [10, 3, 3]
    huge = Interactions.from_frame(X.to_frame().assign(weight=3e38))
    assert Popularity(by="weight").fit(huge).recommend(X, k=1, exclude_seen=False).scores[0, 0] > 3e38


def test_buy_again_is_history_plus_a_prior_of_popularity():
    recs = BuyAgain(prior_strength=16).fit(X).recommend(X, k=3, exclude_seen=False)
    assert names(recs, 5) == ["cup", "pot", "tea"]
    assert recs.rows([5]).scores[0].tolist() == pytest.approx([1 + 10, 1 + 3, 3])
    assert names(recs, 2) == ["cup", "tea", "pot"]
    only_history = BuyAgain(prior_strength=0).fit(X).recommend(X, k=3, exclude_seen=False)
    assert names(only_history, 2) == ["tea", "cup", "pot"]


def test_refused():
    with pytest.raises(ParameterError, match=r"by must be one of 'users', 'weight'. Got 'sales'"):
        Popularity(by="sales")
    with pytest.raises(ParameterError, match=r"prior_strength must be a number of at least 0. Got -1"):
        BuyAgain(prior_strength=-1)
    with pytest.raises(ParameterError, match="similar_items: popularity has no item similarities"):
        Popularity().fit(X).similar_items(["tea"], k=1)
    for kind in (Popularity, BuyAgain):
        with pytest.raises(SchemaError, match=r"EventLog.from_frame needs the columns 'channel', 'event', 'timestamp'"):
            kind().fit(X.to_frame())
        with pytest.raises(SchemaError, match=rf"{kind.__name__}.fit takes a Dataset. Got list: write om.Dataset"):
            kind().fit([X])
        with pytest.raises(EmptyError, match=f"{kind.__name__}.fit: the matrix has no cells"):
            kind().fit(Interactions.from_frame(X.to_frame().assign(weight=0)))
    with pytest.raises(TypeError):
        Popularity("weight")
