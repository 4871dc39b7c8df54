"""The ranker: nothing of the future reaches it, context pays where there is some, and chances mean what they say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.asking.requests import Asked
from omnireco.errors import DataWarning, EmptyError, MissingExtraError, NotFittedError, ParameterError, SchemaError
from omnireco.models.together import scorers as _scorers
from omnireco.models.together.calibration import Isotonic
from omnireco.models.together.features import Facts
from omnireco.models.together.population import Clocks
from omnireco.models.together.ranker import _union

CUT = "2025-02-15"
START = pd.Timestamp("2025-01-06", tz="UTC")


def world(seed=0, *, effect=True, n_users=60, n=4000):
    """Forty items; in the app people take the even ones, on the web the odd ones, or it makes no difference."""
    draw = np.random.default_rng(seed)
    app = draw.random(n) < 0.5
    item = draw.integers(0, 20, n) * 2 + (np.where(app, 0, 1) if effect else draw.integers(0, 2, n))
    at = START + pd.to_timedelta(np.sort(draw.integers(0, 60 * 1440, n)), unit="min")
    frame = pd.DataFrame({"user_id": draw.integers(0, n_users, n), "item_id": item, "timestamp": at})
    frame["channel"] = np.where(app, "app", "web")
    return om.EventLog.from_frame(frame.assign(event="purchase", value=1.0))


def ranker(**changed):
    settings = {"models": [om.Popularity(), om.BuyAgain()], "exclude_seen": False, "n_candidates": 40, "seed": 1}
    return om.Ranker(**settings | changed)


LOG = world()
TRAIN, TEST = LOG.split("2025-02-26")
MODEL = ranker(n_requests=1000, requests_from=CUT).fit(TRAIN)
DATA = om.Dataset(LOG)
ASKED = om.Requests.from_log(TEST, context=["channel"], per_user=1)
REQUESTS = ASKED.requests.on(DATA)


def share_right(recs, requests):
    """The share of listed items that the channel of the request likes."""
    app = np.array(requests.to_frame()["channel"] == "app")
    return float((recs.items.ids[recs.codes] % 2 == np.where(app, 0, 1)[:, None]).mean())


@pytest.mark.parametrize("kind", ["logit", "lambdamart", "lightgbm"])
def test_the_situation_decides_where_it_matters(kind):
    if kind == "lightgbm":
        pytest.importorskip("lightgbm")
    model = MODEL if kind == "logit" else ranker(ranker=kind, n_requests=600, requests_from=CUT).fit(TRAIN)
    recs = model.recommend(REQUESTS, k=10)
    assert share_right(recs, REQUESTS) > 0.95
    assert (np.diff(recs.scores, axis=1) <= 0).all()
    assert ((recs.scores > 0) & (recs.scores < 1)).all()


def test_context_pays_where_it_matters():
    requests, chosen = om.Requests.from_log(TEST, context=["channel"])
    flat = ranker(context=(), n_requests=500, requests_from=CUT).fit(TRAIN)
    lists = {"flat": flat.recommend(requests.on(DATA), k=10), "ranker": MODEL.recommend(requests.on(DATA), k=10)}
    report = om.evaluate(lists, chosen, k=10, metrics=[om.ndcg])
    gain = report.differences("flat").iloc[0]
    assert gain["low"] > 0


def test_what_the_order_gains_over_each_model_is_measured_inside_fit():
    assert list(MODEL.validation) == ["popularity", "buyagain"]
    for gain, low, high, n in MODEL.validation.values():
        assert 0 < low < gain < high
        assert n > 40
    assert ranker(n_requests=60, requests_from=CUT).fit(TRAIN).validation == {}  # fewer than 20 people to judge it


def test_a_ranker_that_is_worse_than_its_own_candidates_warns():
    """What the channel meant turns round before the last fifth of the requests: the order that was learned is wrong."""
    frame = TRAIN.to_frame()
    turned = frame["timestamp"] >= "2025-02-23"
    frame.loc[turned, "channel"] = frame.loc[turned, "channel"].map({"app": "web", "web": "app"})
    with pytest.warns(DataWarning, match=r"orders worse than its own candidate model '\w+' alone: NDCG@10 -0\.\d+"):
        model = ranker(n_requests=1000, requests_from=CUT).fit(om.EventLog.from_frame(frame))
    assert all(high < 0 for _, _, high, _ in model.validation.values())


def news(days=24, n_users=60, seed=0):
    """Eight items a day, of which two are what everybody reads, on the day and the one after."""
    draw = np.random.default_rng(seed)
    user = np.tile(np.arange(n_users), days * 3)
    day = np.repeat(np.arange(days), n_users * 3)
    born = np.maximum(day - draw.integers(0, 2, user.size), 0)
    item = born * 8 + np.where(
        draw.random(user.size) < 0.7, draw.integers(0, 2, user.size), draw.integers(2, 8, user.size)
    )
    at = START + pd.to_timedelta(day * 1440 + draw.integers(0, 1440, user.size), unit="min")
    frame = pd.DataFrame({"user_id": user, "item_id": item, "timestamp": at}).drop_duplicates(["user_id", "item_id"])
    return om.EventLog.from_frame(frame.assign(channel="web", event="view").sort_values("timestamp"))


def test_where_items_live_for_days_stale_tables_are_noticed_and_fresh_ones_learn():
    past, later = om.Dataset(news()).rolling(horizon="1D", n=1)[0]
    now = om.Popularity(by="weight", weights=om.Weights(half_life="12h"))
    settings = {"models": {"now": now, "knn": om.ItemKNN()}, "context": (), "half_lives": ("12h", "7D")}
    with pytest.warns(DataWarning, match=r"9\d% of what was chosen .* Write Ranker\(refresh='1D'\)"):
        stale = om.Ranker(**settings, requests_from="7D").fit(past)
    assert not stale.validation
    fresh = om.Ranker(**settings, requests_from="7D", refresh="1D").fit(past)
    assert all(n > 20 for *_, n in fresh.validation.values())
    asked = past.requests()
    lists = {name: model.recommend(asked, k=5) for name, model in (("stale", stale), ("fresh", fresh))}
    lists["now"] = now.fit(past).recommend(asked, k=5)
    means = (
        om.evaluate(lists, later.events, k=5, metrics=[om.ndcg], n_bootstrap=0).to_frame().set_index("model")["mean"]
    )
    assert means["fresh"] > means["stale"]
    assert means["fresh"] > 0.9 * means["now"]


def test_tables_of_one_fold_are_those_of_none():
    """A refresh as long as the requests last changes nothing."""
    plain, whole = (ranker(n_requests=300, requests_from="9D", refresh=one).fit(TRAIN) for one in (None, "30D"))
    assert (plain.recommend(REQUESTS, k=5).codes == whole.recommend(REQUESTS, k=5).codes).all()
    assert plain.validation == whole.validation


def test_shuffled_context_loses_the_gain():
    draw = np.random.default_rng(0)
    known, code = REQUESTS.labels["channel"]
    wrong = dataclasses.replace(REQUESTS, labels={"channel": (known, draw.permutation(code))})
    recs = MODEL.recommend(wrong, k=10)
    assert abs(share_right(recs, REQUESTS) - 0.5) < 0.2


def test_what_happens_at_or_after_the_request_changes_nothing():
    some = REQUESTS.take(np.arange(20))
    late = LOG.to_frame()
    first = int(some.at.min())
    before = MODEL.recommend(some, k=5)
    one = some.take(np.array([int(np.argmin(some.at))]))
    alone = MODEL.recommend(one, k=5)
    late = late[late["timestamp"] < pd.Timestamp(first, unit="us", tz="UTC")]
    cut = MODEL.recommend(one.on(om.Dataset(om.EventLog.from_frame(late))), k=5)
    row = int(np.argmin(some.at))
    for other in (alone, cut):
        assert (other.codes[0] == before.codes[row]).all()
        np.testing.assert_allclose(other.scores[0], before.scores[row], rtol=1e-5)


def test_a_planted_leak_is_seen_and_cannot_be_built():
    """Every request has a label of its own: tables that include it would name the answer."""
    draw = np.random.default_rng(5)
    n = 1500
    frame = pd.DataFrame({"user_id": draw.integers(0, 40, n), "item_id": draw.integers(0, 30, n), "channel": "web"})
    at = START + pd.to_timedelta(np.sort(draw.choice(50 * 1440, n, replace=False)), unit="min")
    frame = frame.assign(event="purchase", timestamp=at, basket=[f"b{i}" for i in range(n)])
    log = om.EventLog.from_frame(frame, context=["basket"])
    estimator = ranker(context=["basket"], gap="1us", n_candidates=30)
    honest = estimator.replace(requests_from=CUT).fit(log)
    data = om.Dataset(log)
    asked = om.Requests.from_log(log.between(CUT, log.end), context=["basket"], gap="1us")
    clocks = Clocks.of(None, None)
    past = log.before(CUT)
    for tables, leaks in ((estimator._learn(past, clocks, None, honest.columns, ()), False), (honest, True)):
        found = dataclasses.replace(tables, scorer=honest.scorer).features(asked.requests.on(data))
        lift = found["context/basket/lift"].to_numpy()
        taken = asked.chosen.csr[found["request_id"], found["item_id"]]
        jump = abs(np.corrcoef(lift, np.asarray(taken).ravel())[0, 1]) if lift.std() else 0.0
        assert (jump > 0.9) == leaks
    later = estimator.replace(requests_from="2025-02-20")  # earlier requests would know the answers: not learned from
    kept = np.flatnonzero(asked.requests.at >= pd.Timestamp("2025-02-20", tz="UTC").value // 1000)
    trimmed = Asked(asked.requests.take(kept), asked.chosen.take(kept))
    one, two = (later.fit(om.Dataset(log, asked=part)) for part in (asked, trimmed))
    assert (one.scorer.linear == two.scorer.linear).all()
    assert len(kept) < len(asked.requests)
    rows = np.setdiff1d(np.arange(len(asked.requests)), kept)[:3]
    early = Asked(asked.requests.take(rows), asked.chosen.take(rows))
    with pytest.raises(EmptyError, match=r"none of 3 requests in Dataset\(asked=...\) lies at or after"):
        later.fit(om.Dataset(log, asked=early))
    with pytest.raises(ParameterError, match="fitted model may have seen"):
        om.Ranker(models=[om.EASE().fit(log.matrix())])


def test_an_answer_does_not_depend_on_the_batch_or_its_blocks(monkeypatch):
    from omnireco._core import compute as _compute
    from omnireco.models.together import ranker

    whole = MODEL.recommend(REQUESTS, k=7)
    real = _compute.row_blocks
    monkeypatch.setattr(ranker, "row_blocks", lambda n, size, **_: real(n, 1, most=3))
    blocks = MODEL.recommend(REQUESTS, k=7)
    assert (blocks.codes == whole.codes).all()
    np.testing.assert_allclose(blocks.scores, whole.scores, rtol=1e-5)
    top = MODEL.recommend(REQUESTS, k=3)
    assert (top.codes == whole.codes[:, :3]).all()


def test_frames_new_people_and_eligible_items():
    at = pd.Timestamp(LOG.end) + pd.Timedelta("1h")
    frame = pd.DataFrame({"user_id": [1, 999], "timestamp": at, "channel": ["app", "kiosk"]})
    asked = om.Requests.from_frame(frame, context=["channel"]).on(DATA)
    recs = MODEL.recommend(asked, k=4, eligible=[3, 5, 8])
    assert recs.users.ids.tolist() == [1, 999]
    assert set(recs.to_frame()["item_id"]) == {3, 5, 8}
    assert (recs.codes[:, 3] == -1).all()
    same = MODEL.recommend(
        DATA.requests([1, 999], at=at, channel=["app", "kiosk"], new_users=True), k=4, eligible=[3, 5, 8]
    )
    assert (same.scores == recs.scores).all()
    with pytest.raises(SchemaError, match="lack the context column 'channel'"):
        MODEL.recommend(om.Requests.from_frame(frame[["user_id", "timestamp"]]).on(DATA), k=4)
    mask = np.isin(MODEL.items.ids, [3, 5, 8])
    assert (MODEL.recommend(asked, k=4, eligible=mask).codes == recs.codes).all()
    assert (MODEL.recommend(asked, k=4, eligible=mask.tolist()).codes == recs.codes).all()
    assert (MODEL.recommend(asked, k=4, exclude=~mask).codes == recs.codes).all()
    with pytest.raises(ParameterError, match=r"range \[1, 40\]"):
        MODEL.recommend(asked, k=41)
    with pytest.raises(ParameterError, match="1 labels for 2 rows"):
        MODEL.recommend(asked, k=4, eligible=(["a"], {"a": mask}))


def test_an_old_signature_names_the_new_line():
    with pytest.raises(TypeError, match=r"Write Ranker.*om.Dataset\(events, audience=people, catalog=goods\)"):
        ranker().fit(TRAIN, at=CUT)
    with pytest.raises(TypeError, match=r"Write model.recommend\(data.requests\(channel='app'\), k=10\)"):
        MODEL.recommend(LOG, ASKED.requests, k=3)
    with pytest.raises(TypeError, match=r"Write model.features\(data.requests\(channel='app'\)\)"):
        MODEL.features(LOG, ASKED.requests)
    with pytest.raises(SchemaError, match=r"takes Requests. Got DataFrame: write data.requests"):
        MODEL.recommend(ASKED.requests.to_frame(), k=3)
    with pytest.raises(SchemaError, match="have no Dataset to read histories from"):
        MODEL.recommend(ASKED.requests, k=3)


def test_requests_of_one_person_baskets_and_what_must_not_be_shown():
    who = LOG.users.ids[4]
    asked = DATA.requests(
        [who, who, who],
        at=["2025-02-20", LOG.end, LOG.end],
        channel="app",
        given=[[], [2, 4], []],
        exclude=[[6], [], []],
    )
    recs = MODEL.recommend(asked, k=20)
    assert recs.key == "request_id"
    shown = [set(recs.items.ids[row[row >= 0]].tolist()) for row in recs.codes]
    assert 6 not in shown[0]
    assert not {2, 4} & shown[1]
    for row in range(3):
        alone = MODEL.recommend(asked.take(np.array([row])), k=20)
        assert (alone.codes[0] == recs.codes[row]).all()
    late = MODEL.recommend(om.Dataset(LOG).before("2025-02-20").requests([who], channel="app", exclude=[[6]]), k=20)
    assert (late.codes[0] == recs.codes[0]).all()
    seen = MODEL.recommend(asked.take(np.array([2])), k=20, exclude_seen=True)
    had = LOG.item[LOG.user == 4]
    assert not set(seen.codes[0][seen.codes[0] >= 0].tolist()) & set(had.tolist())


def test_members_are_asked_with_weights_of_their_own():
    own = om.Weights(events={"purchase": 3.0}, half_life="9D")
    members = {"als": om.ALS(factors=3, weights=own), "next": om.models.NextItem(), "types": om.models.TypedEASE()}
    members["blend"] = om.Blend(models={"ease": om.EASE(), "sessions": om.models.SessionKNN()})
    model = ranker(models=members, n_requests=100, requests_from=CUT).fit(TRAIN)
    asked = REQUESTS.take(np.arange(12))
    listed = model.propose(asked, None)
    for number, (name, member) in enumerate(model.models.items()):
        recs = member.recommend(asked, k=40, exclude_seen=False)
        for row in range(12):
            mine = listed.row == row
            rank = {int(code): place + 1 for place, code in enumerate(recs.codes[row]) if code >= 0}
            assert [rank.get(int(item), 41) for item in listed.item[mine]] == listed.rank[mine, number].tolist(), name


def test_requests_may_begin_so_long_before_the_end():
    at = (pd.Timestamp(TRAIN.end) - pd.Timedelta("11D")).isoformat()
    one, two = (ranker(n_requests=200, requests_from=start).fit(TRAIN) for start in ("11D", at))
    assert (one.scorer.linear == two.scorer.linear).all()
    assert (one.recommend(REQUESTS, k=5).scores == two.recommend(REQUESTS, k=5).scores).all()
    assert ranker(requests_from=pd.Timestamp(at)).requests_from == at


def test_groups_of_requests_may_see_different_items(monkeypatch):
    from omnireco._core import compute as _compute
    from omnireco.models.together import ranker

    groups = np.where(np.arange(len(REQUESTS)) % 3 == 0, "young", "old")
    options = {"young": [3, 5, 8], "old": np.isin(MODEL.items.ids, range(10, 40))}
    recs = MODEL.recommend(REQUESTS, k=5, eligible=(groups, options))
    shown = [set(MODEL.items.ids[row[row >= 0]].tolist()) for row in recs.codes]
    assert all(items == {3, 5, 8} for items, group in zip(shown, groups, strict=True) if group == "young")
    assert all(items and min(items) >= 10 for items, group in zip(shown, groups, strict=True) if group == "old")
    real = _compute.row_blocks
    monkeypatch.setattr(ranker, "row_blocks", lambda n, size, **_: real(n, 1, most=3))
    assert (MODEL.recommend(REQUESTS, k=5, eligible=(groups, options)).codes == recs.codes).all()


def test_graded_targets_are_refused_before_anything_is_fitted():
    with pytest.raises(ParameterError, match=r"Weights\(targets=.*dislikes="):
        ranker(weights=om.Weights(targets={"purchase": 1, "dislike": 0}))


def test_seen_items_stay_out_when_asked():
    model = ranker(exclude_seen=True, models=[om.Popularity()], n_candidates=20, gap="1min", requests_from=CUT).fit(
        world(n_users=200)
    )
    recs = model.recommend(REQUESTS, k=5)
    row, asked_at = LOG.users.codes(ASKED.requests.users.ids)[ASKED.requests.user], ASKED.requests.at
    for at, codes in enumerate(recs.codes):
        past = (LOG.user == row[at]) & (asked_at[at] > LOG.at)
        assert not set(recs.items.ids[codes[codes >= 0]]) & set(LOG.items.ids[LOG.item[past]])


def test_facts_decide_where_they_matter():
    """In each week one item is on display, and everybody takes it half of the time."""
    draw = np.random.default_rng(2)
    n = 3000
    day = np.sort(draw.integers(0, 60, n))
    shown = np.random.default_rng(9).integers(0, 30, 9)
    item = np.where(draw.random(n) < 0.5, shown[day // 7], draw.integers(0, 30, n))
    frame = pd.DataFrame({"user_id": draw.integers(0, 50, n), "item_id": item, "channel": "store", "event": "purchase"})
    at = START + pd.to_timedelta(day * 1440 + draw.integers(0, 1440, n), unit="min")
    log = om.EventLog.from_frame(frame.assign(timestamp=at, week=(day // 7).astype(str)), context=["week"])
    facts = pd.DataFrame({"week": [str(w) for w in range(9)], "item_id": shown, "on_display": 1.0})
    train, test = log.split("2025-02-24")
    estimator = ranker(context=["week"], n_candidates=30, gap="1min", requests_from="2025-02-03")
    model = estimator.fit(om.Dataset(train, facts=[facts]))
    requests = om.Requests.from_log(test.between("2025-02-24", "2025-03-02"), context=["week"], per_user=1)[0]
    recs = model.recommend(requests.on(om.Dataset(log, facts=[facts])), k=1)  # of a week that no table has seen
    assert (recs.items.ids[recs.codes[:, 0]] == shown[7]).mean() > 0.9
    with pytest.raises(SchemaError, match="fitted with the columns"):
        model.recommend(requests.on(om.Dataset(log)), k=1)
    with pytest.raises(SchemaError, match="repeat a key"):
        Facts.read(pd.concat([facts, facts]), model.population)
    with pytest.raises(SchemaError, match="needs a key column"):
        Facts.read(facts[["on_display"]], model.population)


def test_saved_and_loaded(tmp_path):
    again = om.load(om.save(MODEL, tmp_path / "ranker.omnireco"))
    one, two = (m.recommend(REQUESTS, k=6) for m in (MODEL, again))
    assert (one.codes == two.codes).all()
    assert (one.scores == two.scores).all()
    assert dict(again.calibration) == dict(MODEL.calibration)


def test_chances_are_calibrated():
    recs = MODEL.recommend(REQUESTS, k=40)
    taken = np.asarray(ASKED.chosen.with_items(recs.items).csr[np.arange(len(recs))[:, None], recs.codes].todense())
    assert om.models.calibration_error(recs.scores, taken) < 0.02
    assert all(error < 0.02 for error, _ in MODEL.calibration.values())


def test_hour_needs_a_clock():
    with pytest.raises(ParameterError, match="no clock to read it on"):
        ranker(context=["hour"], requests_from=CUT).fit(TRAIN)
    with pytest.raises(ParameterError, match="IANA region name"):
        ranker(context=["hour"], timezone="UTC+3")
    paris = ranker(context=["hour"], n_requests=200, requests_from=CUT, timezone="Europe/Paris").fit(TRAIN)
    people = pd.DataFrame({"user_id": range(60), "timezone": "Europe/Paris"})
    data = om.Dataset(TRAIN, audience=om.Audience.from_frame(people))
    model = ranker(context=["hour"], n_requests=200, requests_from=CUT).fit(data)
    with pytest.raises(ParameterError, match="no clock"):
        model.recommend(REQUESTS, k=3)
    other = om.Dataset(LOG, audience=om.Audience.from_frame(people.assign(timezone="Asia/Tokyo")))
    asked = ASKED.requests.on(om.Dataset(LOG, audience=data.audience))
    own = paris.recommend(REQUESTS, k=3)
    for same in (paris.recommend(ASKED.requests.on(other), k=3), model.recommend(asked, k=3)):
        assert (same.codes == own.codes).all()
        assert (same.scores == own.scores).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": []}, "models is empty"),
        ({"models": [3]}, "must be an estimator"),
        ({"context": "channel"}, "must be a list of names"),
        ({"context": ["channel", "channel"]}, "names a column twice"),
        ({"ranker": "forest"}, "must be one of"),
        ({"half_lives": ("9D", "2D")}, "shorter first"),
        ({"unfinished": ("cart",)}, "begun, finished"),
        ({"n_candidates": 0}, "at least 1"),
        ({"requests_from": "soon"}, "a time before the end of the data"),
        ({"requests_from": 7}, "a time before the end of the data"),
    ],
)
def test_bad_parameters(changed, message):
    with pytest.raises(ParameterError, match=message):
        ranker(**changed)


def test_bad_fits(monkeypatch):
    with pytest.raises(EmptyError, match="nothing happened before requests_from="):
        ranker(requests_from="2020-01-01").fit(TRAIN)
    with pytest.raises(ParameterError, match="neither a column of the log"):
        ranker(context=["device"], requests_from=CUT).fit(TRAIN)
    with pytest.raises(ParameterError, match="events: 'view' is a name"):
        ranker(events=["view"], requests_from=CUT).fit(TRAIN)
    with pytest.raises(NotFittedError, match=r"fit returns the model.*Ranker\(...\).fit\(data\)"):
        ranker().recommend(REQUESTS, k=3)
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match=r"omnireco\[lightgbm\]"):
        _scorers.fit_lightgbm(np.zeros((2, 1)), np.array([0.0, 1.0]), np.array([0, 2]), seed=0)


def test_the_union_keeps_the_best_ranks():
    codes = [np.array([[4, 2, 1]], np.int32), np.array([[1, 5, -1]], np.int32)]
    z = [np.array([[1.0, 0.0, -1.0]]), np.array([[2.0, 1.0, np.nan]])]
    listed = _union(codes, z, 6, 3)
    assert listed.item.tolist() == [1, 2, 4]  # ranks 1 (by the second), 2 and 1; 5 has rank 2 but the later model
    assert listed.rank.tolist() == [[3, 1], [2, 4], [1, 4]]
    assert listed.score.tolist() == [[-1, 2], [0, 1], [1, 1]]


def test_trees_agree_with_lightgbm():
    lightgbm = pytest.importorskip("lightgbm")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(3000, 4)).astype(np.float32)
    label = (x[:, 0] + 0.5 * draw.normal(size=3000) > 1).astype(float)
    indptr = np.arange(0, 3001, 30)
    ours = _scorers.fit_lightgbm(x, label, indptr, seed=3)
    kept = []
    original = lightgbm.train
    lightgbm.train = lambda *a, **k: kept.append(original(*a, **k)) or kept[-1]
    try:
        again = _scorers.fit_lightgbm(x, label, indptr, seed=3)
    finally:
        lightgbm.train = original
    np.testing.assert_allclose(ours(x), kept[0].predict(x), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours(x), again(x))


def test_lambdas_agree_with_a_loop_on_paper():
    score, label, indptr = np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0, 3])
    g, h = np.zeros(3), np.zeros(3)
    _scorers._lambdas(score, label, indptr, g, h)
    first = abs(1 / np.log2(2) - 1 / np.log2(3)) / (1 + np.exp(1 - 2))
    last = abs(1 / np.log2(4) - 1 / np.log2(3)) / (1 + np.exp(1 - 0))
    np.testing.assert_allclose(g, [-first, first + last, -last])
    assert (h > 0).all()


def test_isotonic_rises_and_keeps_order():
    draw = np.random.default_rng(0)
    score = draw.normal(size=20_000)
    chance = 1 / (1 + np.exp(-score * 2 + 1))
    curve = Isotonic.fit(score, draw.random(20_000) < chance)
    found = curve(np.linspace(-4, 4, 200))
    assert (np.diff(found) > 0).all()
    assert om.models.calibration_error(curve(score), draw.random(20_000) < chance) < 0.02


def test_calibration_error_refuses():
    with pytest.raises(ParameterError, match="outside"):
        om.models.calibration_error([1.2], [1])
    with pytest.raises(ParameterError, match="0 and 1"):
        om.models.calibration_error([0.2], [0.3])
    with pytest.raises(ParameterError, match="Give one of each"):
        om.models.calibration_error([0.2, 0.1], [1])
    with pytest.raises(EmptyError, match="nothing to compare"):
        om.models.calibration_error([], [])


def test_a_tree_finds_the_cut():
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 64, (4000, 3)).astype(np.uint8)
    g = np.where(codes[:, 1] <= 20, 1.0, -1.0) + np.where((codes[:, 1] > 20) & (codes[:, 2] <= 40), 0.5, 0.0)
    feature, cut, value = np.full(7, -1), np.zeros(7, np.int64), np.zeros(7)
    _scorers._grow(codes, g, np.ones(4000), 2, 1e-9, 5, feature, cut, value)
    assert (feature[0], cut[0]) == (1, 20)
    assert feature[1] == -1  # nothing left to gain on the left
    assert (feature[2], cut[2]) == (2, 40)
    assert value[5] == pytest.approx(-0.5)
    assert value[6] == pytest.approx(-1.0)


def test_the_logit_chooses_a_penalty_that_holds_on_later_requests():
    def drawn(n, seed):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(n * 8, 12)).astype(np.float32)
        luck = draw.gumbel(size=(n, 8)) + 0.5 * x[:, 0].reshape(n, 8)
        return x, (np.arange(8) == luck.argmax(1)[:, None]).ravel().astype(float), np.arange(0, 8 * n + 1, 8)

    known, fresh = drawn(250, 1), drawn(500, 2)
    light, tuned = _scorers.Quadratic.fit(*known), _scorers.Quadratic.tuned(*known)
    assert tuned.likelihood(*fresh) > light.likelihood(*fresh) + 0.02
    assert tuned.likelihood(*fresh) > np.log(1 / 8)  # what somebody who knows nothing gets
    few = (known[0][:800], known[1][:800], known[2][:101])
    assert (_scorers.Quadratic.tuned(*few).products == _scorers.Quadratic.fit(*few).products).all()
