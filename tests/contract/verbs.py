"""Every public verb with small valid arguments, found by looking: what the laws about arguments and about ids drive.

A new verb is found by itself. When one of its required parameters has a name that :data:`ARGUMENTS` does not know, the
laws fail and say so: give it a value there, or a reason in :data:`NOT_DRIVEN`.
"""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

import omnireco as om
import omnireco.live

MARKER = "zz-SECRET-777"  # every id of a person begins with it
ROOMS = (
    *("adapters", "causal", "choices", "data", "evaluation", "files", "identity", "journeys", "live", "models"),
    *("planning", "plotting", "testing", "timing", "worlds"),
)

# Values that doors, fit and other verbs build from codes: their constructors trust what they are given.
CODED = frozenset(
    [
        "ActivityModel",
        "AttributeModel",
        "Audience",
        "Backtest",
        "BlendModel",
        "BudgetPath",
        "Candidates",
        "Catalog",
        "ChannelComparison",
        "ChannelModel",
        "ChannelPreferenceModel",
        "ChannelReport",
        "CreativeChoices",
        "CreativeModel",
        "Decisions",
        "Effects",
        "EventLog",
        "EventScan",
        "Experiment",
        "Explanations",
        "FactorModel",
        "FallbackLists",
        "FatigueModel",
        "FollowUpsModel",
        "Identities",
        "Increments",
        "Interactions",
        "ItemIndex",
        "ItemModel",
        "LazyEvents",
        "LearnedBlend",
        "ModelCard",
        "LearnedWeights",
        "LiveBandit",
        "MessageLog",
        "NeighborModel",
        "NextBasketModel",
        "OffPolicy",
        "Plan",
        "Saved",
        "Verdict",
        "WhatIf",
        "PolicyChoice",
        "PopularityModel",
        "ProjectionModel",
        "QualityReport",
        "RankerModel",
        "ReadingModel",
        "Recommendations",
        "RefillModel",
        "Report",
        "Reproduction",
        "Requests",
        "ResolveReport",
        "Scorecard",
        "SegmentModel",
        "SendTimeModel",
        "Slots",
        "Tuned",
        "TypedModel",
        "UpliftCurve",
        "UpliftModel",
        "Vocabulary",
        "ZonePosterior",
        "Adapted",
        "CompleteJourney",
        "Frames",
        "Choices",
        "Rows",
        "Touches",
        "DelayMixture",
        "Exploration",
        "Explored",
        "Power",
        "Headroom",
        "Holidays",
        "RankedLists",
        "World",
        "Asked",
        "Cut",
        "Holdout",
        "SwitchbackReport",
        "Switchback",
        "ReturnsModel",
        "Paths",
        "LiftTests",
        "HoldoutSize",
        "HoldoutReport",
        "Funnel",
        "Displacement",
        "DistanceDecay",
        "ContactEffects",
        "Attribution",
        "Links",
        "Split",
        "Shops",
        "Nearby",
        "StockLevels",
        "UserAmounts",
        "Offers",
        "OfferLedger",
        "OfferAudit",
        "Answer",
        "Profile",
        "Receipt",
        "Resumed",
        "Row",
        "State",
        "Touch",
    ]
)
ABSTRACT = {"AttributeRecommender", "Model", "Constraint", "Eligibility", "Estimator", "Store"}

BUILDS = "builds a value from coded arrays, for omnireco's own fit and load"
CODES = "takes codes (row positions), not ids: for omnireco's own verbs"
PARTS = "describes a part of a class of one's own, and sees no data"
SLOW = "reads a public data set of hundreds of megabytes"
STORES = "takes keys and rows as Live makes them; tests/unit/test_store.py drives every store"
_KEPT = ("append", "close", "erase", "expire", "finish", "generation", "look", "read", "sizes", "unfinished", "version")
NOT_DRIVEN = {
    **{f"{store}.{name}": STORES for store in ("MemoryStore", "SQLiteStore", "RedisStore") for name in _KEPT},
    **dict.fromkeys(("MemoryStore", "SQLiteStore", "RedisStore"), STORES),
    "ItemIndex.among": CODES,
    "Snapshot.check_age": "microseconds, as Live and Snapshot.open have checked them",
    "Live.swap": "takes a model or a Snapshot, whose constructor is driven",
    **dict.fromkeys(("probabilities", "coded", "counts", "flags", "instants", "numbers"), PARTS),
    "ChannelModel.build": BUILDS,
    "FactorModel.build": BUILDS,
    "TypedModel.build": BUILDS,
    "Interactions.from_cells": BUILDS,
    "ProjectionModel.from_arrays": BUILDS,
    "LiveBandit.from_parts": BUILDS,
    "ZonePosterior.from_table": BUILDS,
    "ZonePosterior.from_tables": BUILDS,
    "ActivityModel.counts": CODES,
    "ActivityModel.memberships": CODES,
    "ActivityModel.profiles": CODES,
    "ActivityModel.trust_in": CODES,
    "Experiment.take": CODES,
    "Shops.minutes_open": CODES,
    "StockLevels.of": CODES,
    "StockLevels.anywhere": CODES,
    "OfferLedger.line": CODES,
    "OfferLedger.whose": CODES,
    "Touches.label": CODES,
    "Touches.number": CODES,
    "Touches.trait": CODES,
    "Identities.names": CODES,
    "Increments.slot_increment": CODES,
    "Increments.slot_probability": CODES,
    "Interactions.take": CODES,
    "Interactions.with_items": CODES,
    "RankerModel.describe": CODES,
    "RankerModel.index": CODES,
    "RankerModel.propose": CODES,
    "ReadingModel.slot_probability": CODES,
    "Recommendations.take": CODES,
    "Requests.take": CODES,
    "Requests.of": "Dataset.requests, which calls it, is driven",
    "Links.take": CODES,
    "Dataset.part": "where= begins the error, for omnireco's own verbs",
    "check_no_leak": "a test kit: it fails with AssertionError, as tests do",
    "differences": "a test kit: it compares two values of any kind",
    "SendTimeModel.basis_of": CODES,
    "SendTimeModel.slot_probability": CODES,
    "Vocabulary.decode": CODES,
    "Touches.take": CODES,
    "Vocabulary.take": CODES,
    "ZonePosterior.allowed_codes": CODES,
    "complete_journey": SLOW,
    "complete_journey_frames": SLOW,
    "complete_journey_promotions": SLOW,
    "reproduce": SLOW,
    "DelayMixture.human": "one step of fit_delay_mixture, on its own array",
    "check_model": "a test kit: it fails with AssertionError, as tests do",
    "check_constraint": "a test kit: it fails with AssertionError, as tests do",
    "check_eligibility": "a test kit: it fails with AssertionError, as tests do",
}


def _contacts(w: SimpleNamespace) -> pd.DataFrame:
    ids = w.log.users.ids
    return pd.DataFrame({"user_id": ids, "channel": "email", "contacted": np.arange(ids.size) % 2 == 0,
                         "propensity": 0.5, "decided_at": pd.Timestamp(w.at) - pd.Timedelta("8D")})  # fmt: skip


def _lift_tests() -> pd.DataFrame:
    days = pd.to_datetime(["2025-05-01", "2025-05-29"], utc=True)
    return pd.DataFrame({"channel": ["email"], "start_at": days[:1], "end_at": days[1:], "lift": 52.0,
                         "standard_error": 13.0, "spend": 10.0})  # fmt: skip


@cache
def _returns() -> Any:
    return om.journeys.Returns().fit(world().log)


def _switchback(w: SimpleNamespace) -> Any:
    return om.causal.switchback("2025-01-05", "2025-03-10", every="1D")


