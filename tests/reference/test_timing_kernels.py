"""The compiled passes over events and people, against the same said slowly."""

import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week import curves as kernels
from omnireco._kernels.week import hazard
from omnireco._kernels.week.delay import send_value
from omnireco._kernels.week.pooling import Base, Pooling, memberships, pool
from omnireco.data.clock import clock_changes, utc_offset
from omnireco.timing import zones
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
@pytest.mark.parametrize(("threads", "people"), [(1, 0), (3, 0), (1, 20_000)])
def test_one_pass_counts_what_steps_count(label, threads, people, monkeypatch):
    """Compiled, on several stretches of time, and in numpy."""
    monkeypatch.setattr("omnireco.timing.sessions._STRETCH", 500)
    monkeypatch.setattr("omnireco._kernels.week.size._PEOPLE", people)
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
    names = om.data.Vocabulary.from_ids(np.array([name for name in ZONES if name], object))
    rng = np.random.default_rng(0)
    first, last = 500_000_000_000_000, 1_800_000_000_000_000
    at, zone, offset = clock_changes(names, np.arange(4), first, last)
    assert (np.diff(at) >= 0).all()
    when, where = rng.integers(first, last, 2_000), rng.integers(0, 4, 2_000)
    for us, code in zip(when.tolist(), where.tolist(), strict=True):
        mine = zone == code
        spell = np.searchsorted(at[mine], us, side="right") - 1
        assert spell >= 0
        assert offset[mine][spell] == utc_offset(np.array([us]), np.array([code]), names)[0]


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


@pytest.mark.parametrize("people", [0, 20_000], ids=["compiled", "numpy"])
@pytest.mark.parametrize("life", [None, 5, 200])
@pytest.mark.parametrize("strengths", [(5.0, 35.0, 20.0, 200.0), (5.0, float("inf"), float("inf"), float("inf"))])
@pytest.mark.parametrize("own", [1.0, 0.6])
def test_curves_say_what_matrices_say(life, strengths, own, people, monkeypatch):
    monkeypatch.setattr("omnireco._kernels.week.size._PEOPLE", people)
    rng = np.random.default_rng(4)
    some, cells, counts, base, pooling = world_of_people(rng, strengths)
    laid_out = kernels.tables(base, pooling, base.pi[None], base.theta[None], np.empty(0, np.int32))
    found = kernels.profiles(some.person, np.ones(50), cells, laid_out)
    np.testing.assert_allclose(found, pool(counts, base, pooling), rtol=1e-10)
    found = kernels.profiles(some.person, np.full(50, 0.7), cells, laid_out)
    np.testing.assert_allclose(found, 0.7 * pool(counts, base, pooling) + 0.3 * base.theta, rtol=1e-10)
    assert (kernels.profiles(np.full(50, -1), np.full(50, -1.0), cells, laid_out) == base.theta).all()

    channel = channel_of(rng, own, life)
    kinds = np.where(some.kind_row[:, None] >= 0, some.kind[some.kind_row], memberships(counts, base) @ channel.follows)
    expected = slow_log_value(counts, base, pooling, channel, kinds, some.rate, 6.0, life)
    value = kernels.values(some, cells, laid_out, channel)
    np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-9)
    score = kernels.scores(value, channel)
    np.testing.assert_allclose(score, slow_score(expected, channel), rtol=1e-8)
    shift, factor = rng.normal(size=(50, 1)), rng.gamma(4.0, 0.25, (50, 1))
    plain = np.minimum(-np.expm1(-np.exp(score + shift) * factor), 0.99)
    np.testing.assert_allclose(kernels.chances(score, shift, factor, 0.99), plain, rtol=1e-12)


@pytest.mark.parametrize("own", [1.0, 0.6])
@pytest.mark.parametrize("life", [0, 30])
def test_the_numpy_path_is_the_compiled_one_to_rounding_and_one_person_is_the_batch_to_the_bit(own, life, monkeypatch):
    rng = np.random.default_rng(11)
    some, cells, _, base, pooling = world_of_people(rng, (5.0, 35.0, 20.0, 200.0), n=1300)
    some = some._replace(person=np.where(rng.random(1300) < 0.1, -1, some.person))
    some = some._replace(trust=np.where(rng.random(1300) < 0.1, -1.0, some.trust))
    group = rng.integers(0, 3, 1300).astype(np.int32)
    prior, start = rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(168), 3)
    laid_out, channel = kernels.tables(base, pooling, prior, start, group), channel_of(rng, own, life)
    paths = {}
    for people in (0, 20_000):
        monkeypatch.setattr("omnireco._kernels.week.size._PEOPLE", people)
        whole = kernels.profiles(some.person, some.trust, cells, laid_out, threads=2)
        value = kernels.values(some, cells, laid_out, channel, threads=2)
        for first in range(0, 1300, 101):
            for rows in (slice(first, first + size) for size in (1, 2, 3, 7, 16)):
                few = some.of(rows)
                assert (kernels.profiles(few.person, few.trust, cells, laid_out) == whole[rows]).all()
                assert (kernels.values(few, cells, laid_out, channel) == value[rows]).all()
        paths[people] = whole, value
    for compiled, plain in zip(paths[0], paths[20_000], strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-12, atol=1e-12)


