"""Creatives: the mode of the posterior, choices with known probabilities, faces that tire, sleep and stick."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.choice.laplace import laplace
from omnireco.errors import DataWarning, EmptyError, NotFittedError, ParameterError, SchemaError, UnknownIdError

START = pd.Timestamp("2025-05-01", tz="UTC")


def messages(user, creative, item, taken, propensity=0.5, every="1min"):
    sent = START + pd.to_timedelta(np.arange(len(user)) * pd.Timedelta(every))
    frame = {"user_id": user, "item_id": item, "creative_id": creative, "channel": "web", "sent_at": sent}
    frame |= {"responded_at": pd.Series(sent).where(np.asarray(taken, bool)), "propensity": propensity}
    return om.MessageLog.from_frame(pd.DataFrame(frame))


def data_of(log, art, people=None):
    """A Dataset of messages and creatives, with numbers of people where there are some."""
    if people is not None:
        table = people.melt("user_id", var_name="item_id", value_name="weight")
        people = om.Interactions.from_frame(table)
    return om.Dataset(messages=log, creatives=art, attributes=people)


def probability(model, user, creative):
    """The model's chances for people and creatives, row by row."""
    known = om.Dataset(messages=messages(np.unique(user), "x", "x", np.zeros(len(np.unique(user)))))
    touches = om.data.Touches.of(known, user, channel="web", at="2025-06-01", creatives=creative)
    return model.probability(touches)


