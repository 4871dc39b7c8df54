"""Zones that nobody told: found from recorded clocks, shops, countries and hours; and kept quiet when in doubt."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.clock import country_zones, hour_of_week, is_zone, local_us
from omnireco.errors import ParameterError, SchemaError
from omnireco.identity.zones import WORLD

HOUR = 3_600_000_000
NIGHT = (21 * HOUR, 8 * HOUR)


def people(zones, **more):
    return om.Audience.from_frame(
        pd.DataFrame({"user_id": np.arange(len(zones)), "timezone": zones, "consent_push": True, **more}),
        attributes=list(more),
    )


def events(rows, context=("utc_offset_min",)):
    """Rows of (user, time, label)."""
    frame = pd.DataFrame(rows, columns=["user_id", "timestamp", context[0]])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    return om.EventLog.from_frame(frame.assign(item_id="x", channel="app", event="view"), context=list(context))


def days(user, start, n, label):
    return [(user, at, label) for at in pd.date_range(start, periods=n, freq="D", tz="UTC")]


def chance(posterior, user):
    table = posterior.to_frame()
    return table[table["user_id"] == user].set_index("timezone")["probability"]


def test_every_zone_of_the_world_list_is_one_and_no_two_have_the_same_clock():
    assert all(is_zone(name) for name in WORLD)
    names = om.data.Vocabulary.from_ids(sorted(WORLD))
    at = np.arange(0, 3 * 366) * 24 * HOUR + 1_640_995_200_000_000
    clocks = local_us(at[None], np.arange(len(names), dtype=np.int32)[:, None], names)
    assert len(np.unique(clocks, axis=0)) == len(names)


@pytest.mark.parametrize(
    ("offset", "zone"), [(345, "Asia/Kathmandu"), (765, "Pacific/Chatham"), (-570, "Pacific/Marquesas")]
)
def test_odd_offsets_name_their_zone(offset, zone):
    at = "2025-06-10" if offset == 765 else "2025-01-10"
    found = om.timing.infer_zones(om.Dataset(events(days(0, at, 10, offset)), audience=people([None])))
    assert found.best([0])[0][0] == zone


def test_daylight_saving_tells_zones_with_the_same_winter_apart():
    winter = days(0, "2025-01-10", 10, -420)
    summer = days(0, "2025-04-10", 10, -420)  # stays at -7 h in April: Phoenix, not Denver
    both = om.timing.infer_zones(om.Dataset(events(winter + summer), audience=people([None])))
    only = om.timing.infer_zones(om.Dataset(events(winter), audience=people([None])))
    assert chance(both, 0)["America/Phoenix"] > 0.9
    assert {"America/Denver", "America/Phoenix"} <= set(only.zones.ids[only.sets()[1]])


def test_a_traveller_is_kept_quiet_in_both_zones_and_then_has_moved():
    home = days(0, "2025-03-01", 60, 540)
    log = home + days(0, "2025-04-30", 1, 0)
    first = om.timing.infer_zones(om.Dataset(events(log), audience=people(["Asia/Tokyo"])))
    members = set(first.zones.ids[first.sets()[1]])
    assert "Asia/Tokyo" in members
    assert members & {"Africa/Abidjan", "Atlantic/Azores"}  # the clocks that read UTC on that day
    moved = om.timing.infer_zones(
        om.Dataset(events(home + days(0, "2025-04-30", 6, -180)), audience=people(["Asia/Tokyo"]))
    )
    assert moved.best([0])[0][0] in ("America/Sao_Paulo", "America/Nuuk", "America/Halifax")
    back = om.timing.infer_zones(
        om.Dataset(
            events(home + days(0, "2025-04-30", 6, -180) + days(0, "2025-05-06", 5, 540)), audience=people([None])
        )
    )
    assert back.best([0])[0][0] == "Asia/Tokyo"
    later = om.timing.infer_zones(
        om.Dataset(events(home + days(0, "2025-04-30", 4, -180)), audience=people(["Asia/Tokyo"])), at="2025-07-01"
    )
    assert later.best([0])[0][0] == "Asia/Tokyo"  # silent for two months: home again
    wrong = om.timing.infer_zones(
        om.Dataset(events(home + days(0, "2025-04-30", 30, 7)), audience=people(["Asia/Tokyo"]))
    )
    assert wrong.best([0])[1][0] > 0.98  # an offset that no zone keeps says nothing


def test_shops_countries_and_others():
    log = events(
        [(0, "2025-05-01 10:00", "s1"), (0, "2025-05-09 10:00", "s1"), (1, "2025-05-01 10:00", None)], ("store_id",)
    )
    found = om.timing.infer_zones(om.Dataset(log, audience=people([None, None])), stores={"s1": "Asia/Kolkata"})
    assert found.best([0])[0][0] == "Asia/Kolkata"
    assert country_zones("in") == ("Asia/Kolkata",)
    assert country_zones("XX") == ()
    lands = people([None, None, None, *["Europe/Berlin"] * 20], land=["NP", "US", None] + ["DE"] * 20)
    found = om.timing.infer_zones(om.Dataset(log, audience=lands), country="land")
    assert chance(found, 0)["Asia/Kathmandu"] > 0.99
    assert chance(found, 1).filter(like="America/").sum() + chance(found, 1).filter(like="Pacific/").sum() > 0.99
    assert found.best([2])[0][0] == "Europe/Berlin"  # where the others are
    given = om.timing.infer_zones(om.Dataset(log, audience=lands), country="land", countries={"US": ["America/Denver"]})
    assert chance(given, 1)["America/Denver"] > 0.98


def test_hours_are_weak_evidence_and_calibrated():
    company = om.worlds.Company(share_without_zone=0.4, sessions_per_week=5)
    world = om.simulate(n_users=600, n_items=20, days=120, seed=4, company=company)
    log, audience = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    activity = om.timing.ActivityProfile(half_life=None)
    kwargs = {"zones": sorted(set(world.truth.zone))}
    found = om.timing.infer_zones(om.Dataset(log, audience=audience), activity=activity, **kwargs)
    blind = om.timing.infer_zones(om.Dataset(log, audience=audience), zones=kwargs["zones"])
    lost = np.flatnonzero(audience.zone < 0)
    ids, truth = audience.users.ids[lost], world.truth.zone[lost]

    def told(posterior):
        table = posterior.to_frame().set_index(["user_id", "timezone"])["probability"]
        return np.array([table.get((user, zone), 1e-6) for user, zone in zip(ids, truth, strict=True)])

    assert np.log(told(found)).mean() > np.log(told(blind)).mean() + 0.2
    indptr, zone = found.sets()
    rows = found.users.codes(ids)
    inside = [name in found.zones.ids[zone[indptr[r] : indptr[r + 1]]] for r, name in zip(rows, truth, strict=True)]
    assert np.mean(inside) > 0.97


def test_quiet_hours_hold_in_every_zone_of_the_set():
    """Random cases against the plain definition: unknown zones, both daylight-saving days, quarter hours."""
    random = np.random.default_rng(0)
    n = 300
    zones = np.array(["America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "Australia/Lord_Howe", "Europe/London"])
    table = random.dirichlet(np.full(len(zones), 0.15), n)
    names = om.data.Vocabulary.from_ids(zones)
    users = om.data.Vocabulary.from_ids(np.arange(n))
    posterior = om.identity.ZonePosterior.from_table(users, names, table[:, np.argsort(zones)])
    audience = people([None] * n)
    starts = ["2025-03-09", "2025-11-02", "2025-04-05", "2025-10-05", "2025-03-30"]
    at = np.concatenate([om.slots(start, days=2, every="15min").at for start in starts])
    frame = pd.DataFrame({"user_id": random.integers(0, n, 40_000), "item_id": "x", "channel": "push", "value": 1.0})
    frame["send_at"] = pd.to_datetime(random.choice(at, len(frame)), unit="us", utc=True)
    frame = frame.drop_duplicates(["user_id", "send_at"])
    rule = om.QuietHours("21:00", "08:00", zones=posterior)
    kept = om.planning.Candidates.from_frame(frame, om.Dataset(audience=audience), eligibility=[rule])
    assert 0 < len(kept) < len(frame)
    sent, violations = set(), 0
    for user, send_at in zip(kept.touches.user, kept.touches.send_at, strict=True):
        row = kept.touches.users.ids[user]
        sent.add((row, send_at))
        order = np.argsort(-posterior_row(posterior, row), kind="stable")
        p = posterior_row(posterior, row)[order]
        for z in order[: int(np.searchsorted(np.cumsum(p), 0.99)) + 1]:
            clock = pd.Timestamp(send_at, unit="us", tz="UTC").tz_convert(posterior.zones.ids[z])
            violations += not 8 <= clock.hour < 21
    assert violations == 0
    at_us = om.planning.Candidates.from_frame(frame, om.Dataset(audience=audience)).touches
    again = posterior.allowed(at_us.users.decode(at_us.user), at_us.send_at, NIGHT)
    assert int(again.sum()) == len(kept)


def posterior_row(posterior, user):
    found, row = np.zeros(len(posterior.zones)), posterior.row[user]
    part = slice(posterior.indptr[row], posterior.indptr[row + 1])
    found[posterior.zone[part]] = posterior.probability[part]
    return found


def test_who_may_be_anywhere_is_not_written_to_at_night_or_day():
    log = events([(0, "2025-05-01", None)])
    world = om.timing.infer_zones(om.Dataset(log, audience=people([None])))
    at = om.slots("2025-06-02", days=2, every="15min").at
    assert not world.allowed(np.zeros(at.size, int), at, NIGHT).any()
    assert not world.allowed(np.full(at.size, 77), at, NIGHT).any()  # strangers
    europe = om.timing.infer_zones(om.Dataset(log, audience=people([None])), zones=["Europe/London", "Europe/Athens"])
    hours = hour_of_week(at, np.zeros(at.size, np.int32), om.data.Vocabulary.from_ids(["Europe/London"])) % 24
    assert sorted(set(hours[europe.allowed(np.zeros(at.size, int), at, NIGHT)])) == list(range(8, 19))


def test_samoa_skips_a_day_and_nobody_is_woken():
    at = om.slots("2011-12-29", days=4, every="15min").at
    posterior = om.identity.ZonePosterior.from_frame(
        pd.DataFrame({"user_id": [0], "timezone": ["Pacific/Apia"], "probability": [1.0]})
    )
    apia = om.data.Vocabulary.from_ids(["Pacific/Apia"])
    local = local_us(at, np.zeros(at.size, np.int32), apia)
    assert not (local // (24 * HOUR) == pd.Timestamp("2011-12-30").value // 86_400_000_000_000).any()
    clock = local // HOUR % 24
    np.testing.assert_array_equal(posterior.allowed(np.zeros(at.size, int), at, NIGHT), (clock >= 8) & (clock < 21))


def test_filling_an_audience_only_where_one_clock_is_sure():
    frame = pd.DataFrame(
        [(0, "Europe/Berlin", 0.6), (0, "Europe/Paris", 0.4), (1, "Europe/Berlin", 0.6), (1, "Asia/Tokyo", 0.4),
         (2, "Asia/Tokyo", 1.0)],
        columns=["user_id", "timezone", "probability"],
    )  # fmt: skip
    audience = people([None, None, "America/New_York", None])
    filled = om.identity.ZonePosterior.from_frame(frame).fill(audience)
    frame = filled.to_frame().astype(object)
    assert frame["timezone"].where(frame["timezone"].notna(), None).tolist() == [
        "Europe/Berlin",
        None,
        "America/New_York",
        None,
    ]
    assert repr(audience) == repr(people([None, None, "America/New_York", None]))


def test_wrong_input_and_files(tmp_path):
    log, audience = events([(0, "2025-05-01", 60)]), people([None])
    with pytest.raises(TypeError, match=r"Write om.timing.infer_zones\(om.Dataset\(log, audience=people\)\)"):
        om.timing.infer_zones(log, audience)
    with pytest.raises(SchemaError, match=r"infer_zones needs audience.*Write om.Dataset\(log, audience=people\)"):
        om.timing.infer_zones(log)
    with pytest.raises(ParameterError, match="activity must be an ActivityProfile"):
        om.timing.infer_zones(om.Dataset(log, audience=audience), activity=3)
    with pytest.raises(ParameterError, match=r"stores must hold IANA zones such as 'Europe/Berlin'. Got 'UTC\+1'"):
        om.timing.infer_zones(om.Dataset(log, audience=audience), stores={"s": "UTC+1"})
    with pytest.raises(ParameterError, match="country='land' is not an attribute"):
        om.timing.infer_zones(om.Dataset(log, audience=audience), country="land")
    with pytest.raises(ParameterError, match="at precedes the last event"):
        om.timing.infer_zones(om.Dataset(log, audience=audience), at="2025-04-01")
    with pytest.raises(ParameterError, match=r"zones must be a ZonePosterior\. Got Audience"):
        om.QuietHours("21:00", "08:00", zones=audience)
    frame = pd.DataFrame({"user_id": [1, 1], "timezone": ["Europe/Rome", "CET"], "probability": [0.5, 0.5]})
    with pytest.raises(SchemaError, match=r"not an IANA region in 1 row \(position 1\)"):
        om.identity.ZonePosterior.from_frame(frame)
    with pytest.raises(SchemaError, match="sum to 1; they do not in 2 rows"):
        om.identity.ZonePosterior.from_frame(
            frame.assign(timezone=["Europe/Rome", "Asia/Tokyo"], probability=[0.5, 0.4])
        )
    found = om.timing.infer_zones(om.Dataset(log, audience=audience))
    again = om.load(om.save(found, tmp_path / "zones.omnireco"))
    pd.testing.assert_frame_equal(again.to_frame(), found.to_frame())
    nobody = om.timing.infer_zones(om.Dataset(log, audience=people([])))
    assert len(nobody) == 0
    assert nobody.best([3])[1].tolist() == [0.0]


def test_people_of_whom_nothing_is_known_share_a_row():
    audience = people([None] * 20_000 + ["Europe/Rome"] * 10)
    found = om.timing.infer_zones(om.Dataset(events(days(7, "2025-01-10", 10, 345)), audience=audience))
    assert found.indptr.size - 1 == 3  # nobody told, Rome told, and the one with recorded clocks
    assert np.unique(found.row[:20_000]).size == 2
    assert found.best([7])[0][0] == "Asia/Kathmandu"
    assert found.best([20_001])[0][0] == "Europe/Rome"
    indptr, zone = found.sets()
    for user in (0, 7, 20_001):
        part = found.zone[found.indptr[found.row[user]] : found.indptr[found.row[user] + 1]]
        mine = zone[indptr[user] : indptr[user + 1]]
        np.testing.assert_array_equal(mine, part[: mine.size])
    assert len(found.to_frame()) == np.diff(found.indptr)[found.row].sum()
