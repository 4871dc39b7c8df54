"""Expected values of other projects' own tests, re-stated: their numbers are facts, their code is not here.

Each test names its source. Where a peer defines a measure otherwise, the test says so and holds ours to the difference.
"""

import base64
import datetime as dt
import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import omnireco as om
from omnireco import adapters
from omnireco.data.clock import utc_offset

FILLER = 1000  # items that nobody chose, where a peer leaves a rank empty


def values(lists, truth, metric, k):
    """Return a metric per person, of lists as (person, item, rank) and of what they chose."""
    rows = []
    for user, of in pd.DataFrame(lists, columns=["user", "item", "rank"]).groupby("user"):
        at = dict(zip(of["rank"], of["item"], strict=True))
        rows += [(user, at.get(rank, FILLER + rank), -float(rank)) for rank in range(1, max(at) + 1)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "score"])
    chosen = pd.DataFrame(truth, columns=["user_id", "item_id"])
    report = om.evaluate({"theirs": frame}, chosen, k=k, metrics=[metric], n_bootstrap=0)
    found = report.per_user("theirs", metric)
    return dict(zip(found["user_id"], found["value"], strict=True))


def pairs(of):
    return [(user, item) for user, items in of.items() for item in items]


def ranked(of):
    return [(user, item, rank) for user, items in of.items() for rank, item in enumerate(items, 1)]


# ---- RecTools, tests/metrics/test_ranking.py (TestMAP, TestNDCG, TestMRR) ----------------------------------

SHOWN = list(
    zip(
        [1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7, 8],
        [1, 3, 1, 1, 2, 3, 4, 5, 1, 1, 2, 3, 1, 2],
        [9, 1, 3, 1, 3, 5, 7, 9, 1, 1, 2, 3, 2, 1],
        strict=True,
    )
)
CHOSEN = pairs({1: [1, 2], 2: [1], 3: [1, 2, 3, 4, 5, 6], 4: [1], 5: [1, 2, 3], 6: [1], 7: [1], 8: [1]})


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [0, 0, 1 / 6, 1, 1 / 3, 0, 0, 0]), (3, [0, 1 / 3, (1 + 2 / 3) / 6, 1, 1, 0, 1 / 2, 0])],
)
def test_average_precision_is_that_of_rectools(k, expected):
    metric = partial(om.evaluation.average_precision, divide_by="relevant")
    found = values(SHOWN, CHOSEN, metric, k)
    assert [found[user] for user in range(1, 9)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("k", "gain", "rank"), [(1, [0, 0, 1, 1, 0], [0, 0, 1, 1, 0]), (3, [0, 0, 1, 1, 0.5], [0, 0, 1, 1, 1 / 3])]
)
def test_gain_and_reciprocal_rank_are_those_of_rectools(k, gain, rank):
    """RecTools divides NDCG by the gain of ``k`` hits, also where a person chose fewer; ours by what a list holds."""
    shown = list(
        zip([1, 2, 3, 3, 3, 4, 5, 5, 5, 5], [1, 2, 1, 2, 3, 1, 1, 2, 3, 5], [9, 1, 1, 2, 3, 1, 3, 7, 9, 1], strict=True)
    )
    chosen = pairs({1: [1], 2: [1], 3: [1, 2, 3], 4: [1], 5: [1, 2, 3, 4]})
    found = values(shown, chosen, om.evaluation.mean_reciprocal_rank, k)
    assert [found[user] for user in range(1, 6)] == pytest.approx(rank, abs=1e-12)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, k + 1))
    found = values(shown, chosen, om.ndcg, k)
    theirs = [0, 0, 1, 1 / ideal, gain[4] / ideal]
    few = {4: ideal}  # one of one: theirs is 1 / ideal, ours 1
    assert [found[user] / few.get(user, 1.0) for user in range(1, 6)] == pytest.approx(theirs, abs=1e-12)


# ---- ir_measures, test/test_pytrec_eval.py; pytrec_eval, README (trec_eval's own code) ----------------------


