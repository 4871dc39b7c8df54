"""The contract, held by what is fitted in choices: parameters, parts, the cut in time, files."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.choices import ChannelPreference, Creatives, Feedback
from omnireco.errors import NotFittedError, ParameterError, SchemaError

CUT = pd.Timestamp("2025-05-20", tz="UTC")
ART = pd.DataFrame({"creative_id": range(6), "item_id": np.arange(6) // 2, "face": np.arange(6) % 2 * 1.0})


def rows(n=3000):
    rng = np.random.default_rng(0)
    creative, user = rng.integers(0, 6, n), rng.integers(0, 60, n)
    sent = pd.Series(pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(n) * 15, "min"))
    frame = pd.DataFrame({"user_id": user, "item_id": creative // 2, "creative_id": creative, "sent_at": sent})
    frame["channel"] = np.array(["email", "none", "push"])[rng.integers(0, 3, n)]
    taken = rng.random(n) < 0.15 + 0.3 * (creative % 2 == user % 2) * (frame["channel"] == "push")
    return frame.assign(responded_at=(sent + pd.to_timedelta(rng.exponential(2.0, n), "D")).where(taken))


def people():
    frame = pd.DataFrame(
        {"user_id": range(60), "timezone": "UTC", "age": np.array(["old", "young"])[np.arange(60) % 2]}
    )
    frame["wish"] = np.array(["email", "push", None], object)[np.arange(60) % 3]
    return om.Audience.from_frame(frame, attributes=["age", "wish"])


def data_of(frame, end=None):
    """Everything that these estimators can read."""
    events = frame.rename(columns={"sent_at": "timestamp"}).assign(event=np.where(frame["creative_id"] % 2, "a", "b"))
    age = pd.DataFrame({"user_id": range(60), "item_id": "young", "weight": np.arange(60) % 2 + 0.5})
    return om.Dataset(
        om.EventLog.from_frame(events[["user_id", "item_id", "event", "channel", "timestamp"]]),
        messages=om.MessageLog.from_frame(frame),
        audience=people(),
        catalog=om.Catalog.from_frame(pd.DataFrame({"item_id": [0, 1, 2], "category": ["film", "film", "show"]})),
        attributes=om.Interactions.from_frame(age),
        creatives=ART,
        end=end,
    )


@pytest.fixture(scope="module")
def data():
    return data_of(rows())


def feedback(n=400):
    rng = np.random.default_rng(1)
    return Feedback(rng.integers(0, 4, n), rng.normal(size=(n, 2)), rng.normal(size=n))


def of_creatives(model, data):
    pairs = pd.DataFrame({"user_id": np.repeat(range(60), 3), "item_id": np.tile([0, 1, 2], 60)})
    made = model.choose(pairs, at="2025-05-28", shown=data.messages)
    return np.concatenate([made.propensity, made.probability])


def of_channels(model, data):
    kind = None if len(model.kinds) == 1 else model.kinds.ids[0]
    frame = model.best(range(61), kind=kind)
    parts = [frame[name].to_numpy(float) for name in ("rate", "p_best")]
    return np.concatenate([*parts, frame["profit"].to_numpy(float) if "profit" in frame else []])


def of_bandit(live, data):
    x = np.linspace(-1, 1, 60).reshape(30, 2)
    made = live.decide(x)
    parts = [live.expected(x), live.widths(x), live.propensity(x), made.propensity, made.score]
    return np.concatenate([part.ravel() for part in parts])


CASES = {
    "creatives": (Creatives(patience=50), of_creatives, lambda data: data),
    "channels": (ChannelPreference(), of_channels, lambda data: data),
    "channels by all": (
        ChannelPreference(kinds="category", groups="age", declared="wish"), of_channels, lambda data: data
    ),
    "shares": (
        ChannelPreference(on="events", kinds="event", groups="age", declared={"a": ["wish"]}), of_channels,
        lambda data: data,
    ),
    "bandit": (om.LinearBandit(), of_bandit, lambda data: feedback()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_parameters_can_be_searched_over(case):
    from sklearn.base import clone

    estimator = CASES[case][0]
    again = type(estimator)(**estimator.get_params(deep=False))
    assert again == estimator
    assert hash(again) == hash(estimator)
    assert clone(estimator) == estimator
    assert estimator.replace() == estimator
    assert "\n" not in repr(estimator)
    names = {"ChannelPreference": ChannelPreference, "Creatives": Creatives, "LinearBandit": om.LinearBandit}
    assert eval(repr(estimator), names) == estimator
    with pytest.raises(ParameterError, match="has no parameter"):
        estimator.replace(nonsense=1)
    with pytest.raises(NotFittedError, match="fit"):
        getattr(estimator, estimator.verbs[0])()


CHANGES = {
    "creatives": {
        "floor": 0.5, "exploration": 3.0, "recovery": "20D", "fatigue": 3.0, "stickiness": 0.0, "patience": 1,
        "interests": (), "channel": "email",
    },
    "channels by all": {
        "on": "events", "kinds": None, "groups": None, "declared": None, "declared_strength": 500.0, "control": None,
    },
    "bandit": {
        "policy": "linucb", "exploration": 2.0, "regularization": 50.0, "shared": False, "intercept": False,
        "noise": 5.0, "discount": 0.99, "floor": 0.5, "groups": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize(("case", "name"), [(case, name) for case in CHANGES for name in CHANGES[case]])
def test_every_parameter_is_read(data, case, name):
    estimator, answers, part = CASES[case]
    plain = answers(estimator.fit(part(data)), data)
    other = answers(estimator.replace(**{name: CHANGES[case][name]}).fit(part(data)), data)
    assert plain.shape != other.shape or not np.array_equal(plain, other, equal_nan=True)


def test_the_rest_of_the_parameters_is_read_too(data):
    with pytest.raises(ParameterError, match="control"):
        ChannelPreference(control="hold").fit(data)
    assert ChannelPreference(control="hold", missing="ignore").fit(data)
    known = {case: set(CASES[case][0].get_params()) - set(CHANGES[case]) for case in CHANGES}
    assert known == {"creatives": set(), "channels by all": {"missing"}, "bandit": {"exact", "max_pending"}}
    live = om.LinearBandit(max_pending=64).fit(feedback())
    first = live.decide(np.zeros((1, 2)))
    live.decide(np.zeros((64, 2)))
    with pytest.raises(om.errors.UnknownIdError, match="forgotten"):
        live.reward(first.ids, [1.0])
    rng = np.random.default_rng(0)
    many = Feedback(rng.integers(0, 300, 900), rng.normal(size=(900, 15)), rng.normal(size=900), arm_ids=range(300))
    fast, exact = (om.LinearBandit(exact=one).fit(many).propensity(np.ones((1, 15))) for one in (False, True))
    assert not np.array_equal(fast, exact)


@pytest.mark.parametrize("case", [case for case in CASES if case != "bandit"])
def test_nothing_behind_the_cut_is_learned(data, case):
    estimator, answers, _ = CASES[case]
    frame = rows()
    early = frame[frame["sent_at"] < CUT]
    early = early.assign(responded_at=early["responded_at"].where(early["responded_at"] < CUT))
    by_hand = data_of(early, end=CUT)
    past = data.before(CUT)
    plain, other = (answers(estimator.fit(one), by_hand) for one in (by_hand, past))
    np.testing.assert_array_equal(plain, other)
    whole = answers(estimator.fit(data), by_hand)
    assert not np.array_equal(plain, whole, equal_nan=True)  # the law could fail here


@pytest.mark.parametrize(
    ("estimator", "missing", "line"),
    [
        (Creatives(), "messages and creatives", r"om\.Dataset\(messages=sent, creatives=art\)"),
        (ChannelPreference(), "messages", r"om\.Dataset\(messages=sent\)"),
        (ChannelPreference(on="events"), "events", r"om\.Dataset\(log\)"),
        (ChannelPreference(kinds="category"), "messages and catalog", r"om\.Dataset\(messages=sent, catalog=goods\)"),
    ],
)
def test_what_is_missing_is_named(estimator, missing, line):
    with pytest.raises(SchemaError, match=rf"needs {missing}, .*{line}"):
        estimator.fit(om.Dataset())
    with pytest.raises(SchemaError, match="takes a Dataset"):
        estimator.fit(3)


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_the_same_back(data, case, tmp_path):
    estimator, answers, part = CASES[case]
    assert om.load(om.save(estimator, tmp_path / "estimator.omnireco")) == estimator
    model = estimator.fit(part(data))
    loaded = om.load(om.save(model, tmp_path / "model.omnireco"))
    np.testing.assert_array_equal(answers(loaded, data), answers(model, data))


def test_a_bandit_is_fitted_on_feedback(data):
    with pytest.raises(SchemaError, match=r"takes a Feedback. Got Dataset.*om\.choices\.Feedback\("):
        om.LinearBandit().fit(data)
    with pytest.raises(TypeError, match=r"om\.choices\.Feedback\("):
        om.LinearBandit().fit([0, 1], np.zeros((2, 1)), [1.0, 0.0])
    with pytest.raises(TypeError):
        om.LinearBandit("linucb")


@pytest.mark.parametrize("value", [om.choices.LiveBandit, om.choices.CreativeModel, om.choices.ChannelPreferenceModel])
def test_a_value_has_at_most_fifteen_methods(value):
    found = [name for name in vars(value) if not name.startswith("_") and name not in value.__dataclass_fields__]
    assert len(found) <= 15
