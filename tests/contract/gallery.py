# ruff: noqa: E501 - a line for each value
"""A value of every kind, small, and in the states it can be built in: what the laws about files run over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

import omnireco as om
from omnireco.causal.off_policy import off_policy
from omnireco.choices.channel import ChannelPreference

NOWHERE = pd.Series([None], dtype="string")


@cache
def world() -> SimpleNamespace:
    """The logs and models that the values are made of."""
    made = om.simulate(n_users=60, n_items=20, days=60, seed=3)
    w = SimpleNamespace(world=made, log=om.EventLog.from_frame(made.events, itemless="keep"))
    w.sent, w.catalog = om.MessageLog.from_frame(made.messages), om.Catalog.from_frame(made.items)
    w.audience = om.Audience.from_frame(made.users, attributes=["age_group"])
    w.x, w.train = w.log.matrix(om.Weights(half_life="30D")), w.log.before("2025-02-10")
    w.als = om.ALS(factors=8, iterations=3, seed=7).fit(w.x)
    w.attributes = om.models.people_attributes(w.audience)
    w.placed = om.models.learn_people(w.als, w.x, w.attributes)
    w.fallback = om.models.Fallback({"taste": w.als, "attributes": w.placed, "segments": segments(w)})
    w.lists = w.als.recommend(w.x, k=3)
    w.send_time = om.SendTime().fit(om.Dataset(w.log, messages=w.sent, audience=w.audience))
    w.slots = om.slots("2025-03-10", days=2)
    rules = [om.QuietHours("21:00", "08:00")]
    w.touches = om.candidates(
        w.lists, om.Dataset(audience=w.audience), w.send_time, w.slots, channels=["email"], eligibility=rules
    )
    w.activity = om.timing.ActivityProfile(channels=("app",)).fit(om.Dataset(w.log, audience=w.audience))
    w.cross = om.models.CrossChannel(estimator=om.ALS(factors=4, iterations=2)).fit(w.x)
    return w


def _lift_tests() -> pd.DataFrame:
    days = pd.to_datetime(["2025-05-01", "2025-05-29"], utc=True)
    return pd.DataFrame(
        {
            "channel": ["email"],
            "start_at": days[:1],
            "end_at": days[1:],
            "lift": 52.0,
            "standard_error": 13.0,
            "spend": 10.0,
        }
    )


def _contacts() -> pd.DataFrame:
    users = world().log.users.ids
    return pd.DataFrame(
        {"user_id": users, "channel": "email", "contacted": np.arange(users.size) % 2 == 0, "propensity": 0.5,
         "decided_at": pd.Timestamp("2025-02-01", tz="UTC")}
    )  # fmt: skip


def _two_steps() -> pd.DataFrame:
    at = pd.to_datetime(["2025-05-01", "2025-05-02"], utc=True)
    return pd.DataFrame({"user_id": 1, "item_id": "a", "channel": "web", "event": ["view", "buy"], "timestamp": at})


def _dataset() -> om.Dataset:
    w = world()
    return om.Dataset(
        w.log,
        messages=w.sent,
        audience=w.audience,
        catalog=w.catalog,
        attributes=om.models.people_attributes(w.audience) if w.audience.attributes else None,
        facts=[pd.DataFrame({"item_id": ["i01", "i02"], "on_display": [1.0, 0.0]})],
        asked=om.Requests.from_log(w.log, per_user=1),
        creatives=pd.DataFrame({"creative_id": [0, 1], "item_id": ["i01", "i02"]}),
    )


def _unbound(requests: om.Requests) -> om.Requests:
    """Requests as they come out of a file: without the Dataset that they were asked of."""
    return replace(requests, data=None)


def segments(w: SimpleNamespace) -> Any:
    return om.models.SegmentPopularity().fit(om.Dataset(w.log, attributes=w.attributes))


def _creatives() -> tuple[Any, Any, Any]:
    draw, n = np.random.default_rng(0), 300
    creative = draw.integers(0, 6, n)
    sent = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(n), unit="min")
    frame = pd.DataFrame({"user_id": draw.integers(0, 30, n), "item_id": creative // 2, "creative_id": creative})
    frame = frame.assign(channel="web", sent_at=sent, propensity=0.5)
    frame["responded_at"] = pd.Series(sent).where(draw.random(n) < 0.3)
    art = pd.DataFrame({"creative_id": range(6), "item_id": np.arange(6) // 2, "face": np.arange(6) % 2 * 1.0})
    return om.MessageLog.from_frame(frame), art, frame


def _creative_model() -> Any:
    sent, art, _ = _creatives()
    return om.choices.Creatives().fit(om.Dataset(messages=sent, creatives=art))


def _choices() -> Any:
    return _creative_model().choose(pd.DataFrame({"user_id": [1, 2], "item_id": [0, 1]}), at="2025-06-01")


def _bandit(**settings: Any) -> Any:
    draw = np.random.default_rng(0)
    live = om.LinearBandit(**settings).start(["a", "b"], n_features=3)
    made = live.decide(draw.normal(size=(20, 3)))
    live.reward(made.ids[-10:], np.ones(10))
    return live


def _ranker(kind: str) -> Any:
    w = world()
    models = [om.Popularity(), om.BuyAgain()]
    learner = om.Ranker(models=models, ranker=kind, n_requests=200, n_candidates=10, requests_from="2025-02-10")  # type: ignore[arg-type]
    return learner.fit(om.Dataset(w.log, audience=w.audience, catalog=w.catalog))


def _report() -> Any:
    w = world()
    later = w.log.split("2025-02-20").test.matrix()
    return om.evaluate({"lists": w.lists}, later, k=3, metrics=[om.ndcg, om.coverage], n_bootstrap=20)


def _experiment(n: int = 400, arms: int = 3) -> Any:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user": np.arange(n) // 2,
            "arm": np.array(["none", "a", "b"])[draw.integers(0, arms, n)],
            "age": draw.normal(size=n),
        }
    )
    frame = frame.assign(
        zone=draw.choice(["x", "y"], n),
        y=draw.integers(0, 2, n),
        before=draw.normal(size=n),
        got=draw.integers(0, 2, n),
    )
    return om.causal.Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="y", features=["age", "zone"], user="user", placebo="before", received="got",
        propensity=dict.fromkeys(["none", "a", "b"][:arms], 1 / arms),
    )  # fmt: skip


def _uplift(**parameters: Any) -> Any:
    return om.causal.Uplift(folds=2, least=5, **parameters).fit(_experiment())


def _frame(**columns: Any) -> Any:
    at = pd.to_datetime(["2025-05-01"], utc=True)
    start = {"user_id": ["1"], "item_id": ["x"], "channel": ["a"], "event": ["v"], "timestamp": at}
    return pd.DataFrame(start | columns)


def _messages(**columns: Any) -> Any:
    at = pd.to_datetime(["2025-05-01"], utc=True)
    return pd.DataFrame({"user_id": ["1"], "channel": ["a"], "sent_at": at, "responded_at": at} | columns)


def _shops(**more: Any) -> Any:
    frame = pd.DataFrame(
        {
            "store_id": ["n", "s"],
            "timezone": ["Europe/Berlin", None],
            "latitude": [52.5, np.nan],
            "longitude": [13.4, np.nan],
        }
    )
    return om.data.Shops.from_frame(frame, hours={"n": {"mon-fri": "09:00-20:00", "holiday": "10:00-11:00"}}, **more)


def _near() -> Any:
    return _shops().near(
        pd.DataFrame({"user_id": [1, 2], "latitude": [52.4, np.nan], "longitude": [13.0, np.nan]}), k=2
    )


def _amounts() -> Any:
    return om.data.UserAmounts.from_frame(pd.DataFrame({"user_id": ["1", "b"], "amount": [120.0, -3.5]}))


def _pieces() -> Any:
    return om.data.StockLevels.from_frame(
        pd.DataFrame({"item_id": ["a", "a"], "store_id": ["n", "s"], "pieces": [3, 0]})
    )


def _offers() -> Any:
    until = pd.to_datetime([None, "2025-07-01"], utc=True)
    return om.planning.Offers.from_frame(
        pd.DataFrame({"offer_id": ["x", "y"], "item_id": [None, "a"], "price": [np.nan, 3.0], "valid_until": until})
    )


def _ledger(by: str = "user_id") -> Any:
    frame = pd.DataFrame({by: ["1", "b"], "offer_id": ["x", "y"]})
    return om.planning.OfferLedger.from_frame(frame, _offers(), start="2025-06-01", by=by)


def _audit() -> Any:
    at = pd.to_datetime(["2025-06-02", "2025-06-03"], utc=True)
    return om.planning.consistency(
        _ledger(),
        pd.DataFrame({"user_id": ["1", "z"], "channel": ["web", "call"], "shown_at": at, "offer_id": ["x", None]}),
    )


def _touches() -> Any:
    at = pd.to_datetime(["2025-06-01 09:00"], utc=True)
    return pd.DataFrame({"user_id": ["1"], "item_id": ["a"], "channel": ["p"], "send_at": at, "value": [1.0]})


VALUES: dict[str, Callable[[], Any]] = {
    "event log": lambda: world().log,
    "message log": lambda: world().sent,
    "audience": lambda: world().audience,
    "catalog": lambda: world().catalog,
    "interactions": lambda: world().x,
    "identities": lambda: om.identity.Identities.from_links(
        pd.DataFrame({"kind_a": ["email"] * 2, "id_a": ["e", "f"], "kind_b": ["cookie"] * 2, "id_b": ["b", "c"]}),
        max_links={("email", "cookie"): 9},
        expiry="4D",
        trusted=["email"],
    ),
    "zone posterior": lambda: om.timing.infer_zones(om.Dataset(world().log, audience=world().audience)),
    "requests": lambda: om.Requests.from_log(world().log, context=["channel"], per_user=1).requests,
    "weights": lambda: om.Weights(events={"view": 2}, half_life="30D", targets={"view": {1.0: 0.5}}, verdicts=["view"]),
    "company": lambda: om.worlds.Company(fatigue=0.3),
    "link rules": lambda: om.identity.LinkRules(max_links={"card": 3}, expiry={"cookie": "30D"}),
    "quality report": lambda: world().log.check(),
    "resolve report": lambda: om.data.ResolveReport(*range(7)),
    "slots": lambda: world().slots,
    "vocabulary": lambda: world().log.users,
    "recommendations": lambda: world().lists,
    "factor model": lambda: world().als,
    "dense item model": lambda: om.EASE().fit(world().x),
    "sparse item model": lambda: om.ItemKNN().fit(world().x),
    "popularity model": lambda: om.BuyAgain().fit(world().x),
    "projection model": lambda: om.models.PureSVD(factors=4).fit(world().x),
    "neighbor model": lambda: om.models.UserKNN().fit(world().x),
    "next basket model": lambda: om.models.NextBasket(neighbors=5).fit(world().log),
    "session model": lambda: om.models.SessionKNN().fit(world().log),
    "typed model": lambda: om.models.TypedEASE().fit(world().log),
    "blend model": lambda: om.Blend(models={"a": om.EASE(), "b": om.ItemKNN()}).fit(world().x),
    "channel model": lambda: world().cross.on("app"),
    "attribute model": lambda: world().placed,
    "segment model": lambda: segments(world()),
    "fallback": lambda: world().fallback,
    "fallback lists": lambda: world().fallback.with_steps(world().x, k=3, attributes=world().attributes),
    "what next": lambda: om.models.WhatNext(model=world().als, session_decay="10min"),
    "ranker": lambda: _ranker("logit"),
    "ranker of trees": lambda: _ranker("lambdamart"),
    "refill model": lambda: om.journeys.Refills(events=["view"]).fit(world().log),
    "follow-ups model": lambda: om.journeys.FollowUps(events=["view"]).fit(world().log),
    "explanations": lambda: om.models.explain(world().als, world().x, world().lists),
    "activity model": lambda: world().activity,
    "send time model": lambda: world().send_time,
    "reading model": lambda: om.timing.ReadingClock(activity=om.timing.ActivityProfile(channels=("app",))).fit(om.Dataset(world().log, messages=world().sent, audience=world().audience)),
    "fatigue model": lambda: om.timing.Fatigue().fit(world().sent),
    "channel preference": lambda: ChannelPreference().fit(world().sent),
    "creative model": _creative_model,
    "creative choices": _choices,
    "live bandit": lambda: _bandit(),
    "decisions": lambda: _bandit().decide(np.ones((4, 3))),
    "candidates": lambda: world().touches,
    "touches": lambda: world().touches.touches,
    "finding": lambda: om.data.frames.quality.Finding("outlier", "price", np.array([1, 4]), "2 prices", "look", 2),
    "cell": lambda: _report().cells[0],
    "plan": lambda: om.plan(world().touches, constraints=[om.FrequencyCap(1, per="7D"), om.Budget("email", cost=1, total=9)]),
    "report": _report,
    "channel comparison": lambda: om.evaluation.compare_channels(om.models.CrossChannel(), *om.Dataset(world().log).rolling(horizon="14D", n=1)[0], k=3, n_bootstrap=20),
    "channel report": lambda: om.evaluation.channel_report(world().log),
    "funnel": lambda: om.journeys.funnel(world().log, {"looked": "view", "bought": "purchase"}),
    "returns model": lambda: om.journeys.Returns(groups="age_group").fit(om.Dataset(world().log, messages=world().sent, audience=world().audience)),
    "holdout": lambda: om.causal.Holdout.draw(world().log.users, share=0.3, seed=7),
    "holdout report": lambda: om.causal.holdout_report(om.causal.Holdout.draw(world().log.users, share=0.3), world().log, start="2025-02-01", within="14D"),
    "switchback": lambda: om.causal.switchback("2025-01-05", "2025-02-20", every="1D"),
    "switchback report": lambda: om.causal.switchback("2025-01-05", "2025-02-20", every="1D").report(world().log),
    "attribution": lambda: om.causal.attribution(om.causal.Paths.of(world().log), n_bootstrap=5),
    "lift tests": lambda: om.causal.LiftTests.from_frame(_lift_tests()),
    "displacement": lambda: om.causal.displacement(world().log, channel="web", on="store", period="10D"),
    "contact effects": lambda: om.causal.contact_effects(_contacts(), world().log),
    "off-policy": lambda: off_policy(
        om.causal.LoggedDecisions(np.ones(2000), np.full(2000, 0.5)), np.full(2000, 0.5)
    ),
    "off-policy compared": lambda: off_policy(
        om.causal.LoggedDecisions(np.arange(2000) % 3, np.full(2000, 0.5)), np.full(2000, 0.5), against=np.tile([0.4, 0.6], 1000)
    ),
    "experiment": lambda: _experiment(),
    "uplift model": lambda: _uplift(),
    "effects": lambda: _uplift().group_effects("zone"),
    "uplift curve": lambda: om.causal.uplift_curve(np.arange(400), _experiment(), arm="a", n_bootstrap=9),
    "budget path": lambda: om.causal.budget_path(np.ones((400, 2)), _experiment(), costs={"a": 1.0, "b": 2.0}, n_bootstrap=9),
    "logged slates": lambda: om.causal.LoggedSlates([[1.0, 0.0], [0.0, 0.0]], np.full((2, 2), 0.5), people=["b", "a"]),
    "off-policy of lists": lambda: om.causal.off_policy_slates(om.causal.LoggedSlates(np.ones((2000, 2)), np.full((2000, 2), 0.9)), np.full((2000, 2), 0.9)),
    "policy choice": lambda: om.causal.select_policy(om.causal.LoggedDecisions(np.arange(2000) % 2, np.full(2000, 0.5)), {"a": np.full(2000, 0.5)}, n_bootstrap=20),
    "backtest": lambda: om.evaluation.backtest({"popular": om.Popularity()}, om.Dataset(world().log), horizon="14D", n=1, k=3),
    "tuned": lambda: om.evaluation.tune(om.EASE(), om.Dataset(world().log), {"regularization": [3.0]}, horizon="14D", trials=1, k=3),
    "scorecard": lambda: om.evaluation.scorecard(om.Dataset(world().log, messages=world().sent, audience=world().audience), every="14D"),
    "model card": lambda: om.evaluation.card(world().als, data=world().log, report=om.evaluate({"als": world().lists}, world().x, k=3)),
    "model card, not measured": lambda: om.evaluation.card(world().als, data=world().x, limits=["only for tests"]),
    "trials": lambda: om.evaluation.Trials(9, method="halving", seed=3),
    "between": lambda: om.evaluation.Between(1, 9, log=True),
    "learned blend": lambda: om.evaluation.learn_blend(om.Blend(models={"a": om.EASE(), "b": om.ALS(factors=4)}), world().x, world().x, k=3),
    "learned weights": lambda: om.evaluation.LearnedWeights(
        om.Weights(), om.EASE(), om.Weights(), om.EASE(), om.Weights(half_life="3D"), True, 0.1, 0.05, float("nan"),
        (("app", 0.1, 0.0, 0.2),), (("half_life=3D", 0.2),), "ndcg", 9, "0a",
    ),
    "reproduction": lambda: om.worlds.Reproduction(
        "ml", "paper", "all items", ("ndcg",),
        (("EASE", "ours", np.ones(1), np.ones(1), np.full(1, np.nan), 0.5, "EASE()"),), 9, "0a",
    ),
    "headroom": lambda: om.timing.headroom(om.Dataset(world().log, audience=world().audience), at="2025-02-15"),
    "dataset": lambda: _dataset(),
    "exploration": lambda: om.timing.Exploration(evidence=5.0, seed=2),
    "holidays": lambda: om.data.Holidays.from_dates({"Europe/Berlin": ["2025-05-01"], "Asia/Tokyo": ["2025-01-01"]}),
    "item sets": lambda: _dataset().requests(given=[["i01"]] * len(_dataset().events.users)).given,
    "feedback": lambda: om.choices.Feedback(list("abab"), np.eye(4, 2), np.ones(4), features=[[1.0], [2.0]], weights=np.ones(4)),
    "shops": lambda: _shops(),
    "nearby": lambda: _near(),
    "distance decay": lambda: om.data.DistanceDecay(6.1, 5.0, 7.5, 320, 120, 14),
    "amounts": lambda: _amounts(),
    "stock": lambda: _pieces(),
    "offers": lambda: _offers(),
    "ledger": lambda: _ledger(),
    "offer audit": lambda: _audit(),
    "logged decisions": lambda: om.causal.LoggedDecisions(np.ones(3), np.full(3, 0.5), actions=[0, 1, 0], people=list("aab")),
}  # fmt: skip

STATES: dict[str, Callable[[], Any]] = {
    "audience, nobody with a zone": lambda: om.Audience.from_frame(
        pd.DataFrame({"user_id": [1], "timezone": NOWHERE, "consent_push": [True]})
    ),
    "audience, no consents": lambda: om.Audience.from_frame(pd.DataFrame({"user_id": [1], "timezone": ["UTC"]})),
    "audience, nobody": lambda: om.Audience.from_frame(pd.DataFrame({"user_id": [1], "timezone": ["UTC"]}).iloc[:0]),
    "log, a column without a value": lambda: om.EventLog.from_frame(_frame(store_id=NOWHERE)),
    "log, empty": lambda: om.EventLog.from_frame(_frame().iloc[:0]),
    "log, only what is about no item": lambda: om.EventLog.from_frame(_frame(item_id=NOWHERE), itemless="keep"),
    "log, before its first event": lambda: world().log.before("2025-01-01"),
    "log, text beyond ASCII": lambda: om.EventLog.from_frame(_frame(user_id=["Zoë \U0001f600\0"], item_id=["茶 \u00e9"])),
    "log, rows dropped": lambda: om.EventLog.from_frame(
        pd.concat([_frame(), _frame(user_id=[None])]), on_invalid="drop"
    ),
    "messages, empty": lambda: om.MessageLog.from_frame(_messages().iloc[:0]),
    "messages, machines and clicks": lambda: om.MessageLog.from_frame(
        _messages(machine=[0.5], clicked_at=pd.to_datetime(["2025-05-01"], utc=True))
    ),
    "catalog, items alone": lambda: om.Catalog.from_frame(pd.DataFrame({"item_id": [3, 1]})),
    "catalog, empty": lambda: om.Catalog.from_frame(pd.DataFrame({"item_id": [3, 1]}).iloc[:0]),
    "matrix, empty": lambda: om.Interactions.from_scipy(sp.csr_matrix((0, 0))),
    "matrix, no cells": lambda: om.Interactions.from_scipy(sp.csr_matrix((3, 2))),
    "matrix, targets": lambda: om.Interactions.from_frame(
        pd.DataFrame({"user_id": [1, 1], "item_id": list("ab"), "weight": [1.0, 2.0], "target": [1.0, 0.0]})
    ),
    "requests, in a situation": lambda: _unbound(_dataset().requests([1001, 1001], channel=["app", None], given=[["i01"], []], exclude=[[], ["i02"]], new_users=True)),
    "lists by request": lambda: om.Popularity().fit(_dataset()).recommend(_dataset().requests([1001, 1001], new_users=True), k=2),
    "lists of similar items": lambda: world().als.similar_items(world().x.items.ids[:2], k=2),
    "dataset of nothing": lambda: om.Dataset(),
    "dataset, cut": lambda: _dataset().split("2025-02-01").past,
    "feedback of nothing": lambda: om.choices.Feedback([], np.empty((0, 2)), []),
    "decisions of two loggers": lambda: om.causal.LoggedDecisions(np.ones(2), np.full(2, 0.5), actions=[0, 1], distribution=np.full((2, 2), 0.5), by_logger=np.full((2, 2), 0.5), logger=[0, 1]),
    "lists of nobody in particular": lambda: om.causal.LoggedSlates(np.ones((2, 1)), np.ones((2, 1))),
    "scorecard of nothing": lambda: om.evaluation.scorecard(om.Dataset()),
    "channel report, much hidden": lambda: om.evaluation.channel_report(world().log, k=50),
    "decisions of nobody": lambda: om.causal.LoggedDecisions(np.ones(3), np.full(3, 0.5)),
    "experiment, propensities unknown": lambda: replace(_experiment(), propensity=None, placebo=None, received=None, labels={}),
    "uplift model, trees at the end": lambda: _uplift(learner="t"),
    "budget path of nothing worth it": lambda: om.causal.budget_path(-np.ones((400, 2)), _experiment(), costs={"a": 1.0, "b": 2.0}, n_bootstrap=9),
    "requests, empty": lambda: om.Requests.from_frame(_frame()[["user_id", "timestamp"]].iloc[:0]),
    "vocabulary, no integers": lambda: om.data.Vocabulary(np.empty(0, np.int64)),
    "vocabulary, no strings": lambda: om.data.Vocabulary(np.empty(0, object)),
    "lists, nobody": lambda: om.Recommendations.from_frame(
        pd.DataFrame({"user_id": [1], "item_id": [1], "rank": [1]}).iloc[:0]
    ),
    "lists, padded": lambda: world().als.recommend(world().x, k=40),
    "candidates, empty": lambda: om.planning.Candidates.from_frame(_touches().iloc[:0]),
    "candidates, past and labels": lambda: om.planning.Candidates.from_frame(_touches().assign(offer_id=[None], creative_id="c", probability=0.5), om.Dataset(messages=om.MessageLog.from_frame(_messages())), once_per_item=True),
    "holdout of strings": lambda: om.causal.Holdout.draw(["ann", "bob"], share=0.5, experiment="winter"),
    "holdout of nobody": lambda: om.causal.Holdout.draw([], share=0.5),
    "swaps": lambda: om.planning.Swaps(share=0.05),
    "saved messages": lambda: om.plan(world().touches).saved(),
    "plan, explored": lambda: om.plan(world().touches, constraints=[om.FrequencyCap(1, per="7D")], explore=0.5, seed=1),
    "plan, explored by posterior": lambda: om.plan(world().touches, explore=om.planning.Swaps(share=0.5, by="posterior", errors=np.ones(len(world().touches)))),
    "plan with a holdout": lambda: om.plan(world().touches, holdout=0.4, seed=3),
    "funnel of one person": lambda: om.journeys.funnel(_two_steps(), {"looked": "view", "bought": "buy"}),
    "returns, not checked": lambda: om.journeys.Returns(n_checks=0, events=["view"]).fit(world().log),
    "attribution of counted paths": lambda: om.causal.attribution(om.causal.Paths.from_frame(pd.DataFrame({"path": ["a > b", "b"], "conversions": [9, 8]})), n_bootstrap=0),
    "plan of nothing": lambda: om.plan(om.planning.Candidates.from_frame(_touches().iloc[:0])),
    "send time without messages": lambda: om.SendTime(expiry="2D").fit(om.Dataset(world().log, audience=world().audience)),
    "activity for ever": lambda: om.timing.ActivityProfile(prior_strength=float("inf"), half_life=None).fit(om.Dataset(world().log, audience=world().audience)),
    "activity by attributes": lambda: om.timing.ActivityProfile(segments=2, covariates=("age_group",)).fit(om.Dataset(world().log, audience=world().audience)),
    "activity by given segments": lambda: om.timing.ActivityProfile(segments="age_group").fit(om.Dataset(world().log, audience=world().audience)),
    "reading without activity": lambda: om.timing.ReadingClock().fit(om.Dataset(messages=world().sent, audience=world().audience)),
    "fatigue of nobody": lambda: om.timing.Fatigue().fit(om.MessageLog.from_frame(_messages().iloc[:0])),
    "channel preference, groups and kinds": lambda: ChannelPreference(kinds="category", groups="age_group").fit(
        om.Dataset(messages=world().sent, audience=world().audience, catalog=world().catalog)
    ),
    "channel preference, shares": lambda: ChannelPreference(on="events").fit(world().log),
    "bandit, new": lambda: om.LinearBandit().start(["a", "b"], n_features=2),
    "bandit, no arms": lambda: om.LinearBandit().start([], n_features=2),
    "bandit, disjoint": lambda: _bandit(shared=False),
    "bandit, forgetting": lambda: _bandit(shared=False, discount=0.99),
    "bandit, features": lambda: om.LinearBandit(policy="linucb").start([3, 4], n_features=0, features=[[1.0], [2.0]]),
    "bandit, a short memory": lambda: _bandit(max_pending=15),
    "channel model of all": lambda: world().cross,
    "neighbours by person": lambda: om.models.UserKNN(chosen="by person").fit(world().x),
    "model of one item": lambda: om.models.FactorModel.from_arrays([[1.0, 2.0]]),
    "typed, fading": lambda: om.models.TypedEASE(input_half_life=dt.timedelta(days=30)).fit(world().log),
    "rules": lambda: om.QuietHours("21:00", "08:00", zones=om.timing.infer_zones(om.Dataset(world().log, audience=world().audience))),
    "ledger of segments": lambda: _ledger("segment"),
    "shops with holidays": lambda: _shops(holidays=om.data.Holidays.from_dates({"Europe/Berlin": ["2025-06-09"]})),
    "catalog with windows": lambda: om.Catalog.from_frame(pd.DataFrame({"item_id": [3, 1], "hidden": [True, False], "valid_from": pd.to_datetime([None, "2025-06-01"], utc=True)})),
    "candidates with offers and terms": lambda: om.planning.Candidates.from_frame(_touches().assign(probability=0.5, increment=0.1, complaint=np.nan), eligibility=[om.planning.InStock(_pieces())]).with_offers(_offers(), eligibility=[om.planning.Promised(_ledger())]),
    "plan with offers": lambda: om.plan(om.planning.Candidates.from_frame(_touches().assign(probability=0.5)).with_offers(_offers()), constraints=[om.planning.OneOffer()]),
    "estimator of estimators": lambda: om.Blend(models={"a": om.ALS(seed=3), "b": om.models.NextItem()}, weights={"a": 2.0}),
    "estimator with a weight": lambda: om.models.SessionKNN(weights=om.Weights(half_life=dt.timedelta(days=1))),
}  # fmt: skip
