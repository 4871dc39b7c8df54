"""New people: the plain ridge, shares by hand, chains that say who answered, and every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError


def pairs(rows):
    return om.Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]))


def world(seed=0, n=60):
    """Two tastes that follow from an attribute; one in five has no history."""
    draw = np.random.default_rng(seed)
    rows = [(u, int(5 * (u % 2) + i)) for u in range(n) if u % 5 for i in draw.choice(5, 3, replace=False)]
    return pairs(rows), pairs([(u, f"kind={u % 2}") for u in range(n)] + [(u, "all") for u in range(n)])


def test_the_map_is_a_ridge_around_the_means():
    x, attributes = world()
    model = om.ALS(factors=3, seed=1).fit(x)
    placed = om.models.learn_people(model, x, attributes, regularization=4.0)
    f = attributes.rows(x.users.ids).csr.toarray().astype(float)
    y = model.place(x).astype(float)
    centred = f - f.mean(0)
    slope = np.linalg.solve(centred.T @ centred + 4 * np.eye(f.shape[1]), centred.T @ (y - y.mean(0)))
    new = attributes.csr.toarray().astype(float)
    assert placed.place(attributes) == pytest.approx(y.mean(0) + (new - f.mean(0)) @ slope, abs=1e-5)


def test_people_without_a_history_get_the_taste_of_their_kind():
    x, attributes = world()
    new = attributes.rows([u for u in range(60) if u % 5 == 0])
    model = om.ALS(factors=3).fit(x)
    for step in (
        om.models.learn_people(model, x, attributes, regularization=1.0),
        om.models.SegmentPopularity(prior=1.0).fit(
            x, attributes.with_items(om.data.Vocabulary.from_ids(["kind=0", "kind=1"]))
        ),
    ):
        lists = step.recommend(new, k=3)
        assert (lists.codes // 5 == (new.users.ids % 2)[:, None]).all()


def test_segment_shares_by_hand():
    x = pairs([(1, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "b")])
    groups = pairs([(1, "s"), (2, "s"), (3, "t"), (9, "t"), (9, "s")])
    model = om.models.SegmentPopularity(prior=2.0).fit(x, groups)
    share = {"a": 2 / 4, "b": 3 / 4}
    expected = [
        [(2 + 2 * share["a"]) / 4, (1 + 2 * share["b"]) / 4],
        [(0 + 2 * share["a"]) / 3, (1 + 2 * share["b"]) / 3],
    ]
    assert model.scores == pytest.approx(np.array(expected))
    lists = model.recommend(groups.rows([9]), k=2)  # in two segments: the mean
    assert lists.scores[0] == pytest.approx(np.sort(np.mean(expected, axis=0))[::-1])
    stranger = model.recommend(pairs([(7, "u")]), k=1)
    assert stranger.to_frame()["item_id"].tolist() == ["b"]


def test_a_chain_asks_in_order_and_says_who_answered(tmp_path):
    x, attributes = world()
    model = om.ALS(factors=3).fit(x)
    chain = om.models.Fallback(
        {
            "taste": model,
            "attributes": om.models.learn_people(model, x, attributes),
            "popular": om.Popularity().fit(x),
        },
        least=2,
    )
    asked = [1, 0, 999, 7]
    found = chain.recommend(x, k=4, attributes=attributes, users=asked)
    assert found.step.tolist() == [0, 1, 2, 0]
    assert found.by_step()["step"].tolist() == ["taste", "attributes", "popular", "taste"]
    assert found.lists.users.ids.tolist() == asked
    assert (found.lists.codes[0] == model.recommend(x.rows([1]), k=4).codes[0]).all()
    assert found.to_frame().groupby("user_id")["step"].nunique().eq(1).all()
    assert repr(found) == "FallbackLists(4 users: taste 2, attributes 1, popular 1)"
    again = om.load(om.save(chain, tmp_path / "chain")).recommend(x, k=4, attributes=attributes, users=asked)
    assert (again.lists.codes == found.lists.codes).all()
    assert (again.step == found.step).all()


def test_a_short_history_goes_on_and_seen_items_stay_out():
    x = pairs([(1, "a"), (2, "a"), (2, "b"), (3, "b"), (3, "c"), (3, "a")])
    groups = pairs([(1, "s"), (2, "s"), (3, "s")])
    chain = om.models.Fallback(
        {"knn": om.ItemKNN().fit(x), "segment": om.models.SegmentPopularity().fit(x, groups)}, least=2
    )
    found = chain.recommend(x, k=3, attributes=groups)
    assert found.step.tolist() == [1, 0, 0]
    assert "a" not in found.to_frame().query("user_id == 1")["item_id"].tolist()
    seen = chain.recommend(x, k=3, attributes=groups, exclude_seen=False)
    assert "a" in seen.to_frame().query("user_id == 1")["item_id"].tolist()


def test_nobody_answers_an_empty_list():
    x = pairs([(1, "a"), (2, "b")])
    found = om.models.Fallback({"knn": om.ItemKNN().fit(x)}).recommend(x, k=2, users=[5, 1])
    assert found.step.tolist() == [-1, 0]
    assert (found.lists.codes[0] == -1).all()
    assert found.by_step()["step"].tolist() == [None, "knn"]


def test_eligible_holds_in_every_step():
    x, attributes = world()
    model = om.ALS(factors=2).fit(x)
    steps = {
        "taste": model,
        "map": om.models.learn_people(model, x, attributes),
        "segment": om.models.SegmentPopularity().fit(x, attributes),
        "popular": om.Popularity().fit(x),
    }
    for names in (list(steps), ["segment", "popular"], ["popular"]):
        chain = om.models.Fallback({name: steps[name] for name in names})
        users = [1, 0, 5, 999]
        for eligible, allowed in (
            ([0, 7], [{0, 7}] * 4),
            ((["x", "y", "x", "y"], {"x": [1, 2], "y": [3]}), [{1, 2}, {3}, {1, 2}, {3}]),
        ):
            found = chain.recommend(x, k=4, attributes=attributes, users=users, eligible=eligible)
            for row, may in enumerate(allowed):
                shown = found.lists.codes[row][found.lists.codes[row] >= 0]
                assert set(shown.tolist()) <= may


def test_attributes_of_an_audience():
    frame = pd.DataFrame(
        {"user_id": [1, 2, 3], "timezone": "UTC", "age": ["old", None, "new"], "town": ["x", "y", "x"]}
    )
    audience = om.Audience.from_frame(frame, attributes=["age", "town"])
    told = om.models.people_attributes(audience).to_frame()
    assert list(zip(told["user_id"], told["item_id"], strict=True)) == [
        (1, "age=old"),
        (1, "town=x"),
        (2, "town=y"),
        (3, "age=new"),
        (3, "town=x"),
    ]
    assert om.models.people_attributes(audience, ["town"]).n_items == 2
    with pytest.raises(ParameterError, match="no attribute 'shoe'; it has 'age', 'town'"):
        om.models.people_attributes(audience, ["shoe"])
    with pytest.raises(EmptyError, match="no attributes"):
        om.models.people_attributes(om.Audience.from_frame(frame[["user_id", "timezone"]]))
    with pytest.raises(SchemaError, match="takes an Audience"):
        om.models.people_attributes(frame)


def test_rows_of_people_nobody_has_met_are_empty():
    x = om.Interactions.from_frame(
        pd.DataFrame({"user_id": [1, 2, 2], "item_id": ["a", "a", "b"], "channel": ["app", "app", "web"]})
    )
    some = om.models.with_people(x, [9, 2])
    assert some.csr.toarray().tolist() == [[0, 0], [1, 1]]
    assert {name: layer.toarray()[1].tolist() for name, layer in some.layers.items()} == {"app": [1, 0], "web": [0, 1]}
    assert om.models.with_people(om.Interactions.from_scipy(x.csr[:0], items=x.items), [1, 2]).csr.nnz == 0
    with pytest.raises(ParameterError, match="1 of 2 ids are named twice"):
        om.models.with_people(x, [9, 9])


X, A = world()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: om.models.Fallback({}), ParameterError, "mapping of names to fitted models"),
        (lambda: om.models.Fallback({"als": om.ALS()}), ParameterError, "mapping of names to fitted models"),
        (
            lambda: om.models.Fallback({"a": om.Popularity().fit(X), "b": om.Popularity().fit(pairs([(1, 1)]))}),
            ParameterError,
            "'b' and the first step know other items",
        ),
        (
            lambda: om.models.Fallback({"s": om.models.SegmentPopularity().fit(X, A)}).recommend(X, k=1),
            ParameterError,
            "'s' answers by attributes",
        ),
        (lambda: om.models.learn_people(om.EASE().fit(X), X, A), ParameterError, "takes a FactorModel"),
        (
            lambda: om.models.learn_people(om.ALS(factors=2).fit(X), X, pairs([(999, "z")])),
            EmptyError,
            "nobody has both",
        ),
        (
            lambda: om.models.learn_people(om.ALS(factors=2).fit(X), X, "age"),
            SchemaError,
            "attributes must be Interactions",
        ),
        (lambda: om.models.SegmentPopularity(prior=0), ParameterError, "prior must be greater than 0"),
        (lambda: om.models.SegmentPopularity().fit(X, pairs([(999, "z")])), EmptyError, "nobody has both"),
        (
            lambda: om.models.Fallback({"p": om.Popularity().fit(X)}).recommend("x", k=1),
            SchemaError,
            "must be Interactions",
        ),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()
