"""More tables of other projects, stated again: their inputs and numbers, none of their code.

Each part names its source. The tests of ranking metrics, of neighbours and of LinUCB are in test_peers_suites.py, those
of off-policy estimators, with every number of obp's, in test_off_policy_obp.py.
"""

import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco import adapters
from omnireco.data.clock import utc_offset

# ---- MABWiser, tests/test_softmax.py and tests/test_greedy.py: arms without contexts ------------------------

ARMS = [1, 1, 1, 2, 2, 3, 3, 3, 3, 3]
REWARDS = np.array([0, 1, 1, 0, 0, 0, 0, 1, 1, 1.0])


def plain(policy, exploration, arms=(1, 2, 3)):
    """Return a bandit whose arms know nothing but their own mean; the pull of its prior is .000001 of a reward."""
    live = om.LinearBandit(
        policy=policy, exploration=exploration, noise=1.0, floor=0.0, shared=False, regularization=1e-6
    )
    return live.start(list(arms), n_features=1)


def fitted(live, arms, rewards):
    live.update(list(arms), np.zeros((len(arms), 1)), np.asarray(rewards, float))
    return live


NOBODY = np.zeros((1, 1))


@pytest.mark.parametrize(
    ("tau", "expected"),
    [
        (1.0, [0.4083425853583662, 0.20965007375301267, 0.3820073408886212]),  # test_tau1_expectations
        (1e-5, [1.0, 0.0, 0.0]),  # test_tau0_expectations
    ],
)
def test_softmax_gives_the_chances_of_mabwiser(tau, expected):
    live = fitted(plain("softmax", tau), ARMS, REWARDS)
    np.testing.assert_allclose(live.propensity(NOBODY)[0], expected, atol=1e-6)


def test_softmax_with_an_arm_never_tried_and_later_rewards_as_mabwiser():
    """test_fit_twice and test_partial_fit, which give three digits."""
    live = fitted(plain("softmax", 1.0, (1, 2, 3, 4)), ARMS, REWARDS)
    found = live.propensity(NOBODY)[0]
    np.testing.assert_allclose([found[0], found[3]], [0.338, 0.173], atol=0.001)
    fitted(live, [1, 3, 4], [0, 1, 1])
    np.testing.assert_allclose(live.expected(NOBODY)[0, [0, 3]], [0.5, 1.0], atol=1e-5)
    found = live.propensity(NOBODY)[0]
    np.testing.assert_allclose([found[0], found[3]], [0.225, 0.372], atol=0.001)


@pytest.mark.parametrize(
    ("tau", "arms", "rewards", "best"),
    [  # test_softmax_t3, t4, t8, t9, t10: one arm is so much better that every draw is its
        (1.0, [1, 1, 4, 4, 2, 2, 1, 1, 4, 2, 1, 4, 1, 2, 4], [7, 9, 10, 20, 2, 5, 8, 15, 17, 11, 0, 5, 2, 9, 3], 4),
        (2.0, [1, 1, 4, 4, 2, 2, 1, 1, 4, 2, 1, 4, 1, 2, 4], [7, 9, 10, 20, 2, 5, 8, 15, 17, 11, 0, 5, 2, 9, 3], 4),
        (0.5, list("abcabcabca"), [-1.25, 0.7, 12, 10, 12, 9.2, -1, -10, 4, 0], "c"),
        (1.25, list("abcabcabca"), [1.25, 0.7, 12, 10, 1.43, 0.2, -1, -10, 4, 0], "c"),
        (0.33, list("abcabcabcabb"), [7, 12, 1, -10, 5, 1, 2, 9, 3, 3, 6, 7], "b"),
    ],
)
def test_a_clear_best_is_that_of_mabwiser(tau, arms, rewards, best):
    live = fitted(plain("softmax", tau, sorted(set(arms))), arms, rewards)
    chances = live.propensity(NOBODY)[0]
    assert sorted(set(arms))[int(chances.argmax())] == best
    assert chances.max() > 0.8


@pytest.mark.parametrize("epsilon", [0.0, 0.25, 1.0])
def test_greedy_gives_the_best_mean_of_mabwiser_all_but_epsilon(epsilon):
    """tests/test_greedy.py: the best mean is arm 1, of two thirds; epsilon is shared evenly by all arms."""
    live = fitted(plain("epsilon_greedy", epsilon), ARMS, REWARDS)
    np.testing.assert_allclose(live.expected(NOBODY)[0], [2 / 3, 0.0, 0.6], atol=1e-5)
    np.testing.assert_allclose(live.propensity(NOBODY)[0], np.array([1 - epsilon, 0, 0]) + epsilon / 3, atol=1e-9)


