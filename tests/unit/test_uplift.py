"""Uplift: every learner on known effects, confounding seen and unseen, messages as treatments, and refusals."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import Experiment, Uplift
from omnireco.errors import DataWarning, EmptyError, ParameterError

LEARNERS = ("s", "t", "x", "r", "dr")


def known(n=8000, seed=0, *, lots=True, hidden=False, binary=False, people=None):
    """Effects 1 + x of mail and 0 of a call; who is written to depends on x where no lots are drawn."""
    rng = np.random.default_rng(seed)
    x, z, u = rng.normal(size=(3, n))
    lean = u if hidden else x
    p = np.full(n, 0.5) if lots else 1 / (1 + np.exp(-1.5 * lean))
    arm = np.where(rng.random(n) < p, np.where(rng.random(n) < 0.5, "mail", "call"), "none")
    effect = np.where(arm == "mail", 1.0 + x, 0.0)
    y = effect + 2.0 * lean + (rng.random(n) if binary else rng.normal(size=n))
    if binary:
        y = (rng.random(n) < 0.3 + 0.2 * (arm == "mail") * (x > 0)).astype(float)
    frame = pd.DataFrame({"arm": arm, "y": y, "x": x, "z": z, "before": 2.0 * lean + rng.normal(size=n)})
    frame["who"] = np.arange(n) if people is None else rng.integers(0, people, n)
    frame["p0"], frame["p1"] = 1 - p, p / 2
    return frame


def read(frame, *, lots=True, **more):
    chances = {"none": "p0", "mail": "p1", "call": "p1"} if lots else None
    given = {"treatment": "arm", "control": "none", "outcome": "y", "features": ["x", "z"], "user": "who"}
    return Experiment.from_frame(frame, **given | {"propensity": chances} | more)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_finds_the_known_effects(learner):
    frame = known()
    model = Uplift(learner=learner, folds=3).fit(read(frame))
    assert model.arms == ("call", "mail")
    truth = np.column_stack([np.zeros(len(frame)), 1 + frame["x"]])
    assert np.sqrt(((model.own - truth) ** 2).mean()) < 0.35
    asked = model.effect(pd.DataFrame({"x": [-1.0, 1.0], "z": [0.0, 0.0]}))
    assert asked["effect"].to_numpy() == pytest.approx([0, 0, 0, 2], abs=0.45)
    for row in model.average().table.to_dict("records"):
        assert row["low"] < {"mail": 1.0 + frame["x"].mean(), "call": 0.0}[row["arm"]] < row["high"]


def test_under_confounding_dr_is_right_where_t_without_the_features_that_matter_is_not():
    """A linear T learner of the wrong form is biased by confounding; the propensities correct DR."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    n = 40_000
    x = rng.normal(size=n)
    p = 1 / (1 + np.exp(-1.5 * x))
    arm = rng.random(n) < p
    y = x**3 + 0.5 * arm + rng.normal(size=n)  # not linear, the effect is 0.5 for all
    frame = pd.DataFrame({"arm": np.where(arm, "mail", "none"), "y": y, "x": x})
    test = Experiment.from_frame(frame, treatment="arm", control="none", outcome="y", features=["x"])
    t, dr = (Uplift(learner=one, model=Ridge(), folds=2).fit(test) for one in ("t", "dr"))
    naive = y[arm].mean() - y[~arm].mean()
    assert abs(naive - 0.5) > 1
    assert abs(t.own.mean() - 0.5) > 0.3
    row = dr.average().table.iloc[0]
    assert row["low"] < 0.5 < row["high"]
    assert row["high"] - row["low"] < 0.4
    trees = Uplift(folds=2).fit(test).average().table.iloc[0]
    assert abs(trees["effect"] - 0.5) < 0.1


