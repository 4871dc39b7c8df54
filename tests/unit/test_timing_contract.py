"""The contract of the estimators of timing: one fit, parameters that count, and nothing from behind a cut."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import NotFittedError, ParameterError, SchemaError
from omnireco.timing import ActivityProfile, Fatigue, ReadingClock, SendTime

CUT = "2025-03-20"
ESTIMATORS = {
    "activity": ActivityProfile(segments=3, channels=("app",)),
    "send time": SendTime(activity=ActivityProfile(segments=3)),
    "reading": ReadingClock(segments=2, activity=ActivityProfile(segments=2)),
    "reading alone": ReadingClock(segments=2),
    "fatigue": Fatigue(),
}


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=150, n_items=20, days=100, seed=3, company=om.worlds.Company(messages_per_week=4))


@pytest.fixture(scope="module")
def data(world):
    return om.Dataset(
        om.EventLog.from_frame(world.events),
        messages=om.MessageLog.from_frame(world.messages),
        audience=om.Audience.from_frame(world.users),
    )


@pytest.fixture(scope="module")
def past(data):
    return data.before(CUT)


def answers(model, data):
    """All that is to be seen of a model: numbers for some people, on the clocks of the data."""
    ids, week = data.audience.users.ids[:30], om.slots("2025-04-21", days=2)
    verbs = {
        "hour_of_week": lambda: model.hour_of_week(ids),
        "hour_probability": lambda: model.hour_probability(ids, "email"),
        "best_hour": lambda: model.best_hour(ids)[1],
        "slot_probability": lambda: model.slot_probability(data.audience, np.arange(30), "push", week.at),
        "rates": lambda: model.rates(ids),
        "cost": lambda: model.cost(ids, "push"),
        "load": lambda: model.load(ids, np.asarray(week.at)[:2]),
        "channels": lambda: np.array([len(model.channels)]),
    }
    return {verb: ask() for verb, ask in verbs.items() if hasattr(model, verb)}


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[verb], other[verb]) for verb in one)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_nothing_behind_the_cut_is_learned(name, world, data, past):
    """Fit on what is before the cut equals fit on logs from which later rows were removed by hand."""
    end = pd.Timestamp(CUT, tz="UTC")
    events = world.events[world.events["timestamp"] < end]
    sent = world.messages[world.messages["sent_at"] < end].copy()
    sent["responded_at"] = sent["responded_at"].where(sent["responded_at"] < end)
    log, messages = om.EventLog.from_frame(events), om.MessageLog.from_frame(sent)
    by_hand = om.Dataset(log.before(CUT), messages=messages.before(CUT), audience=om.Audience.from_frame(world.users))
    model = ESTIMATORS[name].fit(past)
    assert same(answers(model, data), answers(ESTIMATORS[name].fit(by_hand), data))
    assert not same(answers(model, data), answers(ESTIMATORS[name].fit(data), data))  # the rest was worth learning


CHANGES = [
    (ActivityProfile(), {"half_life": "10D"}),
    (ActivityProfile(), {"session_gap": "6h"}),
    (ActivityProfile(), {"segments": 1}),
    (ActivityProfile(segments=3), {"covariates": ("age_group",)}),
    (ActivityProfile(), {"channels": ("app",)}),
    (ActivityProfile(), {"prior_strength": 3.0}),
    (SendTime(), {"activity": ActivityProfile(segments=1)}),
    (SendTime(), {"base_rate": 0.2}),
    (SendTime(), {"effect_decay": "30h"}),
    (SendTime(), {"expiry": "3h"}),
    (SendTime(), {"answers": "clicks"}),
    (ReadingClock(), {"expiry": "3h"}),
    (ReadingClock(), {"open_weight": 0.01}),
    (ReadingClock(), {"activity": ActivityProfile()}),
    (Fatigue(), {"half_life": "12h"}),
    (Fatigue(), {"prior_sd": 0.01}),
]


@pytest.mark.parametrize(("estimator", "change"), CHANGES, ids=lambda part: str(part)[:60])
def test_fit_reads_every_parameter(estimator, change, world, data):
    people = om.Audience.from_frame(world.users, attributes=["age_group"])
    sent = world.messages.assign(clicked_at=world.messages["responded_at"].where(world.messages["user_id"] % 2 == 0))
    told = om.Dataset(data.events, messages=om.MessageLog.from_frame(sent), audience=people)
    models = [one.fit(told) for one in (estimator, estimator.replace(**change))]

    def seen(model):
        if hasattr(model, "slot_probability") and hasattr(model, "default_tau"):
            return answers(model, told) | {"assumed": np.array([model.base_rate, model.default_tau])}
        if "channels" in change:
            return {"channels": np.array([len(model.channels)])}
        strangers = model.hour_of_week([-1, *people.users.ids]) if hasattr(model, "hour_of_week") else np.empty(0)
        return answers(model, told) | {"strangers": strangers}

    assert not same(*map(seen, models))


def test_the_provider_tells_machines_apart(world):
    """Read by ``ReadingClock``: the opens of one kind of mailbox are fast, and are judged by themselves."""
    one = world.users["user_id"][world.users["age_group"] == world.users["age_group"].iloc[0]]
    fast = world.messages["user_id"].isin(one) & (np.arange(len(world.messages)) % 6 == 0)
    opened = world.messages["sent_at"] + pd.to_timedelta(3 + np.arange(len(fast)) % 5, "s")
    sent = world.messages.assign(responded_at=world.messages["responded_at"].where(~fast, opened))
    people = om.Audience.from_frame(world.users, attributes=["age_group"])
    data = om.Dataset(messages=om.MessageLog.from_frame(sent), audience=people)
    models = [ReadingClock(**params).fit(data) for params in ({}, {"provider": "age_group"})]
    assert not same(*(answers(model, data) for model in models))
    for wrong in (3, ["age_group"], b"age_group", float("nan"), sent):
        with pytest.raises(ParameterError, match="provider must be the name of an attribute of the audience"):
            ReadingClock(provider=wrong)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_parameters_are_one_line_and_can_be_searched(name):
    from sklearn.base import clone

    estimator = ESTIMATORS[name]
    assert isinstance(estimator, Estimator)
    assert "\n" not in repr(estimator)
    kinds = {kind.__name__: kind for kind in (ActivityProfile, Fatigue, ReadingClock, SendTime)}
    assert eval(repr(estimator), kinds) == estimator
    assert clone(estimator) == estimator
    assert estimator.replace() == estimator == estimator.set_params(**estimator.get_params(deep=False))
    assert hash(estimator) == hash(estimator.replace())
    with pytest.raises(ParameterError, match="has no parameter 'colour'"):
        estimator.replace(colour="red")
    with pytest.raises(TypeError):
        type(estimator)("30D")


def test_parameters_of_parameters():
    estimator = SendTime().replace(activity__segments=2, base_rate=0.1)
    assert repr(estimator) == "SendTime(activity=ActivityProfile(segments=2), base_rate=0.1)"
    assert estimator.get_params()["activity__segments"] == 2
    with pytest.raises(ParameterError, match="segments must be an integer"):
        estimator.replace(activity__segments=0)
    for wrong in (3, ReadingClock(), ActivityProfile, "30D", None):
        with pytest.raises(ParameterError, match="activity must be an ActivityProfile"):
            SendTime(activity=wrong)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_verbs_of_the_model_say_how_to_get_one(name, data):
    estimator, model = ESTIMATORS[name], ESTIMATORS[name].fit(data)
    for verb in estimator.verbs:
        assert hasattr(model, verb), verb
        with pytest.raises(NotFittedError, match=r"fit returns the model. Write model = .*\.fit\(data\)"):
            getattr(estimator, verb)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_is_missing_is_named(name, data):
    estimator = ESTIMATORS[name]
    for need in estimator.needs:
        parts = {"events": data.events, "messages": data.messages, "audience": data.audience}
        parts.pop(need)
        with pytest.raises(SchemaError, match=f"{type(estimator).__name__}.fit needs {need}, and the data has none"):
            estimator.fit(om.Dataset(parts.pop("events", None), **parts))
    with pytest.raises(TypeError, match=r"Write \w+\(\.\.\.\)\.fit\(om\.Dataset\("):
        estimator.fit(data.events, data.messages, data.audience)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_progress_reaches_its_end_and_threads_change_nothing(name, data):
    steps = []
    model = ESTIMATORS[name].fit(data, threads=2, progress=lambda done, total: steps.append((done, total)))
    assert [done for done, _ in steps] == list(range(1, steps[0][1] + 1))
    assert same(answers(model, data), answers(ESTIMATORS[name].fit(data, threads=1), data))


def test_a_reading_clock_learns_activity_from_the_same_data(data):
    """The profile is that of ActivityProfile.fit on the same Dataset."""
    profile = ActivityProfile(segments=2)
    model = ReadingClock(segments=2, activity=profile).fit(data)
    ids = data.audience.users.ids[:20]
    assert (model.activity.hour_of_week(ids) == profile.fit(data).hour_of_week(ids)).all()
    assert ReadingClock(segments=2).fit(data).activity is None


def test_a_reading_clock_tries_as_many_segments_as_it_has(data, monkeypatch):
    """Segments that do not foresee later answers are not used, so the number is seen where it is tried."""
    from omnireco.timing import reading_clock

    tried, fit_habits = [], reading_clock.fit_habits

    def seen(*args):
        tried.append(args[5])
        return fit_habits(*args)

    monkeypatch.setattr(reading_clock, "fit_habits", seen)
    for segments in (1, 5):
        ReadingClock(segments=segments).fit(data)
    assert tried == [1, 5]


@pytest.mark.parametrize("kind", [ActivityProfile, SendTime, ReadingClock])
def test_the_seed_draws_the_people_that_are_learned_from(kind, data, monkeypatch):
    for module, name in (
        ("activity", "_PEOPLE_FOR_STRENGTHS"),
        ("activity", "_PEOPLE_FOR_SEGMENTS"),
        ("reading_clock", "_PEOPLE_TO_FIT_ON"),
        ("sending.send_time", "_MESSAGES_TO_FIT_ON"),
    ):
        monkeypatch.setattr(f"omnireco.timing.{module}.{name}", 40)
    one, other = (answers(kind(seed=seed).fit(data), data) for seed in (0, 1))
    assert not same(one, other)
