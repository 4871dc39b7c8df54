"""The reading clock on people whose hours are known by construction."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.week.rates import Spells, expected_counts
from omnireco.errors import NotFittedError, ParameterError, SchemaError

HOUR = pd.Timedelta("1h")


def world(hours, sends, *, tau=6.0, q=0.02, zone="UTC", n=40, weeks=26, channel="email", seed=0):
    """Messages to n people who read at rate q x hours[b] x exp(-age / tau) per hour; three sends a week."""
    random = np.random.default_rng(seed)
    monday = pd.Timestamp("2025-01-06", tz=zone)
    rate = q * np.broadcast_to(hours, (n, 168))
    rows = []
    for week in range(weeks):
        for day in random.choice(7, 3, replace=False):
            start = monday + pd.Timedelta(days=7 * week + int(day)) + pd.Timedelta(hours=1) * sends[week % len(sends)]
            at = start + pd.Timedelta(minutes=int(random.integers(0, 60)))
            local = (at.day_of_week * 24 + at.hour + at.minute / 60) % 168
            quarter = np.arange(0, 24 * 6, 0.25)
            hazard = rate[:, ((local + quarter) % 168).astype(int)] * np.exp(-quarter / tau) * 0.25
            read = random.random(hazard.shape) < -np.expm1(-hazard)
            for user in range(n):
                when = at + quarter[read[user].argmax()] * HOUR + pd.Timedelta("7min") if read[user].any() else pd.NaT
                rows.append((user, channel, at.tz_convert("UTC"), when))
    frame = pd.DataFrame(rows, columns=["user_id", "channel", "sent_at", "responded_at"])
    frame["responded_at"] = pd.to_datetime(frame["responded_at"], utc=True)
    people = pd.DataFrame({"user_id": range(n), "timezone": zone, f"consent_{channel}": True})
    return frame, om.Audience.from_frame(people)


def evening(peak=20.0, low=0.3):
    week = np.full((7, 24), low)
    week[:, int(peak) : int(peak) + 2] = 6.0
    return week.ravel()


def test_a_sender_who_always_sends_at_nine_does_not_make_people_read_at_nine():
    frame, audience = world(evening(low=0.8), [9], tau=4.0, q=0.03)
    opens = pd.to_datetime(frame["responded_at"].dropna()).dt.hour.value_counts()
    assert opens.idxmax() in (9, 10)  # what a raw histogram learns
    model = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience))
    by_hour = model.rates([0], "email")[0].reshape(7, 24).mean(axis=0)
    assert by_hour.argmax() in (20, 21)
    assert by_hour[9] < by_hour.max() / 2
    # the best hour to send is shortly before people read
    assert model.hour_probability([0], "email")[0].reshape(7, 24).mean(axis=0).argmax() in (19, 20)


def test_pull_and_rates_come_back_and_do_not_depend_on_the_timetable():
    hours = evening()
    found = []
    for sends in ([9], [6, 12, 18, 22]):
        frame, audience = world(hours, sends, tau=6.0, q=0.03, seed=3)
        model = om.timing.ReadingClock(segments=1).fit(
            om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience)
        )
        assert 4.5 < model.tau[0] < 8.0
        rates = model.rates([1], "email")[0].reshape(7, 24).mean(axis=0)
        found.append(rates)
        true = 0.03 * hours.reshape(7, 24).mean(axis=0)
        assert 0.5 < rates[20] / true[20] < 1.6
    assert 0.6 < found[0][20] / found[1][20] < 1.6


def test_people_who_differ_are_told_apart_and_the_sure_answer_is_surer():
    early, late = evening(7), evening(21)
    hours = np.stack([early] * 20 + [late] * 20)
    frame, audience = world(hours, [8, 12, 17], q=0.04, seed=1)
    sent = om.MessageLog.from_frame(frame)
    model = om.timing.ReadingClock().fit(om.Dataset(messages=sent, audience=audience))
    profile = model.hour_of_week(np.arange(40)).reshape(40, 7, 24).sum(axis=1)
    assert (profile[:20, 7:9].sum(axis=1) > profile[:20, 21:23].sum(axis=1)).mean() > 0.9
    assert (profile[20:, 7:9].sum(axis=1) < profile[20:, 21:23].sum(axis=1)).mean() > 0.9
    relative = model.standard_deviation([0, 999]) / model.rates([0, 999])
    assert (relative[0] < relative[1]).all()
    assert model.effective_sample_size([0, 999]).tolist() == [float((sent.responded & (sent.user == 0)).sum()), 0.0]
    assert model.exposure([999]).sum() == 0


def test_young_messages_do_not_lower_the_rates():
    frame, audience = world(evening(), [12], tau=12.0, q=0.03, seed=5)
    sent = om.MessageLog.from_frame(frame)
    cut = sent.before(pd.Timestamp(sent.sent_at[-1] - 1, unit="us", tz="UTC"))
    cut_at_once = cut.before(pd.Timestamp(int(cut.sent_at[-1]) + 60_000_000, unit="us", tz="UTC"))
    whole = om.timing.ReadingClock(segments=1).fit(om.Dataset(messages=sent, audience=audience)).rates([0], "email")
    part = (
        om.timing.ReadingClock(segments=1).fit(om.Dataset(messages=cut_at_once, audience=audience)).rates([0], "email")
    )
    assert abs(np.log(whole.mean() / part.mean())) < 0.1


def test_turning_everybodys_clock_turns_the_answer():
    frame, audience = world(evening(), [9, 15], seed=2, weeks=10)
    shift = pd.Timedelta("9h")  # the same wall clock in Tokyo
    tokyo = frame.assign(sent_at=frame["sent_at"] - shift, responded_at=frame["responded_at"] - shift)
    people = audience.to_frame().assign(timezone="Asia/Tokyo")
    here = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience))
    there = om.timing.ReadingClock().fit(
        om.Dataset(messages=om.MessageLog.from_frame(tokyo), audience=om.Audience.from_frame(people))
    )
    np.testing.assert_allclose(here.rates([0, 5]), there.rates([0, 5]), rtol=1e-6)
    day = pd.Timedelta("3D")
    later = frame.assign(sent_at=frame["sent_at"] + day, responded_at=frame["responded_at"] + day)
    turned = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(later), audience=audience))
    np.testing.assert_allclose(np.roll(here.rates([0, 5]), 72, axis=1), turned.rates([0, 5]), rtol=0.02)


def test_expected_answers_agree_with_a_plain_integral():
    random = np.random.default_rng(0)
    base, tau = random.random((2, 168)), np.array([3.0, 30.0])
    start, stop = random.random(6) * 168, np.array([0.2, 1.7, 30.0, 400.0, 0.9, 24.0])
    channel, row = np.array([0, 1, 0, 1, 0, 1], np.int32), np.array([0, 0, 1, 1, 2, 2], np.int32)
    spells = Spells(row, channel, start, stop, np.zeros(6, np.int64), stop, stop > 0, stop)
    expected = np.zeros((3, 168))
    for i in range(6):
        age = (np.arange(int(1000 * stop[i])) + 0.5) / 1000
        hour = ((start[i] + age) % 168).astype(int)
        np.add.at(expected[row[i]], hour, base[channel[i], hour] * np.exp(-age / tau[channel[i]]) / 1000)
    np.testing.assert_allclose(expected_counts(spells, 3, tau, base), expected, atol=2e-3)


def test_the_clock_survives_machines():
    frame, audience = world(evening(), [9], tau=4.0, q=0.05, seed=7)
    random = np.random.default_rng(1)
    machine = random.random(len(frame)) < 0.05
    proxy = frame["sent_at"] + pd.to_timedelta(random.lognormal(1.5, 0.5, len(frame)).round(1), unit="s")
    dirty = frame.assign(responded_at=frame["responded_at"].where(~machine, proxy))
    share = machine.sum() / dirty["responded_at"].notna().sum()
    assert 0.25 < share < 0.48
    sent = om.MessageLog.from_frame(dirty)
    clean = (
        om.timing.ReadingClock()
        .fit(om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience))
        .rates([0], "email")[0]
    )
    for log in (sent, om.MessageLog.from_frame(dirty.assign(machine=machine))):
        model = om.timing.ReadingClock().fit(om.Dataset(messages=log, audience=audience))
        assert abs(model.machine_share[0] - share) < 0.05
        got = model.rates([0], "email")[0]
        assert got.reshape(7, 24).mean(axis=0).argmax() in (20, 21)
        assert 0.7 < got.mean() / clean.mean() < 1.4


def test_above_half_only_clicks_are_believed():
    frame, audience = world(evening(), [9], tau=4.0, q=0.05, seed=7)
    clicked = frame["responded_at"]
    opened = frame["sent_at"] + pd.Timedelta("4s")
    sent = om.MessageLog.from_frame(frame.assign(responded_at=opened, clicked_at=clicked, machine=1.0))
    model = om.timing.ReadingClock().fit(om.Dataset(messages=sent, audience=audience))
    assert model.machine_share[0] == 1.0
    alone = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience))
    np.testing.assert_allclose(model.rates([0]), alone.rates([0]), rtol=1e-6)
    nothing = om.MessageLog.from_frame(frame.assign(responded_at=opened, machine=True))
    blind = om.timing.ReadingClock().fit(om.Dataset(messages=nothing, audience=audience))
    assert np.ptp(blind.rates([0])) < 1e-4  # says nothing rather than nine


def test_one_person_no_message_no_zone():
    frame, audience = world(evening(), [9], n=1, weeks=2)
    sent = om.MessageLog.from_frame(frame)
    model = om.timing.ReadingClock().fit(om.Dataset(messages=sent, audience=audience))
    assert np.isfinite(model.rates([0])).all()
    empty = om.MessageLog.from_frame(frame.iloc[:0])
    nobody = om.timing.ReadingClock().fit(om.Dataset(messages=empty, audience=audience))
    assert len(nobody) == 0
    lost = om.Audience.from_frame(pd.DataFrame({"user_id": [0], "timezone": [None], "consent_email": True}))
    unknown = om.timing.ReadingClock().fit(om.Dataset(messages=sent, audience=lost))
    assert np.ptp(unknown.rates([0])) < 1e-12
    at = om.slots("2025-06-02", days=1).at
    assert np.ptp(model.slot_probability(lost, np.array([0]), "email", at)) == 0
    assert np.ptp(model.slot_probability(audience, np.array([0]), "email", at)) > 0


def test_wrong_use_is_told():
    frame, audience = world(evening(), [9], n=2, weeks=1)
    sent = om.MessageLog.from_frame(frame)
    with pytest.raises(NotFittedError, match="fit returns the model"):
        om.timing.ReadingClock().rates([1])
    with pytest.raises(SchemaError, match=r"messages must be a MessageLog. Got DataFrame"):
        om.timing.ReadingClock().fit(om.Dataset(messages=frame, audience=audience))
    with pytest.raises(TypeError, match=r"fit\(om.Dataset\(messages=sent, audience=people\)\)"):
        om.timing.ReadingClock().fit(sent, audience)
    with pytest.raises(SchemaError, match=r"ReadingClock.fit needs audience"):
        om.timing.ReadingClock().fit(sent)
    with pytest.raises(ParameterError, match=r"activity must be an ActivityProfile, to be fitted .* Got ReadingClock"):
        om.timing.ReadingClock(activity=om.timing.ReadingClock())
    with pytest.raises(SchemaError, match=r"needs events, .*om.Dataset\(log, messages=sent, audience=people\)"):
        om.timing.ReadingClock(activity=om.timing.ActivityProfile()).fit(om.Dataset(messages=sent, audience=audience))
    with pytest.raises(ParameterError, match="provider='host' is not an attribute"):
        om.timing.ReadingClock(provider="host").fit(om.Dataset(messages=sent, audience=audience))
    with pytest.raises(ParameterError, match="channel must be one of the message log: 'email'"):
        om.timing.ReadingClock().fit(om.Dataset(messages=sent, audience=audience)).rates([0], "fax")
    with pytest.raises(ParameterError, match="expiry must be an hour or more"):
        om.timing.ReadingClock(expiry="5min")
    with pytest.raises(ParameterError, match="open_weight must be a number"):
        om.timing.ReadingClock(open_weight="half")


def test_order_of_rows_and_files(tmp_path):
    frame, audience = world(evening(), [9, 18], n=12, weeks=8)
    model = om.timing.ReadingClock().fit(om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience))
    shuffled = om.timing.ReadingClock().fit(
        om.Dataset(messages=om.MessageLog.from_frame(frame.sample(frac=1, random_state=1)), audience=audience)
    )
    np.testing.assert_array_equal(model.rates([3, 4]), shuffled.rates([3, 4]))
    again = om.load(om.save(model, tmp_path / "clock.omnireco"))
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(model.rates([3, 4, 99]), again.rates([3, 4, 99]))
    np.testing.assert_allclose(model.rates([3, 4])[1:], model.rates([4]), rtol=1e-12)


def test_touches_have_the_chance_of_their_hour():
    frame, audience = world(evening(), [9, 18], n=12, weeks=8)
    data = om.Dataset(messages=om.MessageLog.from_frame(frame), audience=audience)
    model = om.timing.ReadingClock().fit(data)
    week = om.slots("2025-06-02", days=7)
    ids, at = np.tile(audience.users.ids[:3], len(week)), np.repeat(week.at, 3)
    touches = om.data.Touches.of(data, ids, channel="email", at=pd.to_datetime(at, unit="us", utc=True))
    table = model.slot_probability(audience, np.arange(3), "email", week.at)
    np.testing.assert_allclose(model.probability(touches), table.T.ravel(), rtol=1e-12)
    lost = om.Dataset(audience=om.Audience.from_frame(audience.to_frame().assign(timezone=None)))
    unknown = om.data.Touches.of(lost, ids[:1], channel="email", at="2025-06-02T09:00:00Z")
    assert model.probability(unknown)[0] == pytest.approx(model.hour_probability(ids[:1], "email").mean(), rel=1e-12)
    with pytest.raises(SchemaError, match=r"ReadingModel.probability takes Touches. Got list"):
        model.probability([0])
    with pytest.raises(TypeError, match=r"Write model.probability\(om.data.Touches.of\("):
        model.probability([0], "email")