def company(n=12_000, seed=0, films=8, each=4):
    """Two interests, two tags: people who like action take images with action; calm ones the others."""
    rng = np.random.default_rng(seed)
    creative = np.arange(films * each)
    art = pd.DataFrame({"creative_id": creative, "item_id": creative // each})
    art["action"], art["face"] = rng.integers(0, 2, films * each) * 1.0, rng.integers(0, 2, films * each) * 1.0
    people = pd.DataFrame({"user_id": np.arange(400), "likes": rng.choice([-1.0, 1.0], 400)})
    level, own = rng.normal(-1.5, 0.5, films), rng.normal(0, 0.2, films * each)

    def chance(user, shown):
        match = people["likes"].to_numpy()[user] * (2 * art["action"].to_numpy()[shown] - 1)
        return 1 / (1 + np.exp(-(level[shown // each] + own[shown] + 1.2 * match)))

    user, shown = rng.integers(0, 400, n), rng.integers(0, films * each, n)
    taken = rng.random(n) < chance(user, shown)
    return art, people, chance, messages(user, shown, shown // each, taken, propensity=1 / each), (user, shown, taken)


@pytest.fixture(scope="module")
def world():
    art, people, chance, log, raw = company()
    return art, people, chance, log, raw, om.choices.Creatives().fit(data_of(log, art, people))


def test_the_fit_is_the_mode_and_its_curvature():
    rng = np.random.default_rng(1)
    item = np.array([0, 0, 0, 1, 1], np.int32)
    code, y = rng.integers(0, 5, 400), (rng.random(400) < 0.3).astype(float)
    none = np.full(400, -1)
    w, spread, alpha, beta, _lean, variance, strays = laplace(
        code, none, np.stack([np.ones(400), y], axis=1), item, 2, np.empty((5, 0)), np.empty((0, 0))
    )
    tau_item, tau = 1 / strays**2
    p = 1 / (1 + np.exp(-(w[0] + alpha[item[code]] + beta[code])))
    np.testing.assert_allclose(np.bincount(code, y - p, 5), tau * beta, atol=1e-6)
    np.testing.assert_allclose(np.bincount(item[code], y - p, 2), tau_item * alpha, atol=1e-6)
    base = 1 / (1 + np.exp(-w[0]))  # its prior is that of ten more messages with one answer
    assert np.sum(y - p) + 1 - 10 * base == pytest.approx(0, abs=1e-6)
    design = np.concatenate([np.ones((400, 1)), np.eye(2)[item[code]], np.eye(5)[code]], axis=1)
    hess = (design * (p * (1 - p))[:, None]).T @ design + np.diag(
        np.r_[10 * base * (1 - base), [tau_item] * 2, [tau] * 5]
    )
    inverse = np.linalg.inv(hess)
    assert spread[0, 0] == pytest.approx(inverse[0, 0])
    # a creative's offset: its own variance, what the items' levels add, and what the weights do
    level = tau_item + np.bincount(item, (1 / variance - tau) * tau * variance, 2)
    whole = variance + (1 - tau * variance) ** 2 / level[item]
    shift = np.array([-inverse[3 + c, 0] / inverse[0, 0] for c in range(5)])
    np.testing.assert_allclose(np.diag(inverse)[3:], whole + shift**2 * spread[0, 0], rtol=1e-5)


def test_the_laplace_approximation_is_near_the_posterior():
    """Means and deviations of the difference of two creatives against a long Metropolis chain."""
    item, code = np.zeros(2, np.int32), np.repeat([0, 1], 150)
    y = np.r_[np.arange(150) < 20, np.arange(150) < 40].astype(float)
    fitted = laplace(
        code, np.full(300, -1), np.stack([np.ones(300), y], axis=1), item, 1, np.empty((2, 0)), np.empty((0, 0))
    )
    beta, variance, (sd_item, sd) = fitted[3], fitted[5], fitted[6]

    def density(v):
        eta = v[0] + v[1] + v[2:4]
        like = np.sum([20, 40] * eta - 150 * np.logaddexp(0, eta))
        return like - 10 * np.logaddexp(0, v[0]) + v[0] - (v[1] / sd_item) ** 2 / 2 - np.sum((v[2:4] / sd) ** 2) / 2

    rng, v, chain = np.random.default_rng(0), np.r_[-1.5, 0.0, 0.0, 0.0], []
    now = density(v)
    for _ in range(20_000):
        new = v + rng.normal(size=4) * [0.25, 0.25, 0.2, 0.2]
        then = density(new)
        if np.log(rng.random()) < then - now:
            v, now = new, then
        chain.append(v[3] - v[2])
    truth = np.array(chain[2000:])
    assert beta[1] - beta[0] == pytest.approx(truth.mean(), abs=0.3 * truth.std())
    assert 0.8 < np.sqrt(variance.sum()) / truth.std() < 1.2


def test_choices_beat_the_best_image_and_chance(world):
    _, _, chance, _, _, model = world
    pairs = pd.MultiIndex.from_product([range(400), range(8)], names=["user_id", "item_id"]).to_frame(index=False)
    chosen = model.choose(pairs, at="2025-06-01").to_frame()
    got = chance(chosen["user_id"].to_numpy(), chosen["creative_id"].to_numpy()).mean()
    table = chance(np.arange(400)[:, None], np.arange(32)[None, :]).reshape(400, 8, 4)
    fixed, even, oracle = table.mean(axis=0).max(axis=1).mean(), table.mean(), table.max(axis=2).mean()
    assert even < fixed < got < oracle
    assert (got - fixed) > 0.6 * (oracle - fixed)


def test_probabilities_are_calibrated(world):
    _, _, chance, _, _, model = world
    rng = np.random.default_rng(5)
    user, shown = rng.integers(0, 400, 20_000), rng.integers(0, 32, 20_000)
    believed, truth = probability(model, user, shown), chance(user, shown)
    bins = np.digitize(believed, np.quantile(believed, np.linspace(0, 1, 11)[1:-1]))
    gaps = [abs(believed[bins == b].mean() - truth[bins == b].mean()) for b in range(10)]
    assert np.mean(gaps) < 0.02


def test_replay_sees_the_gain(world):
    _, _, chance, _, _, model = world
    rng = np.random.default_rng(77)
    user, shown = rng.integers(0, 400, 8000), rng.integers(0, 32, 8000)
    log = messages(user, shown, shown // 4, rng.random(8000) < chance(user, shown), propensity=0.25)
    target = model.propensity(log)
    assert np.isclose(target.mean(), 0.25, atol=0.02)
    result = om.causal.off_policy(log, target)
    row = result.table.set_index("estimator").loc["snips"]
    assert row["lift_low"] > 0


def test_propensities_are_shares(world):
    art, people, _, log, _, _ = world
    estimator = om.choices.Creatives(floor=0.2, exploration=3.0, stickiness=0.0)
    model = estimator.fit(data_of(log.before(START + pd.Timedelta("8h")), art, people))
    strangers = pd.DataFrame({"user_id": np.arange(1000, 4000), "item_id": 2})
    chosen = model.choose(strangers, at="2025-06-01")
    shown = chosen.creative
    for c in np.unique(shown):
        p = chosen.propensity[shown == c][0]
        assert np.mean(shown == c) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 3000))
        assert p >= 0.05


def test_a_persons_choice_does_not_depend_on_the_batch(world):
    model = world[-1]
    pairs = pd.MultiIndex.from_product([range(50), range(8)], names=["user_id", "item_id"]).to_frame(index=False)
    whole = model.choose(pairs, at="2025-06-01").to_frame().set_index(["user_id", "item_id"])
    part = model.choose(pairs.sample(60, random_state=0), at="2025-06-01").to_frame().set_index(["user_id", "item_id"])
    pd.testing.assert_frame_equal(part.sort_index(), whole.loc[part.sort_index().index])


def test_sleeping_creatives_are_not_shown(world):
    model = world[-1]
    pairs = pd.DataFrame({"user_id": np.arange(300), "item_id": 0})
    awake = model.choose(pairs, at="2025-06-01", paused=[0, 1, 2]).to_frame()
    assert set(awake["creative_id"]) == {3}
    assert (awake["propensity"] == 1.0).all()
    assert model.choose(pairs, at="2025-06-01", paused=[0, 1, 2, 3]).to_frame().empty


def even_log():
    """Two creatives of one film, equally good."""
    rng = np.random.default_rng(0)
    user, shown = np.arange(4000) % 200 + 1000, rng.integers(0, 2, 4000)
    art = pd.DataFrame({"creative_id": ["a", "b"], "item_id": "film"})
    return art, messages(user, np.array(["a", "b"])[shown], "film", rng.random(4000) < 0.2)


def test_a_creative_just_shown_is_tired_and_recovers():
    art, log = even_log()
    model = om.choices.Creatives(floor=0.0, stickiness=0.0, fatigue=3.0, recovery="1D").fit(data_of(log, art))
    pairs = pd.DataFrame({"user_id": np.arange(300), "item_id": "film"})
    seen = messages(np.arange(300), "a", "film", np.zeros(300), every="1s")
    soon = model.choose(pairs, at="2025-05-01T00:10:00+00:00", shown=seen).to_frame()
    late = model.choose(pairs, at="2025-07-01", shown=seen).to_frame()
    assert (soon["creative_id"] == "b").mean() > 0.95
    assert 0.2 < (late["creative_id"] == "b").mean() < 0.8
    future = model.choose(pairs, at="2025-04-01", shown=seen).to_frame()  # nothing was shown yet
    nothing = model.choose(pairs, at="2025-04-01").to_frame()
    pd.testing.assert_frame_equal(future, nothing)


def test_people_keep_the_face_they_know():
    art, log = even_log()
    pairs = pd.DataFrame({"user_id": np.arange(300), "item_id": "film"})
    seen = messages(np.arange(300), np.array(["a", "b"])[np.arange(300) % 2], "film", np.zeros(300), every="1s")
    model = om.choices.Creatives(floor=0.0, stickiness=0.99).fit(data_of(log, art))
    chosen = model.choose(pairs, at="2025-05-02", shown=seen).to_frame()
    assert (chosen["creative_id"] == np.array(["a", "b"])[np.arange(300) % 2]).all()
    thrice = messages(np.tile(np.arange(300), 3), "a", "film", np.zeros(900), every="1s")
    assert (model.choose(pairs, at="2025-05-02", shown=thrice).to_frame()["creative_id"] == "b").mean() > 0.3


def test_poor_input_gets_an_answer():
    art = pd.DataFrame({"creative_id": ["a", "b", "c"], "item_id": ["film", "film", "show"], "dark": [0, 1, 1]})
    empty = messages([1, 2], ["zzz", "zzz"], "film", [True, False])
    model = om.choices.Creatives().fit(data_of(empty, art))
    chosen = model.choose(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["film", "nothing", "show"]}), at="2025-06-01")
    assert repr(chosen) == "CreativeChoices(3 choices, 3 creatives)"
    assert chosen.to_frame()["item_id"].tolist() == ["film", "show"]
    assert np.isfinite(chosen.to_frame()["probability"]).all()
    assert np.isnan(model.propensity(empty)).all()
    assert repr(model) == "CreativeModel(3 creatives of 2 items, 1 tag, 0 messages)"
    assert len(model.choose(pd.DataFrame({"user_id": [], "item_id": []}), at="2025-06-01")) == 0


@pytest.mark.parametrize(("answers", "shown", "low", "high"), [(0, 0, 0.05, 0.15), (1, 1, 0.1, 0.4), (0, 1, 0.02, 0.1)])
def test_one_message_does_not_settle_the_rate(answers, shown, low, high):
    art = pd.DataFrame({"creative_id": ["a"], "item_id": ["film"], "dark": [1.0]})
    log = messages([1] * max(shown, 1), ["a" if shown else "other"] * max(shown, 1), "film", [answers > 0])
    assert low < probability(om.choices.Creatives().fit(data_of(log, art)), [2], ["a"])[0] < high


def test_the_prior_of_the_rate_fades():
    art = pd.DataFrame({"creative_id": ["a"], "item_id": ["film"]})
    log = messages(np.arange(5000), ["a"] * 5000, "film", np.arange(5000) % 100 == 0)
    assert probability(om.choices.Creatives().fit(data_of(log, art)), [1], ["a"])[0] == pytest.approx(0.01, rel=0.05)


def test_candidates_carry_the_creative(world, tmp_path):
    model = om.load(om.save(world[-1], tmp_path / "model.omnireco"))
    audience = om.Audience.from_frame(
        pd.DataFrame({"user_id": range(5), "timezone": "UTC", "consent_push": [True] * 4 + [False]})
    )
    lists = pd.DataFrame({"user_id": np.repeat(np.arange(5), 2), "item_id": [0, 99] * 5, "rank": [1, 2] * 5})
    recs = om.Recommendations.from_frame(lists)
    chosen = model.choose(lists, at="2025-06-01")

    class Even:
        def slot_probability(self, audience, rows, channel, at_us):
            return np.full((len(rows), len(at_us)), 0.1)

    touches = om.candidates(
        recs,
        om.Dataset(audience=audience),
        Even(),
        om.slots("2025-06-01", days=1),
        channels="push",
        creatives=chosen,
        per_person=om.planning.PerPerson(n_slots=2),
    ).to_frame()
    told = chosen.to_frame().set_index("user_id")["creative_id"]
    first = touches[touches["item_id"] == 0]
    assert (first["creative_id"].to_numpy() == told.loc[first["user_id"]].to_numpy()).all()
    assert touches.loc[touches["item_id"] == 99, "creative_id"].isna().all()


@pytest.mark.parametrize(
    "bad", [{"floor": 2}, {"exploration": -1}, {"recovery": "x"}, {"fatigue": -1}, {"patience": 0}]
)
def test_parameters_outside_their_range_are_refused(bad):
    with pytest.raises(ParameterError, match=next(iter(bad))):
        om.choices.Creatives(**bad)


def test_hostile_input_is_refused():
    art, log = even_log()
    with pytest.raises(NotFittedError, match="fit"):
        om.choices.Creatives().choose(art, at="2025-06-01")
    with pytest.raises(AttributeError, match="nonsense"):
        om.choices.Creatives().nonsense()
    with pytest.raises(SchemaError, match=r"needs creatives.*om\.Dataset\(messages=sent, creatives=art\)"):
        om.choices.Creatives().fit(log)
    with pytest.raises(SchemaError, match="listed twice"):
        om.choices.Creatives().fit(data_of(log, pd.concat([art, art])))
    with pytest.raises(EmptyError, match="empty"):
        om.choices.Creatives().fit(data_of(log, art.iloc[:0]))
    with pytest.raises(SchemaError, match="numbers"):
        om.choices.Creatives().fit(data_of(log, art.assign(mood=["dark", "light"])))
    people = om.Interactions.from_frame(pd.DataFrame({"user_id": [1000], "item_id": ["age"], "weight": [0.5]}))
    data = om.Dataset(messages=log, creatives=art, attributes=people)
    with pytest.raises(ParameterError, match="no attribute 'taste'"):
        om.choices.Creatives(interests=["taste"]).fit(data)
    with pytest.raises(ParameterError, match="interests must be a list"):
        om.choices.Creatives(interests="age")
    with pytest.raises(
        TypeError, match=r"Write Creatives\(\.\.\.\)\.fit\(om\.Dataset\(messages=sent, creatives=art\)\)"
    ):
        om.choices.Creatives().fit(log, art, people)
    many = pd.DataFrame({"user_id": 1000, "item_id": np.arange(6000)})
    wide = om.Dataset(messages=log, creatives=art.assign(dark=1.0), attributes=om.Interactions.from_frame(many))
    with pytest.raises(ParameterError, match="5,000 are the most"):
        om.choices.Creatives().fit(wide)


def test_touches_that_cannot_be_answered_are_refused():
    art, log = even_log()
    model, data = om.choices.Creatives().fit(data_of(log, art)), om.Dataset(messages=log)
    plain = om.data.Touches.of(data, [1000], channel="web", at="2025-06-01")
    with pytest.raises(SchemaError, match="no creatives"):
        model.probability(plain)
    with pytest.raises(UnknownIdError):
        model.probability(om.data.Touches.of(data, [1000], channel="web", at="2025-06-01", creatives="z"))
    with pytest.raises(SchemaError, match=r"Touches\.of\("):
        model.probability([1000])
    with pytest.raises(TypeError, match=r"Touches\.of\("):
        model.probability([1000], ["a"])
    with pytest.raises(TypeError, match=r"model\.propensity\(messages\)"):
        model.propensity(log, art)
    some = om.data.Touches.of(data, [1000, 1000], channel="web", at="2025-06-01", creatives=["a", None])
    assert np.isnan(model.probability(some)).tolist() == [False, True]


def test_interests_are_named_columns_of_attributes_or_the_audience(world):
    art, people, _, log, _, model = world
    assert "attributes, creatives" in repr(data_of(log, art, people))
    table = people.assign(noise=1.0).melt("user_id", var_name="item_id", value_name="weight")
    data = om.Dataset(messages=log, creatives=art, attributes=om.Interactions.from_frame(table))
    named = om.choices.Creatives(interests=["likes"]).fit(data)
    np.testing.assert_array_equal(named.weights, model.weights)
    assert om.choices.Creatives().fit(data).interests.shape == (400, 2)
    assert om.choices.Creatives(interests=()).fit(data).interests.shape == (0, 0)
    side = np.where(people["likes"] > 0, "action", "calm")
    audience = om.Audience.from_frame(people.assign(timezone="UTC", side=side), attributes=["side"])
    of_audience = om.choices.Creatives(interests=["side"]).fit(
        om.Dataset(messages=log, creatives=art, audience=audience)
    )
    np.testing.assert_array_equal(of_audience.interests, np.stack([side == "action", side == "calm"], axis=1))


@pytest.mark.parametrize("with_people", [True, False])
def test_an_update_is_a_fit_on_everything_to_the_bit(world, with_people):
    art, people, _, log, _, _ = world
    of = (lambda part: data_of(part, art, people)) if with_people else (lambda part: data_of(part, art, None))
    early, late = log.before(START + pd.Timedelta("5000min")), log.since(START + pd.Timedelta("5000min"))
    model, whole = om.choices.Creatives().fit(of(early)).updated(late), om.choices.Creatives().fit(of(log))
    for name in ("weights", "spread", "item_offset", "creative_offset", "slope", "variance", "sd", "cell_counts"):
        np.testing.assert_array_equal(getattr(model, name), getattr(whole, name))
    assert model.n_messages == whole.n_messages


def test_an_update_with_nothing_new_changes_nothing(world):
    *_, log, _, model = world
    same = model.updated(log.since("2099-01-01"))
    np.testing.assert_array_equal(same.weights, model.weights)


def test_a_message_in_two_updates_counts_twice_and_strangers_not_at_all(world):
    *_, log, _, model = world
    assert model.updated(log).n_messages == 2 * model.n_messages
    strangers = messages(np.arange(30), np.arange(30) + 10_000, np.zeros(30, int), np.zeros(30, bool))
    with (
        pytest.warns(DataWarning, match="0 of 30 ids"),
        pytest.warns(DataWarning, match=r"CreativeModel\.updated: none of 30 messages"),
    ):
        assert model.updated(strangers).n_messages == model.n_messages


def test_an_update_takes_a_message_log_with_ids_of_the_same_kind(world):
    *_, model = world
    with pytest.raises(SchemaError, match=r"takes a MessageLog\. Got DataFrame"):
        model.updated(pd.DataFrame())
    words = messages(np.arange(30), [f"x{n}" for n in range(30)], np.zeros(30, int), np.zeros(30, bool))
    with pytest.raises(SchemaError, match="creatives"):
        model.updated(words)


def two_channels(n=6_000):
    """The calm picture wins in an e-mail, the loud one in a push: together nothing is seen."""
    rng = np.random.default_rng(4)
    channel, shown = rng.choice(["email", "push"], n), rng.choice(["calm", "loud"], n)
    taken = rng.random(n) < np.where((channel == "email") == (shown == "calm"), 0.3, 0.1)
    sent = START + pd.to_timedelta(np.arange(n), unit="min")
    frame = {"user_id": rng.integers(0, 300, n), "item_id": "film", "creative_id": shown, "channel": channel}
    frame |= {"sent_at": sent, "responded_at": pd.Series(sent).where(taken), "propensity": 0.5}
    return om.MessageLog.from_frame(pd.DataFrame(frame)), pd.DataFrame(
        {"creative_id": ["calm", "loud"], "item_id": "film"}
    )


def test_what_works_is_learned_by_channel():
    log, art = two_channels()
    pairs = pd.DataFrame({"user_id": range(200), "item_id": "film"})
    share = {}
    for channel in ("email", "push", None):
        model = om.choices.Creatives(channel=channel, floor=0.0).fit(data_of(log, art))
        share[channel] = (model.choose(pairs, at="2025-06-01").to_frame()["creative_id"] == "calm").mean()
        on = np.ones(len(log), bool) if channel is None else log.channels.ids[log.channel] == channel
        assert model.n_messages == on.sum()
        assert (np.isfinite(model.propensity(log)) == on).all()
        touches = om.data.Touches.of(om.Dataset(messages=log), [1, 1], channel="push", at="2025-06-01",
                                     creatives=["calm", "loud"])  # fmt: skip
        assert np.isnan(model.probability(touches)).all() == (channel == "email")
        later = model.updated(log)
        assert later.n_messages == 2 * model.n_messages
    assert share["email"] > 0.99
    assert share["push"] < 0.01
    assert 0.01 < share[None] < 0.99  # together neither is better for sure


def test_a_channel_is_the_name_of_one_in_the_log():
    log, art = two_channels(200)
    for bad in ("", 3, ["email"], str):
        with pytest.raises(ParameterError, match="channel must be the name of a channel"):
            om.choices.Creatives(channel=bad)
    with pytest.raises(ParameterError, match="'Email' is a name that nothing here has"):
        om.choices.Creatives(channel="Email").fit(data_of(log, art))


def test_bot_opens_are_counted_on_their_channel():
    log, art = two_channels(400)
    frame = log.to_frame()
    frame["machine"] = np.where(frame["responded_at"].notna(), 1.0, 0.0)
    flagged = om.MessageLog.from_frame(frame)
    opens = int((frame["responded_at"].notna() & (frame["channel"] == "push")).sum())
    assert om.choices.Creatives(channel="push").fit(data_of(flagged, art)).n_machine == opens