def world_of_people(rng, strengths, n=50):
    """People with some sessions, the first three with none, and what is known of everybody."""
    counts = (rng.poisson(0.15, (n, 168)) * rng.random((n, 168))).astype(np.float32).astype(float)
    counts[:3] = 0.0
    indptr = np.concatenate([[0], np.cumsum((counts > 0).sum(axis=1))])
    cells = kernels.Cells(indptr, np.nonzero(counts)[1].astype(np.uint8), counts[counts > 0].astype(np.float32))
    base = Base(rng.dirichlet(np.ones(168)), rng.dirichlet(np.ones(168), 4), rng.dirichlet(np.ones(4)))
    rate = rng.gamma(2.0, np.where(np.arange(n) % 2, 20.0, 400.0))
    kind_row = np.where(rng.random(n) < 0.5, rng.integers(0, 30, n), -1)
    people = kernels.People(np.arange(n), np.ones(n), rate, kind_row, rng.dirichlet(np.ones(6), 30).astype(np.float32))
    return people, cells, counts, base, Pooling(strengths, 1.5, 0.75)


def channel_of(rng, own, life):
    """A channel with six kinds of people, whose hours were tried here and there."""
    reading = rng.gamma(5.0, 0.2, 168) if own < 1.0 else np.empty(0)
    follows, psi = rng.dirichlet(np.ones(6), 4), rng.dirichlet(np.ones(168), 6)
    offset, tried = rng.normal(-3.0, 0.3, 169), np.tile(rng.random(24) < 0.5, 7)
    return kernels.Channel(
        reading, own, follows, psi, float(np.exp(-1 / 6.0)), life or 0, offset, 0.8, tried, 0.1, 0.99
    )


def test_the_best_slot_is_the_earliest_of_the_best_allowed_ones():
    rng = np.random.default_rng(4)
    score, zone = rng.integers(0, 9, (50, 169)).astype(float), rng.integers(0, 2, 50)
    clock, allowed = np.stack([np.arange(169), np.roll(np.arange(169), 7)]), rng.random((2, 169)) < 0.2
    slot, best = kernels.best_slots(score, zone, clock, allowed)
    masked = np.where(allowed[zone], score[np.arange(50)[:, None], clock[zone]], -np.inf)
    assert (slot == masked.argmax(axis=1)).all()
    assert (best == masked.max(axis=1)).all()
    assert (kernels.best_slots(score, zone, clock, np.zeros_like(allowed))[0] == -1).all()


def test_expected_responses_are_those_of_a_walk_through_the_hours():
    """Hour by hour, until a message is answered or twelve effect decays old."""
    rng = np.random.default_rng(2)
    m, tau, base = 300, np.array([0.3, 7.0, 330.0]), rng.random((3, 168))
    row, channel = rng.integers(0, 9, m), rng.integers(0, 3, m)
    start, stop = rng.random(m) * 168.0, rng.exponential(60.0, m) + 1e-6
    start[:40], stop[40:80], stop[80:90] = np.floor(start[:40]), np.ceil(stop[40:80]), 2_000.0
    gain, expected, each = rng.gamma(2.0, 0.5, m), np.zeros((9, 168)), np.zeros(m)
    for i in range(m):
        fade, age, limit = tau[channel[i]], 0.0, min(stop[i], 12.0 * tau[channel[i]])
        while age < limit:
            until = min(np.floor(start[i] + age + 1e-9) + 1.0 - start[i], limit)
            hour = int(np.floor(start[i] + age + 1e-9)) % 168
            found = base[channel[i], hour] * fade * np.exp(-age / fade) * -np.expm1(-(until - age) / fade)
            expected[row[i], hour] += gain[i] * found
            each[i], age = each[i] + found, until
    found = hazard.expected_counts(row, channel, start, stop, gain, tau, base, 9)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    for code, fade in enumerate(tau):
        mine = channel == code
        found = hazard.expected_until(start[mine], stop[mine], fade, base[code])
        np.testing.assert_allclose(found, each[mine], rtol=1e-8)


def test_zones_are_filtered_as_one_person_after_another():
    rng = np.random.default_rng(5)
    n, n_zones = 40, 7
    length = rng.integers(1, 30, n)
    stop = np.cumsum(length)
    start = stop - length
    day = np.concatenate([np.sort(rng.integers(0, 90, size)) for size in length])
    fits = rng.random((day.size, n_zones)) < 0.3
    settled, moving = rng.dirichlet(np.ones(n_zones), n), rng.dirichlet(np.ones(n_zones), n)
    for i, now in enumerate(zones._forward(settled, moving, start, stop, day, fits, 95)):
        p, last = settled[i], day[start[i]]
        for o in range(start[i], stop[i]):
            kept = 0.9 ** (day[o] - last)
            p = (kept * p + (1.0 - kept) * moving[i]) * np.where(fits[o], 1.0 - 0.00025, 0.00025)
            p, last = p / p.sum(), day[o]
        kept = 0.9 ** (95 - last)
        np.testing.assert_allclose(now, kept * p + (1.0 - kept) * moving[i], rtol=1e-12)


def test_small_work_needs_no_compiler():
    """What a newcomer does first: nothing under timing/ imports numba."""
    code = """
import sys, omnireco as om
world = om.simulate(n_users=60, n_items=20, days=120, seed=1)
data = om.Dataset(om.EventLog.from_frame(world.events), messages=om.MessageLog.from_frame(world.messages),
                  audience=om.Audience.from_frame(world.users))
model = om.SendTime().fit(data)
best = model.best(data, "2025-05-05", 2, channel="email", quiet_hours=("21:00", "08:00"))
touches = om.data.Touches.of(data, best["user_id"], channel="email", at=best["send_at"])
model.probability(touches), model.probability_interval(touches), model.hour_probability(best["user_id"])
om.timing.ReadingClock().fit(data).probability(touches)
om.timing.Fatigue().fit(data), om.timing.headroom(data), om.timing.infer_zones(data)
print(sorted({"numba", "llvmlite"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