@pytest.mark.parametrize(
    ("relevant", "ap", "mean"),
    [
        ({0: ["D0", "D3"], 1: ["D0", "D3"]}, [0.8333, 0.125], 0.4792),  # AP
        ({0: ["D3"], 1: ["D3"]}, [0.3333, 0.25], 0.2917),  # AP(rel=2)
    ],
)
def test_average_precision_is_that_of_ir_measures(relevant, ap, mean):
    run = ranked({0: ["D0", "D2", "D3", "D1", "D4"], 1: ["D1", "D4", "D2", "D3"]})  # by their scores, not their ranks
    frame = pd.DataFrame([(u, i, -float(r)) for u, i, r in run], columns=["user_id", "item_id", "score"])
    truth = pd.DataFrame(pairs(relevant), columns=["user_id", "item_id"])
    metric = partial(om.evaluation.average_precision, divide_by="relevant")
    report = om.evaluate({"run": frame}, truth, k=5, metrics=[metric], n_bootstrap=0)
    assert report.per_user("run", metric)["value"].tolist() == pytest.approx(ap, abs=1e-4)
    assert report.to_frame()["mean"].iloc[0] == pytest.approx(mean, abs=1e-4)


def test_success_and_set_measures_are_those_of_ir_measures():
    """Success@2, SetP and SetR with one grade: hit rate, and precision and recall of whole lists."""
    run = {0: ["D0", "D2", "D3", "D1", "D4"], 1: ["D1", "D4", "D2", "D3"]}
    truth = pairs({0: ["D1", "D2", "D3"], 1: ["D0", "D3"]})
    frame = pd.DataFrame([(u, i, -float(r)) for u, i, r in ranked(run)], columns=["user_id", "item_id", "score"])
    chosen = pd.DataFrame(truth, columns=["user_id", "item_id"])
    for metric, k, expected in [
        (om.hit_rate, 2, [1.0, 0.0]),
        (om.recall, 5, [1.0, 0.5]),
        (om.precision, 5, [0.6, 0.25 * 4 / 5]),  # theirs divides by the four that were shown, ours by k
    ]:
        report = om.evaluate({"run": frame}, chosen, k=k, metrics=[metric], n_bootstrap=0)
        assert report.per_user("run", metric)["value"].tolist() == pytest.approx(expected, abs=1e-12)


def test_gain_is_that_of_trec_eval():
    """q1 and q2 of pytrec_eval's README: ndcg 0.5 and 0.6934264036172708, map 1/3 and 0.5833333333333333."""
    frame = pd.DataFrame(
        [(q, d, s) for q, run in {
            "q1": {"d1": 1.0, "d2": 0.0, "d3": 1.5}, "q2": {"d1": 1.5, "d2": 0.2, "d3": 0.5}
        }.items() for d, s in run.items()],
        columns=["user_id", "item_id", "score"],
    )  # fmt: skip
    truth = pd.DataFrame([("q1", "d2"), ("q2", "d2"), ("q2", "d3")], columns=["user_id", "item_id"])
    precise = partial(om.evaluation.average_precision, divide_by="relevant")
    gain = partial(om.ndcg, ideal="all")
    report = om.evaluate({"run": frame}, truth, k=3, metrics=[gain, precise], n_bootstrap=0)
    assert report.per_user("run", gain)["value"].tolist() == pytest.approx([0.5, 0.6934264036172708], abs=1e-12)
    assert report.per_user("run", precise)["value"].tolist() == pytest.approx([1 / 3, 0.5833333333333333], abs=1e-12)


# ---- MABWiser, tests/test_linucb.py ------------------------------------------------------------------------

CONTEXTS = [
    *([0, 1, 2, 3, 5], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 2, 2, 3, 5], [1, 3, 1, 1, 1], [0, 0, 0, 0, 0]),
    *([0, 1, 4, 3, 5], [0, 1, 2, 4, 5], [1, 2, 1, 1, 3], [0, 2, 1, 0, 0]),
]


