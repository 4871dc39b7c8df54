"""Worlds with planted truth: what is planted can be counted, and equal seeds give equal worlds."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.clock import hour_of_week
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, UnknownIdError
from omnireco.worlds.simulate import ARCHETYPES, Company, sending_policy, simulate


@pytest.fixture(scope="module")
def world():
    return simulate(600, 40, days=84, seed=3)


def local_hours(world, user_id, at):
    zones = Vocabulary.from_ids(world.truth.zone)
    row = world.users["user_id"].searchsorted(user_id)
    at_us = at.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return row, hour_of_week(at_us, zones.codes(world.truth.zone)[row], zones)


def test_equal_seeds_give_equal_worlds_and_others_do_not():
    a, b, c = (
        simulate(30, 10, days=14, seed=1),
        simulate(30, 10, days=14, seed=1),
        simulate(30, 10, days=14, seed=2),
    )
    for name in ("events", "messages", "users", "items"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    assert not a.events.equals(c.events)


def test_frames_have_the_columns_the_doors_take(world):
    assert list(world.events)[:5] == ["user_id", "item_id", "channel", "event", "timestamp"]
    assert {"user_id", "channel", "sent_at", "responded_at", "propensity"} <= set(world.messages)
    assert {"user_id", "timezone", "consent_email", "consent_push"} <= set(world.users)
    assert {"item_id", "category", "price", "margin"} <= set(world.items)
    assert str(world.events["timestamp"].dt.tz) == "UTC"
    assert set(world.events["channel"]) == {"web", "app", "store", "email", "push"}
    assert set(world.events["event"]) == {"view", "add_to_cart", "purchase"}


def test_everything_happens_inside_the_observed_time(world):
    start, end = pd.Timestamp("2025-01-06", tz="UTC"), pd.Timestamp("2025-03-31", tz="UTC")
    for column in (
        world.events["timestamp"],
        world.messages["sent_at"],
        world.messages["responded_at"].dropna(),
    ):
        assert column.min() >= start
        assert column.max() < end
    assert (
        world.messages["responded_at"].dropna() >= world.messages["sent_at"][world.messages["responded_at"].notna()]
    ).all()


def test_people_act_at_the_hours_planted_for_their_archetype(world):
    own = world.events[world.events["channel"].isin(["web", "app"])]
    row, hour = local_hours(world, own["user_id"], own["timestamp"])
    for code, name in enumerate(ARCHETYPES):
        mine = world.truth.archetype[row] == code
        seen = np.bincount(hour[mine] % 24, minlength=24) / mine.sum()
        people = np.flatnonzero(world.truth.archetype == code)
        planted = world.truth.hours[people].mean(axis=0).reshape(7, 24).sum(axis=0)
        assert np.corrcoef(seen, planted)[0, 1] > 0.9, name


def test_zones_have_half_and_quarter_hours_and_some_are_unknown(world):
    assert {"Asia/Kolkata", "Asia/Kathmandu"} <= set(world.truth.zone)
    unknown = world.users["timezone"].isna()
    assert 0 < unknown.mean() < 0.12
    known = world.users["timezone"][~unknown]
    assert (known == world.truth.zone[~unknown.to_numpy()]).all()


def test_preference_is_the_share_of_wishes(world):
    wish = world.truth.preference()
    np.testing.assert_allclose(wish.sum(axis=1), 1.0)
    seen = world.events[world.events["channel"].isin(["web", "app"]) & (world.events["event"] == "view")]
    counts = pd.crosstab(seen["user_id"], seen["item_id"])
    counts = counts.reindex(index=world.users["user_id"], columns=world.items["item_id"], fill_value=0).to_numpy()
    expected = wish * counts.sum(axis=1, keepdims=True)
    assert abs((counts - expected).sum()) < 1e-6
    # Pearson's statistic per expected count is near 1 when the draws follow the planted chances
    common = expected > 2
    statistic = (counts - expected)[common] ** 2 / expected[common]
    assert 0.9 < statistic.mean() < 1.15


def test_no_consent_means_no_message_and_the_policy_is_biased_to_ten(world):
    users = world.users.set_index("user_id")
    for channel in ("email", "push"):
        to = world.messages.loc[world.messages["channel"] == channel, "user_id"]
        assert users.loc[to, f"consent_{channel}"].all()
    known = world.messages[users.loc[world.messages["user_id"], "timezone"].notna().to_numpy()]
    _, hour = local_hours(world, known["user_id"], known["sent_at"])
    share = np.bincount(hour % 24, minlength=24) / len(hour)
    np.testing.assert_allclose(share, sending_policy(), atol=0.02)
    assert sending_policy().sum() == pytest.approx(1.0)


def test_propensity_is_the_chance_of_the_channel_and_the_hour(world):
    only_email = world.users.loc[
        world.users["consent_email"] & ~world.users["consent_push"] & world.users["timezone"].notna(),
        "user_id",
    ]
    sent = world.messages[world.messages["user_id"].isin(only_email)]
    _, hour = local_hours(world, sent["user_id"], sent["sent_at"])
    np.testing.assert_allclose(sent["propensity"], sending_policy()[hour % 24])


def test_answers_come_as_often_as_the_truth_says(world):
    sent = world.messages.sort_values(["user_id", "sent_at"])
    second = sent["sent_at"].dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    times = [second[rows] for rows in np.split(np.arange(len(sent)), np.flatnonzero(sent["user_id"].diff() > 0))]
    recent = np.concatenate([np.arange(len(t)) - np.searchsorted(t, t - 7 * 86_400) for t in times])
    expected = np.empty(len(sent))
    for channel in ("email", "push"):
        mask = (sent["channel"] == channel).to_numpy()
        part = sent[mask]
        expected[mask] = world.response_probability(
            part["user_id"], channel, part["sent_at"], item_id=part["item_id"], recent=recent[mask]
        )
    answered = sent["responded_at"].notna().to_numpy()
    error = np.sqrt((expected * (1 - expected)).sum())
    assert abs(answered.sum() - expected.sum()) < 4 * error
    high = expected > np.median(expected)
    assert answered[high].mean() > 2 * answered[~high].mean()


def test_a_better_hour_taste_and_rest_raise_the_chance(world):
    truth = world.truth
    best = truth.reading.argmax(axis=1)
    assert best.shape == (600,)
    user = world.users["user_id"]
    tired = world.response_probability(user, "push", "2025-01-14T18:00:00Z", recent=3)
    fresh = world.response_probability(user, "push", "2025-01-14T18:00:00Z")
    np.testing.assert_allclose(tired, np.where(fresh < 0.95, fresh * np.exp(-0.45), tired), rtol=1e-12)
    liked = world.items["item_id"].to_numpy()[truth.taste.argmax(axis=1)]  # item g is of group g
    hated = world.items["item_id"].to_numpy()[truth.taste.argmin(axis=1)]
    p = [world.response_probability(user, "push", "2025-01-14T18:00:00Z", item_id=i) for i in (liked, hated)]
    assert (p[0] >= p[1]).all()


def test_times_may_be_microseconds_or_aware_columns(world):
    user = world.users["user_id"][:3]
    at = pd.Series(pd.to_datetime(["2025-01-14T18:00:00Z"] * 3))
    us = at.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    np.testing.assert_array_equal(
        world.response_probability(user, "email", at), world.response_probability(user, "email", us)
    )
    with pytest.raises(ParameterError, match="no time zone"):
        world.response_probability(user, "email", at.dt.tz_localize(None))


def test_arrays_are_read_only_and_the_repr_is_one_line(world):
    with pytest.raises(ValueError, match="read-only"):
        world.truth.hours[0, 0] = 1.0
    assert repr(world).startswith("World(users=600, items=40, events=")


def test_tiny_worlds_live():
    world = simulate(1, 1, days=1, company=Company(sessions_per_week=0, messages_per_week=0))
    assert len(world.events) == 0
    assert len(world.messages) == 0
    assert world.truth.preference().tolist() == [[pytest.approx(1.0)]]
    simulate(3, 2, days=2, seed=5, company=Company(share_without_consent=1.0, share_without_zone=1.0))


def test_clock_changes_are_lived_through():
    world = simulate(60, 5, days=14, start="2025-03-24", company=Company(zones=["Europe/Berlin"], sessions_per_week=60))
    own = world.events[world.events["channel"].isin(["web", "app"])]
    local = own["timestamp"].dt.tz_convert("Europe/Berlin")
    assert (local.dt.date.astype(str) == "2025-03-30").any()


def test_errors_say_what_to_do(world):
    with pytest.raises(ParameterError, match=r"zones must be IANA zones.*Etc/GMT"):
        simulate(company=Company(zones=["Etc/GMT+4"]))
    with pytest.raises(ParameterError, match="n_users must be an integer of at least 1"):
        simulate(0)
    with pytest.raises(ParameterError, match="share_without_zone"):
        simulate(company=Company(share_without_zone=1.5))
    with pytest.raises(ParameterError, match="channel must be 'email' or 'push'"):
        world.response_probability(1001, "web", "2025-01-14T18:00:00Z")
    with pytest.raises(UnknownIdError, match=r"1 of the 2 ids are not in world.users"):
        world.response_probability([1001, 5], "push", "2025-01-14T18:00:00Z")


def test_machines_leavers_and_wrong_zones_have_a_truth():
    company = Company(machine_share=0.4, unsubscribe=0.01, share_wrong_zone=0.3, fatigue=0.3)
    world = simulate(n_users=400, n_items=20, days=60, seed=5, company=company)
    plain = simulate(n_users=400, n_items=20, days=60, seed=5)
    sent = world.messages.merge(world.users.assign(proxy=world.truth.proxy), on="user_id")
    mail = sent[sent["channel"] == "email"]
    delay = (mail["responded_at"] - mail["sent_at"]).dt.total_seconds()
    assert (delay[mail["proxy"]] < 120).all()
    assert delay[~mail["proxy"]].isna().mean() > 0.8
    assert (sent["clicked_at"].dropna() >= sent.loc[sent["clicked_at"].notna(), "sent_at"]).all()
    left = sent[sent["unsubscribed_at"].notna()].groupby("user_id")["sent_at"].max()
    assert len(left) > 20
    assert (sent.groupby("user_id")["sent_at"].max()[left.index] == left).all()  # nothing is sent afterwards
    assert 0.15 < (world.users["timezone"].dropna() != world.truth.zone[world.users["timezone"].notna()]).mean() < 0.35
    assert "clicked_at" not in plain.messages
    assert plain.messages["responded_at"].notna().sum() > sent["clicked_at"].notna().sum()
    MessageLog.from_frame(world.messages)


def test_all_that_a_company_sees_is_one_dataset():
    world = simulate(60, 20, days=60, seed=1)
    data = world.dataset()
    assert len(data.events) == len(world.events)
    assert len(data.messages) == len(world.messages)
    assert data.audience.n_users == 60
    assert len(data.catalog) == 20
    assert data.catalog.margin is not None
    past, later = data.split("2025-02-15")
    assert int(past.messages.sent_at.max()) < past.end_us <= int(later.messages.sent_at.min())
    assert "age_group=65+" in om.models.people_attributes(data.audience).items.ids
    left = simulate(60, 20, days=60, seed=1, company=Company(unsubscribe=0.05, machine_share=0.3)).dataset()
    assert len(left.messages) < len(data.messages)
