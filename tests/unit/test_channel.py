"""Channel preference: pooled chances found again in a planted world, masks, money, and doing nothing."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.choice.pooling import strength_of
from omnireco.choices.propensity import best_rate_chances
from omnireco.errors import EmptyError, NotFittedError, ParameterError, SchemaError, UnknownIdError

CHANNELS = np.array(["email", "push", "sms"])


def messages(user, channel, item, answered):
    sent = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(len(user)), unit="min")
    frame = {"user_id": user, "channel": channel, "item_id": item, "sent_at": sent}
    return om.MessageLog.from_frame(pd.DataFrame(frame | {"responded_at": pd.Series(sent).where(answered)}))


def company(n=30_000, seed=0):
    """600 people in two groups, two kinds: the group, the person and the kind each move the rates."""
    rng = np.random.default_rng(seed)
    base = np.array([[[0.10, 0.20], [0.20, 0.10], [0.08, 0.08]], [[0.20, 0.10], [0.08, 0.08], [0.10, 0.20]]])
    group = np.arange(600) % 2
    person = rng.gamma(4.0, 0.25, (600, 3))
    rate = np.clip(base[group] * person[:, :, None], 0, 0.9)
    user, channel, kind = rng.integers(0, 600, n), rng.integers(0, 3, n), rng.integers(0, 2, n)
    answered = rng.random(n) < rate[user, channel, kind]
    log = messages(user, CHANNELS[channel], np.array(["loan", "news"])[kind], answered)
    catalog = om.Catalog.from_frame(pd.DataFrame({"item_id": ["loan", "news"], "category": ["money", "reading"]}))
    groups = pd.DataFrame({"user_id": np.arange(600), "group": np.array(["old", "young"])[group]})
    return log, catalog, groups, rate


def people(attribute, ids, values):
    """An audience that knows one attribute."""
    frame = pd.DataFrame({"user_id": ids, "timezone": "UTC", attribute: values})
    return om.Audience.from_frame(frame, attributes=[attribute])


def by_group_and_kind(log, catalog, groups):
    data = om.Dataset(
        messages=log, catalog=catalog, audience=people("age", groups["user_id"].array, groups["group"].array)
    )
    return om.choices.ChannelPreference(kinds="category", groups="age").fit(data)


@pytest.fixture(scope="module")
def world():
    log, catalog, groups, rate = company()
    return rate, by_group_and_kind(log, catalog, groups), log, catalog, groups


def error(rate, truth):
    return float(np.mean((rate - truth) ** 2))


def test_pooling_beats_raw_rates_and_group_rates(world):
    truth, model, log, *_ = world
    pooled, raw_gap, group_gap = [], [], []
    for k, kind in enumerate(["money", "reading"]):
        frame = model.preference(np.arange(600), kind=kind)
        rate = frame["rate"].to_numpy().reshape(600, 3)
        hits, tries = np.zeros((600, 3)), np.maximum(model.tries[:, :, k], 1)
        mine = log.items.decode(log.item) == ["loan", "news"][k]
        np.add.at(hits, (log.users.decode(log.user)[mine], log.channel[mine]), log.responded[mine])
        raw = hits / tries
        of_group = (model.group_a / (model.group_a + model.group_b))[model.group][:, :, k]
        pooled.append(error(rate, truth[:, :, k]))
        raw_gap.append(error(raw, truth[:, :, k]))
        group_gap.append(error(of_group, truth[:, :, k]))
        picked = truth[np.arange(600), rate.argmax(axis=1), k].mean()
        assert picked > truth[np.arange(600), of_group.argmax(axis=1), k].mean()
        assert picked > truth[np.arange(600), raw.argmax(axis=1), k].mean()
    assert np.mean(pooled) < 0.8 * np.mean(group_gap)
    assert np.mean(pooled) < 0.8 * np.mean(raw_gap)


def test_the_chance_to_be_best_is_honest(world):
    truth, model, *_ = world
    frame = model.preference(np.arange(600), kind="money")
    p = frame["p_best"].to_numpy().reshape(600, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    first = p.argmax(axis=1)
    right = truth[:, :, 0].argmax(axis=1) == first
    assert right.mean() == pytest.approx(p.max(axis=1).mean(), abs=0.08)


def test_the_chance_to_be_best_agrees_with_drawing():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1.0, 30.0, (6, 4)), rng.uniform(5.0, 100.0, (6, 4))
    draws = rng.beta(a, b, (40_000, 6, 4)).argmax(axis=2)
    share = np.stack([(draws == c).mean(axis=0) for c in range(4)], axis=1)
    np.testing.assert_allclose(best_rate_chances(a, b, np.ones((6, 4), bool)), share, atol=0.03)


@pytest.mark.parametrize("strength", [2.0, 30.0])
def test_the_strength_of_pooling_is_found_again(strength):
    rng = np.random.default_rng(1)
    p = rng.beta(strength * 0.2, strength * 0.8, 5000)
    n = rng.integers(1, 30, 5000)
    found = strength_of(rng.binomial(n, p).astype(float), n.astype(float), np.full(5000, 0.2))
    assert strength / 1.5 < found < strength * 1.5


def test_people_alike_are_pooled_entirely():
    rng = np.random.default_rng(2)
    n = rng.integers(1, 30, 5000)
    assert strength_of(rng.binomial(n, 0.2).astype(float), n.astype(float), np.full(5000, 0.2)) > 300


def test_strangers_have_the_rates_of_their_group(world):
    _, model, *_ = world
    frame = model.preference([9001, 9002, 9003], kind="money", group=["old", "young", None])
    rate = frame["rate"].to_numpy().reshape(3, 3)
    np.testing.assert_allclose(rate[0], [0.1, 0.2, 0.08], atol=0.02)
    np.testing.assert_allclose(rate[1], [0.2, 0.08, 0.1], atol=0.02)
    np.testing.assert_allclose(rate[2], [0.15, 0.14, 0.09], atol=0.02)
    assert (frame["tries"] == 0).all()


def test_consent_is_a_mask(world):
    _, model, *_ = world
    people = pd.DataFrame({"user_id": [0, 1, 2], "timezone": "UTC", "consent_email": [True, False, False]})
    people["consent_push"] = [True, True, False]
    audience = om.Audience.from_frame(people)
    frame = model.preference([0, 1, 2, 3], kind="money", data=om.Dataset(audience=audience))
    assert frame.groupby("user_id")["channel"].apply(list).to_dict() == {0: ["email", "push"], 1: ["push"]}
    np.testing.assert_allclose(frame.groupby("user_id")["p_best"].sum(), 1.0, atol=1e-6)
    best = model.best([0, 1, 2, 3], kind="money", data=om.Dataset(audience=audience))
    assert best["channel"].isna().tolist() == [False, False, True, True]
    assert (best.loc[2:, "profit"] == 0).all()
    sent = pd.to_datetime(["2025-05-01"], utc=True)
    frame = pd.DataFrame({"user_id": [0], "channel": "email", "sent_at": sent, "unsubscribed_at": sent})
    left = om.MessageLog.from_frame(frame.assign(responded_at=pd.to_datetime([None], utc=True)))
    data = om.Dataset(messages=left, audience=audience)
    frame = model.preference([0, 1, 2, 3], kind="money", data=data)
    assert frame.groupby("user_id")["channel"].apply(list).to_dict() == {0: ["push"], 1: ["push"]}
    assert model.best([0], kind="money", data=data)["channel"].tolist() == ["push"]
    with pytest.raises(TypeError, match=r"Write model.best\(user_ids, kind=None, data=None"):
        model.best([0], kind="money", audience=audience)
    with pytest.raises(SchemaError, match=r"best takes a Dataset\. Got Audience"):
        model.best([0], kind="money", data=audience)


def test_money_and_doing_nothing():
    rng = np.random.default_rng(3)
    channel = np.array(["none", "email", "sms"])[np.arange(9000) % 3]
    rate = np.array([0.10, 0.14, 0.20])[np.arange(9000) % 3]
    log = messages(np.arange(9000), channel, "x", rng.random(9000) < rate)
    model = om.choices.ChannelPreference().fit(log)
    cheap = model.best([1, 2], margin=10.0, cost={"email": 0.01, "sms": 0.05})
    assert cheap["channel"].tolist() == ["sms", "sms"]
    dear = model.best([1, 2], margin=10.0, cost={"email": 0.01, "sms": 0.9})
    assert dear["channel"].tolist() == ["email", "email"]
    tired = model.best([1, 2], margin=10.0, cost={"sms": 2.0}, fatigue={"email": 0.8})
    assert tired["channel"].isna().all()
    assert (tired["profit"] == 0).all()
    earned = model.profit([1], margin=10.0)
    assert earned[0, list(model.channels.ids).index("none")] == 0
    assert earned[0, list(model.channels.ids).index("sms")] == pytest.approx(1.0, abs=0.3)
    assert "none" not in set(model.preference([1])["channel"])
    assert om.choices.ChannelPreference(control=None).fit(log).best([1])["profit"][0] == pytest.approx(0.2, abs=0.03)


def test_a_stated_preference_counts_until_the_log_knows_better():
    user = np.repeat(np.arange(100), 20)
    channel = np.array(["email", "push"])[np.arange(2000) % 2]
    rng = np.random.default_rng(4)
    answered = rng.random(2000) < np.where(channel == "push", 0.3, 0.2)
    answered[(user == 0) & (channel == "push")] = False
    log = messages(user, channel, "x", answered)
    stated = om.Dataset(messages=log, audience=people("wish", [7, 5555], ["email", "email"]))
    plain, told = (
        om.choices.ChannelPreference().fit(log),
        om.choices.ChannelPreference(declared="wish", declared_strength=40).fit(stated),
    )
    assert plain.best([7])["channel"][0] == "push"
    assert told.best([7])["channel"][0] == "email"
    assert told.best([8])["channel"][0] == "push"


def test_where_people_do_what():
    rng = np.random.default_rng(5)
    n = 4000
    user, event = rng.integers(0, 100, n), np.array(["transfer", "loan"])[rng.integers(0, 2, n)]
    web = rng.random(n) < np.where(event == "transfer", 0.9, np.where(user < 50, 0.7, 0.1))
    frame = pd.DataFrame({"user_id": user, "item_id": None, "event": event, "channel": np.where(web, "web", "branch")})
    frame["timestamp"] = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(np.arange(n), unit="min")
    log = om.EventLog.from_frame(frame.astype({"item_id": "string"}), itemless="keep")
    estimator = om.choices.ChannelPreference(
        on="events", kinds="event", declared={"loan": "wish"}, declared_strength=100
    )
    model = estimator.fit(om.Dataset(log, audience=people("wish", [60], ["web"])))
    assert set(model.best(range(100), kind="transfer")["channel"]) == {"web"}
    best = model.best(range(100), kind="loan")
    assert (best["channel"][:50] == "web").mean() > 0.9
    assert best["channel"][60] == "web"
    assert (best["channel"][50:].drop(60) == "branch").all()
    assert "profit" not in best
    with pytest.raises(ParameterError, match=r"on='messages'"):
        model.profit([0], kind="loan")
    with pytest.raises(ParameterError, match="belong to messages"):
        model.best([0], kind="loan", cost={"web": 1.0})


def test_the_order_of_rows_and_files_do_not_matter(world, tmp_path):
    _, model, log, catalog, groups = world
    shuffled = om.MessageLog.from_frame(log.to_frame().sample(frac=1, random_state=0))
    again = by_group_and_kind(shuffled, catalog, groups.sample(frac=1, random_state=1))
    loaded = om.load(om.save(model, tmp_path / "model.omnireco"))
    for other in (again, loaded):
        pd.testing.assert_frame_equal(
            other.preference([5, 600, 3], kind="money"), model.preference([5, 600, 3], kind="money")
        )
    assert repr(loaded) == "ChannelPreferenceModel(chances of an answer, 600 users, 3 channels, 2 kinds)"


def test_hostile_input_is_refused(world):
    _, model, log, catalog, groups = world
    with pytest.raises(NotFittedError, match="fit"):
        om.choices.ChannelPreference().best([1])
    with pytest.raises(AttributeError, match="nonsense"):
        om.choices.ChannelPreference().nonsense()
    data = om.Dataset(messages=log, catalog=catalog)
    with pytest.raises(SchemaError, match=r"on='messages'.*needs messages"):
        om.choices.ChannelPreference().fit(om.Dataset(catalog=catalog))
    with pytest.raises(SchemaError, match=r"on='events'.*needs events"):
        om.choices.ChannelPreference(on="events").fit(log)
    with pytest.raises(SchemaError, match="needs catalog"):
        om.choices.ChannelPreference(kinds="category").fit(log)
    with pytest.raises(EmptyError, match="no messages"):
        om.choices.ChannelPreference().fit(log.before("2020-01-01"))
    with pytest.raises(ParameterError, match="kinds must be"):
        om.choices.ChannelPreference(kinds="event")
    with pytest.raises(ParameterError, match="on must be"):
        om.choices.ChannelPreference(on="everything")
    with pytest.raises(SchemaError, match="no category"):
        om.choices.ChannelPreference(kinds="category").fit(om.Dataset(messages=log, catalog=om.Catalog(catalog.items)))
    with pytest.raises(ParameterError, match="groups must be the name"):
        om.choices.ChannelPreference(groups=groups)
    with pytest.raises(ParameterError, match=r"no attribute 'age'.*audience="):
        om.choices.ChannelPreference(groups="age").fit(data)
    with pytest.raises(ParameterError, match="The audience has 'wish'"):
        om.choices.ChannelPreference(groups="age").fit(
            om.Dataset(messages=log, audience=people("wish", [0], ["email"]))
        )
    twice = om.Interactions.from_frame(pd.DataFrame({"user_id": [0, 0], "item_id": ["age=old", "age=young"]}))
    with pytest.raises(SchemaError, match="1 people have several values"):
        om.choices.ChannelPreference(groups="age").fit(om.Dataset(messages=log, attributes=twice))
    with pytest.raises(ParameterError, match="declared must be the name"):
        om.choices.ChannelPreference(declared=40)
    with pytest.raises(ParameterError, match="declared_strength"):
        om.choices.ChannelPreference(declared_strength=-1)
    with pytest.raises(ParameterError, match="control"):
        om.choices.ChannelPreference(control=3)
    with pytest.raises(ParameterError, match="Name one"):
        model.best([1])
    with pytest.raises(UnknownIdError, match="money"):
        model.best([1], kind="weather")
    with pytest.raises(ParameterError, match="cost names the channel"):
        model.best([1], kind="money", cost={"fax": 1.0})
    with pytest.raises(ParameterError, match="margin"):
        model.best([1, 2], kind="money", margin=[1.0, 2.0, 3.0])
    assert model.best(np.empty(0, np.int64), kind="money").empty


def touches(users, channel, at="2025-06-01"):
    everybody = np.repeat(np.unique(users), 4)
    channels = np.tile(np.array(["email", "push", "sms", "fax"], object), len(np.unique(users)))
    data = om.Dataset(messages=messages(everybody, channels, "x", np.zeros(everybody.size, bool)))
    return om.data.Touches.of(data, users, channel=channel, at=at)


def test_touches_have_the_rate_of_their_channel(world):
    _, model, *_ = world
    users, channel = np.array([5, 5, 9001, 9001]), np.array(["push", "sms", "push", "email"])
    found = model.probability(touches(users, channel), kind="money", group=[None, None, "old", "young"])
    assert found.dtype == np.float64
    mine = model.preference([5], kind="money").set_index("channel")["rate"]
    new = model.preference([9001, 9001], kind="money", group=["old", "young"])["rate"].to_numpy().reshape(2, 3)
    np.testing.assert_array_equal(found, [mine["push"], mine["sms"], new[0, 1], new[1, 0]])
    both = model.probability(touches([5, 5], "push"), kind=["money", "reading"])
    rate = [model.preference([5], kind=kind).set_index("channel")["rate"]["push"] for kind in ("money", "reading")]
    np.testing.assert_array_equal(both, rate)
    with pytest.raises(ParameterError, match="channel is missing for 1 of 1 touches"):
        touches([5], [None])
    assert model.probability(touches([5], "email").take(np.empty(0, int)), kind="money").shape == (0,)


def test_touches_that_cannot_be_answered_are_refused(world):
    _, model, log, *_ = world
    with pytest.raises(ParameterError, match="channels of the touches"):
        model.probability(touches([5], "fax"), kind="money")
    with pytest.raises(ParameterError, match="Name one"):
        model.probability(touches([5], "push"))
    with pytest.raises(ParameterError, match="kind has 3 values for 1 people"):
        model.probability(touches([5], "push"), kind=["money"] * 3)
    with pytest.raises(SchemaError, match=r"Touches\.of\("):
        model.probability([5])
    with pytest.raises(TypeError, match=r"Touches\.of\("):
        model.probability([5], "push", "money")
    with pytest.raises(TypeError, match=r"group=None"):
        model.best([5], groups=log)
    with pytest.raises(TypeError, match=r"om\.Dataset\(messages=sent"):
        om.choices.ChannelPreference().fit(log, kinds="category")


def test_groups_may_be_columns_of_attributes(world):
    _, model, log, catalog, groups = world
    table = pd.DataFrame({"user_id": groups["user_id"], "item_id": "age=" + groups["group"]})
    data = om.Dataset(messages=log, catalog=catalog, attributes=om.Interactions.from_frame(table))
    again = om.choices.ChannelPreference(kinds="category", groups="age").fit(data)
    np.testing.assert_array_equal(again.a, model.a)
    np.testing.assert_array_equal(again.group_a, model.group_a)
