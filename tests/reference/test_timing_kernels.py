"""The compiled passes over events and people, against the same said slowly."""

import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week import curves as kernels
from omnireco._kernels.week.delay import send_value
from omnireco._kernels.week.pooling import Base, Pooling, memberships, pool
from omnireco.data.clock import clock_changes, utc_offset
from omnireco.timing.sessions import (
    NOT_COUNTED,
    caused_by_messages,
    count_sessions,
    local_hours,
    session_starts,
)

HOUR, GAP = 3_600_000_000, 30 * 60_000_000
ZONES = np.array(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", None], object)


def nouns(seed, n=4_000, n_users=60, label=None):
    """Events over the days around both clock changes, messages before some of them, a fifth without a zone."""
    rng = np.random.default_rng(seed)
    at = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 270 * 24 * 60, n), unit="min")
    frame = pd.DataFrame({"user_id": rng.integers(0, n_users, n), "timestamp": at})
    frame = pd.concat([frame, frame.assign(timestamp=frame["timestamp"] + pd.Timedelta("20min"))])
    frame = frame.assign(item_id="a", channel="web", event="view")
    if label is not None:
        frame[label[0]] = rng.choice(label[1], len(frame))
    chosen = frame.sample(400, random_state=seed)
    sent = chosen["timestamp"] - pd.Timedelta("10min")
    answer = (sent + pd.Timedelta("3h")).where(rng.random(400) < 0.3)
    messages = pd.DataFrame(
        {
            "user_id": chosen["user_id"] + 3 * (rng.random(400) < 0.2),
            "channel": "email",
            "sent_at": sent,
            "responded_at": answer,
        }
    )
    people = pd.DataFrame({"user_id": range(n_users), "timezone": ZONES[np.arange(n_users) % 5], "consent_x": True})
    return (
        om.EventLog.from_frame(frame, context=[] if label is None else [label[0]]),
        om.Audience.from_frame(people),
        om.MessageLog.from_frame(messages),
    )


@pytest.mark.parametrize("label", [None, ("utc_offset_min", ["120", "-300", "no"]), ("timezone", ["Asia/Tokyo", "?"])])
@pytest.mark.parametrize("threads", [1, 3])
def test_one_pass_counts_what_steps_count(label, threads, monkeypatch):
    monkeypatch.setattr("omnireco.timing.sessions._STRETCH", 500)
    log, audience, sent = nouns(1, label=label)
    user, at = log.user, log.at
    rows = session_starts(user, at, GAP)
    hours = local_hours(log, audience, rows)
    caused = caused_by_messages(user[rows], at[rows], sent, log.users, GAP)
    keep = (hours >= 0) & ~caused
    expected = np.full(len(log), NOT_COUNTED)
    expected[rows[keep]] = hours[keep]
    counted = count_sessions(log, audience, sent, GAP, threads=threads)
    assert len(counted.stretches) == threads
    assert (counted.hour == expected).all()
    assert counted.n_caused == ((hours >= 0) & caused).sum() > 20
    assert counted.n_without_zone == np.setdiff1d(user[rows][hours < 0], user[rows][hours >= 0]).size
    assert (counted.total == np.bincount(hours[keep], minlength=168)).all()
    user = user[rows[keep]]
    assert (counted.history == np.bincount(user, minlength=log.n_users)).all()
    for half_life in (None, 60 * 24 * HOUR):
        weight = 0.5 ** ((log.end_us - at[rows[keep]]) / half_life) if half_life else np.ones(keep.sum())
        table = np.zeros((log.n_users, 168))
        np.add.at(table, (user, hours[keep]), weight)
        indptr, hour, found = counted.cells(log, half_life, threads=threads)
        again = np.zeros_like(table)
        again[np.repeat(np.arange(log.n_users), np.diff(indptr)), hour] = found
        np.testing.assert_allclose(again, table, rtol=1e-6)
        assert hour.size == np.count_nonzero(table)
        assert all((np.diff(hour[a:b].astype(int)) > 0).all() for a, b in itertools.pairwise(indptr))


def test_clocks_change_when_the_zone_database_says():
    """Samoa skipped a day, Kathmandu moved by a quarter of an hour, Berlin changes twice a year."""
    zones = om.data.Vocabulary.from_ids(np.array([name for name in ZONES if name], object))
    rng = np.random.default_rng(0)
    first, last = 500_000_000_000_000, 1_800_000_000_000_000
    at, zone, offset = clock_changes(zones, np.arange(4), first, last)
    assert (np.diff(at) >= 0).all()
    when, where = rng.integers(first, last, 2_000), rng.integers(0, 4, 2_000)
    for us, code in zip(when.tolist(), where.tolist(), strict=True):
        mine = zone == code
        spell = np.searchsorted(at[mine], us, side="right") - 1
        assert spell >= 0
        assert offset[mine][spell] == utc_offset(np.array([us]), np.array([code]), zones)[0]


