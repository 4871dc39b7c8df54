"""A name that matches nothing is an error: it would switch off what somebody wrote, and nothing would say so."""

import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import IdKindError, ParameterError, SchemaError
from omnireco.models.lists.diversify import promoted, quotas
from omnireco.models.together.cross_channel import join_channels

DAYS = pd.date_range("2025-05-01 09:30", periods=8, freq="D", tz="UTC")
LOG = om.EventLog.from_frame(
    pd.DataFrame(
        {
            "user_id": list("aabbccdd"),
            "item_id": list("xyxyxyxz"),
            "channel": ["web", "store"] * 4,
            "event": ["view", "purchase"] * 4,
            "timestamp": DAYS,
        }
    )
)
X = LOG.matrix()
LISTS = om.ItemKNN().fit(X).recommend(X, k=3, exclude_seen=False)
GOODS = om.Catalog.from_frame(pd.DataFrame({"item_id": list("xyz"), "category": ["hot", "hot", "cold"]}))
LINKS = pd.DataFrame({"id_a": ["d"], "kind_a": "device", "id_b": ["c"], "kind_b": "card"})

WEIGHTS = {
    "events": {"events": {"view": 1, "purchse": 8}},
    "channels": {"channels": {"stor": 3}},
    "targets": {"targets": {"purchse": 1.0}},
    "verdicts": {"targets": {"view": 0.5}, "verdicts": ["purchse"]},
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name):
    near = "store" if name == "channels" else "purchase"
    with pytest.raises(ParameterError, match=rf"Weights: {name}: .* Did you mean '{near}'\? Known: .*missing='ignore'"):
        LOG.matrix(om.Weights(**WEIGHTS[name]))
    assert LOG.matrix(om.Weights(**WEIGHTS[name], missing="ignore")).nnz == X.nnz
    with pytest.raises(ParameterError, match=r"missing must be one of 'raise', 'ignore'"):
        om.Weights(missing="no")


def test_weights_of_every_reader_of_a_log(tmp_path):
    wrong = om.Weights(events={"purchse": 8})
    people = om.Audience.from_frame(pd.DataFrame({"user_id": list("abcd"), "timezone": "Asia/Tokyo"}))
    LOG.to_frame().to_parquet(tmp_path / "log.parquet")
    scan = om.EventLog.scan(tmp_path)
    for read in (
        lambda: scan.matrix(wrong),
        lambda: om.timing.by_hour(om.Dataset(LOG, audience=people), wrong),
        lambda: X.updated(LOG, at="2025-06-01", weights=wrong),
        lambda: om.models.NextItem(weights=wrong).fit(LOG),
        lambda: om.models.SessionKNN(weights=wrong).fit(LOG),
        lambda: om.learn_weights(om.ItemKNN(weights=wrong), LOG, horizon="2D"),
        lambda: om.evaluation.compare_channels(
            om.models.CrossChannel(estimator=om.ALS(weights=wrong)), *om.Dataset(LOG).rolling(horizon="2D", n=1)[0]
        ),
        lambda: om.Ranker(models=[om.EASE()], weights=wrong, requests_from="2025-05-05").fit(LOG),
    ):
        with pytest.raises(ParameterError, match=r"Weights: events: 'purchse' is a name .* Did you mean 'purchase'\?"):
            read()


def test_a_day_without_purchases_updates_a_matrix_that_weighs_them():
    old, new = LOG.split("2025-05-08T09:00:00+00:00")
    weights = om.Weights(events={"view": 1, "purchase": 8}, channels={"store": 2}, half_life="30D")
    views = new.select(events=["view"], missing="ignore")
    assert old.matrix(weights).updated(new.select(events=["purchase"])).nnz
    assert old.matrix(weights).updated(views, at="2025-05-09").weights == weights


def test_weights_keep_what_they_say_of_missing_names_in_a_file(tmp_path):
    x = LOG.matrix(om.Weights(events={"refund": 0.0}, missing="ignore"))
    again = om.load(om.save(x, tmp_path / "x.omnireco"))
    assert again.weights == x.weights
    assert again.weights.missing == "ignore"


