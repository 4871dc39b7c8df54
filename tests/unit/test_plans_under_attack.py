"""What a second attack on plans, send times and their models found: each a wrong answer in silence, or a raw error."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week.smoothing import smooth_rates
from omnireco.errors import DataWarning, ParameterError, SchemaError

DAY = pd.Timestamp("2025-06-02", tz="UTC")


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=40, n_items=12, days=60, seed=1)


@pytest.fixture(scope="module")
def log(world):
    return om.EventLog.from_frame(world.events)


@pytest.fixture(scope="module")
def sent(world):
    return om.MessageLog.from_frame(world.messages)


def lists_of(log):
    return om.Popularity().fit(log.matrix()).recommend(log.matrix(), k=2)


def offers(n=6):
    return om.planning.Candidates.from_frame(
        pd.DataFrame({"user_id": range(n), "item_id": "tea", "channel": "push", "send_at": DAY, "value": 1.0})
    )


def person(**more):
    return om.Audience.from_frame(pd.DataFrame({"user_id": [1], "timezone": "UTC", "consent_push": True, **more}))


@pytest.mark.parametrize("order", [1, -1])
def test_two_budgets_that_cost_a_touch_differently_are_refused(order):
    budgets = [om.Budget("push", cost=1, total=3), om.Budget("push", cost=2, total=100)][::order]
    with pytest.raises(ParameterError, match=r"a touch of 'push' costs \d in one budget and \d in another"):
        om.plan(offers(), constraints=budgets)


def test_two_budgets_of_one_cost_are_two_limits():
    best = om.plan(offers(), constraints=[om.Budget("push", cost=2, total=8), om.Budget("push", cost=2, total=6)])
    assert len(best) == 3
    assert best.costs == {"push": 2.0}
    assert best.summary()["cost"].tolist() == [6.0]


@pytest.fixture(scope="module")
def timing(log, world):
    return om.SendTime().fit(om.Dataset(log, audience=om.Audience.from_frame(world.users)))


@pytest.mark.parametrize("until", [dt.time(8, 0, 30), dt.time(8, 0, 0, 1)])
def test_the_best_hour_reads_quiet_hours_to_the_microsecond(timing, until):
    data, at_eight = om.Dataset(audience=person()), om.slots("2025-06-02T08:00+00:00", days=1, every="1D")
    assert timing.best(data, at_eight, channel="push", quiet_hours=("20:00", until)).empty
    assert len(timing.best(data, at_eight, channel="push", quiet_hours=("20:00", "08:00"))) == 1


def test_slots_have_their_days(timing):
    data, week = om.Dataset(audience=person()), om.slots("2025-06-02", days=7)
    with pytest.raises(ParameterError, match="days is a part of the slots"):
        timing.best(data, week, 7, channel="push")
    with pytest.raises(ParameterError, match="how many days"):
        timing.best(data, "2025-06-02", channel="push")


@pytest.mark.parametrize("bad", ["21:00+02:00", dt.time(21, tzinfo=dt.UTC), "21", 8, None, "21:00:30"])
def test_the_best_hour_refuses_quiet_hours_that_are_no_local_times(timing, bad):
    with pytest.raises(ParameterError, match="quiet_hours: start must be a time of day without a zone"):
        timing.best(om.Dataset(audience=person()), "2025-06-02", 1, channel="push", quiet_hours=(bad, "08:00"))


def test_quiet_hours_until_midnight_are_read_as_the_rule_reads_them(timing):
    found = timing.best(om.Dataset(audience=person()), "2025-06-02", 1, channel="push", quiet_hours=("01:00", "24:00"))
    assert found["send_at"].dt.hour.tolist() == [0]


def test_the_best_hour_waits_for_a_consent_that_is_still_to_come(timing):
    early = person(consent_push_at=DAY - pd.Timedelta("1D"))
    late = person(consent_push_at=DAY + pd.Timedelta("1D"))
    assert len(timing.best(om.Dataset(audience=early), DAY.isoformat(), 2, channel="push")) == 1
    assert timing.best(om.Dataset(audience=late), DAY.isoformat(), 2, channel="push").empty


def test_answers_where_a_pull_has_long_faded_do_not_break_the_curve():
    hour = np.arange(168) % 24
    at_risk = np.where(hour == 7, 460.0, 1e-47)
    mean, variance = smooth_rates(np.full(168, 6.0), at_risk).moments()
    assert np.isfinite(mean).all()
    assert np.isfinite(variance).all()


@pytest.mark.parametrize("name", ["Push", "PUSH", "pu sh"])
def test_another_spelling_of_a_channel_does_not_stop_fatigue(sent, name):
    model = om.timing.Fatigue().fit(sent)
    for ask in (
        lambda: model.factor([1001], name, om.slots("2025-03-03", days=1).at),
        lambda: model.cost([1001], name),
    ):
        with pytest.raises(ParameterError, match="and 'push' in the message log: one channel in two spellings"):
            ask()
    assert model.cost([1001], "letter").shape == (1,)  # a channel without messages is none of theirs


def test_the_advice_of_fatigue_leads_to_an_answer(sent):
    model = om.timing.Fatigue().fit(sent)
    with pytest.raises(ParameterError, match=r"Write om\.slots\('2025-03-03', days=7\)\.at, or"):
        model.load([1001], ["2025-03-03"])
    assert model.load([1001], om.slots("2025-03-03", days=7).at).shape == (1, 168)
    assert model.load([1001], [pd.Timestamp("2025-03-03", tz="UTC").value // 1000]).shape == (1, 1)


@pytest.mark.parametrize(("at", "more"), [("9998-01-01", {}), ("2025-03-03", {"confidence": 1 - 1e-16})])
def test_a_refill_is_due_in_a_year_that_exists(log, at, more):
    data = om.Dataset(log)
    found = om.journeys.Refills().fit(data).due(data.requests(at=at), **more)
    for name in ("due_at", "low_at", "high_at"):
        assert (found[name] >= found["last_at"]).all()
        assert (found[name].dt.year <= 9999).all()


def test_a_blend_of_nothing_is_refused(log):
    model = om.Popularity().fit(log.matrix())
    with pytest.raises(ParameterError, match="weights are all 0"):
        om.models.BlendModel.of({"popular": model}, weights={"popular": 0})
    assert om.models.BlendModel.of({"a": model, "b": model}, weights={"a": 0}).weights == (0.0, 1.0)


DRAWS = {
    "select_policy": lambda log, n: om.causal.select_policy(
        om.causal.LoggedDecisions(np.ones(9), np.ones(9)), {"one": np.ones(9)}, n_bootstrap=n
    ),
    "evaluate": lambda log, n: om.evaluate(
        {"a": lists_of(log)},
        log,
        k=1,
        metrics=[om.ndcg],
        n_bootstrap=n,
    ),
    "learn_weights": lambda log, n: om.learn_weights(
        om.ItemKNN(), log, horizon="7D", search=om.evaluation.Search(n_bootstrap=n)
    ),
}


@pytest.mark.parametrize("n", [10**9, 2**63, -1, 1.5])
@pytest.mark.parametrize("verb", DRAWS)
def test_more_draws_than_memory_holds_are_refused(log, verb, n):
    with pytest.raises(ParameterError, match="n_bootstrap must be an integer in the range"):
        DRAWS[verb](log, n)


@pytest.mark.parametrize("nobody", [[np.nan] * 9, [None] * 9])
def test_decisions_about_nobody_are_not_about_one_person(nobody):
    with pytest.raises(SchemaError, match="people is missing in 9 rows"):
        om.causal.LoggedDecisions(np.ones(9), np.ones(9), people=nobody)


def test_numbers_whose_squares_overflow_are_refused():
    with pytest.raises(ParameterError, match=r"rewards holds numbers beyond 1e\+100"):
        om.causal.LoggedDecisions(np.full(9, 1e300), np.ones(9))
    with pytest.raises(ParameterError, match="propensity has 9 probabilities outside"):
        om.causal.LoggedDecisions(np.ones(9), np.full(9, 1e-300))
    with pytest.raises(ParameterError, match="policy is an empty mapping"):
        om.causal.off_policy(om.causal.LoggedDecisions(np.ones(9), np.ones(9)), {})
    logged = om.causal.LoggedDecisions(np.ones(9), np.ones(9), actions=np.zeros(9, int))
    with pytest.raises(ParameterError, match="n_actions must be an integer in the range"):
        om.causal.cross_fitted_rewards(logged, np.ones((9, 1)), n_actions=10**9)


def art(*creatives):
    return pd.DataFrame({"creative_id": creatives, "item_id": "i01"})


def test_creatives_that_no_message_showed_are_not_learned_in_silence(world):
    shown = om.MessageLog.from_frame(world.messages.assign(creative_id="red"))
    with pytest.warns(DataWarning, match="none of .* messages with a creative shows one of the frame"):
        om.choices.Creatives().fit(om.Dataset(messages=shown, creatives=art("rad")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        om.choices.Creatives().fit(om.Dataset(messages=shown, creatives=art("red", "new")))


def test_models_of_one_say_one():
    one = pd.DataFrame(
        {"user_id": [1], "channel": ["push"], "sent_at": [DAY], "responded_at": [DAY + pd.Timedelta("1h")]}
    )
    sent = om.MessageLog.from_frame(one)
    said = [
        om.choices.ChannelPreference().fit(sent),
        om.timing.ReadingClock().fit(om.Dataset(messages=sent, audience=person())),
        om.timing.Fatigue().fit(sent),
    ]
    said += [om.slots("2025-06-02", days=1, every="1D"), offers(1), offers(1).touches, om.plan(offers(1))]
    for value in map(repr, said):
        assert not any(f"1 {noun}" in value for noun in ("users", "messages", "channels", "kinds", "answers", "slots"))


@pytest.mark.parametrize(("known", "given", "cast"), [(["a"], [1], str), ([7], ["7"], int)])
def test_the_advice_for_ids_of_another_kind_casts_the_ids_given(known, given, cast):
    vocabulary = om.data.Vocabulary.from_ids(known, "item_id")
    with pytest.raises(om.errors.IdKindError, match=rf"Cast those given: \[{cast.__name__}\(one\) for one in ids\]"):
        vocabulary.codes(given, missing="none")
    assert vocabulary.codes([cast(one) for one in given], missing="none").size == 1


def test_a_limit_beyond_any_count_is_no_limit(log):
    lists = lists_of(log)
    assert om.models.limit_exposure(lists, k=2, max_per_item=2**70).to_frame().equals(lists.to_frame())


@pytest.mark.parametrize("channel", [[], {}, ["push"], None, 5])
def test_a_channel_is_one_name(timing, log, channel):
    with pytest.raises(ParameterError, match="channel must be the name of a channel"):
        timing.slot_probability(person(), [0], channel, om.slots("2025-06-02", days=1).at)
    with pytest.raises(ParameterError, match="begun"):
        om.journeys.unfinished(log, at="2025-06-02", begun=channel)
