"""What every estimator keeps, in any room: one line that makes it again, copies, searches, refusals, advice."""

import copy
import dataclasses
import inspect
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import OmnirecoError, ParameterError

ROOMS = [getattr(om, name) for name in om.__all__ if inspect.ismodule(getattr(om, name))]
SCOPE = {name: getattr(room, name) for room in ROOMS for name in room.__all__}
KINDS = {
    name: kind
    for name, kind in SCOPE.items()
    if isinstance(kind, type) and issubclass(kind, Estimator) and not inspect.isabstract(kind)
}
WEIGHTS = om.Weights(events={"view": 1.5}, channels={"app": 2.0}, half_life="30D")
MADE = {
    "Blend": {"models": {"ease": om.EASE(weights=WEIGHTS), "knn": om.ItemKNN(neighbors=5)}, "weights": {"ease": 2.0}},
    "CrossChannel": {"estimator": om.Blend(models={"a": om.EASE()}), "channel_weights": {"app": 2.0}},
    "Ranker": {"models": [om.EASE(), om.BuyAgain()], "weights": WEIGHTS, "n_candidates": 10, "n_requests": 50},
    "ChannelPreference": {"kinds": "category", "groups": "age_group"},
    "Creatives": {"patience": 50},
    "FollowUps": {"events": ["view"]},
    "Refills": {"events": ["view"]},
    "SegmentPopularity": {"segments": ["age_group"]},
    "TypedEASE": {"target": "view"},
    "Uplift": {"target": "purchase", "folds": 2, "least": 5},
}


def made(name, **changes):
    params = MADE.get(name, {}) | changes
    if "weights" in KINDS[name].__dataclass_fields__ and name not in MADE:
        params = {"weights": WEIGHTS} | params
    return KINDS[name](**params)


def nested(estimator):
    """The parameters that hold parameters, and one of those inside each."""
    names = list(estimator.get_params())
    return {name.rsplit("__", 1)[0] for name in names if "__" in name}


def test_every_room_has_its_estimators():
    assert len(KINDS) == 32


@pytest.mark.parametrize("name", KINDS)
def test_an_estimator_is_one_line_that_makes_it_again(name):
    for estimator in (made(name), KINDS[name](**MADE.get(name, {}))):
        assert "\n" not in repr(estimator)
        again = eval(repr(estimator), dict(SCOPE))
        assert again == estimator
        assert hash(again) == hash(estimator)
        assert {estimator: 1}[again] == 1


@pytest.mark.parametrize("name", KINDS)
def test_copies_are_equal_and_go_through_pickle(name):
    estimator = made(name)
    copies = [copy.copy(estimator), copy.deepcopy(estimator), clone(estimator), pickle.loads(pickle.dumps(estimator))]
    for one in [*copies, estimator.replace(), estimator.set_params(**estimator.get_params())]:
        assert one == estimator
        assert hash(one) == hash(estimator)
    assert estimator != object()
    assert not hasattr(estimator, "__dict__")


@pytest.mark.parametrize("name", KINDS)
def test_parameters_are_keyword_only_and_reached_by_nested_names(name):
    taken = inspect.signature(KINDS[name]).parameters.values()
    assert all(one.kind is one.KEYWORD_ONLY for one in taken)
    assert list(inspect.signature(KINDS[name].fit).parameters) == ["self", "data", "threads", "progress"]
    estimator = made(name)
    params = estimator.get_params()
    assert set(estimator.get_params(deep=False)) == {one for one in params if "__" not in one}
    for one in params:
        with pytest.raises(ParameterError, match=r"has no parameter|has no parameters of its own"):
            estimator.replace(**{f"{one}__colour": 3})
    for holder in nested(estimator):
        inner = next(one for one in params if one.startswith(f"{holder}__"))
        assert estimator.replace(**{inner: params[inner]}) == estimator
    if "weights__half_life" in params:
        other = estimator.set_params(weights__half_life="7D")
        assert (other.weights.half_life, estimator.weights.half_life) == ("7D", "30D")


NOTHING = [object(), float("nan"), -(10**9), b"x", np.array([1.5, 2.5]), pd.DataFrame({"a": [1]}), pd.NA, {1.5}, 10**30,
           om.EASE, om.simulate, pd.Series([1.5])]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_what_no_parameter_can_be_is_refused_when_it_is_made(name):
    """Frozen, hashed and printed for ever: a value that cannot be compared would make all of that fail later."""
    estimator = made(name)
    for one in dataclasses.fields(estimator):
        for wrong in NOTHING:
            try:
                other = estimator.replace(**{one.name: wrong})
            except OmnirecoError:
                continue
            assert other == eval(repr(other), dict(SCOPE)), f"{name}({one.name}={type(wrong).__name__})"
            assert hash(other) is not None


