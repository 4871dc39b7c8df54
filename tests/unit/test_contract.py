"""The contract of every estimator of models and journeys: parameters, searches, what fit reads, and what it may not."""

import ast
import dataclasses
import inspect
import pickle
from pathlib import Path

import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import NotFittedError, OmnirecoError, ParameterError, SchemaError
from omnireco.testing import check_no_leak, differences, small_data

KINDS = {
    name: kind
    for room in (om.models, om.journeys)
    for name, kind in vars(room).items()
    if isinstance(kind, type) and issubclass(kind, Estimator) and not inspect.isabstract(kind)
}
PEOPLE = pd.DataFrame(
    {"user_id": range(40), "timezone": "UTC", "plan": ["a", "b"] * 20, "town": ["x", "y", "x", "z"] * 10}
)
DATA = small_data(seed=4)
DATA = om.Dataset(
    DATA.events,
    audience=om.Audience.from_frame(PEOPLE, attributes=["plan", "town"]),
    asked=om.Requests.from_log(DATA.events.between("2025-01-20", "2025-03-01"), context=["channel"]),
    end=DATA.end,
)
MADE = {
    "Blend": {"models": {"a": om.EASE(), "b": om.ItemKNN(neighbors=5)}},
    "CrossChannel": {"estimator": om.EASE(regularization=5.0)},
    "Ranker": {"models": [om.EASE(), om.BuyAgain()], "n_candidates": 10, "n_requests": 100, "exclude_seen": False},
    "FollowUps": {"prior_strength": 1.0},
    "Returns": {"horizon": "3D"},
    "ALS": {"factors": 4, "iterations": 2},
    "BPR": {"factors": 4, "iterations": 3},
    "LogisticMF": {"factors": 4, "iterations": 2},
    "NextItem": {"regularization": 5.0},
    "GFCF": {"factors": 4},
}
W = om.Weights(events={"purchase": 7.0}, channels={"store": 2.0})
OTHER = {  # another value of each parameter, and what else must hold for it to be read
    "ALS": {
        "factors": 3, "iterations": 3, "cg_steps": 1, "seed": 5, "regularization": 3.0, "alpha": 9.0,
        "unobserved_weight": 0.3, "frequency_scaling": 0.7, "confidence_weights": True, "weights": W,
        "dislike": (-1.0, {"weights": om.Weights(events={"view": -1.0})}), "graded": True,
    },
    "BPR": {
        "factors": 3, "learning_rate": 0.5, "regularization": 0.5, "iterations": 1, "seed": 5, "weights": W,
    },
    "LogisticMF": {
        "factors": 3, "learning_rate": 0.5, "regularization": 2.0, "iterations": 1, "negatives": 1, "seed": 5,
        "weights": W,
    },
    "EASE": {
        "regularization": 7.0, "neighbors": 3, "dropout": 0.4, "diagonal": 0.5, "kept_weight": 0.7,
        "user_power": 0.6, "input_half_life": 2.0, "weights": W,
    },
    "ItemKNN": {
        "neighbors": 2, "similarity": "jaccard", "weighting": "bm25", "shrinkage": 9.0, "weights": W,
        "alpha": (0.9, {"similarity": "asymmetric"}), "beta": (0.1, {"similarity": "tversky"}),
        "k1": (3.0, {"similarity": "bm25"}), "b": (0.1, {"similarity": "bm25"}),
    },
    "SLIM": {
        "regularization": 9.0, "sparsity": 2.0, "neighbors": 2, "nonnegative": False, "iterations": 1,
        "tolerance": 1.0, "weights": W,
    },
    "UserKNN": {"neighbors": 2, "similarity": "jaccard", "shrinkage": 4.0, "chosen": "by person", "weights": W},
    "Popularity": {"by": "weight", "weights": W},
    "BuyAgain": {"prior_strength": 9.0, "weights": W},
    "PureSVD": {"factors": 2, "weights": W},
    "GFCF": {"factors": 2, "low_pass": 0.9, "dense": False, "weights": W},
    "P3alpha": {"neighbors": 2, "alpha": 0.3, "normalize": False, "weights": W},
    "RP3beta": {"neighbors": 2, "alpha": 0.3, "beta": 0.1, "normalize": False, "weights": W},
    "TypedEASE": {
        "target": "view", "target_channels": ["app"], "by": "channel", "regularization": 3.0, "input_half_life": 2.0,
        "context_steps": 2, "repeats": True,
    },
    "NextItem": {
        "regularization": 3.0, "weights": W, "context_steps": 2, "events": ["purchase"], "interval_half_life": "2D",
        "interval_floor": (0.5, {"interval_half_life": "2D"}), "trend_power": 0.5,
        "trend_window": ("3D", {"trend_power": 0.5}),
    },
    "NextBasket": {
        "neighbors": 2, "neighbors_weight": 3.0, "linear_weight": 2.0, "linear": om.ItemKNN(), "weights": W,
    },
    "SessionKNN": {"neighbors": 2, "gap": "9D", "half_life": "2D", "weights": W, "shrinkage": 4.0},
    "Blend": {"models": {"a": om.EASE()}, "weights": {"a": 3.0}, "scale": "rank"},
    "CrossChannel": {
        "estimator": om.ItemKNN(), "channel_weights": {"app": 4.0}, "saturation": "binary", "lift": 2.0,
        "prior_strength": 2.0,
    },
    "SegmentPopularity": {"prior_strength": 2.0, "segments": ["plan"], "weights": W},
    "FollowUps": {"within": "3D", "events": ["purchase"], "prior_strength": 9.0, "max_next_items": 1},
    "Refills": {"events": ["purchase"], "prior_strength": 9.0},
    "Returns": {
        "events": ["purchase"], "session_gap": "9h", "groups": "plan", "prior_strength": 9.0,
        "horizon": ("5D", {"n_checks": 1}), "n_checks": 2,
    },
    "Ranker": {
        "models": [om.EASE(), om.Popularity()], "context": ["plan"], "ranker": "lambdamart", "weights": W,
        "events": ["purchase"], "dislikes": ["view"], "unfinished": ("view", "purchase"), "n_candidates": 6,
        "exclude_seen": True, "half_lives": ("2D", "9D"), "gap": ("3h", {"requests_from": "20D"}),
        "requests_from": "10D", "timezone": ("Asia/Tokyo", {"context": ["hour"]}), "n_requests": 20, "negatives": 2,
        "seed": 3, "refresh": ("3D", {"requests_from": "20D"}),
    },
}  # fmt: skip
LISTS = [name for name, kind in KINDS.items() if "recommend" in kind.verbs]  # Returns gives chances
LIMITS = {"memory", "missing"}  # they allow or refuse, and change no number