# ---- MABWiser, tests/test_ridge.py (test_fit, test_partial_fit): coefficients, at once and in parts ---------


def ridge(*parts):
    live = om.LinearBandit(policy="linucb", regularization=1.0, intercept=False, shared=False).start(
        [0, 1], n_features=5
    )
    for arms, contexts, rewards in parts:
        live.update(arms, np.array(contexts, float), np.array(rewards, float))
    return live._state.theta


FIRST = [1, 0, 2, 1, 1], [3, 1, 2, 3, 4], [2, -1, 1, 0, 2]
REST = [
    *([-1, 4, 2, 0, 1], [2, 2, 2, 2, 2], [3, 2, 1, 2, 3], [0, 0, 0, 0, 0], [2, 1, 1, 1, 2], [3, 2, 3, 2, 3]),
    *([8, 2, 3, 1, 0], [1, 2, -9, -7, 1], [0, 1, 1, 1, 1]),
]
THREE = [0.09161491, 0.00310559, 0.97515528, 0.32142857, -0.02018634]
TWELVE = [0.09927202, -0.17141953, 0.09091367, -0.03705452, 0.59027579]


def test_coefficients_are_those_of_mabwiser():
    rewards = [3, 3, 1, 0, -1, 2, 1, 2, 1, 1, 0, 3]
    np.testing.assert_allclose(ridge(([1] * 3, FIRST, rewards[:3]))[1], THREE, atol=1e-8)
    together, apart = (
        ([1] * 12, [*FIRST, *REST], rewards),
        [([1] * 3, FIRST, rewards[:3]), ([1] * 9, REST, rewards[3:])],
    )
    for parts in ([together], apart):
        found = ridge(*parts)
        np.testing.assert_allclose(found[1], TWELVE, atol=1e-8)
        np.testing.assert_array_equal(found[0], 0.0)


def test_coefficients_after_a_second_part_are_those_of_mabwiser():
    first = [1, 1, 1], [[1, 0, 0, 0, 1], [0, 1, 2, 3, 4], [2, 0, 1, 0, 2]], [3, 2, 1]
    second = [0, 0, 1], [[2, 1, 2, 1, 2], [3, 3, 3, 2, 1], [1, 1, 1, 1, 1]], [1, 1, 1]
    np.testing.assert_allclose(ridge(first)[1], [0.47619048, 0.04761905, -0.5952381, 0.14285714, 0.66666667], atol=1e-8)
    found = ridge(first, second)
    np.testing.assert_allclose(found[0], [0.11940299, 0.01492537, 0.11940299, 0.04477612, 0.17910448], atol=1e-8)
    np.testing.assert_allclose(found[1], [0.53019146, 0.13402062, -0.56553756, 0.17525773, 0.61266568], atol=1e-8)


# ---- CloudEvents, cloudevents/conformance, format/json: valid and invalid events ----------------------------