@pytest.fixture(scope="module")
def data():
    """All parts of a small company, creatives too."""
    world = om.simulate(n_users=60, n_items=12, days=60, seed=1, company=om.worlds.Company(messages_per_week=5))
    items = world.items["item_id"].to_numpy()
    art = pd.DataFrame({"creative_id": np.arange(24), "item_id": np.repeat(items, 2), "face": np.arange(24) % 2 * 1.0})
    place = pd.Series(np.arange(items.size), items)
    shown = place[world.messages["item_id"]].to_numpy() * 2 + np.arange(len(world.messages)) % 2
    sent = om.MessageLog.from_frame(world.messages.assign(creative_id=shown))
    return om.Dataset(
        om.EventLog.from_frame(world.events),
        messages=sent,
        audience=om.Audience.from_frame(world.users, attributes=["age_group"]),
        catalog=om.Catalog.from_frame(world.items),
        creatives=art,
    )


def learned_from(name, data):
    if name == "LinearBandit":
        draw = np.random.default_rng(0)
        return om.choices.Feedback(draw.integers(0, 3, 60), draw.normal(size=(60, 2)), draw.random(60))
    return data


@pytest.mark.parametrize("name", KINDS)
def test_fit_shows_progress_counts_to_its_end_and_says_what_it_takes(name, data):
    estimator, told = made(name), learned_from(name, data)
    steps = []
    model = estimator.fit(told, threads=1, progress=lambda done, total: steps.append((done, total)))
    assert all(0 <= done <= total for done, total in steps)
    assert not steps or steps[-1][0] == steps[-1][1]
    for wrong in ("yes", 2, []):
        with pytest.raises(ParameterError, match="progress"):
            estimator.fit(told, progress=wrong)
    for wrong in (0, -1, 1.5, "two"):
        with pytest.raises(ParameterError, match="threads"):
            estimator.fit(told, threads=wrong)
    verbs = [
        verb
        for verb in ("recommend", "probability", "preference", "decide", "hour_of_week", "returns", "effect")
        if hasattr(model, verb)
    ]
    assert verbs, f"{type(model).__name__} answers nothing"
    assert set(verbs) & set(estimator.verbs), "a verb of the model that its parameters do not know"


@pytest.mark.parametrize("name", KINDS)
def test_the_advice_of_an_old_call_works(name, data):
    estimator, told = made(name), learned_from(name, data)
    with pytest.raises(TypeError, match=r"Write .*[.]$") as caught:
        estimator.fit(told, told, told)
    line = re.search(r"Write (.*)\.$", str(caught.value)).group(1)
    scope = SCOPE | {"om": om, "events": data.events, "sent": data.messages, "people": data.audience}
    scope |= {"goods": data.catalog, "art": data.creatives, "this": estimator}
    line = re.sub(rf"^(?:om\.(?:\w+\.)?)?{name}\([^()]*\)", "this", line)
    if name == "LinearBandit":
        scope |= {"arms": told.arms, "contexts": told.contexts, "rewards": told.rewards}
    if name in ("ChannelPreference", "SegmentPopularity"):  # by an attribute of people or a category
        line = line.replace("om.Dataset(events)", "om.Dataset(events, audience=people)")
    assert type(eval(line, scope)) is type(estimator.fit(told))


@pytest.mark.parametrize("search", [ParameterGrid, lambda grid: ParameterSampler(grid, n_iter=3, random_state=0)])
def test_searches_drive_parameters_in_any_room(search):
    grid = {"activity__segments": [1, 2], "base_rate": [0.05, 0.1]}
    tried = {clone(om.SendTime(activity=om.timing.ActivityProfile())).set_params(**params) for params in search(grid)}
    assert len(tried) == len(list(search(grid)))


@pytest.mark.parametrize("name", KINDS)
def test_recommend_refuses_wrong_threads_progress_and_k(name, data):
    model = made(name).fit(learned_from(name, data))
    if not hasattr(model, "recommend"):
        pytest.skip("gives no lists")
    asked = data.requests(data.events.users.ids[:3], channel="app")
    for wrong in ({"threads": 0}, {"threads": "two"}, {"progress": "yes"}, {"progress": 2}, {"k": 0}, {"k": 10**9}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            model.recommend(asked, **{"k": 3} | wrong)
    steps = []
    lists = model.recommend(asked, k=3, progress=lambda done, total: steps.append((done, total)))
    assert not steps or steps[-1][0] == steps[-1][1]
    again = model.recommend(asked, k=3, threads=2)
    assert (again.codes == lists.codes).all()
    assert len(model.recommend(asked, k=3, eligible=[]).to_frame()) == 0