def made(name, **changes):
    return KINDS[name](**MADE.get(name, {}) | changes)


def test_the_tables_name_every_estimator_and_parameter():
    assert set(OTHER) == set(KINDS)
    for name, kind in KINDS.items():
        params = {part.name for part in dataclasses.fields(kind) if part.init}
        assert params == set(OTHER[name]) | (params & LIMITS), name


@pytest.mark.parametrize(("name", "param"), [(name, param) for name, table in OTHER.items() for param in table])
def test_fit_reads_every_parameter(name, param):
    """Another value of a parameter gives another model, or one that is asked with something else."""
    value, besides = OTHER[name][param], {}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
        value, besides = value
    data = DATA if param != "gap" or name != "Ranker" else om.Dataset(DATA.events, end=DATA.end)
    one, two = made(name, **besides), made(name, **besides | {param: value})
    assert differences(one.fit(data), two.fit(data)), f"{name}({param}=) changes nothing"


@pytest.mark.parametrize("name", KINDS)
def test_limits_are_read_too(name):
    for param in LIMITS & {part.name for part in dataclasses.fields(KINDS[name])}:
        if param == "memory":
            with pytest.raises(ParameterError, match=r"memory|fit"):
                made(name, memory=1.0).fit(DATA)
        else:
            with pytest.raises(ParameterError, match="missing must be one of"):
                made(name, missing="perhaps")


