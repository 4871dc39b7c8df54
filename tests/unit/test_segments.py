"""Profiles from what is known besides sessions: given segments, attributes, channels, quarters of an hour."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.timing.activity import ActivityProfile

MONDAY = pd.Timestamp("2025-01-06", tz="UTC")


def people(n=60, strangers=4):
    """Early birds in Spain, night owls in Japan, named; a few of each without any event, one without attributes."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(n):
        night = user % 2
        for _ in range(int(rng.integers(3, 30))):
            mobile = rng.random() < 0.5
            hour = (13 if mobile and not night else 21 if night else 7) + rng.normal(0, 1)
            at = MONDAY + pd.Timedelta(days=int(rng.integers(100)), hours=float(hour))
            quarter = 30 if night else 0
            rows.append((user, "app" if mobile else "web", at.floor("h") + pd.Timedelta(minutes=quarter + 2)))
    frame = pd.DataFrame(rows, columns=["user_id", "channel", "timestamp"]).assign(item_id="a", event="view")
    total = n + strangers
    audience = pd.DataFrame(
        {
            "user_id": range(total),
            "timezone": "UTC",
            "consent_web": True,
            "country": [("ES", "JP")[user % 2] if user < total - 1 else None for user in range(total)],
        }
    )
    return om.EventLog.from_frame(frame), om.Audience.from_frame(audience, attributes=["country"])


@pytest.fixture(scope="module")
def nouns():
    return people()


def peaks(model, ids):
    return model.hour_of_week(ids).reshape(-1, 7, 24).sum(axis=1).argmax(axis=1)


@pytest.mark.parametrize("options", [{"segments": "country"}, {"segments": 2, "covariates": ("country",)}])
def test_strangers_start_as_people_like_them(nouns, options, tmp_path):
    model = ActivityProfile(half_life=None, **options).fit(om.Dataset(nouns[0], audience=nouns[1]))
    known = peaks(model, [60, 61])  # no events: Spain, Japan
    assert known[0] in (6, 7, 8, 12, 13)
    assert known[1] in (20, 21, 22)
    assert (model.hour_of_week([63, 999]) == model.population).all()  # no attribute; unknown altogether
    np.testing.assert_allclose(model.hour_of_week(range(70)).sum(axis=1), 1.0)
    om.save(model, tmp_path / "m.omnireco")
    again = om.load(tmp_path / "m.omnireco")
    assert (again.hour_of_week(range(70)) == model.hour_of_week(range(70))).all()


def test_without_covariates_strangers_are_everybody(nouns):
    model = ActivityProfile(half_life=None).fit(om.Dataset(nouns[0], audience=nouns[1]))
    assert (model.hour_of_week([60, 61]) == model.population).all()


def test_an_infinite_prior_gives_the_named_segment(nouns):
    model = ActivityProfile(half_life=None, segments="country", prior_strength=float("inf")).fit(
        om.Dataset(nouns[0], audience=nouns[1])
    )
    np.testing.assert_allclose(model.hour_of_week([0, 2]), np.tile(model.base.phi[0], (2, 1)), rtol=1e-9)


def test_send_times_of_strangers_follow_their_country(nouns):
    model = om.SendTime(activity=ActivityProfile(half_life=None, segments="country")).fit(
        om.Dataset(nouns[0], audience=nouns[1])
    )
    curve = model.slot_probability(nouns[1], np.array([60, 61]), "web", om.slots("2025-06-02", days=1).at)
    assert (curve[0] != curve[1]).any()
    assert curve[0].argmax() < 14 < curve[1].argmax()


def test_channels_have_hours_of_their_own(nouns, tmp_path):
    model = ActivityProfile(half_life=None, channels=("app", "web")).fit(om.Dataset(nouns[0], audience=nouns[1]))
    early = [user for user in range(0, 60, 2) if model.history[user] > 15]
    app = model.hour_of_week(early, channel="app").reshape(-1, 7, 24).sum(axis=1)
    web = model.hour_of_week(early, channel="web").reshape(-1, 7, 24).sum(axis=1)
    assert (app[:, 12:15].sum(axis=1) > web[:, 12:15].sum(axis=1)).all()
    np.testing.assert_allclose(app.sum(axis=1), 1.0)
    assert model.channels["app"].strength < 100
    assert (model.hour_of_week([63], channel="app") == model.population).all()
    om.save(model, tmp_path / "m.omnireco")
    again = om.load(tmp_path / "m.omnireco")
    assert (again.hour_of_week(early, channel="app") == model.hour_of_week(early, channel="app")).all()
    with pytest.raises(ParameterError, match=r"profiles of its own \('app', 'web'\). Got 'email'"):
        model.hour_of_week([1], channel="email")
    with pytest.raises(ParameterError, match="channels must be channels of the log"):
        ActivityProfile(channels=("fax",)).fit(om.Dataset(nouns[0], audience=nouns[1]))


def test_channels_that_agree_lean_on_the_person():
    """The channel is drawn by a coin: hours of its own would only be noise."""
    log, audience = people(n=80)
    frame = log.to_frame()
    frame["channel"] = np.where(np.random.default_rng(1).random(len(frame)) < 0.5, "a", "b")
    model = ActivityProfile(half_life=None, channels=("a",)).fit(
        om.Dataset(om.EventLog.from_frame(frame), audience=audience)
    )
    assert model.channels["a"].strength >= 64


def test_quarters_divide_hours_as_the_segment_does(nouns):
    model = ActivityProfile(half_life=None, segments=2).fit(om.Dataset(nouns[0], audience=nouns[1]))
    quarters = model.quarter_of_week([0, 1, 999])
    assert quarters.shape == (3, 672)
    np.testing.assert_allclose(quarters.reshape(3, 168, 4).sum(axis=2), model.hour_of_week([0, 1, 999]))
    share = quarters.reshape(3, 168, 4).sum(axis=1)
    assert share[0].argmax() == 0
    assert share[1].argmax() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segments": "plan"}, r"no attribute 'plan'; it knows 'country'"),
        ({"covariates": ("plan",)}, r"no attribute 'plan'"),
        ({"covariates": ("country",), "segments": 1}, "covariates tell apart segments"),
        ({"covariates": ("country",), "segments": "country"}, "covariates tell apart segments"),
        ({"covariates": "country", "segments": 0}, "segments must be an integer"),
    ],
)
def test_what_is_not_known(nouns, options, message):
    with pytest.raises(ParameterError, match=message):
        ActivityProfile(**options).fit(om.Dataset(nouns[0], audience=nouns[1]))