@pytest.mark.parametrize(
    ("arms", "rewards", "alpha", "expected"),
    [
        (
            [1, 1, 1, 2, 2, 2, 3, 3, 3, 1],
            [0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
            0.0,
            [
                [-0.018378378378378413, 0.0, 0.9966292134831471],
                [0.14054054054054055, 0.0, 0.43258426966292074],
            ],
        ),
        (
            [1, 1, 1, 2, 2, 3, 3, 3, 3, 3],
            [0, 0, 1, 0, 0, 0, 0, 1, 1, 1],
            1.0,
            [
                [0.9790312458954391, 1.1617706239438832, 1.4247056229871702],
                [0.8896475809353053, 0.923364043088837, 1.457085577251709],
            ],
        ),
    ],
)
def test_upper_bounds_are_those_of_mabwiser(arms, rewards, alpha, expected):
    """MABWiser's width is that of a noise of 1; ours is in the noise of the rewards."""
    live = om.LinearBandit(policy="linucb", regularization=1.0, intercept=False, shared=False)
    live = live.start([1, 2, 3], n_features=5)
    live.update(arms, np.array(CONTEXTS, float), np.array(rewards, float))
    asked = np.array(CONTEXTS[:2], float)
    bound = asked @ live._state.theta.T + alpha * live.widths(asked) / live.noise
    np.testing.assert_allclose(bound, expected, rtol=0, atol=1e-6)
    assert (bound.argmax(axis=1) + 1).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0.24, [2, 1]), (1.5, [2, 2])],  # test_linucb_t1, t2
)
def test_choices_are_those_of_mabwiser(alpha, expected):
    live = om.LinearBandit(policy="linucb", regularization=1.0, intercept=False, shared=False)
    live = live.start([1, 2, 3], n_features=5)
    live.update([1, 1, 1, 3, 2, 2, 3, 1, 3, 1], np.array(CONTEXTS, float), np.array([0, 1, 1, 0, 1, 0, 1, 1, 1, 1.0]))
    asked = np.array(CONTEXTS[:2], float)
    bound = asked @ live._state.theta.T + alpha * live.widths(asked) / live.noise
    assert (bound.argmax(axis=1) + 1).tolist() == expected


# ---- LensKit, tests/models/test_knn_item.py (simple_ratings, test_ii_train) ---------------------------------


def test_similarities_are_those_of_lenskit():
    """LensKit's item-item model compares ratings less the mean of their item."""
    ratings = pd.DataFrame(
        [(1, 6, 4.0), (2, 6, 2.0), (1, 7, 3.0), (2, 7, 2.0), (3, 7, 5.0), (4, 7, 2.0), (1, 8, 3.0), (2, 8, 4.0),
         (3, 8, 3.0), (4, 8, 2.0), (5, 8, 3.0), (6, 8, 2.0), (1, 9, 3.0), (3, 9, 4.0)],
        columns=["user_id", "item_id", "weight"],
    )  # fmt: skip
    ratings["weight"] -= ratings.groupby("item_id")["weight"].transform("mean")
    model = om.models.ItemKNN(neighbors=4, similarity="cosine").fit(om.Interactions.from_frame(ratings))
    lists = model.similar_items([6], k=3)
    score = dict(zip(lists.items.ids[lists.codes[0]].tolist(), lists.scores[0].tolist(), strict=True))
    assert score[7] == pytest.approx(1 / math.sqrt(2 * 6), abs=1e-6)


# ---- CloudEvents 1.0.2, json-format.md (3.2 examples, 4 batch) and the conformance features of its SDKs ------

SPEC = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "id": "C234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "datacontenttype": "application/json",
}


@pytest.mark.parametrize(
    "payload",
    [
        {"data": {"user_id": "ann", "item_id": "tea", "value": 4.5}},
        {"data": '{"user_id": "ann", "item_id": "tea", "value": 4.5}'},
        {"data_base64": base64.b64encode(b'{"user_id": "ann", "item_id": "tea", "value": 4.5}').decode()},
        {"subject": "ann", "data": {"item_id": "tea", "value": 4.5}},
        {"subject": None, "dataschema": None, "data": {"user_id": "ann", "item_id": "tea", "value": 4.5}},
    ],
)
def test_envelopes_of_the_cloudevents_specification(payload):
    """Data as JSON, as text and in base 64; an attribute that is null is absent; extensions are ignored."""
    read = adapters.cloudevents([{**SPEC, **payload}], types={"com.example.someevent": "view"})
    one = read.events.iloc[0]
    assert (one["user_id"], one["item_id"], one["value"]) == ("ann", "tea", 4.5)
    assert one["event_id"] == "/mycontext/C234-1234-1234"
    assert one["timestamp"] == pd.Timestamp("2018-04-05 17:31", tz="UTC")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2018-04-05T17:31:00Z", "2018-04-05 17:31:00"),
        ("2018-04-05T19:31:00+02:00", "2018-04-05 17:31:00"),
        ("2018-04-05T17:31:00.123456789Z", "2018-04-05 17:31:00.123456"),
    ],
)
def test_times_of_cloudevents_are_those_of_rfc_3339(text, utc):
    read = adapters.cloudevents([{**SPEC, "time": text, "subject": "ann"}], types={"com.example.someevent": "view"})
    assert read.events["timestamp"].iloc[0].floor("us") == pd.Timestamp(utc, tz="UTC")