CORE = {"specversion": "1.0", "id": "minimal", "type": "io.cloudevents.test", "source": "https://cloudevents.io"}
OURS = {"subject": "ann", "time": "2018-04-05T17:31:00Z"}  # what a reader of events about people needs besides
VALID = {
    "validAllCoreAttributes": {"datacontenttype": "text/plain", "dataschema": "https://cloudevents.io/dataschema"},
    "validMinimalWithNullForOptional": {"datacontenttype": None, "dataschema": None},
    "validMinimalWithTimeUtc": {},
    "validMinimalWithTimeToNanosecondsUtc": {"time": "2018-04-05T17:31:00.000000000Z"},
    "validMinimalWithTimeUsingPositiveOffset": {"time": "2018-04-05T18:31:00+01:00"},
    "validMinimalWithTimeUsingNegativeOffset": {"time": "2018-04-05T16:31:00-01:00"},
    "validRelativeSource": {"source": "#fragment"},
    "validAllExtensionTypes": {
        "extinteger": 10, "extboolean": True, "extstring": "text", "exturi": "https://cloudevents.io",
        "exturiref": "//authority/path", "exttimestamp": "2023-03-31T15:12:00Z", "extbinary": "TWE=",
    },
    "RFC 3339, 5.6: T and Z may be lower case": {"time": "2018-04-05t17:31:00z"},
}  # fmt: skip
GONE = object()
INVALID = {  # what changes, and why it is not read
    "invalidNoType": ({"type": GONE}, "no rule for this type"),
    "invalidEmptyType": ({"type": ""}, "no rule for this type"),
    "invalidTimeGarbage": ({"time": "lunchtime"}, "no time with a zone"),
    "invalidTimeOffsetX": ({"time": "2018-04-05T18:31:00X"}, "no time with a zone"),
    "invalidTimeOffsetOutOfRange": ({"time": "2018-04-05T18:31:00+25:00"}, "no time between 1990 and 2100"),
    "invalidTimeOffsetNonInteger": ({"time": "2018-04-05T18:31:00+xx:00"}, "no time with a zone"),
    "invalidUnknownSpecVersion": ({"specversion": "0.9"}, "a specversion that is neither 1.x nor 0.3"),
    "invalidEmptySubject": ({"subject": ""}, "no user id"),
    "invalidBothDataAndDataBase64": (
        {"data": "text", "data_base64": "eyAieHl6IjogMTIzIH0="}, "data and data_base64, of which one may be there",
    ),
    "validSimpleTextData, which is no data of ours": (
        {"datacontenttype": "text/plain", "data": "Simple text"}, "data cannot be read",
    ),
}  # fmt: skip
READ_ALL_THE_SAME = {  # the suite calls them invalid; nothing that we read can be mistaken
    "invalidNoSpecVersion": {"specversion": GONE},
    "invalidEmptySpecVersion": {"specversion": ""},
    "invalidNoId": {"id": GONE},
    "invalidEmptyId": {"id": ""},
    "invalidNumericId": {"id": 25},
    "invalidNoSource": {"source": GONE},
    "invalidEmptySource": {"source": ""},
    "invalidTimeToMinute": {"time": "2018-04-05T17:31Z"},
    "invalidTimeOffsetHourOnly": {"time": "2018-04-05T22:31:00+05"},
    "invalidNonRfc2046DataContentType": {"datacontenttype": "xyz"},
    "invalidEmptyDataContentType": {"datacontenttype": ""},
    "invalidEmptyDataSchema": {"dataschema": ""},
    "invalidCapitalizedExtension": {"MyExtension": "bad"},
    "invalidPunctuatedExtension": {"my.extension": "bad"},
    "invalidNonIntegerExtensionValue": {"my.extension": 1.5},
}


def read(changed):
    given = {name: value for name, value in {**CORE, **OURS, **changed}.items() if value is not GONE}
    return adapters.cloudevents([given], types={"io.cloudevents.test": "view"})


@pytest.mark.parametrize("changed", [*VALID.values(), *READ_ALL_THE_SAME.values()], ids=[*VALID, *READ_ALL_THE_SAME])
def test_an_event_of_the_conformance_suite_is_read(changed):
    one = read(changed).events.iloc[0]
    assert (one["user_id"], one["event"]) == ("ann", "view")
    assert one["timestamp"] == pd.Timestamp("2018-04-05 17:31", tz="UTC")


@pytest.mark.parametrize(("changed", "why"), INVALID.values(), ids=INVALID)
def test_an_event_of_the_conformance_suite_is_counted_as_not_read(changed, why):
    found = read(changed)
    assert len(found.events) == 0
    assert found.counts["why"].tolist() == [why]


def test_a_batch_of_the_conformance_suite_is_read_event_by_event():
    """invalidBatchMixedSpecVersions, invalidBatchContainingNonObject: one wrong event does not lose the others."""
    types = {"io.cloudevents.test": "view"}
    found = adapters.cloudevents([{**CORE, **OURS}, {**CORE, **OURS, "specversion": "0.9"}], types=types)
    assert sorted(found.counts["became"]) == ["event", "invalid"]
    with pytest.raises(om.errors.SchemaError, match="record 0 is not a dict but str"):
        adapters.cloudevents(["not an object", {**CORE, **OURS}], types=types)


def test_what_we_write_is_valid_by_the_specification():
    """CloudEvents 1.0.2, 3.1: attributes that must be there and not empty, names of a-z and 0-9, times of RFC 3339."""
    world = om.simulate(n_users=20, n_items=8, days=30, seed=3)
    log = om.EventLog.from_frame(world.events, itemless="keep")
    lists = om.Popularity().fit(log).recommend(om.Dataset(log).requests(), k=2).to_frame()
    touches = lists.assign(channel="email", send_at=pd.Timestamp("2025-03-01", tz="UTC"), value=1.0)
    people = om.Dataset(audience=om.Audience.from_frame(world.users))
    plan = om.plan(om.planning.Candidates.from_frame(touches, people), constraints=[])
    written = adapters.to_cloudevents(plan, at="2025-02-20T08:00:00Z")
    assert len({(one["source"], one["id"]) for one in written}) == len(written) > 20
    for one in written:
        assert one["specversion"] == "1.0"
        assert all(isinstance(one[name], str) and one[name] for name in ("id", "source", "type", "subject"))
        assert all(re.fullmatch("[a-z0-9]+", name) for name in one)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", one["time"])
        assert one["datacontenttype"] == "application/json"
        assert "data_base64" not in one


