"""Fatigue on logs whose truth is known, confounded on purpose."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.fatigue import _beliefs, _instants_of, _loads

DAY = 86_400_000_000
START = pd.Timestamp("2025-01-01", tz="UTC").value // 1000


def world(coefficient, *, n=1500, days=200, half_life=4.0, seed=0, confounded=True, leave=0.0):
    """People who answer gladly are written to more often; each fresh message lowers an answer by exp(-coefficient)."""
    random = np.random.default_rng(seed)
    gladness = random.gamma(1.5, 1 / 1.5, n)
    a_day = 0.15 + 0.35 * gladness / (1 + gladness) if confounded else np.full(n, 0.3)
    rows = []
    for user in range(n):
        at = np.sort(random.random(random.poisson(a_day[user] * days))) * days
        load, last = 0.0, 0.0
        for t in at:
            load *= 0.5 ** ((t - last) / half_life)
            channel = int(random.random() < 0.4)
            p = (0.12, 0.2)[channel] * gladness[user] * np.exp(-coefficient[channel] * load)
            left = random.random() < leave * np.exp(0.3 * load)
            rows.append((user, ("email", "push")[channel], t, random.random() < min(p, 0.95), left))
            load, last = load + 1.0, t
            if left:
                break
    frame = pd.DataFrame(rows, columns=["user_id", "channel", "t", "answered", "left"])
    frame["sent_at"] = pd.to_datetime(START + (frame["t"] * DAY).astype("int64"), unit="us", utc=True)
    frame["responded_at"] = (frame["sent_at"] + pd.Timedelta("1h")).where(frame["answered"])
    if leave:
        frame["unsubscribed_at"] = (frame["sent_at"] + pd.Timedelta("5min")).where(frame["left"])
    return frame.drop(columns=["t", "answered", "left"])


def test_the_coefficient_comes_back_although_the_glad_get_more():
    frame = world((0.25, 0.25), n=400)
    sent = om.MessageLog.from_frame(frame)
    load = _loads(_instants_of(sent.user, sent.sent_at), 4 * DAY)
    naive = np.polyfit(load, sent.responded, 1)[0] / sent.responded.mean()
    model = om.timing.Fatigue(half_life="4D").fit(sent)
    assert (model.low < 0.25).all()
    assert (model.high > 0.25).all()
    assert (model.low > 0.1).all()
    assert -naive < model.coefficient.min() - 0.05  # what comparing people says is too little
    found = om.timing.Fatigue().fit(sent)
    assert 1 * DAY <= found.half_life_us <= 14 * DAY


def test_channels_that_differ_and_no_fatigue():
    none = om.timing.Fatigue(half_life="4D").fit(om.MessageLog.from_frame(world((0.0, 0.0), n=200, seed=1)))
    assert (none.low < 0).all()
    assert (none.high > 0).all()
    differ = om.timing.Fatigue(half_life="4D").fit(om.MessageLog.from_frame(world((0.05, 0.35), n=400, seed=2)))
    assert differ.coefficient[1] > differ.coefficient[0] + 0.1


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(8):
        model = om.timing.Fatigue(half_life="4D").fit(om.MessageLog.from_frame(world((0.2, 0.2), n=60, seed=10 + seed)))
        inside += int(model.low[0] < 0.2 < model.high[0])
    assert inside >= 6


def quick_world(coefficient, seed, *, n=300, days=60, half_life=4.0, rate=0.04):
    """The same, small and vectorised: some 200 answers, about as many as a first pilot brings."""
    random = np.random.default_rng(seed)
    gladness = random.gamma(1.5, 1 / 1.5, n)
    user = np.repeat(np.arange(n), random.poisson(0.3 * days * (0.5 + gladness / (1 + gladness))))
    at = (random.random(user.size) * days * DAY).astype(np.int64)
    order = np.argsort(at)
    user, at = user[order], at[order]
    push = random.random(user.size) < 0.4
    chance = np.where(push, 1.6 * rate, rate) * gladness[user]
    answered = random.random(user.size) < chance * np.exp(
        -coefficient * _loads(_instants_of(user, at), int(half_life * DAY))
    )
    frame = pd.DataFrame({"user_id": user, "channel": np.where(push, "push", "email")})
    frame["sent_at"] = pd.to_datetime(START + at, unit="us", utc=True)
    frame["responded_at"] = (frame["sent_at"] + pd.Timedelta("1h")).where(answered)
    return om.MessageLog.from_frame(frame)


@pytest.mark.parametrize("coefficient", [0.0, 0.2])
def test_intervals_hold_also_where_the_half_life_is_learned(coefficient):
    models = [om.timing.Fatigue().fit(quick_world(coefficient, seed)) for seed in range(25)]
    inside = sum(bool(model.low[0] < coefficient < model.high[0]) for model in models)
    assert inside >= 21  # 23.75 are expected
    assert sum(bool(model.high[0] < 0) for model in models) <= 1  # that messages help: significant, and wrong
    assert abs(np.mean([model.coefficient[0] for model in models]) - coefficient) < 0.08
    assert np.mean([model.high[0] - model.low[0] for model in models]) < 0.8  # the prior alone: 1.96
    half_lives = [model.half_life_us / DAY for model in models]
    assert 2 < np.quantile(half_lives, 0.1) < np.quantile(half_lives, 0.9) < 6  # so few answers stay near the prior


def test_half_lives_are_believed_by_evidence_and_prior():
    half_lives = np.array([1, 2, 4, 8, 16]) * DAY
    prior = _beliefs(half_lives, np.zeros(5))
    np.testing.assert_allclose(prior, np.exp([-2, -0.5, 0, -0.5, -2]) / np.exp([-2, -0.5, 0, -0.5, -2]).sum())
    np.testing.assert_allclose(_beliefs(half_lives, np.array([0.0, 0, 0, 0, 1e4])), [0, 0, 0, 0, 1], atol=1e-12)
    one = om.timing.Fatigue(half_life="5D").fit(quick_world(0.2, 1))
    assert one.half_life_us == 5 * DAY


def test_loads_agree_with_a_plain_loop():
    random = np.random.default_rng(0)
    user, at = random.integers(0, 4, 60), np.sort(random.integers(0, 30, 60)) * DAY
    expected = [
        sum(0.5 ** ((at[i] - at[j]) / (3 * DAY)) for j in range(60) if user[j] == user[i] and at[j] < at[i])
        for i in range(60)
    ]
    np.testing.assert_allclose(_loads(_instants_of(user.astype(np.int32), at), 3 * DAY), expected, atol=1e-12)


def test_leaving_and_the_price_of_one_more():
    frame = world((0.2, 0.2), n=500, days=90, leave=0.01, seed=3)
    sent = om.MessageLog.from_frame(frame)
    model = om.timing.Fatigue(half_life="4D").fit(sent)
    assert ((model.unsubscribe > 0.005) & (model.unsubscribe < 0.018)).all()
    assert 0.1 < model.unsubscribe_slope < 0.5
    ids = sent.users.ids[:50]
    cost = model.cost(ids, "push")
    assert (cost > 0).all()
    assert (model.cost(ids, "push", horizon="30D") < cost).all()
    end = sent.end_us
    load = model.load(ids, [end, end + 8 * DAY])
    np.testing.assert_allclose(load[:, 1], load[:, 0] / 4, rtol=1e-9)
    tired, fresh = ids[load[:, 0].argmax()], ids[load[:, 0].argmin()]
    assert model.factor([tired], "push", [end])[0, 0] < model.factor([fresh], "push", [end])[0, 0]
    assert model.factor([999_999], "fax", [end]).shape == (1, 1)
    assert model.load([999_999], [end])[0, 0] == 0.0


def test_candidates_price_fatigue():
    sent = om.MessageLog.from_frame(world((0.3, 0.3), n=150, days=60))
    model = om.timing.Fatigue(half_life="4D").fit(sent)
    people = om.Audience.from_frame(
        pd.DataFrame({"user_id": sent.users.ids, "timezone": "UTC", "consent_push": True, "consent_email": True})
    )
    recs = om.Recommendations.from_frame(
        pd.DataFrame({"user_id": sent.users.ids, "item_id": "tea", "rank": 1, "score": 1.0})
    )

    class Even:
        def slot_probability(self, audience, rows, channel, at_us):
            return np.full((len(rows), len(at_us)), 0.1)

    week = om.slots(sent.end, days=3, every="6h")
    plain = om.candidates(recs, om.Dataset(audience=people), Even(), week, channels=["push"])
    priced = om.candidates(
        recs, om.Dataset(audience=people), Even(), week, channels=["push"], value=om.planning.TouchValue(fatigue=model)
    )
    assert priced.value.min() > 0
    assert priced.value.mean() < plain.value.mean()
    day = pd.Series(priced.value).groupby(priced.touches.send_at).mean()
    assert day.iloc[-1] > day.iloc[0]  # rested people answer better


def test_wrong_use_empty_and_files(tmp_path):
    frame = world((0.2, 0.2), n=5, days=20)
    with pytest.raises(
        SchemaError, match=r"Fatigue\.fit takes a Dataset. Got DataFrame: write om.Dataset\(messages=sent"
    ):
        om.timing.Fatigue().fit(frame)
    with pytest.raises(ParameterError, match="prior_sd must be greater than 0"):
        om.timing.Fatigue(prior_sd=0)
    with pytest.raises(AttributeError, match="fit returns the model"):
        om.timing.Fatigue().cost([1], "push")
    empty = om.timing.Fatigue().fit(om.MessageLog.from_frame(frame.iloc[:0]))
    assert empty.cost([1], "push").tolist() == [0.0]
    nothing = frame.assign(responded_at=pd.Series(pd.NaT, frame.index).dt.tz_localize("UTC"))
    silent = om.timing.Fatigue().fit(om.MessageLog.from_frame(nothing))
    assert silent.coefficient.tolist() == [0.0, 0.0]
    model = om.timing.Fatigue().fit(om.MessageLog.from_frame(frame))
    again = om.load(om.save(model, tmp_path / "fatigue.omnireco"))
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again.cost([0, 1], "push"), model.cost([0, 1], "push"))


def test_touches_have_the_chance_that_recent_messages_leave():
    sent = om.MessageLog.from_frame(world((0.3, 0.3), n=40, days=60))
    people = om.Audience.from_frame(
        pd.DataFrame({"user_id": sent.users.ids, "timezone": "UTC", "consent_push": True, "consent_fax": True})
    )
    data = om.Dataset(messages=sent, audience=people)
    model = om.timing.Fatigue(half_life="4D").fit(data)
    ids = np.append(sent.users.ids[:20], -5)
    instants = pd.date_range(sent.end - pd.Timedelta("20D"), periods=21, freq="1D")
    touches = om.data.Touches.of(data, ids, channel="push", at=instants, new_users=True)
    share = model.answer_rate[int(np.flatnonzero(model.channels.ids == "push")[0])]
    at_us = [int(at.value // 1000) for at in instants]
    expected = [share * model.factor([user], "push", [at])[0, 0] for user, at in zip(ids, at_us, strict=True)]
    np.testing.assert_array_equal(model.probability(touches), np.minimum(expected, 1.0))
    fax = om.data.Touches.of(data, ids, channel="fax", at=sent.end, new_users=True)
    found = model.probability(fax)
    assert found[-1] == 0.05 * model.factor([-5], "fax", [sent.end_us])[0, 0]
    with pytest.raises(SchemaError, match=r"FatigueModel.probability takes Touches. Got str"):
        model.probability("push")
    with pytest.raises(TypeError, match=r"Write Fatigue\(...\).fit\(om.Dataset\(messages=sent\)\)"):
        om.timing.Fatigue().fit(sent, people)
