"""Right or refused, in what is chosen: machines, huge numbers, names that match nothing, and things of another kind."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.choices.arms import inverse, square_root
from omnireco.errors import IdKindError, OmnirecoError, ParameterError, SchemaError
from omnireco.timing.machines import answers_of_people

POLICIES = ["thompson", "linucb", "epsilon_greedy", "softmax", "squarecb"]
SENT = pd.Series(pd.date_range("2025-05-01", periods=60, freq="h", tz="UTC"))


def messages(**columns):
    place = np.arange(60)
    frame = pd.DataFrame(
        {
            "user_id": place % 6,
            "channel": np.array(["email", "push"])[place % 2],
            "sent_at": SENT,
            "responded_at": (SENT + pd.Timedelta("1h")).where(place % 3 == 0),
            "creative_id": np.array(["calm", "loud"])[place % 2],
        }
    )
    return om.MessageLog.from_frame(frame.assign(**columns))


def test_what_is_logged_is_how_often_it_is_chosen_beside_new_arms():
    live = om.LinearBandit(shared=False).start(["old", "new", "newer"], n_features=0)
    live.update(["old"], np.zeros((1, 0)), [0.0], weights=[2_000_000.0])
    n = 200_000
    chosen = live.decide(np.zeros((n, 0)))
    for arm in range(3):
        mine = chosen.arm[:, 0] == arm
        p = chosen.propensity[mine, 0][0]
        assert mine.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))
    assert live.propensity(np.zeros((1, 0))).sum() == pytest.approx(1.0, abs=1e-6)


def test_answers_of_machines_are_none_unless_the_person_clicked_later():
    click = (SENT + pd.Timedelta("2h")).where(np.arange(60) == 3)
    log = messages(machine=True, clicked_at=click)
    answered_at, n_machine = answers_of_people(log)
    assert n_machine == 20
    assert np.flatnonzero(answered_at > 0).tolist() == [3]
    only_click = messages(machine=True, clicked_at=(SENT + pd.Timedelta("1h")).where(np.arange(60) % 3 == 0))
    assert (answers_of_people(only_click)[0] < 0).all()  # the click is what was flagged
    assert answers_of_people(messages(machine=np.nan))[1] == 0
    assert answers_of_people(messages())[1] == 0


def test_every_model_says_how_many_machine_answers_it_left_out():
    flagged, silent = messages(machine=True), messages(responded_at=pd.Series(pd.NaT, range(60), SENT.dtype))
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": range(6), "timezone": "UTC"}))
    art = pd.DataFrame({"creative_id": ["calm", "loud"], "item_id": "film"})
    fits = {
        "channels": om.choices.ChannelPreference().fit,
        "creatives": lambda log: om.choices.Creatives().fit(om.Dataset(messages=log, creatives=art)),
        "fatigue": om.timing.Fatigue().fit,
        "reading": lambda log: om.timing.ReadingClock().fit(om.Dataset(messages=log, audience=audience)),
    }
    models = {name: fit(flagged) for name, fit in fits.items()}
    for name, model in models.items():
        assert model.n_machine == 20, name
        assert "20 bot opens left out" in repr(model), name
        assert "machine" not in repr(fits[name](silent)), name
    columns = ["rate", "p_best"]
    expected = fits["channels"](silent).preference([0, 99])[columns]
    pd.testing.assert_frame_equal(models["channels"].preference([0, 99])[columns], expected)
    touches = om.data.Touches.of(om.Dataset(messages=silent), [0], channel="email", at="2025-06-01", creatives="calm")
    np.testing.assert_array_equal(
        models["creatives"].probability(touches), fits["creatives"](silent).probability(touches)
    )
    np.testing.assert_array_equal(models["fatigue"].answer_rate, fits["fatigue"](silent).answer_rate)


def test_replay_of_a_log_counts_people():
    log = messages(machine=True)
    half = np.full(60, 0.5)
    result = om.causal.off_policy(om.causal.LoggedDecisions.of(log, propensity=half), half, least_effective=1)
    assert result.logged == 0.0
    assert "20 bot opens left out" in repr(result)
    assert om.causal.off_policy(messages(propensity=0.5), half).logged == pytest.approx(1 / 3)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("discount", [1.0, 0.999, 0.5, 1e-200])
def test_state_stays_finite_whatever_is_fed(policy, shared, discount):
    rng = np.random.default_rng(0)
    live = om.LinearBandit(policy=policy, shared=shared, discount=discount, regularization=1e-6).start(
        range(3), n_features=3
    )
    before = live.expected(np.ones((1, 3)))
    for huge in (1e20, 1e160, 1e308, np.inf, np.nan):
        with pytest.raises(SchemaError, match=r"contexts is (larger than|missing)"):
            live.update([0, 1], np.array([[1.0, 1, 1], [huge, 1, 1]]), [1.0, 1.0])
        with pytest.raises(SchemaError, match="too large"):
            live.update(0, np.full(3, huge), 1.0)
        with pytest.raises(SchemaError, match=r"reward is (larger than|.*missing)|a reward or weight is missing"):
            live.update([0], np.ones((1, 3)), [huge])
        with pytest.raises(SchemaError, match="too large"):
            live.update(0, np.ones(3), huge)
        with pytest.raises(SchemaError, match="weight is"):
            live.update([0], np.ones((1, 3)), [1.0], weights=[huge])
    np.testing.assert_array_equal(live.expected(np.ones((1, 3))), before)  # nothing was learned
    contexts = rng.choice([-1e6, 5e-324, 1e6], (3000, 3))
    live.update(rng.integers(0, 3, 3000), contexts, rng.choice([-1e15, 0.0, 1e-320, 1e15], 3000))
    live.update(np.zeros(3000, int), np.full((3000, 3), 1e6), np.ones(3000))
    chosen, whole = live.decide(contexts[:50]), live.propensity(contexts[:50])
    assert ((chosen.propensity > 0) & (chosen.propensity <= 1)).all()
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=1e-6)
    assert np.isfinite(live.expected(contexts[:50])).all()
    assert np.isfinite(live.widths(contexts[:50])).all()


def test_a_matrix_that_rounding_made_singular_has_a_near_inverse():
    assert np.isfinite(inverse(np.ones((2, 3, 3)))).all()
    root = square_root(np.diag([1.0, -1e-18]))
    np.testing.assert_allclose(root @ root.T, np.diag([1.0, 0.0]), atol=1e-12)


def test_long_batches_of_a_bandit_that_forgets_end_like_single_events():
    rng = np.random.default_rng(1)
    arm, x, reward = rng.integers(0, 2, 5000), rng.normal(size=(5000, 1)), rng.normal(size=5000)
    whole, parts = (om.LinearBandit(discount=0.5).start(range(2), n_features=1) for _ in range(2))
    whole.update(arm, x, reward)
    for rows in np.array_split(np.arange(5000), 100):
        parts.update(arm[rows], x[rows], reward[rows])
    np.testing.assert_allclose(whole.expected([[1.0]]), parts.expected([[1.0]]), rtol=1e-8)


def test_names_that_match_nothing_are_told():
    log = messages()
    model = om.choices.ChannelPreference().fit(log)
    people = pd.DataFrame({"user_id": [0], "timezone": "UTC", "wish": ["Email"]})
    data = om.Dataset(messages=log, audience=om.Audience.from_frame(people, attributes=["wish"]))
    with pytest.raises(ParameterError, match="Did you mean 'email'"):
        om.choices.ChannelPreference(declared="wish").fit(data)
    assert om.choices.ChannelPreference(declared="wish", missing="ignore").fit(data).share is False
    with pytest.raises(ParameterError, match="declared: kinds"):
        om.choices.ChannelPreference(declared={"loans": "wish"}).fit(data)
    with pytest.raises(ParameterError, match=r"control.*'hold'"):
        om.choices.ChannelPreference(control="hold").fit(log)
    with pytest.raises(ParameterError, match="Did you mean 'email'"):
        model.profit([0], cost={"Email": 1.0})
    np.testing.assert_array_equal(model.profit([0], cost={"fax": 1.0}, missing="ignore"), model.profit([0]))
    with pytest.raises(ParameterError, match="group: those the model was fitted with"):
        model.preference([0], group="old")
    texts = om.Audience.from_frame(people.assign(user_id="0"), attributes=["wish"])
    with pytest.raises(IdKindError, match="integers"):
        om.choices.ChannelPreference(groups="wish").fit(om.Dataset(messages=log, audience=texts))
    art = pd.DataFrame({"creative_id": ["calm", "loud"], "item_id": "film"})
    creatives = om.choices.Creatives().fit(om.Dataset(messages=log, creatives=art))
    pairs = pd.DataFrame({"user_id": [1], "item_id": "film"})
    with pytest.raises(ParameterError, match=r"paused.*Did you mean 'calm'"):
        creatives.choose(pairs, at="2025-06-01", paused=["Calm"])
    assert len(creatives.choose(pairs, at="2025-06-01", paused=["old"], missing="ignore")) == 1


@pytest.mark.parametrize("wrong", ["secret-id", ["secret-id"], [["secret-id"]], None, object(), [[1.0], [2.0, 3.0]]])
def test_wrong_kinds_are_refused_without_their_values(wrong):
    log = messages()
    fatigue, live = om.timing.Fatigue().fit(log), om.LinearBandit().start(["a", "b"], n_features=1)
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": range(6), "timezone": "UTC"}))
    reading = om.timing.ReadingClock().fit(om.Dataset(messages=log, audience=audience))
    for verb in (
        lambda: om.choices.thompson_propensities(wrong, wrong),
        lambda: om.causal.off_policy(wrong, [1.0]),
        lambda: om.causal.off_policy(om.causal.LoggedDecisions([1.0], [1.0]), wrong),
        lambda: om.causal.LoggedDecisions(wrong, [1.0]),
        lambda: om.choices.Feedback(wrong, wrong, wrong),
        lambda: om.causal.cross_fitted_rewards(om.causal.LoggedDecisions([1.0], [1.0], actions=[0]), wrong),
        lambda: om.choices.Feedback(["a"], wrong, [1.0]),
        lambda: om.choices.Feedback(["a"], [[0.0]], wrong),
        lambda: fatigue.load([0], wrong),
        lambda: fatigue.factor([0], ["secret-id"], [0]),
        lambda: reading.rates([0], ["secret-id"]),
        lambda: live.decide(wrong),
        lambda: live.update(["a"], wrong, [1.0]),
        lambda: live.update(["a"], [[0.0]], wrong),
        lambda: om.choices.ChannelPreference().fit(log).profit([0], margin=wrong),
    ):
        with pytest.raises(OmnirecoError) as told:
            verb()
        assert "secret-id" not in str(told.value)
