"""Histories of those who ask: the shared matrix, other instants, and baskets, all the same numbers."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.asking import histories
from omnireco.data.asking.histories import histories_of
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.testing import differences, small_data

DATA = small_data(seed=8)
WEIGHTS = {
    "plain": om.Weights(),
    "decayed": om.Weights(half_life="20D", channels={"store": 3.0}),
    "steps": om.Weights(step_half_life=2.0),
    "binary": om.Weights(binary=True),
    "capped": om.Weights(events={"purchase": 5.0}, cap=4.0, deduplicate="1D"),
    "negative": om.Weights(events={"view": -0.5}),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_row_is_what_a_matrix_of_the_log_before_it_holds(name):
    weights, items = WEIGHTS[name], DATA.events.items
    moments = [DATA.end, *(pd.Timestamp(int(np.take(DATA.events.at, n)), unit="us", tz="UTC") for n in (5, 200, 444))]
    who = DATA.users.ids[[3, 3, 7, 3]]
    found = histories_of(DATA.requests(who, at=moments), weights, items, "test")
    for row, (user, at) in enumerate(zip(who, moments, strict=True)):
        past = DATA.before(at)
        x = past.matrix(weights).with_items(items)
        known = user in past.events.users.ids
        expected = x.rows([user]).csr.toarray()[0] if known else np.zeros(len(items))
        np.testing.assert_allclose(found.csr[row].toarray()[0], expected, rtol=1e-5, atol=1e-7)
        for layer, cells in found.layers.items():
            mine = x.layers[layer][x.users.codes([user])[0]].toarray()[0] if known and layer in x.layers else 0.0
            np.testing.assert_allclose(cells[row].toarray()[0], mine, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_row_depends_on_its_own_request_only(name):
    who = DATA.users.ids[[1, 2, 1, 9]]
    moments = ["2025-01-20", DATA.end, DATA.end, "2025-02-20"]
    together = histories_of(DATA.requests(who, at=moments), WEIGHTS[name], DATA.events.items, "test")
    for row in range(4):
        alone = histories_of(DATA.requests(who[[row]], at=moments[row]), WEIGHTS[name], DATA.events.items, "test")
        assert (alone.csr != together.csr[row]).nnz == 0


@pytest.mark.parametrize("layers", [True, False])
@pytest.mark.parametrize("name", [*WEIGHTS, "targets"])
def test_the_rows_of_a_few_are_those_of_everybody(name, layers, monkeypatch):
    """Only the events of those who ask are weighed, and the bytes are those of the matrix of all."""
    weights = om.Weights(targets={"view": 0.0}) if name == "targets" else WEIGHTS[name]
    known, items = DATA.users.ids, DATA.events.items
    moments = ["2030-01-01", DATA.end] if name == "targets" else ["2020-01-01", "2025-01-20", DATA.end, "2030-01-01"]
    groups = [known[[5]], np.r_[known[[9, 2, 9]], 999], np.array([999]), np.repeat(known[[7]], 100), known[:0]]
    asked = [
        DATA.requests(who, at=[moments[place % len(moments)] for place in range(len(who))], new_users=True)
        for who in groups
    ]
    few = [histories_of(one, weights, items, "test", layers=layers) for one in asked]
    monkeypatch.setattr(histories, "events_of_few", lambda log, person: (log, person))
    for one, requests in zip(few, asked, strict=True):
        assert differences(one, histories_of(requests, weights, items, "test", layers=layers)) == []


def test_likes_and_dislikes_are_asked_about_tomorrow():
    """All verdicts are known after the end: weights fade on, each to its own instant, targets stay."""
    weights = om.Weights(targets={"view": 0.0}, half_life="10D")
    who, items = DATA.users.ids[[3, 5, 3]], DATA.events.items
    moments = [DATA.end, DATA.end + pd.Timedelta("20D"), DATA.end + pd.Timedelta("10D")]
    now = histories_of(DATA.requests(who), weights, items, "test")
    found = histories_of(DATA.requests(who, at=moments), weights, items, "test")
    faded = now.csr.toarray() / np.array([[1.0], [4.0], [2.0]])
    np.testing.assert_allclose(found.csr.toarray(), faded, rtol=1e-5)
    assert (found.targets.toarray() == now.targets.toarray()).all()
    for row in range(3):
        alone = histories_of(DATA.requests(who[[row]], at=moments[row]), weights, items, "test")
        assert differences(alone.csr, found.csr[row]) == differences(alone.targets, found.targets[row]) == []
    model = om.ALS(factors=3, weights=weights).fit(DATA)
    assert len(model.recommend(DATA.requests(at="2026-01-01"), k=3)) == 40
    with pytest.raises(ParameterError, match="a later verdict would replace"):
        histories_of(DATA.requests(who, at=[*moments[:2], "2025-01-10"]), weights, items, "test")


def test_a_stranger_alone_is_asked_with_nothing():
    for model in (
        om.ItemKNN().fit(DATA),
        om.models.TypedEASE(by="channel and event").fit(DATA),
        om.BuyAgain().fit(DATA),
    ):
        alone = model.recommend(DATA.requests([999], new_users=True), k=3)
        both = model.recommend(DATA.requests([999, *DATA.users.ids.tolist()], new_users=True), k=3)
        assert (alone.codes[0] == both.codes[0]).all()
    refills = om.journeys.Refills(events=["purchase"]).fit(DATA)
    assert len(refills.due(DATA.requests([999], new_users=True))) == 0


def test_items_the_model_does_not_know_are_left_out():
    few = Vocabulary.from_ids(DATA.events.items.ids[[2, 4]])
    found = histories_of(DATA.requests(), om.Weights(), few, "test")
    assert found.csr.shape == (40, 2)
    assert (found.csr != DATA.matrix(om.Weights()).with_items(few).csr).nnz == 0


@pytest.mark.parametrize("at", [None, "2025-02-01"])
def test_a_basket_is_added_with_a_weight_of_one(at):
    items = DATA.events.items
    asked = {"at": at} if at else {}
    plain = histories_of(DATA.requests(DATA.users.ids[:2], **asked), om.Weights(), items, "test").csr.toarray()
    sets = [items.ids[[0, 3]].tolist(), []]
    full = histories_of(DATA.requests(DATA.users.ids[:2], given=sets, **asked), om.Weights(), items, "test")
    added = np.zeros_like(plain)
    added[0, [0, 3]] = 1
    assert (full.csr.toarray() == plain + added).all()
    total = sum(layer.toarray() for layer in full.layers.values())
    np.testing.assert_allclose(total, full.csr.toarray())


def test_a_basket_says_wanted_where_there_are_targets():
    weights = om.Weights(targets={"view": 0.0, "purchase": 1.0})
    sets = [DATA.events.items.ids[[0, 3]].tolist()]
    asked = DATA.requests(DATA.users.ids[:1], given=sets)
    plain = histories_of(DATA.requests(DATA.users.ids[:1]), weights, DATA.events.items, "test")
    found = histories_of(asked, weights, DATA.events.items, "test")
    old, new = plain.targets.toarray()[0], found.targets.toarray()[0]
    others = np.setdiff1d(np.arange(old.size), [0, 3])
    np.testing.assert_allclose(new[others], old[others], atol=1e-6)
    fresh = [code for code in (0, 3) if code not in plain.csr.indices]
    assert (new[fresh] == 1.0).all()
    assert found.csr.nnz == found.targets.nnz
    with pytest.raises(ParameterError, match="a later verdict would replace"):
        histories_of(DATA.requests(at="2025-02-01"), weights, DATA.events.items, "test")


def test_a_basket_of_dislikes_cancels_nothing_that_is_stored():
    """A weight of -1 and a basket of 1 make a cell of 0, which still counts as seen."""
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": ["tea", "cup"], "channel": "web", "event": ["dislike", "view"],
                          "timestamp": pd.Timestamp("2025-05-01", tz="UTC")})  # fmt: skip
    data, weights = om.Dataset(frame), om.Weights(events={"dislike": -1.0})
    found = histories_of(data.requests([1], given=[["tea"]]), weights, data.events.items, "test")
    assert found.csr.toarray().tolist() == [[0, 0]]
    model = om.ItemKNN(weights=weights).fit(data)
    assert model.recommend(data.requests([1], given=[["tea"]]), k=2).to_frame()["item_id"].tolist() == ["cup"]