@pytest.mark.parametrize("name", KINDS)
def test_parameters_can_be_listed_replaced_copied_and_compared(name):
    estimator = made(name)
    params = estimator.get_params(deep=False)
    assert list(params) == [part.name for part in dataclasses.fields(KINDS[name]) if part.init]
    again = KINDS[name](**params)
    assert again == estimator
    assert clone(estimator) == estimator
    assert estimator.set_params() == estimator
    assert repr(again) == repr(estimator)
    assert "\n" not in repr(estimator)
    for param in OTHER[name]:
        value = OTHER[name][param]
        if isinstance(value, tuple) and isinstance(value[-1], dict):
            continue
        other = estimator.replace(**{param: value})
        assert other != estimator, param
        assert estimator == again, "replace changed the estimator"
        assert other.get_params(deep=False)[param] == getattr(other, param)
    with pytest.raises(ParameterError, match=f"{name} has no parameter 'colour'; it has"):
        estimator.replace(colour=3)
    with pytest.raises(TypeError, match=rf"{name} has no parameter 'colour'. Write {name}\("):
        KINDS[name](colour=3)
    with pytest.raises(TypeError, match=rf"{name} takes its parameters by name. Write {name}\("):
        KINDS[name](3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(estimator, next(iter(params)), 3)
    assert pickle.loads(pickle.dumps(estimator)) == estimator


@pytest.mark.parametrize("name", KINDS)
def test_every_fit_has_one_signature_and_names_it(name):
    signature = inspect.signature(KINDS[name].fit)
    assert list(signature.parameters) == ["self", "data", "threads", "progress"]
    estimator = made(name)
    for wrong in ((DATA, DATA), ()):
        with pytest.raises(TypeError, match=rf"{name}.fit: .*Write {name}\(...\).fit\(om.Dataset\(events"):
            estimator.fit(*wrong)
    with pytest.raises(TypeError, match=rf"Write {name}\(...\).fit"):
        estimator.fit(DATA, at="2025-02-01")
    verb = "recommend" if name in LISTS else estimator.verbs[0]
    with pytest.raises(NotFittedError, match=rf"Write model = {name}\(...\).fit\(data\), then model.{verb}"):
        getattr(estimator, verb)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_needed_is_checked_and_named(name):
    estimator = made(name)
    assert estimator.needs == ("events",)
    empty = om.Dataset(audience=DATA.audience)
    with pytest.raises(
        SchemaError, match=r"needs events, and the data has none. Write om.Dataset\(log, audience=people\)"
    ):
        estimator.fit(empty)
    with pytest.raises(SchemaError, match=r"takes a Dataset\. Got str"):
        estimator.fit("events")
    with pytest.raises(OmnirecoError):
        estimator.fit(DATA.before("2020-01-01"))


@pytest.mark.parametrize("name", KINDS)
def test_nothing_behind_a_cut_is_learned(name):
    estimator = made(name)
    check_no_leak(estimator, DATA, "2025-02-20")


def test_what_gives_no_lists_says_so():
    assert set(KINDS) - set(LISTS) == {"Returns"}
    assert not hasattr(made("Returns").fit(DATA), "recommend")


@pytest.mark.parametrize("name", LISTS)
def test_every_model_answers_requests_with_one_signature(name):
    model = made(name).fit(DATA)
    parameters = inspect.signature(model.recommend).parameters
    contract = ["requests", "k", "eligible", "exclude", "exclude_seen", "threads", "progress"]
    assert [one for one in parameters if one in contract] == contract
    assert all(
        parameters[one].default is not inspect.Parameter.empty for one in parameters if one not in ("requests", "k")
    )
    context = {"channel": "app"} if name == "Ranker" else {}
    recs = model.recommend(DATA.requests(DATA.users.ids[:3], **context), k=3)
    assert isinstance(recs, om.Recommendations)
    assert recs.key == "user_id"
    assert recs.users.ids.tolist() == DATA.users.ids[:3].tolist()
    again = model.recommend(DATA.requests([DATA.users.ids[0]] * 2, **context), k=3)
    assert again.key == "request_id"
    assert (again.codes[0] == recs.codes[0]).all()
    for items in ([recs.items.ids[0]], list(recs.items.ids[:3])):
        left = model.recommend(DATA.requests(DATA.users.ids[:3], **context), k=9, exclude=items)
        assert not set(items) & set(left.to_frame()["item_id"])
        some = model.recommend(DATA.requests(DATA.users.ids[:3], **context), k=9, eligible=items)
        assert set(some.to_frame()["item_id"]) <= set(items)
    with pytest.raises(TypeError, match=r"Write model.recommend\(data.requests"):
        model.recommend(DATA, at=DATA.end, k=3)


SEARCHED = {"regularization": [1.0, 10.0, 100.0], "weights__half_life": [None, "7D", "30D"]}


@pytest.mark.parametrize("search", [ParameterGrid(SEARCHED), ParameterSampler(SEARCHED, n_iter=4, random_state=0)])
def test_searches_of_scikit_learn_drive_an_estimator(search):
    past = DATA.before("2025-02-15")
    tried = []
    for params in search:
        estimator = clone(om.EASE(weights=om.Weights())).set_params(**params)
        assert estimator.weights.half_life == params["weights__half_life"]
        model = estimator.fit(past)
        recs = model.recommend(past.requests(), k=5, exclude_seen=False)
        tried.append((len(recs), estimator))
    assert len({repr(estimator) for _, estimator in tried}) == len(list(search))
    blend = om.Blend(models={"a": om.EASE(), "b": om.ItemKNN()})
    assert blend.set_params(models__a__regularization=3.0).models["a"].regularization == 3.0
    assert blend.models["a"].regularization is None


def asked_for(tree):
    """The names of classes that ``isinstance`` is asked about in a file."""
    for call in ast.walk(tree):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in ("isinstance", "issubclass")
        ):
            yield from (name.id for name in ast.walk(call.args[1]) if isinstance(name, ast.Name))