# ---- CPython, Lib/test/test_zoneinfo/test_zoneinfo.py (ZoneDumpData): what test_peers_suites.py leaves out ---

HOUR = 3600
CHANGES = [  # zone, local time of the change, seconds before, seconds after
    ("Africa/Abidjan", (1912, 1, 1), -968, 0),
    ("Africa/Casablanca", (2018, 10, 28, 3), HOUR, HOUR),  # what is summer time becomes standard time
    ("America/Los_Angeles", (1883, 11, 18, 12, 7, 2), -28378, -8 * HOUR),
    ("America/Los_Angeles", (1918, 3, 31, 2), -8 * HOUR, -7 * HOUR),
    ("America/Los_Angeles", (1918, 10, 27, 2), -7 * HOUR, -8 * HOUR),
    ("America/Los_Angeles", (1942, 2, 9, 2), -8 * HOUR, -7 * HOUR),
    ("America/Los_Angeles", (1945, 8, 14, 16), -7 * HOUR, -7 * HOUR),
    ("America/Los_Angeles", (1945, 9, 30, 2), -7 * HOUR, -8 * HOUR),
    ("America/Los_Angeles", (2450, 3, 13, 2), -8 * HOUR, -7 * HOUR),
    ("America/Los_Angeles", (2450, 11, 6, 2), -7 * HOUR, -8 * HOUR),
    ("America/Santiago", (1910, 1, 10), -16965, -5 * HOUR),
    ("America/Santiago", (1916, 7, 1), -5 * HOUR, -16965),
    ("America/Santiago", (2040, 4, 8), -3 * HOUR, -4 * HOUR),
    ("America/Santiago", (2040, 9, 2), -4 * HOUR, -3 * HOUR),
    ("Asia/Tokyo", (1948, 9, 12, 1), 10 * HOUR, 9 * HOUR),
    ("Asia/Tokyo", (1951, 9, 9, 1), 10 * HOUR, 9 * HOUR),
    ("Australia/Sydney", (1895, 2, 1), 36292, 10 * HOUR),
    ("Australia/Sydney", (1917, 1, 1, 2), 10 * HOUR, 11 * HOUR),
    ("Australia/Sydney", (1917, 3, 25, 3), 11 * HOUR, 10 * HOUR),
    ("Australia/Sydney", (2040, 4, 1, 3), 11 * HOUR, 10 * HOUR),
    ("Australia/Sydney", (2040, 10, 7, 2), 10 * HOUR, 11 * HOUR),
    ("Europe/Dublin", (1916, 5, 21, 2), -1521, 2079),
    ("Europe/Dublin", (1916, 10, 1, 3), 2079, 0),
    ("Europe/Dublin", (1917, 4, 8, 2), 0, HOUR),
    ("Europe/Dublin", (2487, 3, 30, 1), 0, HOUR),
    ("Europe/Dublin", (2487, 10, 26, 2), HOUR, 0),
    ("Europe/Lisbon", (1992, 9, 27, 2), HOUR, HOUR),
    ("Europe/Lisbon", (1996, 3, 31, 2), HOUR, HOUR),
    ("Europe/London", (1847, 12, 1), -75, 0),
    ("Pacific/Kiritimati", (1901, 1, 1), -37760, -38400),
    ("Pacific/Kiritimati", (1979, 10, 1), -38400, -10 * HOUR),
    ("Pacific/Kiritimati", (1994, 12, 31), -10 * HOUR, 14 * HOUR),  # a day that never was
]


@pytest.mark.parametrize(("zone", "local", "before", "after"), CHANGES)
def test_clocks_change_where_cpython_says(zone, local, before, after):
    utc = dt.datetime(*local, tzinfo=dt.UTC) - dt.timedelta(seconds=before)
    change = (utc - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    names = om.data.Vocabulary.from_ids(np.array([zone], object))
    found = utc_offset(np.array([change - 1, change]), np.zeros(2, np.int64), names)
    assert (np.asarray(found) / 1_000_000).tolist() == [before, after]


def test_a_day_that_never_was_has_no_hour_of_anybody():
    """Kiritimati, 1994: after the last microsecond of 30 December comes 1 January."""
    names = om.data.Vocabulary.from_ids(np.array(["Pacific/Kiritimati"], object))
    change = int(dt.datetime(1994, 12, 31, 10, tzinfo=dt.UTC).timestamp()) * 1_000_000
    local = om.data.clock.local_us(np.array([change - 1, change]), np.zeros(2, np.int64), names)
    days = np.asarray(local).astype("datetime64[us]").astype("datetime64[D]").astype(str).tolist()
    assert days == ["1994-12-30", "1995-01-01"]