def slow_log_value(counts, base, pooling, channel, kinds, rate, tau, life):
    """Matrices of 168 hours, step by step."""
    r = pool(counts, base, pooling)
    if channel.reading.size:
        r = (0.98 * r + 0.02 / 168) * channel.reading
    r = channel.own * r / r.sum(axis=1, keepdims=True) + (1.0 - channel.own) * kinds @ channel.psi
    value = send_value(-np.expm1(-rate[:, None] * r), tau, life=life)
    return np.log(value / value.mean(axis=1, keepdims=True))


def slow_score(log_value, channel):
    """Log rates per hour, (n, 169), of which little counts beyond the best hour of the day that was tried."""
    score = channel.offset[:168] + channel.slope * log_value
    best = score.reshape(-1, 7, 24).mean(axis=1)[:, channel.tried[:24]].max(axis=1, keepdims=True)
    held = best + channel.beyond * (score - best)
    score = np.where((score > best) & ~channel.tried, held, score)
    return np.concatenate([score, np.full((len(score), 1), channel.offset[168])], axis=1)


@pytest.mark.parametrize("life", [None, 5, 200])
@pytest.mark.parametrize("strengths", [(5.0, 35.0, 20.0, 200.0), (5.0, float("inf"), float("inf"), float("inf"))])
@pytest.mark.parametrize("own", [1.0, 0.6])
def test_curves_of_one_person_after_another(life, strengths, own):
    rng = np.random.default_rng(4)
    counts = (rng.poisson(0.15, (50, 168)) * rng.random((50, 168))).astype(np.float32).astype(float)
    counts[:3] = 0.0
    indptr = np.concatenate([[0], np.cumsum((counts > 0).sum(axis=1))])
    hour, weight = np.nonzero(counts)[1].astype(np.uint8), counts[counts > 0].astype(np.float32)
    base = Base(rng.dirichlet(np.ones(168)), rng.dirichlet(np.ones(168), 4), rng.dirichlet(np.ones(4)))
    pooling = Pooling(strengths, 1.5, 0.75)
    person, trust, rate = np.arange(50), np.full(50, 0.7), rng.gamma(2.0, [20.0] * 25 + [400.0] * 25)
    nobody = np.empty(0, np.int32)
    laid_out = kernels.tables(base, pooling, base.pi[None], base.theta[None], nobody)
    found = np.empty((50, 168))
    kernels.profiles(person, np.ones(50), indptr, hour, weight, laid_out, 0, 50, found)
    np.testing.assert_allclose(found, pool(counts, base, pooling), rtol=1e-10)
    kernels.profiles(person, trust, indptr, hour, weight, laid_out, 0, 50, found)
    np.testing.assert_allclose(found, 0.7 * pool(counts, base, pooling) + 0.3 * base.theta, rtol=1e-10)

    reading, psi = (rng.gamma(5.0, 0.2, 168) if own < 1.0 else np.empty(0)), rng.dirichlet(np.ones(168), 4)
    follows, kind = rng.dirichlet(np.ones(4), 4), rng.dirichlet(np.ones(4), 30).astype(np.float32)
    kind_row = np.where(rng.random(50) < 0.5, rng.integers(0, 30, 50), -1)
    kinds = np.where(kind_row[:, None] >= 0, kind[kind_row], memberships(counts, base) @ follows)
    offset, tried = rng.normal(-3.0, 0.3, 169), np.tile(rng.random(24) < 0.5, 7)
    channel = kernels.Channel(
        reading, own, follows, psi, float(np.exp(-1 / 6.0)), life or 0, offset, 0.8, tried, 0.1, 0.99
    )
    shift, factor = rng.normal(size=50), rng.gamma(4.0, 0.25, 50)
    zone, clock = np.array([0, 1] * 25), np.stack([np.arange(169), np.roll(np.arange(169), 7)])
    people = (person, np.ones(50), rate, shift, factor, kind_row, kind)
    people = (*people, indptr, hour, weight, laid_out, channel, zone, clock)
    expected = slow_log_value(counts, base, pooling, channel, kinds, rate, 6.0, life)
    expected = np.concatenate([expected, np.zeros((50, 1))], axis=1)[np.arange(50)[:, None], clock[zone]]
    value = np.empty((50, 169))
    kernels.chances(*people, True, 0, 50, value)
    np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-9)
    chance = np.empty((50, 169))
    kernels.chances(*people, False, 0, 50, chance)
    score = slow_score(slow_log_value(counts, base, pooling, channel, kinds, rate, 6.0, life), channel)
    score = score[np.arange(50)[:, None], clock[zone]]
    plain = np.minimum(-np.expm1(-np.exp(score + shift[:, None]) * factor[:, None]), 0.99)
    np.testing.assert_allclose(chance, plain, rtol=1e-8)

    allowed = rng.random((2, 169)) < 0.2
    slot, best = np.empty(50, np.int64), np.empty(50)
    kernels.best_slots(*people, allowed, 0, 50, slot, best)
    masked = np.where(allowed[zone], score, -np.inf)
    assert (slot == masked.argmax(axis=1)).all()
    np.testing.assert_array_equal(best, chance[np.arange(50), slot])
    kernels.best_slots(*people, np.zeros_like(allowed), 0, 50, slot, best)
    assert (slot == -1).all()