@dataclass(frozen=True)
class Verb:
    """A public callable, the parameters that can be varied, and a valid call."""

    name: str
    call: Callable[..., Any]
    base: dict[str, Any]
    parameters: tuple[str, ...]

    def __call__(self, **changed: Any) -> Any:
        """Call it with its valid arguments, some of them changed; fresh ones, where a value is used up by a call."""
        return self.call(**self.base | changed)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(user_id=frame["user_id"].map(lambda one: f"{MARKER}-{one}"))


@cache
def folder() -> Path:
    """A folder for the files of one run."""
    return Path(tempfile.mkdtemp(prefix="verbs"))


@cache
def world() -> SimpleNamespace:
    """Small values of every kind, in which every person's id begins with the marker."""
    made = om.simulate(n_users=40, n_items=12, days=45, seed=3)
    w = SimpleNamespace(events=_named(made.events), messages=_named(made.messages), people=_named(made.users))
    w.items_frame = made.items
    w.log = om.EventLog.from_frame(w.events, itemless="keep")
    w.sent, w.catalog = om.MessageLog.from_frame(w.messages), om.Catalog.from_frame(made.items)
    w.audience = om.Audience.from_frame(w.people, attributes=["age_group"])
    w.ids, w.items = list(w.audience.users.ids[:3]), list(w.catalog.items.ids[:3])
    w.at = str(pd.Timestamp(int(np.quantile(w.log.at, 0.8)), unit="us", tz="UTC"))
    w.typed = om.models.TypedEASE().fit(w.log)
    w.data = om.Dataset(w.log, messages=w.sent, audience=w.audience, catalog=w.catalog)
    w.x, w.early, w.later = w.log.matrix(), w.log.before(w.at).matrix(), w.log.split(w.at).test.matrix()
    w.als = om.ALS(factors=4, iterations=2, seed=7).fit(w.x)
    w.knn = om.ItemKNN(neighbors=5).fit(w.x)
    w.lists = w.als.recommend(w.x, k=4)
    w.attributes = om.models.people_attributes(w.audience)
    w.placed = om.models.learn_people(w.als, w.x, w.attributes)
    w.segments = om.models.SegmentPopularity().fit(om.Dataset(w.log, attributes=w.attributes))
    w.fallback = om.models.Fallback({"taste": w.als, "attributes": w.placed, "segments": w.segments})
    w.profile = om.timing.ActivityProfile(segments=2, channels=("app",))
    w.activity = w.profile.fit(om.Dataset(w.log, audience=w.audience))
    w.send_time = om.SendTime().fit(om.Dataset(w.log, messages=w.sent, audience=w.audience))
    w.reading = om.timing.ReadingClock().fit(om.Dataset(messages=w.sent, audience=w.audience))
    w.holidays = om.data.Holidays.from_dates({"Europe/Berlin": ["2025-05-01"]})
    w.slots = om.slots("2025-03-10", days=1, every="6h")
    w.stamps = np.array(w.slots.at)[:3]
    w.candidates = om.candidates(w.lists, om.Dataset(audience=w.audience), w.send_time, w.slots, channels=["email"])
    w.plan = om.plan(w.candidates, constraints=[om.FrequencyCap(1, per="7D")])
    w.report = om.evaluate(
        {"als": w.lists, "knn": w.knn.recommend(w.x, k=4)}, w.later, k=3, metrics=[om.ndcg], n_bootstrap=9
    )
    w.zones = om.timing.infer_zones(om.Dataset(w.log, audience=w.audience))
    w.requests = om.Requests.from_log(w.log, context=["channel"], per_user=1).requests.on(w.data)
    w.links = pd.DataFrame(
        {
            "kind_a": "email",
            "id_a": [f"{MARKER}-{n}" for n in "ab"],
            "kind_b": "cookie",
            "id_b": [f"{MARKER}-{n}" for n in "cd"],
        }
    )
    w.identities = om.identity.Identities.from_links(w.links)
    w.channel_report = om.evaluation.channel_report(w.log)
    w.creatives_log, w.art = _creatives()
    w.creative_model = om.choices.Creatives().fit(om.Dataset(messages=w.creatives_log, creatives=w.art))
    w.cross = om.models.CrossChannel(estimator=om.ALS(factors=4, iterations=2)).fit(w.x)
    w.contexts = np.random.default_rng(0).normal(size=(6, 2))
    w.check = w.log.check()
    om.save(w.lists, folder() / "value.omni")
    return w


