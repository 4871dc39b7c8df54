"""No cell under k people, and none that follows from a total."""

import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.disclosure import hidden_cells

DAY = pd.Timestamp("2025-05-01", tz="UTC")


@pytest.mark.parametrize(
    ("people", "axes", "hidden"),
    [
        ([3, 40, 9, 0], (), [True, False, False, False]),
        ([3, 40, 9, 0], (0,), [True, False, True, False]),
        ([3, 4, 9], (0,), [True, True, False]),  # seven people together
        ([1, 1, 9, 40], (0,), [True, True, True, False]),  # two people together are still too few
        ([0, 40], (0,), [False, False]),
        ([3], (0,), [True]),  # nothing else to hide
    ],
)
def test_by_hand(people, axes, hidden):
    assert hidden_cells(np.array(people), 5, axes).tolist() == hidden


@pytest.mark.parametrize("seed", range(20))
def test_no_line_gives_a_hidden_cell_away(seed):
    people = np.random.default_rng(seed).integers(0, 30, (5, 4, 3))
    hide = hidden_cells(people, 5, (0, 1))
    assert hide[(people > 0) & (people < 5)].all()
    for axis in (0, 1):
        for line, mask in zip(
            np.moveaxis(people, axis, -1).reshape(-1, people.shape[axis]),
            np.moveaxis(hide, axis, -1).reshape(-1, people.shape[axis]),
            strict=True,
        ):
            if mask.any() and (line[~mask] > 0).any():
                assert mask.sum() >= 2
                assert line[mask].sum() >= 5
    assert (hidden_cells(people, 1, (0, 1)) == 0).all()


def log_of(seed=0, n=1200):
    """A log in which few people use a kiosk, and few are on the board."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 60, n)
    channel = np.where(rng.random(n) < 0.5, "web", "store").astype(object)
    channel[(user < 3) & (rng.random(n) < 0.5)] = "kiosk"
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": rng.integers(0, 8, n),
            "channel": channel,
            "event": rng.choice(["view", "purchase"], n, p=[0.7, 0.3]),
            "value": rng.random(n).round(2),
            "timestamp": DAY + pd.to_timedelta(rng.integers(0, 24 * 56, n), unit="h"),
        }
    )
    segments = pd.DataFrame(
        {
            "user_id": np.arange(60),
            "segment": np.where(np.arange(60) < 4, "board", np.where(np.arange(60) % 2, "a", "b")),
        }
    )
    return om.EventLog.from_frame(frame), segments


TABLES = ("channels", "combinations", "journeys", "times", "over_time", "segments", "segments_over_time")


def report_of(k):
    log, segments = log_of()
    return om.evaluation.channel_report(log, segments=segments, every="14D", k=k, window="3D")


def test_no_number_of_a_report_is_about_few_people():
    full, shown = report_of(1), report_of(5)
    hidden = 0
    for name in TABLES:
        table = getattr(shown, name)
        assert not ((table["people"] > 0) & (table["people"] < 5)).any(), name
        gone = table["people"].isna().to_numpy()
        hidden += gone.sum()
        numbers = table.select_dtypes("number").drop(columns=["n_channels"], errors="ignore")
        assert numbers[gone].isna().all().all(), name
        if len(table) == len(getattr(full, name)):  # what is shown is true
            both = getattr(full, name).select_dtypes("number")[numbers.columns].to_numpy(np.float64)
            seen = ~np.isnan(numbers.to_numpy(np.float64))
            assert np.allclose(both[seen], numbers.to_numpy(np.float64)[seen], equal_nan=True), name
    assert hidden
    assert shown.k == 5


def test_no_hidden_number_follows_from_a_total():
    """Events of segments, periods and channels add up to numbers of other tables: one unknown alone would be told."""
    shown = report_of(5)

    def safe(events):  # where all else is nothing, the total is about the same few people, and hidden itself
        return events.isna().sum() != 1 or events.sum() == 0

    keep = shown.segments["channel"] != "(several)"
    for _, line in shown.segments[keep].groupby("channel"):
        assert safe(line["events"])
    keep = shown.over_time["channel"] != "(several)"
    for _, line in shown.over_time[keep].groupby("channel"):
        assert safe(line["events"])
    crossed = shown.segments_over_time[shown.segments_over_time["channel"] != "(several)"]
    for by in itertools.combinations(["period_start", "segment", "channel"], 2):
        if "channel" in by:
            for _, line in crossed.groupby(list(by)):
                assert safe(line["events"])
    assert shown.channels["events"].iloc[:-1].isna().sum() != 1
    crossings = shown.crossings.groupby("started_on")["journeys"]
    assert crossings.apply(safe).all()


def test_rare_combinations_are_one_row():
    full, shown = report_of(1), report_of(5)
    assert shown.combinations["people"].sum() == full.n_people
    assert "(rare combinations)" in set(shown.combinations["channels"])
    assert shown.combinations["share_of_people"].sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(12))
def test_no_rare_combination_follows_from_people_per_channel(seed):
    """People per channel less those of the combinations shown are nobody, or many."""
    rng = np.random.default_rng(seed)
    n = 700
    user = rng.integers(0, 90, n)
    channel = np.array(["app", "email", "store", "web"], object)[
        np.minimum(3, rng.geometric(0.55, n) - 1 + (user % 7 == 0))
    ]
    frame = pd.DataFrame({"user_id": user, "item_id": 1, "channel": channel, "event": "purchase"})
    frame["timestamp"] = DAY + pd.to_timedelta(np.arange(n), unit="h")
    shown = om.evaluation.channel_report(frame)
    people = shown.channels.set_index("channel")["people"]
    rare = shown.combinations["channels"] == "(rare combinations)"
    together = shown.combinations.loc[rare, "people"].sum()
    for name in ("app", "email", "store", "web"):
        if name not in people.index or np.isnan(people[name]):
            continue
        on = shown.combinations["channels"].str.split(" + ", regex=False).map(lambda parts, name=name: name in parts)
        left = people[name] - shown.combinations.loc[on & ~rare, "people"].sum()
        assert left == 0 or left >= 5
        assert together - left == 0 or together - left >= 5
        alone = shown.channels.set_index("channel")["only_here"][name]
        row = shown.combinations.loc[shown.combinations["channels"] == name, "people"]
        assert np.isnan(alone) or alone == (row.iloc[0] if len(row) else 0)


def test_segments_over_time_add_up_to_both():
    """Worked the other way: per period and segment, with nothing hidden, the events add up."""
    full = report_of(1)
    by_time = full.segments_over_time.groupby(["period_start", "channel"])["events"].sum()
    own = full.over_time.set_index(["period_start", "channel"])["events"]
    plain = own[own.index.get_level_values(1) != "(several)"]
    assert by_time.reindex(plain.index, fill_value=0).tolist() == plain.tolist()
    assert full.segments_over_time.columns.tolist()[:5] == ["period_start", "whole", "segment", "channel", "people"]


def test_a_few_people_alone_get_no_report_of_themselves():
    log, _ = log_of()
    few = om.EventLog.from_frame(log.to_frame()[lambda frame: frame["user_id"] < 3])
    report = om.evaluation.channel_report(few)
    assert report.channels["events"].isna().all()
    assert report.combinations["events"].isna().all()
    assert report.over_time["events"].isna().all()
    assert "few on several; journeys of fewer than 5 people hidden" in repr(report)


def test_k_is_a_number_of_people():
    with pytest.raises(om.errors.ParameterError, match="k"):
        om.evaluation.channel_report(log_of()[0], k=0)