def test_batches_of_cloudevents(tmp_path):
    path = tmp_path / "batch.json"
    path.write_text(json.dumps([{**SPEC, "subject": "ann"}, {**SPEC, "id": "2", "subject": "bob"}]), encoding="utf-8")
    assert len(adapters.cloudevents(path, types={"com.example.someevent": "view"}).events) == 2
    path.write_text("[]", encoding="utf-8")
    assert adapters.cloudevents(path, types={"com.example.someevent": "view"}).n_records == 0


# ---- CPython, Lib/test/test_zoneinfo/test_zoneinfo.py (ZoneDumpData) ----------------------------------------

CHANGES = [  # zone, local time of the change, hours before, hours after
    ("Africa/Casablanca", (2018, 3, 25, 2), 0, 1),
    ("Africa/Casablanca", (2018, 5, 13, 3), 1, 0),
    ("Africa/Casablanca", (2018, 6, 17, 2), 0, 1),
    ("Africa/Casablanca", (2019, 5, 5, 3), 1, 0),
    ("Africa/Casablanca", (2019, 6, 9, 2), 0, 1),
    ("America/Los_Angeles", (2015, 3, 8, 2), -8, -7),
    ("America/Los_Angeles", (2015, 11, 1, 2), -7, -8),
    ("America/Santiago", (2008, 3, 30, 0), -3, -4),
    ("America/Santiago", (2008, 10, 12, 0), -4, -3),
    ("Australia/Sydney", (2012, 4, 1, 3), 11, 10),
    ("Australia/Sydney", (2012, 10, 7, 2), 10, 11),
    ("Europe/Dublin", (2016, 3, 27, 1), 0, 1),
    ("Europe/Dublin", (2016, 10, 30, 2), 1, 0),
    ("Europe/Lisbon", (1992, 3, 29, 1), 0, 1),
    ("Europe/Lisbon", (1993, 3, 28, 2), 1, 2),
    ("Europe/Lisbon", (1993, 9, 26, 3), 2, 1),
    ("Europe/Lisbon", (1996, 10, 27, 2), 1, 0),
    ("Europe/London", (2005, 3, 27, 1), 0, 1),
    ("Europe/London", (2005, 10, 30, 2), 1, 0),
    ("Europe/London", (2043, 3, 29, 1), 0, 1),
    ("Europe/London", (2043, 10, 25, 2), 1, 0),
]


@pytest.mark.parametrize(("zone", "local", "before", "after"), CHANGES)
def test_clocks_change_where_cpython_says(zone, local, before, after):
    utc = dt.datetime(*local, tzinfo=dt.UTC) - dt.timedelta(hours=before)
    change = int(utc.timestamp()) * 1_000_000
    names = om.data.Vocabulary.from_ids(np.array([zone], object))
    found = utc_offset(np.array([change - 1, change]), np.zeros(2, np.int64), names)
    assert (np.asarray(found) / 3_600_000_000).tolist() == [before, after]


@pytest.mark.filterwarnings("ignore:Method expects CSR")  # of what implicit hands to itself
def test_item_knn_with_all_neighbours_ranks_as_the_cosine_of_implicit():
    """implicit 0.7.3: each item's own similarity of 1 counts among its K, so K is one more."""
    from implicit.nearest_neighbours import CosineRecommender

    world = om.simulate(n_users=300, n_items=60, days=120, seed=7)
    x = om.EventLog.from_frame(world.events).matrix()
    cells = scipy.sparse.csr_matrix(x.to_scipy(), dtype=np.float64)
    peer = CosineRecommender(K=61, num_threads=1)
    peer.fit(cells, show_progress=False)
    theirs, scores = peer.recommend(np.arange(len(x.users)), cells, N=10)
    ours = om.ItemKNN(neighbors=59).fit(x).recommend(x.rows(x.users.ids), k=10)
    scored = (scores > 0) & (ours.codes >= 0)
    assert scored.mean() > 0.8
    np.testing.assert_array_equal(ours.codes[scored], theirs[scored])
