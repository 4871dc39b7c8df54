"""Views of behaviour, by hand and against a referee: damping, items by items, categories, hours, sessions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

import omnireco as om
from omnireco.errors import ParameterError, SchemaError

EVENTS = pd.DataFrame(
    {
        "user_id": ["ann", "ann", "ann", "bob", "bob", "cat"],
        "item_id": ["tea", "tea", "cup", "tea", "pot", "pot"],
        "channel": ["web", "app", "web", "web", "app", "web"],
        "event": ["view", "view", "view", "view", "view", "return"],
        "timestamp": pd.to_datetime(
            [f"2025-05-01 {hour}" for hour in ("08:00", "08:25", "08:40", "08:00", "23:30", "12:00")], utc=True
        ),
    }
)
LOG = om.EventLog.from_frame(EVENTS)
X = LOG.matrix(om.Weights(events={"return": -2}))  # items: cup, pot, tea


def test_log_and_its_layers():
    damped = X.weighted("log1p")
    expected = np.array([[np.log(2), 0, np.log(3)], [0, np.log(2), np.log(2)], [0, -np.log(3), 0]])
    np.testing.assert_allclose(damped.csr.toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(sum(layer.toarray() for layer in damped.layers.values()), expected, rtol=1e-6)
    np.testing.assert_allclose(damped.layers["web"].toarray()[0, 2], np.log(3) / 2, rtol=1e-6)
    assert X.csr[0, 2] == 2
    assert damped.weights is None


def test_tfidf_is_that_of_scikit_learn():
    expected = TfidfTransformer(norm=None).fit_transform(abs(X.csr)).toarray()
    np.testing.assert_allclose(abs(X.weighted("tfidf").csr).toarray(), expected, rtol=1e-6)


def test_bm25_by_hand():
    damped = X.weighted("bm25", k1=1.5, b=0.5).csr.toarray()
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))  # tea and pot: two of three people
    mean = (3 + 2 + 2) / 3
    assert damped[0, 2] == pytest.approx(idf * 2.5 * 2 / (2 + 1.5 * (0.5 + 0.5 * 3 / mean)))
    assert damped[2, 1] == pytest.approx(-idf * 2.5 * 2 / (2 + 1.5 * (0.5 + 0.5 * 2 / mean)))
    with pytest.raises(ParameterError, match="k1 must be greater than 0"):
        X.weighted("bm25", k1=0)
    with pytest.raises(ParameterError, match="b must be a number in the range"):
        X.weighted("bm25", b=2)
    empty = X.take(np.array([], np.int32)).weighted("bm25")
    assert empty.nnz == 0


def test_damping_composes_with_models_and_single_layers():
    x = om.Interactions.from_frame(EVENTS[["user_id", "item_id"]])
    damped = x.weighted("bm25")
    assert damped.layers["all"] is damped.csr
    assert om.ItemKNN(neighbors=2).fit(damped).recommend(damped, k=1).k == 1


def test_items_by_items():
    held = (X.csr.toarray() > 0).astype(float)
    both, people = held.T @ held, held.sum(axis=0)
    np.fill_diagonal(both, 0)
    assert X.item_item().toarray().tolist() == both.tolist()
    with np.errstate(all="ignore"):
        cosine = np.nan_to_num(both / np.sqrt(np.outer(people, people)))
        jaccard = np.nan_to_num(both / (people[:, None] + people - both))
        lift = np.nan_to_num(both * 3 / np.outer(people, people))
    for measure, expected in {"cosine": cosine, "jaccard": jaccard, "lift": lift}.items():
        np.testing.assert_allclose(X.item_item(measure).toarray(), expected, rtol=1e-6)
    weight = X.csr.toarray().T @ X.csr.toarray()
    np.fill_diagonal(weight, 0)
    np.testing.assert_allclose(X.item_item("weight").toarray(), weight)
    with pytest.raises(ParameterError, match="measure must be one of"):
        X.item_item("magic")


def test_interest_by_category():
    goods = om.Catalog.from_frame(
        pd.DataFrame({"item_id": ["tea", "pot", "new", "cup"], "category": ["drinks", "kitchen", "drinks", None]})
    )
    x = X.by_category(goods)
    assert x.items.ids.tolist() == ["drinks", "kitchen"]
    assert x.csr.toarray().tolist() == [[2, 0], [1, 1], [0, -2]]
    assert x.layers["app"].toarray().tolist() == [[1, 0], [0, 1], [0, 0]]
    with pytest.raises(SchemaError, match="has no categories"):
        X.by_category(om.Catalog.from_frame(pd.DataFrame({"item_id": ["tea"]})))
    with pytest.raises(SchemaError, match=r"takes a Catalog\. Got dict"):
        X.by_category({"tea": "drinks"})


def test_hours_on_everybodys_own_clock():
    people = pd.DataFrame({"user_id": ["ann", "bob", "cat"], "timezone": ["Asia/Tokyo", "America/New_York", None]})
    audience = om.Audience.from_frame(people)
    data = om.Dataset(LOG, audience=audience)
    x = om.timing.by_hour(data, per="day")
    assert x.shape == (3, 24)
    assert x.csr[0, 17] == 3  # 08:00 to 08:40 UTC in Tokyo
    assert x.csr[1, 4] == x.csr[1, 19] == 1
    assert x.csr[2].nnz == 0  # no zone, no hour
    week = om.timing.by_hour(data)
    assert week.csr[0, 3 * 24 + 17] == 3  # a Thursday
    assert week.layers["app"].sum() == 2
    half = om.timing.by_hour(data, om.Weights(half_life="1h"), per="day", at="2025-05-02")
    assert 0 < half.csr[0, 17] < 3
    with pytest.raises(ParameterError, match="per must be one of"):
        om.timing.by_hour(data, per="month")
    calls = om.EventLog.from_frame(EVENTS.assign(item_id=None), itemless="keep")
    assert om.timing.by_hour(om.Dataset(calls, audience=audience)).csr.sum() == 5


def slow_sessions(log, gap, per_channel):
    """Walk every person's events one by one."""
    last, found, starts, times = {}, [], [], log.at
    for k in range(len(log)):
        key = (log.user[k], log.channel[k]) if per_channel else log.user[k]
        if key not in last or times[k] - last[key][0] > gap:
            starts.append((times[k], log.user[k], log.channel[k] if per_channel else 0, len(starts)))
            last[key] = (times[k], len(starts) - 1)
        last[key] = (times[k], last[key][1])
        found.append(last[key][1])
    rank = {start[3]: place for place, start in enumerate(sorted(starts))}
    return [rank[session] for session in found]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_sessions_are_those_of_a_plain_walk(per_channel, seed):
    draw = np.random.default_rng(seed)
    n = 200
    frame = pd.DataFrame(
        {
            "user_id": draw.integers(0, 6, n),
            "item_id": draw.integers(0, 5, n),
            "channel": draw.choice(["web", "app"], n),
            "event": "view",
            "timestamp": pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(draw.integers(0, 1500, n), "min"),
        }
    )
    log = om.EventLog.from_frame(frame)
    found = log.sessions("30min", per_channel=per_channel)
    assert found.dtype == np.int32
    assert found.tolist() == slow_sessions(log, 30 * 60_000_000, per_channel)


def test_sessions_by_hand():
    assert LOG.sessions("30min").tolist() == [0, 1, 0, 0, 2, 3]
    assert LOG.sessions("20min").max() == 4
    assert LOG.sessions("30min", per_channel=True).max() == 5  # forty minutes between two on the web
    empty = LOG.before("2020-01-01")
    assert empty.sessions().size == 0
    with pytest.raises(ParameterError, match="per_channel must be True or False"):
        LOG.sessions(per_channel="yes")
    with pytest.raises(ParameterError, match="gap must be a duration"):
        LOG.sessions(30)