def test_averages_cover_the_truth_in_95_percent():
    """60 experiments: 57 expected, sd 1.7."""
    from sklearn.linear_model import LinearRegression

    inside, person = 0, []
    for seed in range(60):
        frame = known(600, seed)
        model = Uplift(model=LinearRegression(), folds=2).fit(read(frame))
        row = model.average().table.set_index("arm").loc["mail"]
        inside += row["low"] <= 1.0 <= row["high"]
        asked = model.effect(pd.DataFrame({"x": [1.0], "z": [0.5]})).set_index("arm").loc["mail"]
        person.append(asked["low"] <= 2.0 <= asked["high"])
    assert inside >= 51
    assert np.mean(person) >= 0.83


def test_what_nobody_can_see_is_said_and_a_placebo_notices_it():
    """The enemy: a cause of both that is no feature. Without a placebo: wrong, and says what it rests on."""
    frame = known(6000, 3, lots=False, hidden=True)
    blind = Uplift(folds=2).fit(read(frame, lots=False))
    row = blind.average().table.set_index("arm").loc["call"]
    assert row["low"] > 0  # wrong: the effect of a call is 0
    assert "is among the features. That cannot be tested" in blind.verdict
    with pytest.warns(DataWarning, match="seems to have changed what came before it"):
        seen = Uplift(folds=2).fit(read(frame, lots=False, placebo="before"))
    assert "effects are confounded" in seen.verdict
    lots = Uplift(folds=2).fit(read(known(6000, 3), placebo="before"))
    assert "Beware" not in lots.verdict


def test_arms_in_other_shares_than_were_drawn_are_noticed():
    frame = known(4000, 4)
    lost = frame[(frame["arm"] != "mail") | (np.arange(4000) % 3 > 0)]
    with pytest.warns(DataWarning, match="The arms have other sizes than their propensities say"):
        Uplift(folds=2).fit(read(lost))


def test_no_overlap_is_refused_and_a_little_of_it_left_out():
    rng = np.random.default_rng(5)
    x = rng.normal(size=3000)
    frame = pd.DataFrame({"x": x, "y": x + rng.normal(size=3000)})
    apart = frame.assign(arm=np.where(x + 0.02 * rng.normal(size=3000) > 0, "mail", "none"))
    given = {"treatment": "arm", "control": "none", "outcome": "y", "features": ["x"]}
    with pytest.raises(ParameterError, match=r"no overlap\. For .* some arm was hardly possible"):
        Uplift().fit(Experiment.from_frame(apart, **given))
    partly = frame.assign(arm=np.where(rng.random(3000) < 1 / (1 + np.exp(-3 * x)), "mail", "none"))
    model = Uplift(folds=2).fit(Experiment.from_frame(partly, **given))
    lost = ~model.overlap
    assert 0 < lost.mean() < 0.5
    assert f"{int(lost.sum()):,} rows left out" in model.verdict
    assert np.isfinite(model.own).all()


def test_too_few_is_refused_with_the_reason():
    frame = known(300, 6)
    few = pd.concat([frame[frame["arm"] == "mail"].iloc[:20], frame[frame["arm"] == "none"]])
    test = read(few.assign(p1=0.11, p0=0.89), propensity={"none": "p0", "mail": "p1"})
    with pytest.raises(ParameterError, match="arm 'mail' has 20 rows, and 50 is the least"):
        Uplift().fit(test)
    assert Uplift(least=20, folds=2).fit(test)
    with pytest.raises(ParameterError, match="3 people cannot be dealt into 5 folds"):
        Uplift(least=2).fit(read(known(300, 6, people=3)))


def test_people_stay_in_one_fold_and_errors_are_over_people():
    once = known(1000, 7)
    often = pd.concat([once] * 4)
    one, many = (Uplift(folds=2, least=10).fit(read(frame)).average().table.iloc[1] for frame in (once, often))
    width = [row["high"] - row["low"] for row in (one, many)]
    assert many["people"] == 1000
    assert width[1] > 0.75 * width[0]  # not half of it


