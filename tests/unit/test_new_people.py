"""New people: the plain ridge, shares by hand, chains that say who answered, and every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError


def pairs(rows):
    return om.Interactions.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]))


def log_of(x):
    """Pairs as events, all at one instant."""
    frame = x.to_frame()[["user_id", "item_id"]].assign(channel="web", event="view")
    return om.EventLog.from_frame(frame.assign(timestamp=pd.Timestamp("2025-05-01", tz="UTC")))


def segments(x, attributes, **changed):
    return om.models.SegmentPopularity(**changed).fit(om.Dataset(log_of(x), attributes=attributes))


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
        segments(x, attributes.with_items(om.data.Vocabulary.from_ids(["kind=0", "kind=1"])), prior_strength=1.0),
    ):
        lists = step.recommend(new, k=3)
        assert (lists.codes // 5 == (new.users.ids % 2)[:, None]).all()


def test_segment_shares_by_hand():
    x = pairs([(1, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "b")])
    groups = pairs([(1, "s"), (2, "s"), (3, "t"), (9, "t"), (9, "s")])
    model = segments(x, groups, prior_strength=2.0)
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
        min_history=2,
    )
    asked = [1, 0, 999, 7]
    found = chain.with_steps(om.models.with_people(x, asked), k=4, attributes=attributes)
    assert found.step.tolist() == [0, 1, 2, 0]
    assert found.by_step()["step"].tolist() == ["taste", "attributes", "popular", "taste"]
    assert found.lists.users.ids.tolist() == asked
    assert (found.lists.codes[0] == model.recommend(x.rows([1]), k=4).codes[0]).all()
    assert found.to_frame().groupby("user_id")["step"].nunique().eq(1).all()
    assert repr(found) == "FallbackLists(4 users: taste 2, attributes 1, popular 1)"
    again = om.load(om.save(chain, tmp_path / "chain")).with_steps(
        om.models.with_people(x, asked), k=4, attributes=attributes
    )
    assert (again.lists.codes == found.lists.codes).all()
    assert (again.step == found.step).all()


def test_a_short_history_goes_on_and_seen_items_stay_out():
    x = pairs([(1, "a"), (2, "a"), (2, "b"), (3, "b"), (3, "c"), (3, "a")])
    groups = pairs([(1, "s"), (2, "s"), (3, "s")])
    chain = om.models.Fallback({"knn": om.ItemKNN().fit(x), "segment": segments(x, groups)}, min_history=2)
    found = chain.with_steps(x, k=3, attributes=groups)
    assert found.step.tolist() == [1, 0, 0]
    assert "a" not in found.to_frame().query("user_id == 1")["item_id"].tolist()
    seen = chain.recommend(x, k=3, attributes=groups, exclude_seen=False)
    assert "a" in seen.to_frame().query("user_id == 1")["item_id"].tolist()


def test_nobody_answers_an_empty_list():
    x = pairs([(1, "a"), (2, "b")])
    found = om.models.Fallback({"knn": om.ItemKNN().fit(x)}).with_steps(om.models.with_people(x, [5, 1]), k=2)
    assert found.step.tolist() == [-1, 0]
    assert (found.lists.codes[0] == -1).all()
    assert found.by_step()["step"].tolist() == [None, "knn"]


def test_eligible_holds_in_every_step():
    x, attributes = world()
    model = om.ALS(factors=2).fit(x)
    steps = {
        "taste": model,
        "map": om.models.learn_people(model, x, attributes),
        "segment": segments(x, attributes),
        "popular": om.Popularity().fit(x),
    }
    for names in (list(steps), ["segment", "popular"], ["popular"]):
        chain = om.models.Fallback({name: steps[name] for name in names})
        users = [1, 0, 5, 999]
        for eligible, allowed in (
            ([0, 7], [{0, 7}] * 4),
            ((["x", "y", "x", "y"], {"x": [1, 2], "y": [3]}), [{1, 2}, {3}, {1, 2}, {3}]),
        ):
            asked = om.models.with_people(x, users)
            found = chain.with_steps(asked, k=4, attributes=attributes, eligible=eligible)
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
            lambda: om.models.Fallback({"s": segments(X, A)}).recommend(X, k=1),
            ParameterError,
            "'s' needs attributes",
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
        (
            lambda: om.models.SegmentPopularity(prior_strength=0),
            ParameterError,
            "prior_strength must be greater than 0",
        ),
        (lambda: segments(X, pairs([(999, "z")])), EmptyError, "nobody has both"),
        (
            lambda: om.models.Fallback({"p": om.Popularity().fit(X)}).recommend("x", k=1),
            SchemaError,
            "takes Requests or Interactions. Got str",
        ),
        (
            lambda: om.models.SegmentPopularity(segments=["town"]).fit(om.Dataset(log_of(X), attributes=A)),
            ParameterError,
            "segments: 'town' is a name that nothing here has",
        ),
        (
            lambda: om.models.SegmentPopularity().fit(om.Dataset(log_of(X))),
            SchemaError,
            "reads attributes of people, and the data has none. Write om.Dataset",
        ),
        (lambda: om.models.SegmentPopularity().fit(X), SchemaError, "takes a Dataset. Got Interactions"),
        (
            lambda: om.models.Fallback({"p": om.Popularity().fit(X)}).recommend(
                om.Dataset(log_of(X)).requests(), k=1, attributes=A
            ),
            ParameterError,
            "attributes= goes with histories",
        ),
        (
            lambda: segments(X, A).recommend(om.Dataset(log_of(X)).requests(), k=1),
            SchemaError,
            "reads attributes of people",
        ),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: om.models.SegmentPopularity().fit(X, A), r"Write SegmentPopularity\(...\).fit\(om.Dataset\(events"),
        (lambda: segments(X, A).recommend(A, k=1, exclude=None, users=[1]), r"Write model.recommend\(data.requests"),
        (
            lambda: om.models.Fallback({"p": om.Popularity().fit(X)}).recommend(X, k=1, users=[1]),
            r"Write chain.recommend\(data.requests\(users, new_users=True\), k=10\)",
        ),
    ],
)
def test_an_old_signature_names_the_new_line(call, line):
    with pytest.raises(TypeError, match=line):
        call()


def test_requests_read_attributes_and_seen_items_out_of_their_dataset():
    x, attributes = world()
    data = om.Dataset(log_of(x), attributes=attributes)
    als = om.ALS(factors=3, weights=om.Weights()).fit(data)
    placed, shares = om.models.learn_people(als, x, attributes), segments(x, attributes)
    for step in (placed, shares):
        asked = data.requests([1, 0, 7])
        recs = step.recommend(asked, k=10)
        by_hand = step.recommend(attributes.rows([1, 0, 7]), k=10)
        seen = x.with_items(step.items)
        for row, user in enumerate([1, 0, 7]):
            had = set(seen.rows([user]).csr.indices.tolist()) if user in x.users.ids else set()
            kept = [code for code in by_hand.codes[row].tolist() if code not in had]
            assert recs.codes[row][recs.codes[row] >= 0].tolist() == kept
        assert (step.recommend(asked, k=10, exclude_seen=False).codes == by_hand.codes).all()
        assert (step.answers(asked) == step.answers(attributes.rows([1, 0, 7]))).all()
        before = data.requests([1], at="2025-04-01")  # nothing had happened yet
        assert (step.recommend(before, k=10).codes == by_hand.codes[:1]).all()
        barred = data.requests([0, 0], exclude=[[3], []], given=[[], [4]])
        lists = step.recommend(barred, k=10)
        assert lists.key == "request_id"
        assert 3 not in step.items.ids[lists.codes[0][lists.codes[0] >= 0]]
        assert 4 not in step.items.ids[lists.codes[1][lists.codes[1] >= 0]]
    popular = om.Popularity().fit(data)
    chain = om.models.Fallback({"taste": als, "attributes": placed, "popular": popular}, min_history=2)
    asked = data.requests([1, 0, 999, 7], new_users=True)
    found = chain.with_steps(asked, k=4)
    same = chain.with_steps(om.models.with_people(x, [1, 0, 999, 7]), k=4, attributes=attributes)
    assert found.step.tolist() == same.step.tolist() == [0, 1, 2, 0]
    assert (found.lists.codes == same.lists.codes).all()
    assert (chain.recommend(asked, k=4).codes == found.lists.codes).all()


def test_segments_of_an_audience_by_name():
    x, _ = world()
    people = pd.DataFrame({"user_id": range(60), "timezone": "UTC", "town": ["x", "y"] * 30, "age": ["a"] * 60})
    audience = om.Audience.from_frame(people, attributes=["town", "age"])
    data = om.Dataset(log_of(x), audience=audience)
    model = om.models.SegmentPopularity(prior_strength=1.0, segments=["town"]).fit(data)
    assert model.segments.ids.tolist() == ["town=x", "town=y"]
    lists = model.recommend(data.requests([0, 5]), k=3)
    assert (lists.codes // 5 == np.array([[0], [1]])).all()
    assert om.models.SegmentPopularity().fit(data).segments.ids.tolist() == ["age=a", "town=x", "town=y"]