def test_parts_of_a_log_may_lack_what_the_log_has():
    rare = om.Weights(events={"purchase": 8}, channels={"store": 2})
    some = LOG.select(channels=["web"], missing="raise")
    with pytest.raises(ParameterError, match="Weights: events: 'purchase'"):
        some.matrix(rare)
    world = om.simulate(n_users=80, n_items=20, days=60, seed=1)
    log = om.EventLog.from_frame(world.events)
    first = log.events.ids[0]
    late = log.between(log.end.replace(day=1), log.end)  # only the last weeks know this type
    joined = om.EventLog.concat([log.before(late.start).select(events=[n for n in log.events.ids if n != first]), late])
    learned = om.learn_weights(
        om.ItemKNN(weights=om.Weights(events={first: 2})),
        joined,
        horizon=om.Dataset(joined).rolling(horizon="10D", n=2),
        search=om.evaluation.Search(channels=[], events=[], half_lives=[None], parameters={}, n_bootstrap=50),
        k=5,
    )
    assert learned.start.missing == "raise"


def learning(**search):
    return om.learn_weights(om.ItemKNN(), LOG, horizon="2D", search=om.evaluation.Search(**search))


UNKNOWN = {
    "learn target": lambda: om.learn_weights(om.ItemKNN(), LOG, horizon="2D", target=["purchse"]),
    "learn target channels": lambda: om.learn_weights(om.ItemKNN(), LOG, horizon="2D", target_channels=["stor"]),
    "select channels": lambda: LOG.select(channels=["webb"]),
    "select events": lambda: LOG.select(events=["views"]),
    "unfinished begun": lambda: om.journeys.unfinished(LOG, at="2025-06-01", begun="views", finished="purchase"),
    "unfinished finished": lambda: om.journeys.unfinished(LOG, at="2025-06-01", begun="view", finished="purchse"),
    "refills": lambda: om.journeys.Refills(events=["purchse"]).fit(LOG),
    "follow-ups": lambda: om.journeys.FollowUps(events=["purchse"]).fit(LOG),
    "next item": lambda: om.models.NextItem(events=["purchse"]).fit(LOG),
    "typed target": lambda: om.models.TypedEASE(target="purchse").fit(LOG),
    "typed channels": lambda: om.models.TypedEASE(target_channels=["stor"]).fit(LOG),
    "report completes": lambda: om.evaluation.channel_report(LOG, completes="purchse"),
    "report starts": lambda: om.evaluation.channel_report(LOG, starts=["views"]),
    "learn channels": lambda: learning(channels=["stor"]),
    "learn events": lambda: learning(events={"all": ["views"]}),
    "compare weights": lambda: om.evaluation.compare_channels(
        om.models.CrossChannel(channel_weights={"stor": 2}), *om.Dataset(LOG).rolling(horizon="2D", n=1)[0]
    ),
    "cross-channel": lambda: om.models.CrossChannel(channel_weights={"stor": 2}).fit(X),
    "join": lambda: join_channels(X, channel_weights={"stor": 2}),
    "requests": lambda: om.Requests.from_log(LOG, events=["purchse"]),
    "ranker events": lambda: om.Ranker(models=[om.EASE()], events=["purchse"], requests_from="2025-05-05").fit(LOG),
    "ranker dislikes": lambda: om.Ranker(models=[om.EASE()], dislikes=["views"], requests_from="2025-05-05").fit(LOG),
    "ranker pair": lambda: om.Ranker(
        models=[om.EASE()], unfinished=("view", "purchas"), requests_from="2025-05-05"
    ).fit(LOG),
    "quotas": lambda: quotas(LISTS, GOODS, k=2, max_per_category={"hott": 1}),
    "exposure": lambda: om.models.limit_exposure(LISTS, k=2, max_per_item={"xx": 1}),
    "boost": lambda: promoted(LISTS, k=2, boost={"xx": 1}),
    "pin": lambda: promoted(LISTS, k=2, pin=["xx"]),
    "bury": lambda: promoted(LISTS, k=2, bury=["xx"]),
    "links": lambda: om.identity.Identities.from_links(LINKS, max_links={"devices": 2}),
    "pairs of links": lambda: om.identity.Identities.from_links(LINKS, max_links={("device", "cards"): 2}),
    "strengths": lambda: om.identity.Identities.from_links(LINKS, min_strength={"devices": 0.5}),
    "expiry": lambda: om.identity.Identities.from_links(LINKS, expiry={"devices": "30D"}),
}  # fmt: skip


@pytest.mark.parametrize("verb", UNKNOWN)
def test_every_verb_that_takes_names(verb):
    with pytest.raises(ParameterError, match=r"is a name that nothing here has\. Did you mean .*\? Known: '"):
        UNKNOWN[verb]()


