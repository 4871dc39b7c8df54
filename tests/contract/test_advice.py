"""Whoever calls with an old signature is told a line: every such line is run, as it stands."""

import ast
import importlib
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om

SOURCE = Path(om.__file__).parent


def advised():
    """Yield (name of the function, line) of everything that is decorated with ``says_the_line``."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(("omnireco", *path.relative_to(SOURCE).with_suffix("").parts))
        tree = ast.parse(path.read_text("utf-8"))
        for holder in ast.walk(tree):
            for one in getattr(holder, "body", ()) if isinstance(holder, ast.Module | ast.ClassDef) else ():
                for call in getattr(one, "decorator_list", ()):
                    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "says_the_line":
                        given = call.args[0]
                        text = (
                            getattr(importlib.import_module(module), given.id)
                            if isinstance(given, ast.Name)
                            else ast.literal_eval(given)
                        )
                        owner = f"{holder.name}." if isinstance(holder, ast.ClassDef) else ""
                        yield from ((f"{owner}{one.name}", line) for line in text.split(", or "))


LINES = sorted(set(advised()))


@pytest.fixture(scope="module")
def scope():
    """The names that the lines use, and a model per class."""
    world = om.simulate(n_users=60, n_items=12, days=120, seed=1, company=om.worlds.Company(messages_per_week=5))
    place = pd.Series(np.arange(12), world.items["item_id"])
    shown = place[world.messages["item_id"]].to_numpy() * 2 + np.arange(len(world.messages)) % 2
    frame = world.messages.assign(creative_id=shown)
    art = pd.DataFrame({"creative_id": np.arange(24), "item_id": np.repeat(place.index, 2), "face": np.arange(24) % 2})
    wish = np.array(["email", "push"])[np.arange(60) % 2]
    people = world.users.assign(segment=world.users["age_group"], preferred_channel=wish)
    known = {
        "log": om.EventLog.from_frame(world.events),
        "sent": om.MessageLog.from_frame(frame),
        "people": om.Audience.from_frame(people, attributes=["segment", "preferred_channel"]),
        "goods": om.Catalog.from_frame(world.items),
        "art": art,
    }
    data = om.Dataset(
        known["log"], messages=known["sent"], audience=known["people"], catalog=known["goods"], creatives=art
    )
    past, later = data.split("2025-04-01")
    als = om.ALS(factors=4, iterations=2).fit(past)
    recs = als.recommend(past.requests(), k=10)
    ids = data.users.ids[:24]
    timing = om.SendTime().fit(data)
    segments = om.models.SegmentPopularity(segments=["segment"]).fit(data)
    touches = om.data.Touches.of(data, ids, channel="email", at="2025-06-01T09:00:00Z")
    draw = np.random.default_rng(0)
    by_lot, test = experiment_by_lot()
    uplift = om.causal.Uplift(folds=2).fit(test)
    of_messages = om.causal.Uplift(target="view", folds=2, horizon="3D", least=5).fit(data)
    return known | {
        "contacts": pd.DataFrame({"user_id": ids, "channel": "email", "contacted": np.arange(24) % 2 == 0,
                                  "propensity": 0.5, "decided_at": pd.Timestamp("2025-02-01", tz="UTC")}),
        "om": om, "data": data, "past": past, "later": later, "als": als, "recs": recs, "timing": timing,
        "model": als, "train": past, "report": om.evaluate({"a": recs.head(5)}, later, k=5),
        "before": recs, "after": recs, "users": ids, "user_ids": ids, "now": "2025-05-01",
        "items": place.index[:2],
        "creatives": np.arange(24), "factors": np.eye(3), "ids": list("abc"), "messages": known["sent"],
        "rewards": draw.integers(0, 2, 4000), "propensity": np.full(4000, 0.5), "actions": draw.integers(0, 2, 4000),
        "target": np.full(4000, 0.5), "contexts": draw.normal(size=(4000, 2)), "arms": draw.integers(0, 2, 4000),
        "frame": pd.DataFrame({"user_id": ids, "item_id": place.index[0], "channel": "email", "value": 1.0,
                               "send_at": pd.Timestamp("2025-06-01 09:00", tz="UTC")}),
        "live": om.LinearBandit().start(["a", "b"], n_features=2), "zones": om.timing.infer_zones(data),
        "audience": known["people"], "at_us": np.full(24, 1_748_768_400_000_000), "x": past.matrix(),
        "lists": recs, "catalog": known["goods"], "policy": np.full(4000, 0.5),
        "experiment": test, "scores": np.arange(len(test)), "by_lot": by_lot, "uplift": uplift,
        "chain": om.models.Fallback({"taste": als, "segments": segments}), "touches": touches,
        "models": {
            "SendTimeModel": timing,
            "FatigueModel": om.timing.Fatigue().fit(data),
            "ReadingModel": om.timing.ReadingClock().fit(data),
            "CreativeModel": om.choices.Creatives().fit(data),
            "ChannelPreferenceModel": om.choices.ChannelPreference().fit(data),
            "FollowUpsModel": om.journeys.FollowUps(events=["view"]).fit(data),
            "ReturnsModel": om.journeys.Returns().fit(data),
            "RefillModel": om.journeys.Refills(events=["view"]).fit(data),
            "UpliftModel": of_messages,
            "Increments": of_messages,
            "Model": als,
            "AttributeModel": om.models.learn_people(als, past.matrix(), om.models.people_attributes(known["people"])),
            "RankerModel": om.Ranker(models=[om.EASE()], context=["channel"], n_candidates=12, n_requests=50).fit(data),
        },
    }  # fmt: skip


def experiment_by_lot():
    """A frame of people who drew lots for an e-mail, and its experiment."""
    draw, n = np.random.default_rng(0), 800
    sent = draw.random(n) < 0.5
    frame = pd.DataFrame({"arm": np.where(sent, "email", "none"), "age": draw.normal(size=n),
                          "spend": draw.normal(size=n), "spend_before": draw.normal(size=n),
                          "opened": sent & (draw.random(n) < 0.6)})  # fmt: skip
    test = om.causal.Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="spend", features=["age"], received="opened",
        propensity={"none": 0.5, "email": 0.5},
    )  # fmt: skip
    return frame, test


def test_many_verbs_give_advice():
    assert len(LINES) > 40
    assert all(
        line.startswith(("om.", "model.", "chain.", "live.", "zones.", "past, later = ", "data.")) for _, line in LINES
    ), "a line that cannot be pasted"


@pytest.mark.parametrize(("name", "line"), LINES)
def test_the_line_runs(name, line, scope, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usual = None if "." in name else scope["als"]
    model = scope["models"].get(name.split(".")[0].replace("AttributeRecommender", "AttributeModel"), usual)
    assert model is not None or "model." not in line
    own = {"touches": om.candidates(scope["recs"], scope["data"], scope["timing"], om.slots("2025-06-01", days=1),
                                    channels=["email"])} if name == "plan" else {}  # fmt: skip
    if "LoggedDecisions" in line:
        own = {"people": np.arange(4000) // 4}
    if "LoggedSlates" in line:
        own = {"rewards": np.ones((1000, 2)), "propensity": np.full((1000, 2), 0.5), "policy": np.full((1000, 2), 0.5)}
    if name == "plan_value":
        own = plan_and_log(scope)
    if name == "explored_value":
        touches = om.candidates(scope["recs"], scope["data"], scope["timing"], om.slots("2025-06-01", days=1),
                                channels=["email"])  # fmt: skip
        made = om.plan(touches, explore=0.2)
        sent = made.to_frame()[["user_id", "item_id", "channel"]].assign(sent_at=made.to_frame()["send_at"])
        own = {"plan": made, "sent": sent.assign(responded_at=sent["sent_at"])}
    if name in ("Experiment.from_frame", "cuped"):
        own = {"frame": scope["by_lot"]}
    if "(experiment" in line or "experiment," in line:
        own |= {"model": scope["uplift"]}
    names = scope | {"model": model} | own
    text = (
        line.replace("LinearBandit(...)", "LinearBandit()")
        .removeprefix("past, later = ")
        .replace("2025-06-01', h", "2025-04-01', h")
    )
    answer = eval(text, names)
    assert answer is not None or name == "LiveBandit.refresh"


def plan_and_log(scope):
    """A plan, and earlier messages with propensities to its people."""
    touches = om.candidates(
        scope["recs"], scope["data"], scope["timing"], om.slots("2025-06-01", days=1), channels=["email"]
    )
    made = om.plan(touches)
    frame = made.to_frame()[["user_id", "channel"]].drop_duplicates()
    at = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(np.arange(len(frame)), unit="min")
    sent = om.MessageLog.from_frame(frame.assign(sent_at=at, responded_at=pd.Series(at, frame.index), propensity=0.5))
    return {"plan": made, "sent": sent}


def found(name):
    """The function of a name, wherever it is public."""
    rooms = [om, *(getattr(om, room) for room in om.__all__ if inspect.ismodule(getattr(om, room)))]
    owner, _, verb = name.rpartition(".")
    for room in rooms:
        if hasattr(room, owner or verb) and not inspect.ismodule(getattr(room, owner or verb)):
            one = getattr(room, owner or verb)
            return getattr(one() if verb == "fit" else one, verb) if owner else one
    return None


@pytest.mark.parametrize(("name", "line"), LINES)
def test_a_wrong_call_says_the_line(name, line):
    function = found(name)
    if function is None:
        pytest.skip("the class is not shown: its model is what has the verb")
    with pytest.raises(TypeError) as caught:
        function(**{"as_it_was": 3})
    assert line in str(caught.value)