def test_no_model_asks_for_the_class_of_another():
    """What a model can do is a question to the contract: ``_factorised``, ``_item_weights``, ``_on_channel``."""
    concrete = {*KINDS, "Fallback", "WhatNext"} | {
        name
        for name, kind in vars(om.models).items()
        if isinstance(kind, type) and name.endswith("Model") and name != "Model"
    }
    root = Path(om.__file__).parent
    files = [path for room in ("models", "journeys") for path in (root / room).rglob("*.py")]
    assert len(files) > 20
    found = {(path.name, name) for path in files for name in asked_for(ast.parse(path.read_text())) if name in concrete}
    assert found == set()


@pytest.mark.parametrize("name", KINDS)
def test_needs_name_parts_of_a_dataset(name):
    parts = {part.name for part in dataclasses.fields(om.Dataset)}
    assert set(KINDS[name].needs) <= parts
    model = made(name).fit(DATA)
    for verb in KINDS[name].verbs:
        assert hasattr(model, verb), verb


def test_the_line_for_parameters_by_position_names_parameters_only():
    with pytest.raises(TypeError, match=r"Write SendTime\(activity=\.\.\.\): it has activity, base_rate, "):
        om.SendTime(om.timing.ActivityProfile())


def test_a_method_that_a_model_once_had_gives_the_line_to_write():
    data = om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()
    timing, live = om.SendTime().fit(data), om.LinearBandit().start(["a", "b"], n_features=2)
    with pytest.raises(
        AttributeError, match=r"^SendTimeModel has no curve\(\) any more. Write model\.hour_probability\("
    ):
        timing.curve([1001], "push")
    with pytest.raises(
        AttributeError, match=r"^SendTimeModel has no interval\(\) any more. Write model\.probability_in"
    ):
        timing.interval([1001], "push", 0, data.audience)
    with pytest.raises(AttributeError, match=r"^LiveBandit has no probabilities\(\) any more. Write live\.prop"):
        live.probabilities([[1.0, 0.0]])
    with pytest.raises(AttributeError, match=r"^'SendTimeModel' object has no attribute 'colour'$"):
        timing.colour  # noqa: B018
    with pytest.raises(TypeError, match=r"Write om\.models\.join_channels"):
        om.models.join_channels(data.matrix(), weights={"store": 2})