def _creatives() -> tuple[Any, pd.DataFrame]:
    draw, n = np.random.default_rng(0), 200
    creative = draw.integers(0, 6, n)
    sent = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(n), unit="min")
    frame = pd.DataFrame({"user_id": draw.integers(10, 30, n), "item_id": creative // 2, "creative_id": creative})
    frame = _named(frame.assign(channel="web", sent_at=sent, propensity=0.5))
    frame["responded_at"] = pd.Series(sent).where(draw.random(n) < 0.3)
    art = pd.DataFrame({"creative_id": range(6), "item_id": np.arange(6) // 2, "face": np.arange(6) % 2 * 1.0})
    return om.MessageLog.from_frame(frame), art


def _decisions(n: int) -> Any:
    return om.causal.LoggedDecisions(np.arange(n) % 3 * 1.0, np.full(n, 0.5), actions=np.arange(n) % 2)


def _test_frame() -> pd.DataFrame:
    draw, n = np.random.default_rng(0), 300
    people = [f"{MARKER}-{one}" for one in np.arange(n) // 2]
    frame = pd.DataFrame(
        {"user_id": people, "arm": draw.choice(["none", "email", "push"], n), "age": draw.normal(size=n)}
    )
    return frame.assign(zone=draw.choice(["x", "y"], n), y=draw.integers(0, 2, n), got=draw.integers(0, 2, n))


def _experiment() -> Any:
    even = dict.fromkeys(["none", "email", "push"], 1 / 3)
    return om.causal.Experiment.from_frame(
        _test_frame().assign(before=np.arange(300) % 7), treatment="arm", control="none", outcome="y", user="user_id",
        features=["age", "zone"], propensity=even, received="got", placebo="before",
    )  # fmt: skip


def _increments(w: SimpleNamespace) -> Any:
    users = w.audience.users
    table = np.full((len(users), 2), 0.01)
    return om.causal.Increments(users, ("email", "push"), table, np.full(2, 0.01), w.send_time)


@cache
def _uplift() -> Any:
    return om.causal.Uplift(folds=2, least=5, seed=1).fit(_experiment())


@cache
def _uplift_of_messages() -> Any:
    made = om.simulate(n_users=120, n_items=12, days=60, seed=1, company=om.worlds.Company(messages_per_week=5))
    people = om.Audience.from_frame(_named(made.users), attributes=["age_group"])
    log, sent = om.EventLog.from_frame(_named(made.events)), om.MessageLog.from_frame(_named(made.messages))
    return om.causal.Uplift(target="purchase", folds=2, least=5).fit(om.Dataset(log, messages=sent, audience=people))


def _two_loggers() -> Any:
    return om.causal.LoggedDecisions(np.ones(4), np.full(4, 0.5), by_logger=np.full((4, 2), 0.5), logger=[0, 1, 0, 1])


def _slates() -> Any:
    return om.causal.LoggedSlates(np.arange(80).reshape(40, 2) % 3 * 1.0, np.full((40, 2), 0.5))


def _logged_frame() -> pd.DataFrame:
    return _named(
        pd.DataFrame({"user_id": [1, 2, 1], "reward": [1.0, 0.0, 2.0], "propensity": 0.5, "action": ["a", "b", "a"]})
    )


def _audit() -> Any:
    offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["a"]}))
    promised = pd.DataFrame({"user_id": range(9), "offer_id": "a"})
    ledger = om.planning.OfferLedger.from_frame(promised, offers, start="2025-06-01")
    shown = promised.assign(channel="web", shown_at=pd.Timestamp("2025-06-03", tz="UTC"))
    return om.planning.consistency(ledger, shown)


def _sent_before(w: SimpleNamespace) -> Any:
    """Messages with propensities to the people of the plan, on its channel."""
    frame = w.plan.to_frame()[["user_id", "channel"]]
    sent = pd.Timestamp("2025-01-05", tz="UTC") + pd.to_timedelta(np.arange(len(frame)), unit="min")
    return om.MessageLog.from_frame(frame.assign(propensity=0.5, sent_at=sent, responded_at=pd.Series(sent)))


def _explored(w: SimpleNamespace) -> Any:
    return om.plan(w.candidates, constraints=[om.FrequencyCap(1, per="7D")], explore=0.3, seed=1)


def _sent_of(plan: Any) -> Any:
    """Messages that were sent as planned."""
    frame = plan.to_frame()[["user_id", "item_id", "channel", "send_at"]].rename(columns={"send_at": "sent_at"})
    return om.MessageLog.from_frame(frame.assign(responded_at=frame["sent_at"].where(np.arange(len(frame)) % 3 == 0)))


def _triggered(w: SimpleNamespace) -> dict[str, Any]:
    """One message that could be sent beside the plan."""
    first = w.plan.to_frame().iloc[0]
    return {name: first[name] for name in ("user_id", "item_id", "channel", "send_at", "value")}


def _with_offers(w: SimpleNamespace) -> Any:
    frame = w.plan.to_frame()[["user_id", "item_id", "channel", "send_at", "value"]]
    return om.plan(om.planning.Candidates.from_frame(frame.assign(offer_id="10 %")))


def _touches_file(w: SimpleNamespace) -> Path:
    path = Path(tempfile.mkdtemp()) / "touches.parquet"
    frame = w.plan.to_frame()[["user_id", "item_id", "channel", "send_at", "value"]]
    frame.sort_values("user_id", kind="stable").to_parquet(path, index=False)
    return path


def _with_creatives(w: SimpleNamespace) -> Any:
    data = om.Dataset(messages=w.creatives_log)
    return om.data.Touches.of(data, data.users.ids[:3], channel="web", at="2025-06-01", creatives=[0, 1, 2])


def _homes(w: SimpleNamespace) -> pd.DataFrame:
    return pd.DataFrame({"user_id": w.ids, "latitude": [52.0, 48.0, np.nan], "longitude": [13.0, 11.0, np.nan]})


def _many_homes() -> pd.DataFrame:
    n = 40
    places = {"latitude": np.linspace(49.5, 50.9, n), "longitude": 12.5}
    return pd.DataFrame({"user_id": [f"{MARKER}-home {i}" for i in range(n)], **places})


def _visits() -> pd.DataFrame:
    """All but four go to the nearer shop."""
    stores = np.where(np.arange(40) < 20, "s", "n")
    stores[[3, 9, 30, 36]] = ["n", "n", "s", "s"]
    return pd.DataFrame({"user_id": _many_homes()["user_id"], "store_id": stores})


def _shops() -> Any:
    frame = pd.DataFrame({"store_id": ["n", "s"], "timezone": "Europe/Berlin", "latitude": [52.5, 48.1]})
    return om.data.Shops.from_frame(frame.assign(longitude=[13.4, 11.6]), hours={"n": {"daily": "09:00-20:00"}})


def _stock(w: SimpleNamespace) -> pd.DataFrame:
    return pd.DataFrame({"item_id": w.items, "store_id": ["n", "n", "s"], "pieces": [3, 0, 2]})


def _cards(w: SimpleNamespace) -> pd.DataFrame:
    return pd.DataFrame({"user_id": w.ids, "amount": [120.0, 3.0, 0.0]})


def _offers() -> Any:
    return om.planning.Offers.from_frame(_offer_frame())


def _offer_frame() -> pd.DataFrame:
    return pd.DataFrame({"offer_id": ["x", "y"], "price": [9.0, 8.0]})


def _ledger(w: SimpleNamespace) -> Any:
    frame = pd.DataFrame({"user_id": w.ids, "offer_id": ["x", "y", "x"]})
    return om.planning.OfferLedger.from_frame(frame, _offers(), start="2025-03-01")


def _shown(w: SimpleNamespace) -> pd.DataFrame:
    at = pd.Timestamp("2025-03-10", tz="UTC")
    return pd.DataFrame({"user_id": w.ids, "channel": "web", "shown_at": at, "offer_id": ["x", "x", None]})


def _offered(w: SimpleNamespace) -> Any:
    return om.plan(w.candidates.with_offers(_offers()), constraints=[om.planning.OneOffer()])


def _bandit() -> Any:
    live = om.LinearBandit().start(["a", "b"], n_features=2)
    live.decide(world().contexts)
    return live


def _ranked() -> Any:
    seen: list[Any] = []

    def look(lists: Any) -> Any:
        seen.append(lists)
        return om.ndcg(lists)

    w = world()
    om.evaluate(
        {"als": w.lists}, w.later, k=3, metrics=[look], train=om.Dataset(w.log, catalog=w.catalog), n_bootstrap=9
    )
    return seen[0]


def _facts(w: SimpleNamespace) -> Any:
    frame = w.items_frame[["item_id"]].assign(weight=1.0)
    return om.Interactions.from_frame(frame.rename(columns={"item_id": "user_id"}).assign(item_id="new"))


def _of_implicit(x):
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(factors=3, iterations=2)
    model.fit(x.to_scipy(), show_progress=False)
    return model


def _messages_of_rees46():
    """One row of the public log of messages, by its own columns."""
    columns = "id message_id campaign_id message_type client_id channel date sent_at opened_first_time_at"
    more = "clicked_first_time_at unsubscribed_at complained_at purchased_at"
    flags = "is_opened is_clicked is_unsubscribed is_complained is_purchased"
    row = dict.fromkeys(f"{columns} {more} {flags}".split())
    row |= {"id": 1, "client_id": f"{MARKER}-1", "channel": "email", "sent_at": "2021-05-01 09:00:00"}
    return pd.DataFrame([row])


def _with_complaints(w):
    people = pd.DataFrame({"user_id": w.audience.users.ids, "complaint": 0.001})
    return w.plan.touches.with_columns(people).touches


def _lazy(log):
    import polars as pl

    return om.EventLog.scan(pl.from_pandas(log.to_frame()).lazy(), itemless="keep")


def _events_file() -> Path:
    path = folder() / "events.parquet"
    if not path.exists():
        world().events.to_parquet(path)
    return path


@cache
def _live() -> Any:
    """A service over the models of the world, and a snapshot of them in a file."""
    w = world()
    model = om.ALS(factors=4, iterations=2, weights=om.Weights(half_life="30D")).fit(w.data)
    snapshot = om.live.Snapshot(model, timing=w.send_time, audience=w.audience, known_until=w.data.end)
    snapshot.save(folder() / "live.omnireco")
    served = om.live.Live(snapshot, rules=om.live.Rules(channels=("email", "push")))
    served.backfill(w.data)
    return served


def _event(w: SimpleNamespace) -> dict[str, Any]:
    return {"user_id": w.ids[0], "event": "view", "channel": "app", "item_id": w.items[0], "timestamp": w.at,
            "event_id": "one"}  # fmt: skip


RECEIVERS: dict[str, Callable[[SimpleNamespace], Any]] = {
    "Affordable": lambda w: om.planning.Affordable(om.data.UserAmounts.from_frame(_cards(w)), rewards={w.items[0]: 9}),
    "Available": lambda w: om.planning.Available(w.catalog),
    "ComplaintRate": lambda w: om.planning.ComplaintRate(0.001),
    "CoolDown": lambda w: om.planning.CoolDown("7D", w.log, events="purchase"),
    "FairReach": lambda w: om.planning.FairReach("age_group", least=0.5),
    "InStock": lambda w: om.planning.InStock(om.data.StockLevels.from_frame(_stock(w))),
    "LegalHours": lambda w: om.planning.LegalHours({"FR": {"mon-fri": "10:00-20:00"}}),
    "Nearby": lambda w: _shops().near(_many_homes(), k=2),
    "DistanceDecay": lambda w: _shops().near(_many_homes(), k=2).decay(_visits(), least_people=5),
    "NotDisliked": lambda w: om.planning.NotDisliked(w.log, events="view"),
    "OfferAudit": lambda w: om.planning.consistency(_ledger(w), _shown(w)),
    "OfferLedger": _ledger,
    "Offers": lambda w: _offers(),
    "OneOffer": lambda w: om.planning.OneOffer(),
    "OpeningHours": lambda w: om.planning.OpeningHours(_shops()),
    "Points": lambda w: om.planning.Points(om.data.UserAmounts.from_frame(_cards(w)), rewards={w.items[0]: 9}),
    "Promised": lambda w: om.planning.Promised(_ledger(w)),
    "Purpose": lambda w: om.planning.Purpose("news", om.Audience.from_frame(w.people.assign(consent_email_news=True))),
    "ServiceWindow": lambda w: om.planning.ServiceWindow(w.log, events="view", channels="email"),
    "Shops": lambda w: _shops(),
    "Spend": lambda w: om.planning.Spend(9, reward={w.items[0]: 1.0}),
    "Stock": lambda w: om.planning.Stock(om.data.StockLevels.from_frame(_stock(w)), certainty=0.9),
    "StockLevels": lambda w: om.data.StockLevels.from_frame(_stock(w)),
    "TouchValue": lambda w: om.planning.TouchValue(channel_cost=0.01),
    "UserAmounts": lambda w: om.data.UserAmounts.from_frame(_cards(w)),
    "Volume": lambda w: om.planning.Volume("email", least=1, by="channel"),
    "Live": lambda w: _live(),
    "Snapshot": lambda w: _live().snapshot,
    "Profile": lambda w: om.live.profile(_live().snapshot.model, w.data),
    "ActivityModel": lambda w: w.activity,
    "ActivityProfile": lambda w: w.profile,
    "ALS": lambda w: om.ALS(factors=4, iterations=2),
    "AttributeModel": lambda w: w.placed,
    "Audience": lambda w: w.audience,
    "Backtest": lambda w: om.evaluation.backtest(
        {"popular": om.Popularity()}, om.Dataset(w.log), horizon="14D", n=1, k=3
    ),
    "Between": lambda w: om.evaluation.Between(1, 9),
    "Trials": lambda w: om.evaluation.Trials(3),
    "LoggedSlates": lambda w: _slates(),
    "LoggedDecisions": lambda w: _two_loggers(),
    "PolicyChoice": lambda w: om.causal.select_policy(
        _decisions(200), {"a": np.full(200, 0.5)}, least_effective=1, n_bootstrap=9
    ),
    "ModelCard": lambda w: om.evaluation.card(w.als, data=w.log),
    "Scorecard": lambda w: om.evaluation.scorecard(w.data),
    "Tuned": lambda w: om.evaluation.tune(
        om.EASE(), om.Dataset(w.log), {"regularization": [3.0]}, horizon="14D", trials=1, k=3
    ),
    "Blend": lambda w: om.Blend(models={"knn": om.ItemKNN(), "popular": om.Popularity()}),
    "BlendModel": lambda w: om.models.BlendModel.of({"als": w.als, "knn": w.knn}),
    "Budget": lambda w: om.Budget("email", cost=1, total=9),
    "Candidates": lambda w: w.candidates,
    "Capacity": lambda w: om.Capacity("email", limit=5),
    "Catalog": lambda w: w.catalog,
    "ChannelComparison": lambda w: om.evaluation.compare_channels(
        om.models.CrossChannel(), *om.Dataset(w.log).rolling(horizon="14D", n=1)[0], k=3, n_bootstrap=9
    ),
    "ChannelModel": lambda w: w.cross,
    "ChannelPreferenceModel": lambda w: om.choices.ChannelPreference().fit(w.sent),
    "ChannelReport": lambda w: w.channel_report,
    "CreativeChoices": lambda w: w.creative_model.choose(_pairs(), at="2025-06-01"),
    "CreativeModel": lambda w: w.creative_model,
    "CompleteJourney": lambda w: om.worlds.CompleteJourney(w.log, w.sent, w.audience, w.catalog),
    "CrossChannel": lambda w: om.models.CrossChannel(estimator=om.ALS(factors=4, iterations=2)),
    "Dataset": lambda w: w.data,
    "Decisions": lambda w: _bandit().decide(w.contexts),
    "EventLog": lambda w: w.log,
    "EventScan": lambda w: om.EventLog.scan(_events_file(), itemless="keep"),
    "Explanations": lambda w: om.models.explain(w.als, w.x, w.lists, events=w.log),
    "BudgetPath": lambda w: om.causal.budget_path(
        _uplift().increment, _experiment(), costs={"email": 1.0, "push": 2.0}, n_bootstrap=9
    ),
    "Effects": lambda w: _uplift().average(),
    "Experiment": lambda w: _experiment(),
    "Increments": lambda w: _increments(w),
    "Uplift": lambda w: om.causal.Uplift(folds=2, least=5),
    "UpliftCurve": lambda w: om.causal.uplift_curve(np.arange(300), _experiment(), arm="email", n_bootstrap=9),
    "UpliftModel": lambda w: _uplift_of_messages(),
    "FactorModel": lambda w: w.als,
    "Fallback": lambda w: w.fallback,
    "FallbackLists": lambda w: w.fallback.with_steps(w.x, k=3, attributes=w.attributes),
    "FatigueModel": lambda w: om.timing.Fatigue().fit(w.sent),
    "FollowUps": lambda w: om.journeys.FollowUps(events=["view"]),
    "FollowUpsModel": lambda w: om.journeys.FollowUps(events=["view"]).fit(w.log),
    "FrequencyCap": lambda w: om.FrequencyCap(1, per="7D"),
    "GFCF": lambda w: om.models.GFCF(factors=4),
    "Headroom": lambda w: om.timing.headroom(om.Dataset(w.log, audience=w.audience), at=w.at, n_bootstrap=9),
    "Identities": lambda w: w.identities,
    "Interactions": lambda w: w.x,
    "LazyEvents": lambda w: _lazy(w.log),
    "ItemIndex": lambda w: om.models.ItemIndex(np.ones((3, 2))),
    "ItemModel": lambda w: w.knn,
    "LearnedBlend": lambda w: om.evaluation.learn_blend(
        om.Blend(models={"als": om.ALS(factors=4), "knn": om.ItemKNN()}), w.early, w.later, k=3
    ),
    "LearnedWeights": lambda w: _learned_weights(),
    "LiveBandit": lambda w: _bandit(),
    "MessageLog": lambda w: w.sent,
    "NextBasketModel": lambda w: om.models.NextBasket(neighbors=5).fit(w.log),
    "NeighborModel": lambda w: om.models.UserKNN(neighbors=5).fit(w.x),
    "OffPolicy": lambda w: om.causal.off_policy(_decisions(200), np.full(200, 0.5)),
    "Plan": lambda w: w.plan,
    "LivePlan": lambda w: om.planning.LivePlan(w.plan),
    "Saved": lambda w: w.plan.saved(draws=20),
    "WhatIf": lambda w: w.plan.with_limit(om.FrequencyCap(2, per="7D")),
    "PopularityModel": lambda w: om.BuyAgain().fit(w.x),
    "ProjectionModel": lambda w: om.models.PureSVD(factors=3).fit(w.x),
    "PureSVD": lambda w: om.models.PureSVD(factors=3),
    "BPR": lambda w: om.models.BPR(factors=3, iterations=2),
    "LogisticMF": lambda w: om.models.LogisticMF(factors=3, iterations=2),
    "QualityReport": lambda w: w.check,
    "QuietHours": lambda w: om.QuietHours("21:00", "08:00"),
    "RankedLists": lambda w: _ranked(),
    "Ranker": lambda w: om.Ranker(models=[om.Popularity(), om.BuyAgain()], n_requests=60, n_candidates=6),
    "RankerModel": lambda w: RECEIVERS["Ranker"](w).replace(requests_from=w.at).fit(w.data),
    "ReadingModel": lambda w: w.reading,
    "Recommendations": lambda w: w.lists,
    "Attribution": lambda w: om.causal.attribution(om.causal.Paths.of(w.log), n_bootstrap=0),
    "ContactEffects": lambda w: om.causal.contact_effects(_contacts(w), w.log),
    "Displacement": lambda w: om.causal.displacement(w.log, channel="email", on="store", period="7D", k=1),
    "Funnel": lambda w: om.journeys.funnel(w.log, {"looked": "view", "bought": "purchase"}),
    "Holdout": lambda w: om.causal.Holdout.draw(w.log.users, share=0.3),
    "HoldoutReport": lambda w: om.causal.holdout_report(
        om.causal.Holdout.draw(w.log.users, share=0.3), w.log, start=w.at, within="5D"
    ),
    "LiftTests": lambda w: om.causal.LiftTests.from_frame(_lift_tests()),
    "Paths": lambda w: om.causal.Paths.of(w.log),
    "ReturnsModel": lambda w: _returns(),
    "Switchback": lambda w: _switchback(w),
    "SwitchbackReport": lambda w: _switchback(w).report(w.log),
    "RefillModel": lambda w: om.journeys.Refills(events=["view"]).fit(w.log),
    "Refills": lambda w: om.journeys.Refills(events=["view"]),
    "Report": lambda w: w.report,
    "Reproduction": lambda w: _reproduction(),
    "Requests": lambda w: w.requests,
    "ResolveReport": lambda w: om.data.ResolveReport(*range(7)),
    "SegmentModel": lambda w: w.segments,
    "SendTimeModel": lambda w: w.send_time,
    "Exploration": lambda w: om.timing.Exploration(),
    "Holidays": lambda w: w.holidays,
    "Slots": lambda w: w.slots,
    "Touches": lambda w: w.candidates.touches,
    "TypedModel": lambda w: w.typed,
    "Vocabulary": lambda w: w.audience.users,
    "World": lambda w: om.simulate(30, 5, days=30, seed=1),
    "WhatNext": lambda w: om.models.WhatNext(model=w.als),
    "ZonePosterior": lambda w: w.zones,
}


def _reproduction() -> Any:
    one = np.ones(1)
    row = ("EASE", "ours", one, one, one, 0.5, "EASE()")
    return om.worlds.Reproduction("ml", "paper", "all items", ("ndcg",), (row,), 9, "0a")


def _learned_weights() -> Any:
    from omnireco.evaluation.learn_weights import LearnedWeights

    plain, model = om.Weights(), om.Popularity()
    signal = (("app", 0.1, 0.0, 0.2),)
    return LearnedWeights(
        plain, model, plain, model, plain, True, 0.1, 0.0, 0.2, signal, (("half_life=3D", 0.2),), "ndcg", 9, "0a"
    )


def _pairs() -> pd.DataFrame:
    return pd.DataFrame({"user_id": [f"{MARKER}-{n}" for n in (11, 12)], "item_id": [0, 1]})


_METRICS = [
    "average_precision",
    "coverage",
    "diversity",
    "hit_rate",
    "mean_reciprocal_rank",
    "ndcg",
    "novelty",
    "precision",
    "recall",
]

# By name of the parameter, or "verb.parameter" where a verb needs another.
ARGUMENTS: dict[str, Callable[[SimpleNamespace], Any]] = {
    "snapshot": lambda w: _live().snapshot,
    **{f"Live.{verb}.user": lambda w: w.ids[0] for verb in ("data_of", "next_touch", "recommend", "resume", "state")},
    "Live.observe.events": lambda w: _event(w),
    "Live.expire.before": lambda w: "2020-01-01",
    **{
        f"{verb}.path": lambda w: folder() / "live.omnireco"
        for verb in ("Live.follow", "Snapshot.open", "Snapshot.save")
    },
    "Live.erase.users": lambda w: [f"{MARKER}-nobody"],
    "pseudonymise.ids": lambda w: w.ids,
    "pseudonymise.key": lambda w: b"sixteen secret bytes and more",
    "drift.before": lambda w: om.live.profile(_live().snapshot.model, w.data),
    "drift.after": lambda w: om.live.profile(_live().snapshot.model, w.data),
    "refitted.estimator": lambda w: om.ALS(factors=4, iterations=2),
    **{f"{verb}.model": lambda w: _live().snapshot.model for verb in ("profile", "refitted", "updated", "Snapshot")},
    "Interactions.weighted.by": lambda w: "bm25",
    "actions": lambda w: np.arange(40) % 2,
    "cls": lambda w: om.files.Ids,
    "address": lambda w: f"{MARKER}@example.org",
    "after": lambda w: w.lists,
    "World.response_probability.user_id": lambda w: [1001, 1002],
    "World.response_probability.channel": lambda w: "email",
    "World.response_probability.sent_at": lambda w: "2025-01-14T18:00:00Z",
    "FactorModel.from_implicit.model": lambda w: _of_implicit(w.x),
    "holdout_report.data": lambda w: w.log,
    "rees46_messages.records": lambda w: _messages_of_rees46(),
    "small_space.estimator": lambda w: om.ItemKNN(neighbors=5),
    "ComplaintRate.rows.touches": lambda w: _with_complaints(w),
    "NextBasketModel.similar_users.histories": lambda w: om.models.NextBasket().fit(w.data).inputs(w.log),
    "TouchValue.lifetimes.users": lambda w: w.audience.users,
    "TouchValue.margins.items": lambda w: w.x.items,
    "TouchValue.rewards.items": lambda w: w.x.items,
    "TouchValue.of_channels.channels": lambda w: w.log.channels,
    "opentelemetry.events": lambda w: {"Product Viewed": "view"},
    "rees46_messages.timezone": lambda w: "Europe/Moscow",
    "PerPerson.lengths_on.traits": lambda w: {},
    "learn_blend.estimator": lambda w: om.Blend(models={"als": om.ALS(factors=4), "knn": om.ItemKNN()}),
    "later": lambda w: om.Dataset(w.log).rolling(horizon="14D", n=1)[0].later,
    "past": lambda w: om.Dataset(w.log).rolling(horizon="14D", n=1)[0].past,
    "cross": lambda w: om.models.CrossChannel(),
    "age": lambda w: ["1h", "2h", "3h"],
    "arms": lambda w: ["a", "b", "c", "d", "a", "b"],
    "LinearBandit.start.arms": lambda w: ["a", "b"],
    "LiveBandit.add_arms.arms": lambda w: ["new"],
    "LiveBandit.remove_arms.arms": lambda w: ["a"],
    "LiveBandit.update.arms": lambda w: list("ababab"),
    "at": lambda w: w.at,
    "at_us": lambda w: w.stamps,
    "machine_responses.at": lambda w: pd.to_datetime(["2025-05-01 09:00"] * 3, utc=True),
    "machine_responses.kind": lambda w: ["opened", "clicked", "opened"],
    "explore.at_us": lambda w: w.slots.at,
    "attributes": lambda w: w.attributes,
    "add_new_items.attributes": lambda w: _facts(w),
    "audience": lambda w: w.audience,
    "baseline": lambda w: "als",
    "timing_skill.baseline": lambda w: np.full((3, 168), 1 / 168),
    "before": lambda w: w.lists,
    "block_on": lambda w: ["postcode", "surname"],
    "catalog": lambda w: w.catalog,
    "channel": lambda w: "email",
    "ChannelModel.on.channel": lambda w: "app",
    "Capacity.channel": lambda w: "email",
    "channels": lambda w: ["email"],
    "column": lambda w: w.ids,
    "compare": lambda w: {"first": "name", "surname": "name"},
    "contexts": lambda w: w.contexts,
    "cross_fitted_rewards.contexts": lambda w: np.random.default_rng(0).normal(size=(40, 2)),
    "cost": lambda w: 1.0,
    "balances": lambda w: om.data.UserAmounts.from_frame(_cards(w)),
    "StockLevels.from_frame.frame": _stock,
    "UserAmounts.from_frame.frame": _cards,
    "Shops.from_frame.frame": lambda w: _shops().to_frame(),
    "Offers.from_frame.frame": lambda w: _offer_frame(),
    "OfferLedger.from_frame.frame": lambda w: pd.DataFrame({"user_id": w.ids, "offer_id": ["x", "y", "x"]}),
    "OfferLedger.from_frame.start": lambda w: "2025-03-01",
    "OfferLedger.of.start": lambda w: "2025-03-01",
    "OfferLedger.of.plan": _offered,
    "OfferLedger.render.at": lambda w: "2025-03-10",
    "OfferLedger.append.more": _ledger,
    "Candidates.with_columns.frame": lambda w: pd.DataFrame({"user_id": w.ids, "kind": ["a", "b", "a"]}),
    "CoolDown.length": lambda w: "7D",
    "CoolDown.events": lambda w: "purchase",
    "FairReach.by": lambda w: "age_group",
    "FairReach.least": lambda w: 0.5,
    "homes": _homes,
    "LegalHours.hours": lambda w: {"FR": {"mon-fri": "10:00-20:00"}},
    "ledger": _ledger,
    "nearby": lambda w: _shops().near(_homes(w), k=2),
    "NotDisliked.events": lambda w: "view",
    "offers": lambda w: _offers(),
    "Purpose.purpose": lambda w: "news",
    "Purpose.data": lambda w: om.Audience.from_frame(w.people.assign(consent_email_news=True)),
    "ServiceWindow.events": lambda w: "view",
    "shops": lambda w: _shops(),
    "consistency.shown": _shown,
    "stock": lambda w: om.data.StockLevels.from_frame(_stock(w)),
    "Stock.promised.pieces": lambda w: 3.0,
    "UserAmounts.of.users": lambda w: w.log.users,
    "Volume.value": lambda w: "email",
    "Volume.least": lambda w: 1,
    "creative_ids": lambda w: [0, 1, 2],
    "creatives": lambda w: w.art,
    "curve": lambda w: np.ones(168),
    "data": lambda w: w.data,
    "date": lambda w: "2025-03-10",
    "days": lambda w: 1,
    "delay": lambda w: np.arange(1.0, 60.0),
    "disliked": lambda w: w.x,
    "end": lambda w: "2025-03-01",
    "QuietHours.end": lambda w: "08:00",
    "estimator": lambda w: om.Popularity(),
    "factors": lambda w: np.ones((3, 2)),
    "frame": lambda w: w.events,
    "Audience.from_frame.frame": lambda w: w.people,
    "Exploration.choose.at_us": lambda w: w.stamps,
    "Exploration.choose.hours": lambda w: np.tile(np.arange(3), (3, 1)),
    "Exploration.choose.spread": lambda w: np.full((3, 3), 0.01),
    "Exploration.choose.value": lambda w: np.eye(3),
    "Holidays.from_dates.dates": lambda w: {"Europe/Berlin": ["2025-05-01"]},
    "Holidays.of_countries.countries": lambda w: ["DE"],
    "Holidays.of_countries.years": lambda w: [2025],
    "Candidates.from_frame.frame": lambda w: w.candidates.to_frame().drop(columns="send_at_local"),
    "Catalog.from_frame.frame": lambda w: w.items_frame,
    "Identities.from_links.frame": lambda w: w.links,
    "Interactions.from_frame.frame": lambda w: w.x.to_frame(),
    "MessageLog.from_frame.frame": lambda w: w.messages,
    "Recommendations.from_frame.frame": lambda w: w.lists.to_frame(),
    "Requests.from_frame.frame": lambda w: w.requests.to_frame(),
    "ZonePosterior.from_frame.frame": lambda w: w.zones.to_frame(),
    "held_out": lambda w: np.full((3, 168), 1.0),
    "histories": lambda w: w.x,
    "TypedModel.recommend.histories": lambda w: w.typed.inputs(w.log),
    "TypedModel.score.histories": lambda w: w.typed.inputs(w.log),
    "TypedModel.similar_users.histories": lambda w: w.typed.inputs(w.log),
    "history": lambda w: np.array([5, 5, 5]),
    "horizon": lambda w: "7D",
    "Dataset.has.need": lambda w: "events",
    "Interactions.with_targets.targets": lambda w: w.log.matrix(om.Weights(binary=True)),
    "hour": lambda w: np.zeros(len(w.plan), int),
    "identities": lambda w: w.identities,
    "ids": lambda w: w.ids,
    "Identities.person_of.ids": lambda w: [f"{MARKER}-a"],
    "LiveBandit.reward.ids": lambda w: [0, 1],
    "items": lambda w: w.items,
    "ItemIndex.items": lambda w: np.ones((3, 2)),
    "topk.items": lambda w: np.ones((3, 2)),
    "k": lambda w: 3,
    "lift": lambda w: 0.1,
    "limit": lambda w: 5,
    "links": lambda w: w.links,
    "lists": lambda w: w.lists,
    "evaluate.lists": lambda w: {"als": w.lists},
    "log": lambda w: w.log,
    "contacts": lambda w: _contacts(w),
    "funnel": lambda w: RECEIVERS["Funnel"](w),
    "credit.report": lambda w: RECEIVERS["Attribution"](w),
    "first_use.report": lambda w: RECEIVERS["Displacement"](w),
    "holdout_effects.report": lambda w: RECEIVERS["HoldoutReport"](w),
    "return_calibration.model": lambda w: _returns(),
    "displacement.channel": lambda w: "email",
    "displacement.on": lambda w: "store",
    "holdout": lambda w: om.causal.Holdout.draw(w.log.users, share=0.3),
    "Holdout.draw.user_ids": lambda w: w.log.users.ids,
    "Holdout.from_frame.frame": lambda w: om.causal.Holdout.draw(w.log.users, share=0.3).to_frame(),
    "holdout_power.mean": lambda w: 0.1,
    "holdout_report.start": lambda w: w.at,
    "switchback.start": lambda w: "2025-02-01",
    "paths": lambda w: om.causal.Paths.of(w.log),
    "Paths.from_frame.frame": lambda w: pd.DataFrame({"path": ["a > b", "b"], "conversions": [9, 8]}),
    "LiftTests.from_frame.frame": lambda w: _lift_tests(),
    "nudges.model": lambda w: _returns(),
    "HoldoutReport.lift_tests.spend": lambda w: 40.0,
    "UpliftModel.increments.rows": lambda w: pd.DataFrame({"user_id": w.log.users.ids[:3]}),
    "nudges.unfinished": lambda w: om.journeys.unfinished(w.log, within="90D"),
    "funnel.steps": lambda w: {"looked": "view", "bought": "purchase"},
    "logged": lambda w: _decisions(200),
    "cross_fitted_rewards.logged": lambda w: _decisions(40),
    "logs": lambda w: [w.log],
    "matrix": lambda w: w.x.csr,
    "mean": lambda w: [[0.1, 0.2]],
    "messages": lambda w: w.sent,
    "CreativeModel.propensity.messages": lambda w: w.creatives_log,
    "CreativeModel.updated.messages": lambda w: w.creatives_log,
    "CreativeModel.probability.touches": lambda w: _with_creatives(w),
    "Creatives.fit.data": lambda w: om.Dataset(messages=w.creatives_log, creatives=w.art),
    "ChannelPreference.fit.data": lambda w: w.sent,
    "LinearBandit.fit.data": lambda w: om.choices.Feedback(list("ababab"), w.contexts, np.ones(6)),
    "Feedback.arms": lambda w: list("ababab"),
    "Feedback.from_frame.frame": lambda w: pd.DataFrame({"arm_id": list("ab"), "reward": 1.0, "x": [0.0, 1.0]}),
    "Feedback.from_frame.contexts": lambda w: ["x"],
    "LoggedDecisions.of.data": lambda w: w.creatives_log,
    "LoggedDecisions.propensity": lambda w: np.full(6, 0.5),
    "metric": lambda w: "ndcg",
    "metrics": lambda w: [om.ndcg],
    "model": lambda w: w.als,
    "Report.per_user.model": lambda w: "als",
    "models": lambda w: {"als": w.als, "knn": w.knn},
    "Blend.models": lambda w: {"knn": om.ItemKNN(), "popular": om.Popularity()},
    "Ranker.models": lambda w: [om.Popularity(), om.BuyAgain()],
    "max_popular": lambda w: 9,
    "max_per_item": lambda w: 9,
    "max_per_category": lambda w: 9,
    "n": lambda w: 1,
    "n_features": lambda w: 2,
    "new": lambda w: w.log,
    "outcome": lambda w: np.arange(40) % 2,
    "pairs": lambda w: _pairs(),
    "parts": lambda w: [w.candidates],
    "fingerprint.parts": lambda w: w.log,
    "path": lambda w: folder() / "value.omni",
    "EventLog.scan.path": lambda w: _events_file(),
    "recommend_to_parquet.path": lambda w: folder() / "lists.parquet",
    "to_crm_csv.path": lambda w: folder() / "plan.csv",
    "plan": lambda w: w.plan,
    "population": lambda w: np.full(168, 1 / 168),
    "probability": lambda w: np.linspace(0, 1, 40),
    "problems": lambda w: "missing",
    "profile": lambda w: np.full(168, 1 / 168),
    "profiles": lambda w: np.full((3, 168), 1 / 168),
    "timing_skill.profiles": lambda w: {"even": np.full((3, 168), 1 / 168)},
    "queries": lambda w: np.ones((2, 2)),
    "quiet": lambda w: (1260, 480),
    "rate": lambda w: 0.1,
    "records": lambda w: [{"userId": f"{MARKER}-1", "type": "track", "event": "Product Viewed", "messageId": "m"}],
    "probabilistic_links.records": lambda w: pd.DataFrame(
        {"id": [f"{MARKER}-1"], "kind": ["card"], "first": "Ann", "surname": "Lee", "postcode": "1"}
    ),
    "recs": lambda w: w.lists,
    "report": lambda w: w.channel_report,
    "comparison.report": lambda w: w.report,
    "EventLog.without.report": lambda w: w.check,
    "requests": lambda w: w.requests,
    "rewards": lambda w: np.ones(6),
    "LiveBandit.reward.rewards": lambda w: [1.0, 0.0],
    "segments": lambda w: w.attributes,
    "send_at_us": lambda w: w.stamps,
    "sent_at": lambda w: pd.to_datetime(["2025-05-01 08:00"] * 3, utc=True),
    "share": lambda w: 0.5,
    "similarity": lambda w: w.knn,
    "skill": lambda w: om.timing.headroom(om.Dataset(w.log, audience=w.audience), at=w.at, n_bootstrap=9).skill,
    "slots": lambda w: w.slots,
    "source": lambda w: w.plan,
    "start": lambda w: "2025-02-01",
    "QuietHours.start": lambda w: "21:00",
    "steps": lambda w: {"taste": w.als},
    "strength": lambda w: 0.5,
    "LoggedDecisions.from_frame.frame": lambda w: _logged_frame(),
    "LoggedSlates.rewards": lambda w: np.ones((3, 2)),
    "LoggedSlates.propensity": lambda w: np.full((3, 2), 0.5),
    "off_policy_slates.logged": lambda w: _slates(),
    "off_policy_slates.policy": lambda w: np.full((40, 2), 0.5),
    "select_policy.policies": lambda w: {"a": np.full(200, 0.5)},
    "backtest.estimators": lambda w: {"popular": om.Popularity()},
    "plotting_backtest.result": lambda w: om.evaluation.backtest(
        {"popular": om.Popularity()}, om.Dataset(w.log), horizon="14D", n=1, k=3
    ),
    "fatigue.model": lambda w: om.timing.Fatigue().fit(w.sent),
    "headroom_lifts.report": lambda w: om.timing.headroom(
        om.Dataset(w.log, audience=w.audience), at=w.at, n_bootstrap=9
    ),
    "policy_lifts.result": lambda w: om.causal.off_policy(_decisions(200), np.full(200, 0.5), least_effective=1),
    "tune.estimator": lambda w: om.models.ItemKNN(),
    "tune.space": lambda w: {"neighbors": [3]},
    "plan_value.data": lambda w: _sent_before(w),
    "explored_value.plan": lambda w: _explored(w),
    "explored_value.data": lambda w: _sent_of(_explored(w)),
    "Plan.why.user_id": lambda w: w.plan.to_frame()["user_id"].iloc[0],
    "plan_why.user_id": lambda w: w.plan.to_frame()["user_id"].iloc[0],
    "offers_shown.audit": lambda w: _audit(),
    "person_week.user_id": lambda w: w.plan.to_frame()["user_id"].iloc[0],
    "Plan.accept.touch": lambda w: _triggered(w),
    "LivePlan.accept.touch": lambda w: _triggered(w),
    "Plan.with_limit.rule": lambda w: om.FrequencyCap(2, per="7D"),
    "plan_saved.saved": lambda w: w.plan.saved(draws=20),
    "what_if.found": lambda w: w.plan.with_limit(om.FrequencyCap(2, per="7D")),
    "offer_audit.plan": lambda w: _with_offers(w),
    "plan_files.path": lambda w: _touches_file(w),
    "plan_files.data": lambda w: None,
    "plan_files.constraints": lambda w: [om.FrequencyCap(2, per=None)],
    "plan_files.columns": lambda w: None,
    "plan_files.eligibility": lambda w: (),
    "plan_files.withdrawals": lambda w: None,
    "plan_files.worth": lambda w: None,
    "Swaps.share": lambda w: 0.1,
    "card": lambda w: om.evaluation.scorecard(w.data),
    "Trials.n": lambda w: 3,
    "Trials.method": lambda w: "random",
    "Between.low": lambda w: 1.0,
    "Between.high": lambda w: 2.0,
    "Between.at.share": lambda w: 0.5,
    "visits": lambda w: _visits(),
    "off_policy.policy": lambda w: np.full(200, 0.5),
    "temperature": lambda w: 1.0,
    "timing": lambda w: w.send_time,
    "total": lambda w: 9.0,
    "touches": lambda w: w.candidates.touches,
    "plan.touches": lambda w: w.candidates,
    "trade_off": lambda w: 0.5,
    "truth": lambda w: w.later,
    "user_id": lambda w: w.ids[0],
    "user_ids": lambda w: w.ids,
    "users": lambda w: w.ids,
    "value": lambda w: w.lists,
    "explore.value": lambda w: np.random.default_rng(0).random((3, w.slots.at.size)),
    "where": lambda w: "fit",
    "Experiment.from_frame.frame": lambda w: _test_frame(),
    "treatment": lambda w: "arm",
    "control": lambda w: "none",
    "Experiment.from_frame.outcome": lambda w: "y",
    "Uplift.fit.data": lambda w: _experiment(),
    "experiment": lambda w: _experiment(),
    "scores": lambda w: np.arange(300),
    "costs": lambda w: {"email": 1.0, "push": 2.0},
    "budget_path.rewards": lambda w: _uplift().increment,
    "policies": lambda w: {"all": np.tile([0.0, 1.0, 0.0], (300, 1))},
    "by": lambda w: "age_group",
    "UpliftModel.read.data": lambda w: w.data,
    "UpliftCurve.uplift_at.share": lambda w: 0.3,
    "UpliftCurve.compare.other": lambda w: om.causal.uplift_curve(
        np.arange(300), _experiment(), arm="email", n_bootstrap=9
    ),
    "gain_curve.curve": lambda w: om.causal.uplift_curve(np.arange(300), _experiment(), arm="email", n_bootstrap=9),
    "budget_gains.path": lambda w: RECEIVERS["BudgetPath"](w),
    "budget": lambda w: 0.5,
    "BudgetPath.at.budget": lambda w: 0.5,
    "width": lambda w: [[0.1, 0.1]],
    "x": lambda w: w.x,
} | {f"{name}.lists": lambda w: _ranked() for name in _METRICS}


# Optional parameters without which a verb has nothing to answer by.
GIVEN: dict[str, Callable[[SimpleNamespace], dict[str, Any]]] = {
    "SendTimeModel.best": lambda w: {"days": 1},
    "Fallback.recommend": lambda w: {"attributes": w.attributes, "requests": w.x},
    "Fallback.with_steps": lambda w: {"attributes": w.attributes, "requests": w.x},
    "AttributeModel.answers": lambda w: {"requests": w.attributes},
    "AttributeModel.recommend": lambda w: {"requests": w.attributes},
    "SegmentModel.answers": lambda w: {"requests": w.attributes},
    "SegmentModel.recommend": lambda w: {"requests": w.attributes},
    "candidates": lambda w: {"channels": ["email"]},
    "compare_channels": lambda w: {"k": 3, "n_bootstrap": 9},
    "evaluate": lambda w: {"n_bootstrap": 9, "metrics": [om.ndcg]},
    "headroom": lambda w: {"n_bootstrap": 9, "at": w.at},
    "learn_weights": lambda w: {"search": om.evaluation.Search(n_bootstrap=9)},
    "attribution": lambda w: {"n_bootstrap": 2},
    "holdout_power": lambda w: {"lift": 0.1},
    "holdout_report": lambda w: {"within": "5D"},
    "backtest": lambda w: {"horizon": "14D", "n": 1, "k": 3},
    "UpliftModel.increments": lambda w: {"data": w.data},
    "UserAmounts.from_events": lambda w: {"each": {"view": 1.0}},
    "CoolDown": lambda w: {"events": "purchase"},
    "uplift_curve": lambda w: {"n_bootstrap": 9, "arm": "email"},
    "budget_path": lambda w: {"n_bootstrap": 9},
    "policy_value": lambda w: {"n_bootstrap": 9},
    "off_policy_slates": lambda w: {"least_effective": 1},
    "select_policy": lambda w: {"n_bootstrap": 9, "least_effective": 1},
    "plan_value": lambda w: {"least_effective": 1, "least_covered": 0.1},
    "explored_value": lambda w: {"least_effective": 1},
    "Plan.saved": lambda w: {"draws": 20},
    "tune": lambda w: {"k": 3, "trials": 1, "horizon": "14D"},
    "HoldoutReport.lift_tests": lambda w: {"outcome": "conversions"},
    "displacement": lambda w: {"period": "7D", "k": 1},
    "cross_fitted_rewards": lambda w: {"folds": 2},
    "explain": lambda w: {"events": w.log},
    "ChannelPreferenceModel.best": lambda w: {"data": w.data},
}


def public() -> Iterator[tuple[str, Any]]:
    """Yield every public function and class once, by name: the second of a name with its room, as plotting_backtest."""
    seen: set[int] = set()
    taken: set[str] = set()
    for module in [om, *(importlib.import_module(f"omnireco.{room}") for room in ROOMS)]:
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.ismodule(thing) or not callable(thing) or id(thing) in seen:
                continue
            seen.add(id(thing))
            if not (inspect.isclass(thing) and issubclass(thing, (BaseException, om.files.Part))):
                yield (f"{module.__name__.split('.')[-1]}_{name}" if name in taken else name), thing
                taken.add(name)


@cache
def names() -> dict[str, Any]:
    """Every public verb by name: functions, constructors of parameters, and methods of their own."""
    found: dict[str, Any] = {}
    for name, thing in public():
        if not inspect.isclass(thing):
            found[name] = thing
            continue
        if name in ABSTRACT or getattr(thing, "_is_protocol", False):
            continue
        if name not in CODED:
            found[name] = thing
        for method in dir(thing):
            static = inspect.getattr_static(thing, method)
            inherited = any(method in base.__dict__ for base in (tuple, object))
            if method.startswith("_") or inherited or isinstance(static, property):
                continue
            if callable(getattr(thing, method)):
                found[f"{name}.{method}"] = thing
    return {name: thing for name, thing in found.items() if name not in NOT_DRIVEN}


def unknown() -> list[str]:
    """Required parameters and receivers that the tables here do not know."""
    missing = []
    for name, thing in names().items():
        target = getattr(thing, name.split(".")[1]) if "." in name else thing
        if "." in name and "self" in inspect.signature(target).parameters and not _receiver_known(name.split(".")[0]):
            missing.append(f"RECEIVERS[{name.split('.')[0]!r}]")
        for parameter in _parameters(target):
            given = parameter.name in ARGUMENTS or f"{name}.{parameter.name}" in ARGUMENTS
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD and not given:
                missing.append(f"ARGUMENTS[{name}.{parameter.name}]")
    return missing


def _receiver_known(name: str) -> bool:
    return name in RECEIVERS or name not in CODED


def _parameters(target: Any) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(target)
    except ValueError:
        return []
    return [one for one in signature.parameters.values() if one.name != "self" and not one.name.startswith("_")]


def parameters(name: str) -> tuple[str, ...]:
    """Return the names of what one verb takes."""
    thing = names()[name]
    target = getattr(thing, name.split(".")[1]) if "." in name else thing
    return tuple(one.name for one in _parameters(target))


@cache
def verb(name: str) -> Verb:
    """Return one verb, ready to be called."""
    thing, w = names()[name], world()
    target = getattr(thing, name.split(".")[1]) if "." in name else thing
    base, star = {}, None
    for parameter in _parameters(target):
        if parameter.kind is parameter.VAR_POSITIONAL:
            star = parameter.name
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            make = ARGUMENTS.get(f"{name}.{parameter.name}") or ARGUMENTS[parameter.name]
            base[parameter.name] = make(w)
    base |= GIVEN.get(name, lambda w: {})(w)
    return Verb(name, _bound(name, thing, target, star), base, parameters(name))


def _bound(name: str, thing: Any, target: Any, star: str | None) -> Callable[..., Any]:
    if "." in name and "self" in inspect.signature(target).parameters:
        method = name.split(".")[1]
        owner = name.split(".")[0]
        if owner == "LiveBandit":  # a call changes it
            return lambda **given: getattr(_bandit(), method)(**given)
        held = RECEIVERS[owner](world()) if owner in RECEIVERS else thing()
        return getattr(held, method)
    if star is not None:
        return lambda **given: target(given.pop(star), **given)
    return target
