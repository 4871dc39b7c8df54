"""Exploration: exact propensities, draws that belong to a person, floors that hold."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.timing.explore import Exploration, explore, power, uniforms
from omnireco.timing.headroom import headroom
from omnireco.timing.skill import timing_skill

AT = np.arange(4) * 3_600_000_000


def drawn(value, n=40_000, **options):
    options = {"date": "2025-06-01", "temperature": 0.1, "at_us": AT, "user_ids": np.arange(n)} | options
    return explore(np.tile(value, (n, 1)), **options)


def test_propensities_are_exact():
    found = drawn([0.1, 0.3, 0.2, 0.0], floor=0.1)
    weight = np.exp(np.array([0.1, 0.3, 0.2, 0.0]) / 0.1)
    pi = 0.9 * weight / weight.sum() + 0.1 / 4
    np.testing.assert_allclose(found.propensity, pi[found.slot])
    np.testing.assert_allclose(np.bincount(found.slot) / 40_000, pi, atol=0.008)


def test_a_choice_does_not_depend_on_the_batch():
    value = np.random.default_rng(0).random((50, 4))
    options = {"at_us": AT, "date": "2025-06-01", "temperature": 0.3}
    all_of_them = explore(value, user_ids=np.arange(50), **options)
    some = np.array([31, 4, 17])
    found = explore(value[some], user_ids=some, **options)
    assert (found.slot == all_of_them.slot[some]).all()
    assert (found.propensity == all_of_them.propensity[some]).all()


def test_seed_date_and_person_move_the_draw():
    ids, base = np.arange(1000), uniforms(0, "2025-06-01", np.arange(1000), AT)[1]
    for other in (uniforms(1, "2025-06-01", ids, AT), uniforms(0, "2025-06-02", ids, AT)):
        assert abs(np.corrcoef(base.ravel(), other[1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(base[:-1, 0], base[1:, 0])[0, 1]) < 0.1
    assert abs(np.corrcoef(base[:, 0], base[:, 1])[0, 1]) < 0.1
    assert abs(base.mean() - 0.5) < 0.02


def test_masks_come_first():
    allowed = np.zeros((40_000, 4), bool)
    allowed[:, 2] = True
    allowed[0] = False
    found = drawn([9.0, 9.0, 0.0, 9.0], allowed=allowed)
    assert found.slot[0] == -1
    assert found.propensity[0] == 0.0
    assert (found.slot[1:] == 2).all()
    np.testing.assert_allclose(found.propensity[1:], 1.0)


def test_no_heat_takes_the_best_and_the_earliest_of_equals():
    found = drawn([0.1, 0.3, 0.3, 0.0], temperature=0.0, floor=0.0)
    assert (found.slot == 1).all()
    assert (found.propensity == 1.0).all()
    found = drawn([0.1, 0.3, 0.3, 0.0], temperature=0.0, floor=0.2)
    np.testing.assert_allclose(np.unique(found.propensity), [0.05, 0.85])


def test_strings_are_people_too():
    found = explore(np.zeros((2, 4)), user_ids=["ann", "bob"], at_us=AT, date="x", temperature=1.0)
    np.testing.assert_allclose(found.propensity, 0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_us": AT[:2]}, "must fit together"),
        ({"floor": 1.5}, "floor must be a number in the range"),
        ({"temperature": -1.0}, "temperature must be 0 or greater"),
        ({"allowed": np.ones((3, 4))}, "must fit together"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ParameterError, match=message):
        drawn([0.0] * 4, n=3, **options)


def test_power_by_hand():
    assert power(0.5, 1.0).matched == 8  # (2.8 / 1)^2
    small = power(0.05, 0.05, slots=12, share=0.5)
    assert small.sends == pytest.approx(2 * small.explored, abs=2)
    with pytest.raises(ParameterError, match="lift must be greater than 0"):
        power(0.05, 0.0)


# headroom and skill -----------------------------------------------------------------------------------


def world(personal, n_users=60, days=100, seed=0):
    """People with an hour of their own, or all with the same two."""
    rng = np.random.default_rng(seed)
    frames = []
    for user in range(n_users):
        peak = rng.integers(7, 23) if personal else 18
        day = rng.choice(days, 40, replace=False)
        hour = (peak + rng.normal(0, 1.5, 40)) % 24
        at = pd.Timestamp("2025-01-06", tz="UTC") + pd.to_timedelta(day, unit="D") + pd.to_timedelta(hour, unit="h")
        frames.append(pd.DataFrame({"user_id": user, "timestamp": at}))
    frame = pd.concat(frames).assign(item_id="a", channel="web", event="view")
    people = pd.DataFrame({"user_id": range(n_users), "timezone": "UTC", "consent_web": True})
    return om.EventLog.from_frame(frame), om.Audience.from_frame(people)


def data(personal):
    log, audience = world(personal)
    return om.Dataset(log, audience=audience)


def test_headroom_finds_personal_hours():
    found = headroom(data(personal=True), effect_decay="2h")
    assert found.low > 0.2
    assert found.verdict.startswith("Personal timing can help here.")
    assert found.skill.set_index("history").loc["all", "low"] > 0


def test_headroom_of_an_empty_log_is_an_error_in_words():
    log, audience = world(personal=True)
    with pytest.raises(EmptyError, match="the log has no events"):
        headroom(om.Dataset(log.select(events=[]), audience=audience))


def test_headroom_says_what_it_takes():
    world = om.simulate(n_users=20, n_items=5, seed=1)
    log, people = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    with pytest.raises(ParameterError, match=r"activity must be an ActivityProfile, .* Got ActivityModel"):
        headroom(
            om.Dataset(log, audience=people), activity=om.timing.ActivityProfile().fit(om.Dataset(log, audience=people))
        )
    with pytest.raises(SchemaError, match=r"messages must be a MessageLog. Got DataFrame"):
        headroom(om.Dataset(log, messages=world.messages, audience=people))
    with pytest.raises(TypeError, match=r"Write om.timing.headroom\(om.Dataset\(log, messages=sent, audience=people\)"):
        headroom(log, people)
    with pytest.raises(SchemaError, match=r"headroom needs audience.*om.Dataset\(log, audience=people\)"):
        headroom(log)
    with pytest.raises(SchemaError, match=r"audience must be an Audience. Got DataFrame"):
        om.timing.by_hour(om.Dataset(log, audience=world.users))


def test_headroom_says_do_not_bother():
    found = headroom(data(personal=False), effect_decay="2h", worthwhile=0.2)
    assert found.high < 0.2
    assert found.verdict.startswith("Do not bother")
    assert "Headroom(lift" in repr(found)
    assert "<table" in found._repr_html_()


def test_headroom_may_be_unproven():
    found = headroom(data(personal=False), effect_decay="2h", worthwhile=0.0)
    assert "do not bother yet" in found.verdict or found.low >= 0


def test_headroom_needs_people_who_come_back():
    log, audience = world(personal=True)
    nobody = om.Audience.from_frame(pd.DataFrame({"user_id": [0], "timezone": None, "consent_web": True}))
    with pytest.raises(EmptyError, match="nobody with a history came back"):
        headroom(om.Dataset(log, audience=nobody))
    assert audience.n_users == 60


def test_skill_by_hand():
    even = np.full(168, 1 / 168)
    sharp = np.full((1, 168), 0.5 / 167)
    sharp[0, 5] = 0.5
    later = np.zeros((1, 168))
    later[0, [5, 6]] = [3, 1]
    table = timing_skill({"m": sharp}, even, later, np.array([7])).set_index("history")
    nats = (3 * np.log(0.5) + np.log(0.5 / 167)) / 4 - np.log(1 / 168)
    assert table.loc["6-20", "nats"] == pytest.approx(nats)
    assert table.loc["6-20", ["low", "high"]].tolist() == pytest.approx([nats, nats])
    assert table.loc["all", "hit_1"] == 0.75


@pytest.mark.parametrize(
    ("profile", "history", "message"),
    [
        (np.zeros((1, 168)), [3], "no chance at all"),
        (np.ones((2, 168)) / 168, [3], r"must have the shape \(1, 168\)"),
        (np.ones((1, 168)) / 168, [3, 4], r"held_out must have the shape \(2, 168\)"),
    ],
)
def test_bad_skill(profile, history, message):
    later = np.zeros((1, 168))
    later[0, 0] = 1
    with pytest.raises(ParameterError, match=message):
        timing_skill({"m": profile}, np.full(168, 1 / 168), later, np.array(history))


def test_skill_of_nobody():
    with pytest.raises(EmptyError, match="nobody with a history"):
        timing_skill({}, np.full(168, 1 / 168), np.zeros((1, 168)), np.array([3]))


def _choose(n=400, *, exploration=None, sd=0.01, **more):
    rng = np.random.default_rng(0)
    at = np.arange(24) * 3_600_000_000
    value = np.tile(np.r_[np.full(20, 0.05), 0.2, 0.1, 0.1, 0.1], (n, 1)) + rng.normal(0, 1e-4, (n, 24))
    spread = np.broadcast_to(sd, (n, 24)) if np.ndim(sd) < 2 else sd
    hours = np.tile(np.arange(24), (n, 1))
    given = {"user_ids": np.arange(n), "at_us": at, "hours": hours, "date": "2025-06-01"} | more
    return (exploration or Exploration()).choose(value, spread, **given), value


def test_every_hour_gets_its_evidence():
    draws = np.zeros(24)
    for day in range(60):
        chosen, _ = _choose(exploration=Exploration(evidence=2.0), date=f"2025-06-{day}")
        draws += np.bincount(chosen.slot, minlength=24)
    assert (draws > 60 * 2 - 4 * np.sqrt(120)).all()
    assert draws[20] > 0.5 * draws.sum()  # and most go to the best hour


def test_more_evidence_costs_more_and_most_is_the_limit():
    shares = []
    for evidence in (0.0, 1.0, 3.0, 1e9):
        chosen, _ = _choose(exploration=Exploration(evidence=evidence, width=0.0, least=0.01, most=0.3))
        shares.append(chosen.propensity.max())
    np.testing.assert_allclose(shares[0], 0.99 + 0.01 / 24)
    np.testing.assert_allclose(shares[-1], 0.7 + 0.3 / 24)
    assert shares[0] > shares[1] > shares[2] > shares[3]


def test_people_of_whom_less_is_known_explore_more():
    sd = np.where(np.arange(400) % 2 == 0, 0.002, 0.05)[:, None] * np.ones(24)
    chosen, _ = _choose(sd=sd, exploration=Exploration(evidence=1.0))
    best = chosen.slot == 20
    assert best[::2].mean() > 0.9 > 0.7 > best[1::2].mean()


def test_propensities_are_the_shares_of_draws():
    days = [_choose(60, sd=0.06, date=f"day {day}")[0] for day in range(60)]
    slot = np.concatenate([day.slot for day in days])
    inverse = np.bincount(slot, weights=1.0 / np.concatenate([day.propensity for day in days]), minlength=24)
    np.testing.assert_allclose(inverse / slot.size, 1.0, rtol=0.45)  # every slot, weighed by what it was drawn with


def test_masks_come_first_and_nobody_without_a_slot_is_chosen():
    allowed = np.ones((400, 24), bool)
    allowed[:, :8] = False
    allowed[7] = False
    chosen, _ = _choose(allowed=allowed, exploration=Exploration(evidence=5.0))
    assert chosen.slot[7] == -1
    assert chosen.propensity[7] == 0
    assert (np.delete(chosen.slot, 7) >= 8).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evidence": -1.0}, "evidence must be"),
        ({"width": float("nan")}, "width must be"),
        ({"most": 1.5}, "most must be"),
        ({"least": 0.3}, "least must not exceed most"),
        ({"seed": 1.5}, "seed must be"),
    ],
)
def test_an_exploration_refuses_what_lies_outside(options, message):
    with pytest.raises(ParameterError, match=message):
        Exploration(**options)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="must have one shape"):
        _choose(hours=np.zeros((400, 3), int))
    with pytest.raises(ParameterError, match="must have one shape"):
        _choose(sd=np.full((400, 24), -1.0))


def _explored_month(seed=0, n=300, days=25):
    """People who answer near an hour of their own; their model; and a month of messages drawn around its best hours."""
    rng = np.random.default_rng(seed)
    own, start = rng.choice([8, 13, 19, 22], n), pd.Timestamp("2025-01-06", tz="UTC")
    user = rng.integers(0, n, 60 * n)
    hour = rng.integers(0, 120, user.size) * 24 + (own[user] + rng.normal(0, 1.2, user.size)) % 24
    seen = {"user_id": user, "item_id": "x", "channel": "app", "event": "view"}
    events = pd.DataFrame(seen | {"timestamp": start + pd.to_timedelta(hour, unit="h")})
    people = pd.DataFrame({"user_id": np.arange(n), "timezone": "UTC", "consent_push": True})
    data = om.Dataset(om.EventLog.from_frame(events), audience=om.Audience.from_frame(people))
    model, exploration = om.SendTime().fit(data), Exploration(evidence=5.0, most=0.3)
    dates = pd.date_range("2025-06-01", periods=days).strftime("%Y-%m-%d")
    sent = pd.concat([model.best(data, date, 1, channel="push", explore=exploration) for date in dates])
    gap = np.abs((sent["send_at_local"].dt.hour - own[sent["user_id"]] + 12) % 24 - 12)
    answered = rng.random(len(sent)) < np.where(gap <= 2, 0.24, 0.06)
    sent = sent.assign(responded_at=(sent["send_at"] + pd.Timedelta("3min")).where(answered))
    return data, model, sent.rename(columns={"send_at": "sent_at"}), own


def test_an_explored_month_can_be_evaluated():
    _, _, sent, own = _explored_month()
    assert np.bincount(sent["send_at_local"].dt.hour, minlength=24).min() > 25 * 5 - 4 * np.sqrt(125)
    log = om.MessageLog.from_frame(sent[["user_id", "channel", "sent_at", "responded_at", "propensity"]])
    hour = (log.sent_at // 3_600_000_000 % 24).astype(int)
    evening = np.zeros((len(log), 24))
    evening[:, 20] = 1.0
    logged = om.causal.LoggedDecisions.of(log, actions=hour)
    found = om.causal.off_policy(logged, {"evening": evening}, least_effective=50).to_frame()
    row = found[found["estimator"] == "ips"].iloc[0]
    truth = np.where(np.abs((20 - own + 12) % 24 - 12) <= 2, 0.24, 0.06).mean()
    assert row["low"] < truth < row["high"]
    weight = (hour == 20) / log.propensity
    assert abs(weight.mean() - 1.0) < 4 * weight.std() / np.sqrt(weight.size)


def test_exploring_keeps_rules_and_repeats_itself():
    data, model, _, _ = _explored_month(days=1, n=60)
    given = {"channel": "push", "quiet_hours": ("21:00", "08:00"), "explore": Exploration(seed=3)}
    first, again = (model.best(data, "2025-06-01", 2, **given) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert first["send_at_local"].dt.hour.between(8, 20).all()
    assert first["propensity"].between(0, 1, inclusive="right").all()
    touches = om.data.Touches.of(data, first["user_id"], channel="push", at=first["send_at"])
    np.testing.assert_allclose(model.probability(touches), first["probability"], rtol=1e-12)
    other = model.best(data, "2025-06-01", 2, **given | {"explore": Exploration(seed=4)})
    assert (other["send_at"] != first["send_at"]).any()
    with pytest.raises(ParameterError, match=r"om\.timing\.Exploration"):
        model.best(data, "2025-06-01", 2, channel="push", explore=0.1)