def test_whoever_means_it():
    assert len(LOG.select(events=["views", "view"], missing="ignore")) == 4
    assert len(om.journeys.unfinished(LOG, at="2025-05-20", begun="view", finished="bought", missing="ignore")) == 4
    assert (
        om.models.limit_exposure(LISTS, k=2, max_per_item={"xx": 1}, missing="ignore").codes.tolist()
        == LISTS.head(2).codes.tolist()
    )
    assert promoted(LISTS, k=3, boost={"xx": 1}, pin=["q"], missing="ignore").codes.tolist() == LISTS.codes.tolist()
    assert (
        quotas(LISTS, GOODS, k=3, max_per_category={"hott": 1}, missing="ignore").codes.tolist() == LISTS.codes.tolist()
    )
    assert (
        om.models.CrossChannel(estimator=om.EASE(), channel_weights={"stor": 2}, missing="ignore")
        .fit(X)
        .recommend(X, k=1)
        .k
        == 1
    )
    assert len(om.identity.Identities.from_links(LINKS, max_links={"tv": 2}, missing="ignore")) == 2


def test_a_history_may_lack_a_channel_that_the_model_weighs():
    model = om.models.CrossChannel(estimator=om.EASE(), channel_weights={"store": 2}).fit(X)
    web = LOG.select(channels=["web"]).matrix().with_items(X.items)
    assert model.recommend(web, k=1).k == 1


def test_a_scan_says_which_channel_no_file_has(tmp_path):
    LOG.to_frame().to_parquet(tmp_path / "log.parquet")
    with pytest.raises(ParameterError, match=r"EventScan.log: channels: 'stor' is a name.*Did you mean 'store'\?"):
        om.EventLog.scan(tmp_path).log(channels=["web", "stor"])


@pytest.mark.parametrize(
    ("door", "column", "ours"),
    [
        (om.MessageLog, "Unsubscribed_At", "unsubscribed_at"),
        (om.MessageLog, "clickedAt", "clicked_at"),
        (om.MessageLog, "machine ", "machine"),
        (om.Audience, "Reachable_email", "reachable_email"),
        (om.Audience, "consent-email", "consent_email"),
        (om.EventLog, "Value", "value"),
        (om.EventLog, "Session ID", "session_id"),
        (om.Catalog, "Price", "price"),
        (om.Interactions, "WEIGHT", "weight"),
    ],
)
def test_a_column_that_is_ours_but_for_capitals_is_not_left_out_in_silence(door, column, ours):
    at = DAYS[:2]
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "channel": "web", "event": "view"})
    frame = frame.assign(timestamp=at, sent_at=at, responded_at=at, timezone="UTC", **{column: [1, 0]})
    with pytest.raises(SchemaError, match=rf"column '{column}' would not be read, since ours is called '{ours}'. Map"):
        door.from_frame(frame)
    door.from_frame(frame.drop(columns=column))
    if not ours.endswith("_at"):
        door.from_frame(frame.assign(consent_email=True), columns={ours: column})


def test_zones_of_stores():
    shop = om.EventLog.from_frame(LOG.to_frame().assign(store_id=["s1", "s2"] * 4))
    everybody = om.Audience.from_frame(pd.DataFrame({"user_id": list("abcd"), "timezone": None}))
    with pytest.raises(ParameterError, match=r"infer_zones: stores: 'S1' is a name .* Did you mean 's1'\?"):
        om.timing.infer_zones(om.Dataset(shop, audience=everybody), stores={"S1": "Asia/Tokyo"})
    with pytest.raises(IdKindError, match=r"strings, those of stores are integers.*frame\['store_id'\]"):
        om.timing.infer_zones(om.Dataset(shop, audience=everybody), stores={1: "Asia/Tokyo"})
    with pytest.raises(ParameterError, match=r"the log has no store_id\. Map the column"):
        om.timing.infer_zones(om.Dataset(LOG, audience=everybody), stores={"s1": "Asia/Tokyo"})
    found = om.timing.infer_zones(
        om.Dataset(shop, audience=everybody), stores={"s9": "Europe/Paris", "s2": "Asia/Tokyo", "s1": "Asia/Tokyo"}
    )
    assert set(found.best(list("abcd"))[0]) == {"Asia/Tokyo"}