def test_a_binary_outcome_and_equal_answers_for_any_order_of_rows():
    frame = known(3000, 8, binary=True)
    shuffled = frame.sample(frac=1, random_state=0)
    one, other = (Uplift(folds=2).fit(read(part)) for part in (frame, shuffled))
    assert one.experiment.binary
    back = np.argsort(shuffled["who"].to_numpy())
    assert other.own[back] == pytest.approx(one.own, abs=1e-6)
    again = Uplift(folds=2).fit(read(frame))
    assert (again.own == one.own).all()


def test_no_features_give_the_averages():
    frame = known(3000, 9)
    model = Uplift(folds=2).fit(read(frame, features=[]))
    assert model.own.std(axis=0) == pytest.approx([0, 0], abs=0.1)
    with pytest.raises(ParameterError, match="nothing was known of people"):
        model.effect(frame)


def test_a_second_stage_of_the_callers_has_no_interval_and_groups_have():
    from sklearn.tree import DecisionTreeRegressor

    frame = known(4000, 10)
    model = Uplift(effect_model=DecisionTreeRegressor(max_depth=2), folds=2).fit(read(frame))
    assert model.effect()["low"].isna().all()
    table = model.group_effects(np.where(frame["x"] > 0, "above", "below")).table
    assert (table["high"] > table["low"]).all()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"learner": "dml"}, "learner must be one of"),
        ({"outcome": "sum"}, "outcome must be one of"),
        ({"within": "9D"}, "within must not be longer than horizon"),
        ({"model": "ridge"}, "model must be an estimator of scikit-learn"),
        ({"folds": 1}, "folds must be"),
        ({"overlap": 0.6}, "overlap must be"),
        ({"waves": 0}, "waves must be"),
    ],
)
def test_parameters_are_checked(given, match):
    with pytest.raises(ParameterError, match=match):
        Uplift(**given)


def test_a_second_stage_that_would_not_be_read_is_refused():
    from sklearn.linear_model import Ridge

    with pytest.raises(ParameterError, match="has no second stage"):
        Uplift(learner="t", effect_model=Ridge())


# messages as treatments -------------------------------------------------------------------------------


def company(n=1200, weeks=6, *, receipts=False, seed=0):
    """Every week half of the people get an e-mail by lot on its first day; it adds 0.2 to the chance of a purchase."""
    rng = np.random.default_rng(seed)
    monday = pd.Timestamp("2025-01-06", tz="UTC")
    events, messages = [], []
    for week in range(weeks):
        start = monday + pd.Timedelta(7 * week, "D")
        sent = rng.random(n) < 0.5
        buys = rng.random(n) < 0.2 + 0.2 * sent
        hours = rng.integers(24, 24 * 7 - 1, n)
        events.append(
            pd.DataFrame({"user_id": np.arange(n)[buys], "timestamp": start + pd.to_timedelta(hours[buys], "h")})
        )
        at = start + pd.to_timedelta(rng.integers(1, 20, n), "h")
        if receipts:  # a thank-you, an hour after a purchase on the first day
            day = start + pd.to_timedelta(rng.integers(1, 15, n), "h")
            early = rng.random(n) < 0.4
            events.append(pd.DataFrame({"user_id": np.arange(n)[early], "timestamp": day[early]}))
            sent, at = early, day + pd.Timedelta("1h")
        messages.append(pd.DataFrame({"user_id": np.arange(n)[sent], "sent_at": at[sent]}))
    end = monday + pd.Timedelta(7 * weeks, "D")
    log = pd.concat(events).assign(item_id="tea", channel="shop", event="purchase", value=10.0)
    sent_log = pd.concat(messages).assign(channel="email", responded_at=pd.NaT, item_id="tea")
    sent_log["responded_at"] = pd.to_datetime(sent_log["responded_at"], utc=True)
    return om.Dataset(om.EventLog.from_frame(log), messages=om.MessageLog.from_frame(sent_log), end=end)


