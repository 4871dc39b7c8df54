"""Public holidays: an hour of such a day counts as the same hour of a Sunday."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.clock import clock_changes as plain_changes
from omnireco.data.clock import hour_of_week as plain_hour
from omnireco.data.clock import local_us
from omnireco.data.holidays import Holidays, clock_changes, hour_of_week

HOUR, DAY = 3_600_000_000, 86_400_000_000
ZONES = om.data.Vocabulary(np.array(["America/New_York", "Asia/Tokyo", "Europe/Berlin"], object))
DATES = {"Europe/Berlin": ["2025-05-01", "2025-10-03", "2025-03-31"], "America/New_York": [dt.date(2025, 7, 4)]}


def test_hours_of_a_holiday_are_those_of_a_sunday():
    days = Holidays.from_dates(DATES)
    at = np.arange(pd.Timestamp("2025-01-01").value // 1000, pd.Timestamp("2026-01-01").value // 1000, HOUR)
    for zone in range(3):
        found = hour_of_week(at, np.int32(zone), ZONES, days)
        local = local_us(at, np.int32(zone), ZONES)
        date = local.astype("datetime64[us]").astype("datetime64[D]").astype(str)
        free = np.isin(date, [str(day) for day in DATES.get(ZONES.ids[zone], [])])
        usual = plain_hour(at, np.int32(zone), ZONES)
        assert (found[free] == 144 + local[free] // HOUR % 24).all()
        assert (found[~free] == usual[~free]).all()
        assert free.sum() in (0, 24, 72)
    assert (hour_of_week(at[:5], np.int32(-1), ZONES, days) == -1).all()


@pytest.mark.parametrize("zone", range(3))
def test_clocks_of_kernels_agree_with_hours_on_every_hour_of_years(zone):
    days = Holidays.from_dates(DATES | {"Asia/Tokyo": ["2024-01-01", "2025-01-02", "2025-01-01"]})
    at = np.arange(pd.Timestamp("2024-06-01").value // 1000, pd.Timestamp("2026-02-01").value // 1000, HOUR)
    when, where, east = clock_changes(ZONES, np.array([zone]), int(at[0]), int(at[-1]), days)
    assert (where == zone).all()
    assert (np.diff(when) > 0).all()
    assert when[0] <= at[0]
    offset = east[np.searchsorted(when, at, side="right") - 1]
    assert (((at + offset) // HOUR + 72) % 168 == hour_of_week(at, np.int32(zone), ZONES, days)).all()


def test_without_holidays_clocks_are_as_they_were():
    span = 1_735_689_600_000_000, 1_759_276_800_000_000
    for days in (None, Holidays.from_dates({})):
        for found, usual in zip(
            clock_changes(ZONES, np.arange(3), *span, days), plain_changes(ZONES, np.arange(3), *span), strict=True
        ):
            assert (found == usual).all()


def world(*, rest: bool, seed: int = 0):
    """People who come at 20:00 on weekdays and at 11:00 on Sundays; on holidays too, if they rest."""
    rng = np.random.default_rng(seed)
    free = pd.to_datetime(["2025-04-18", "2025-04-21", "2025-05-01", "2025-05-29", "2025-06-09"])
    rows = []
    for user in range(60):
        for day in pd.date_range("2025-03-03", "2025-06-29"):
            sunday = day.weekday() >= 5 or (rest and day in free)
            if rng.random() < (0.8 if sunday else 0.3):
                rows.append((user, "app", day + pd.Timedelta(hours=(11 if sunday else 20) + rng.random())))
    frame = pd.DataFrame(rows, columns=["user_id", "channel", "timestamp"])
    frame["timestamp"] = frame["timestamp"].dt.tz_localize("Europe/Berlin")
    log = om.EventLog.from_frame(frame.assign(item_id="x", event="view"))
    people = pd.DataFrame({"user_id": range(60), "timezone": "Europe/Berlin", "consent_push": True})
    dates = {"Europe/Berlin": [day.date() for day in free] + ["2025-10-03"]}
    return om.Dataset(log, audience=om.Audience.from_frame(people, holidays=Holidays.from_dates(dates)))


def test_the_best_hour_of_a_holiday_is_that_of_a_sunday():
    data = world(rest=True)
    model = om.SendTime().fit(data)
    assert set(model.best(data, "2025-10-03", 1, channel="push")["send_at_local"].dt.hour) <= {9, 10, 11}
    assert set(model.best(data, "2025-10-02", 1, channel="push")["send_at_local"].dt.hour) <= {18, 19, 20}
    everywhere = pd.date_range("2025-10-03", periods=24, freq="h", tz="Europe/Berlin")
    touches = om.data.Touches.of(data, np.zeros(24, int), channel="push", at=everywhere)
    table = model.slot_probability(
        data.audience, np.zeros(1, int), "push", everywhere.tz_convert("UTC").as_unit("us").asi8
    )
    assert (model.probability(touches) == table[0]).all()
    assert (touches.take(np.arange(3)).hour_of_week == [144, 145, 146]).all()


def test_touches_of_candidates_keep_the_holiday():
    data = world(rest=True)
    model = om.SendTime().fit(data)
    lists = om.Popularity().fit(data).recommend(data.requests(), k=1, exclude_seen=False)
    found = om.candidates(lists, data, model, om.slots("2025-10-03", days=1), channels=["push"])
    assert (found.touches.hour_of_week >= 144).all()
    np.testing.assert_allclose(model.probability(found.touches), found.probability, rtol=1e-12)
    read = om.planning.Candidates.from_frame(found.to_frame().drop(columns="send_at_local"), data)
    assert (read.touches.hour_of_week == found.touches.hour_of_week).all()
    both = om.planning.Candidates.concat([found, read])
    assert (both.touches.hour_of_week >= 144).all()


def test_people_who_work_on_holidays_are_noticed():
    with pytest.warns(om.errors.DataWarning, match="as on working days, not as on Sundays"):
        om.timing.ActivityProfile().fit(world(rest=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        om.timing.ActivityProfile().fit(world(rest=True))


def test_events_with_their_own_clock_know_the_holiday():
    log = om.EventLog.from_frame(
        pd.DataFrame(
            {"user_id": 1, "item_id": "x", "channel": "app", "event": "view", "utc_offset_min": "120",
             "timestamp": pd.to_datetime(["2025-05-01T10:00Z", "2025-05-02T10:00Z"])}
        ),
        context=["utc_offset_min"],
    )  # fmt: skip
    people = pd.DataFrame({"user_id": [1], "timezone": "Europe/Berlin", "consent_push": True})
    audience = om.Audience.from_frame(people, holidays=Holidays.from_dates(DATES))
    hours = om.timing.by_hour(om.Dataset(log, audience=audience)).to_scipy()
    assert sorted(hours.indices.tolist()) == [4 * 24 + 12, 6 * 24 + 12]


def test_an_audience_keeps_its_holidays(tmp_path):
    data = world(rest=True)
    om.save(data.audience, tmp_path / "audience.omni")
    for kept in (om.load(tmp_path / "audience.omni"), data.audience.rows([3, 1]), data.audience.as_of("2025-01-01")):
        assert kept.holidays.to_frame().equals(data.audience.holidays.to_frame())


def test_countries_by_the_package():
    pytest.importorskip("holidays")
    days = Holidays.of_countries(["DE-BY", "US"], years=[2025])
    frame = days.to_frame()
    berlin = frame.loc[frame["timezone"] == "Europe/Berlin", "date"].dt.strftime("%m-%d").tolist()
    assert {"01-06", "05-01", "10-03", "12-25"} <= set(berlin)
    assert "07-04" in frame.loc[frame["timezone"] == "America/New_York", "date"].dt.strftime("%m-%d").tolist()
    with pytest.raises(om.errors.ParameterError, match="does not know 'XX'"):
        Holidays.of_countries(["XX"], years=[2025])
    with pytest.raises(om.errors.ParameterError, match="Name one of the two"):
        Holidays.of_countries(["DE", "DE-BY"], years=[2025])
    with pytest.raises(om.errors.ParameterError, match="list of codes"):
        Holidays.of_countries("DE", years=[2025])
    with pytest.raises(om.errors.ParameterError, match="list of years"):
        Holidays.of_countries(["DE"], years=2025)


def test_without_the_package_the_error_says_what_to_do(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(om.errors.ParameterError, match=r"pip install 'omnireco\[holidays\]'"):
        Holidays.of_countries(["DE"], years=[2025])


@pytest.mark.parametrize(
    ("dates", "match"),
    [
        ({"Berlin": ["2025-12-25"]}, "not an IANA time zone"),
        ({"Europe/Berlin": "2025-12-25"}, "must be a list"),
        ({"Europe/Berlin": ["25.12.2025"]}, "must be a local date"),
        ({"Europe/Berlin": [None]}, "must be a local date"),
        ({"Europe/Berlin": [pd.NaT]}, "must be a local date"),
        ({"Europe/Berlin": [float("nan")]}, "must be a local date"),
        ({"Europe/Berlin": [20251225]}, "must be a local date"),
        ({"Europe/Berlin": [dt.datetime(2025, 12, 25, 8)]}, "must be a local date"),
        ({"Europe/Berlin": ["0001-01-01", "2025-12-25"]}, "more than 200 years"),
        (["2025-12-25"], "must be a mapping"),
    ],
)
def test_what_is_no_holiday_is_refused(dates, match):
    with pytest.raises(om.errors.ParameterError, match=match):
        Holidays.from_dates(dates)


def test_dates_in_any_dress_and_twice_are_one():
    many = [
        "2025-12-25",
        dt.date(2025, 12, 25),
        pd.Timestamp("2025-12-25"),
        np.datetime64("2025-12-25"),
        " 2025-12-25 ",
    ]
    assert len(Holidays.from_dates({"Europe/Berlin": many})) == 1


def test_an_audience_refuses_what_is_none():
    people = pd.DataFrame({"user_id": [1], "timezone": "Europe/Berlin", "consent_push": True})
    with pytest.raises(om.errors.ParameterError, match=r"Holidays\.from_dates"):
        om.Audience.from_frame(people, holidays=["2025-12-25"])


def test_old_names_of_a_zone_are_the_zone():
    """People's zones have one name each; holidays under another name of it were nobody's."""
    days = Holidays.from_dates({"Asia/Calcutta": ["2025-08-15"], "GB": ["2025-12-26"]})
    assert days.zones.ids.tolist() == ["Asia/Kolkata", "Europe/London"]
    shops = om.data.Shops.from_frame(
        pd.DataFrame({"store_id": ["old", "new"], "timezone": ["Asia/Calcutta", "Asia/Kolkata"]}),
        hours={name: {"daily": "00:00-24:00"} for name in ("old", "new")},
        holidays=days,
    )
    noon = np.full(2, pd.Timestamp("2025-08-15 12:00", tz="Asia/Kolkata").value // 1000)
    assert shops.minutes_open(np.array([0, 1]), noon).tolist() == [0.0, 0.0]
