"""One name for one zone: old spellings, spaces, and what is no zone at all."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.clock import is_zone, utc_offset, zone_file
from omnireco.data.frames.zone_names import one_name
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import DataWarning, SchemaError
from omnireco.identity.zones import ZonePosterior

CARD = om.identity.Identities.from_links(
    pd.DataFrame({"id_a": ["d"], "kind_a": "device", "id_b": ["c"], "kind_b": "card"})
)


def audience(zones, **options):
    names = ["d", "c", *(f"u{i}" for i in range(len(zones) - 2))][: len(zones)]
    return om.Audience.from_frame(pd.DataFrame({"user_id": names, "timezone": zones, "consent_push": True}), **options)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
        ("Asia/Katmandu", "Asia/Kathmandu"),
        ("Asia/Rangoon", "Asia/Yangon"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("US/Eastern", "America/New_York"),
        ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("America/Godthab", "America/Nuuk"),
        ("GB", "Europe/London"),
        ("Etc/UTC", "UTC"),
        (" Europe/Berlin ", "Europe/Berlin"),
    ],
)
def test_two_names_of_one_zone(old, new):
    assert one_name(old) == one_name(new) == new
    people = audience([old, new])
    assert people.zones.ids.tolist() == [new]
    assert people.resolve(CARD).to_frame()["timezone"].tolist() == [new]


def test_names_that_a_country_uses_stay():
    for name in {line.split("\t")[2].strip() for line in zone_file("zone.tab")}:
        assert one_name(name) == name


def test_the_one_name_has_the_same_clock():
    names = [words[2] for line in zone_file("tzdata.zi") if (words := line.split())[:1] == ["L"]]
    names = [name for name in names if is_zone(name)]
    both = Vocabulary.from_ids([*names, *map(one_name, names)])
    at = np.arange(2000, 2030)[None, :] * 31_557_600_000_000 - 1970 * 31_557_600_000_000
    old, new = (utc_offset(at, both.codes(some)[:, None], both) for some in (names, list(map(one_name, names))))
    assert len(names) > 100
    assert (old == new).all()


@pytest.mark.parametrize(
    "name",
    [
        "Etc/Unknown",
        "Etc/GMT-3",
        "GMT+2",
        "EST",
        "UTC+3",
        "GMT",
        "gmt",
        "GMT0",
        "Europe/Berln",
        "est",
        "posix/UTC",
        "  ",
        3.5,
        None,
    ],
)
def test_what_is_no_zone(name):
    assert one_name(name) is None


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("europe/berlin ", "Europe/Berlin"),
        ("AMERICA/NEW YORK", "America/New_York"),
        ("asia/calcutta", "Asia/Kolkata"),
        ("us/eastern", "America/New_York"),
        *((name, "UTC") for name in ("utc", "Zulu", "UCT", "Universal", "Etc/GMT", "Etc/GMT+0", "etc/utc", "Etc/Zulu")),
    ],
)
def test_a_zone_in_other_letters_is_that_zone(name, one):
    assert one_name(name) == one


def test_one_bad_zone_leaves_one_person_without_a_zone():
    zones = ["Europe/Berlin", "Etc/Unknown", "Etc/GMT-3", "", " Europe/Berlin"]
    with pytest.warns(
        DataWarning, match=r"2 values that are not an IANA region, in 2 rows \(positions 1, 2\): 'Etc/GMT"
    ):
        people = audience(zones)
    assert people.zone[people.users.codes(["d", "c", "u0", "u1", "u2"])].tolist() == [0, -1, -1, -1, 0]
    quiet = audience(zones, on_invalid="drop")
    assert quiet.quality.rows("no zone").tolist() == people.quality.rows("no zone").tolist() == [1, 2]
    assert repr(quiet) == repr(people) == "Audience(5 users, 1 zone, 3 users without a zone, consent: push 5)"
    assert quiet.quality.n_dropped == 0


def test_a_column_without_any_zone_is_refused_unless_dropped():
    with pytest.raises(SchemaError, match=r"2 values that are not an IANA region.*'EST', 'GMT\+2'"):
        audience(["EST", "GMT+2"])
    people = audience(["EST", "GMT+2"], on_invalid="drop")
    assert people.zone.tolist() == [-1, -1]
    assert people.rows(["d"]).quality is people.quality


def test_cells_that_are_no_text_are_no_zone():
    people = om.Audience.from_frame(
        pd.DataFrame({"user_id": ["a", None, "b"], "timezone": ["Asia/Tokyo", "Asia/Tokyo", 5], "consent_push": True}),
        on_invalid="drop",
    )
    assert people.users.ids.tolist() == ["a", "b"]
    assert people.zone.tolist() == [0, -1]
    assert people.quality.dropped.tolist() == [1]
    assert people.quality.rows("no zone").tolist() == [2]


def test_posteriors_and_logs_know_one_name_too():
    frame = pd.DataFrame(
        {"user_id": 1, "timezone": ["Asia/Calcutta", "Asia/Kolkata", "Asia/Tokyo"], "probability": [0.3, 0.3, 0.4]}
    )
    assert ZonePosterior.from_frame(frame).zones.ids.tolist() == ["Asia/Kolkata", "Asia/Tokyo"]
    noon = pd.to_datetime(["2025-05-01 12:00"], utc=True)
    events = pd.DataFrame({"user_id": ["u"], "item_id": "i", "channel": "web", "event": "view", "timestamp": noon})
    log = om.EventLog.from_frame(events.assign(timezone=" Asia/Calcutta"), context=["timezone"])
    data = om.Dataset(log, audience=audience(["Asia/Tokyo"]))
    assert om.timing.by_hour(data, per="day").to_frame()["item_id"].tolist() == [17]