def test_messages_of_a_dataset_are_the_treatment():
    data = company()
    model = Uplift(target="purchase", folds=2).fit(data)
    test = model.experiment
    assert test.arms == ("no message", "email")
    row = model.average().table.iloc[0]
    assert row["low"] < 0.2 < row["high"]
    assert row["high"] - row["low"] < 0.12
    money = Uplift(target="purchase", outcome="value", folds=2).fit(data).average().table.iloc[0]
    assert money["low"] < 2.0 < money["high"]
    assert Uplift(target="purchase", arm="item", folds=2).fit(data).arms == ("tea",)
    users, effect = model.read(data)
    asked = pd.DataFrame({"user_id": [*users.ids[[3, 0]].tolist(), 987_654]})
    found = model.increments(asked, data=data)
    np.testing.assert_array_equal(found[:2], effect[[3, 0]])
    np.testing.assert_allclose(found[2], model.average().table["effect"])
    with pytest.raises(ParameterError, match="increments\\(rows, data=data\\)"):
        model.increments(asked)
    open_ = pd.DataFrame({"user_id": users.ids[:9]})
    returns = om.journeys.Returns(horizon="3D", n_checks=0).fit(data)
    nudged = om.journeys.nudges(open_, returns, data, effect=model, margin=2.0).set_index("user_id")
    np.testing.assert_allclose(nudged.loc[users.ids[:9], "value"], 2 * effect[:9, 0])
    users, found = model.read(data)
    assert found.shape == (len(users), 1)
    assert model.effect(data)["user_id"].tolist() == users.ids.tolist()


def test_nothing_behind_the_cut_is_learned():
    whole = company(400, 7)
    past = whole.before("2025-02-17")
    by_hand = company(400, 7).split("2025-02-17").past
    one, other = (Uplift(target="purchase", folds=2, least=5).fit(data) for data in (past, by_hand))
    assert (one.experiment.x == other.experiment.x).all()
    assert len(Uplift(target="purchase", folds=2, least=5).fit(whole).experiment) > len(one.experiment)


def test_messages_that_follow_the_outcome_are_no_treatment():
    with pytest.raises(ParameterError, match="messages followed the outcome that they should cause"):
        Uplift(target="purchase").fit(company(receipts=True))


def test_a_log_that_cannot_answer_is_refused_with_the_reason():
    data = company(300, 4)
    with pytest.raises(ParameterError, match="which event is the outcome"):
        Uplift().fit(data)
    with pytest.raises(ParameterError, match=r"Uplift\.fit: target"):
        Uplift(target="purchases").fit(data)
    with pytest.raises(ParameterError, match="shorter than three horizons"):
        Uplift(target="purchase", horizon="30D").fit(data)
    with pytest.raises(EmptyError, match="nobody was written to at the start of any wave"):
        Uplift(target="purchase", within="10min").fit(data)
    with pytest.raises(om.errors.SchemaError, match="no message has a creative"):
        Uplift(target="purchase", arm="creative").fit(data)


CHANGES = {
    "target": ["purchase", "view"], "outcome": "value", "arm": "item", "horizon": "14D", "within": "8h", "waves": 2,
    "learner": "r", "model": "ridge", "effect_model": "tree", "folds": 3, "overlap": 0.45, "least": 10_000, "seed": 5,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_is_read(name):
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    whole = company(400, 9)
    log = whole.events.to_frame()
    more = log.assign(event="view", timestamp=log["timestamp"] + pd.Timedelta("1h"), value=1.0).iloc[::2]
    data = om.Dataset(om.EventLog.from_frame(pd.concat([log, more])), messages=whole.messages, end=whole.end)
    plain = Uplift(target="purchase", folds=2)
    made = {"ridge": Ridge(), "tree": DecisionTreeRegressor(max_depth=1)}
    other = plain.replace(**{name: made.get(str(CHANGES[name]), CHANGES[name])})
    one = plain.fit(data)
    if name == "least":
        with pytest.raises(ParameterError, match="lower least="):
            other.fit(data)
        return
    two = other.fit(data)
    same = one.own.shape == two.own.shape and np.array_equal(one.own, two.own) and one.arms == two.arms
    assert not same
