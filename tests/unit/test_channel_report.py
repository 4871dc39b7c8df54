"""Channels described: by hand, against plain loops, and what shares must add up to."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.evaluation.channel_report import SEVERAL

DAY = pd.Timestamp("2025-05-01", tz="UTC")


def log_of(*rows, value=None):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "channel", "event", "hours"])
    frame["timestamp"] = DAY + pd.to_timedelta(frame.pop("hours"), unit="h")
    if value is not None:
        frame["value"] = value
    return om.EventLog.from_frame(frame, itemless="keep")


def random_log(seed, n=400):
    draw = np.random.default_rng(seed)
    hours = draw.integers(0, 24 * 30, n)
    frame = pd.DataFrame(
        {
            "user_id": draw.integers(0, 15, n),
            "item_id": draw.integers(0, 6, n),
            "channel": draw.choice(["app", "store", "web"], n, p=[0.5, 0.3, 0.2]),
            "event": draw.choice(["view", "cart", "purchase"], n, p=[0.6, 0.2, 0.2]),
            "timestamp": DAY + pd.to_timedelta(hours, unit="h"),
            "value": draw.random(n).round(2),
        }
    )
    return om.EventLog.from_frame(frame)


def test_by_hand():
    log = log_of(
        ("ann", "tea", "web", "view", 0),
        ("ann", "tea", "web", "view", 10),  # goes on
        ("ann", "tea", "store", "purchase", 20),  # completed elsewhere
        ("ann", "tea", "store", "purchase", 21),  # unprompted
        ("bob", "tea", "app", "view", 0),  # never completed
        ("bob", "cup", "app", "view", 1),
        ("bob", "cup", "app", "purchase", 2),
        ("cat", "cup", "web", "view", 100),
        ("cat", "cup", "web", "purchase", 150),  # too late: unprompted
        ("dan", "cup", "web", "view", 199),  # the log ends before the window does
        ("dan", "cup", "web", "purchase", 200),
        value=[1.0, 1, 5, 5, 1, 1, 8, 1, 2, 1, 100],
    )
    report = om.evaluation.channel_report(log, window="1D", every="100h", k=1)
    channels = report.channels.set_index("channel")
    assert channels["people"].to_dict() == {"app": 1, "store": 1, "web": 3, SEVERAL: 1}
    assert channels["only_here"].tolist() == [1, 0, 2, 0]
    assert channels["completions"].to_dict() == {"app": 1, "store": 2, "web": 2, SEVERAL: 2}
    assert channels["value"].to_dict() == {"app": 8.0, "store": 10.0, "web": 102.0, SEVERAL: 10.0}
    combinations = report.combinations.set_index("channels")
    assert combinations["people"].to_dict() == {"web": 2, "app": 1, "store + web": 1}
    assert combinations.loc["store + web", "share_of_value"] == 10 / 120
    journeys = report.journeys.set_index("started_on")
    assert journeys["journeys"].to_dict() == {"app": 2, "store": 0, "web": 2}
    assert journeys["completed"].to_dict() == {"app": 1, "store": 0, "web": 1}
    assert journeys["elsewhere"].to_dict() == {"app": 0, "store": 0, "web": 1}
    assert journeys["median_hours"].tolist()[::2] == [1.0, 20.0]
    assert journeys["rate"].isna().tolist() == [False, True, False]
    assert (report.undecided, report.unprompted) == (1, 2)
    crossings = report.crossings.set_index(["started_on", "completed_on"])["share"]
    assert crossings["web", "store"] == 0.5
    times = report.times.set_index(["from", "to"])
    assert times.loc[("web", "store"), "moves"] == 1
    assert times.loc[("web", "store"), "hours_50"] == 10
    assert times["moves"].sum() == 1
    over = report.over_time
    assert over["whole"].groupby(over["period_start"]).first().tolist() == [True, True, False]
    assert over[over["channel"] == "web"]["people"].tolist() == [1, 2, 1]
    assert repr(report) == (
        "ChannelReport(3 channels, 4 people, 25% on several; 4 journeys, 50% completed, 50% of these elsewhere)"
    )
    assert "store + web" in report._repr_html_()


def slow_journeys(log, window, same_item):
    """(user, start, end, hours) of every decided journey, by plain loops; and the completions nothing led to."""
    frame = log.to_frame()
    end_of_log = log.end
    keys = ["user_id", "item_id"] if same_item else ["user_id"]
    found, unprompted, undecided = [], 0, 0
    for _, rows in frame.groupby(keys):
        rows = rows.assign(done=rows["event"] == "purchase").sort_values(["timestamp", "done"], kind="stable")
        touches = []

        def close(row, touches):
            nonlocal undecided
            if touches[-1].timestamp > end_of_log - window:
                undecided += 1
                return
            hours = np.nan if row is None else (row.timestamp - touches[0].timestamp) / pd.Timedelta("1h")
            found.append((touches[0].user_id, touches[0].channel, None if row is None else row.channel, hours))

        for row in rows.itertuples():
            if touches and row.timestamp - touches[-1].timestamp > window:
                close(None, touches)
                touches = []
            if not row.done:
                touches.append(row)
            elif touches:
                close(row, touches)
                touches = []
            else:
                unprompted += 1
        if touches:
            close(None, touches)
    return pd.DataFrame(found, columns=["user", "start", "end", "hours"]), unprompted, undecided


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("same_item", [True, False])
def test_journeys_agree_with_plain_loops(seed, same_item):
    log = random_log(seed)
    report = om.evaluation.channel_report(log, window="2D", same_item=same_item, k=1)
    slow, unprompted, undecided = slow_journeys(log, pd.Timedelta("2D"), same_item)
    assert (report.unprompted, report.undecided) == (unprompted, undecided)
    fast = report.journeys.set_index("started_on")
    for channel, rows in slow.groupby("start"):
        done = rows[rows["end"].notna()]
        row = fast.loc[channel]
        assert (row["journeys"], row["completed"]) == (len(rows), len(done))
        assert row["elsewhere"] == (done["end"] != channel).sum()
        np.testing.assert_allclose(row["median_hours"], done["hours"].median())
        rate = len(done) / len(rows)
        each = rows.assign(left=rows["end"].notna() - rate).groupby("user")["left"].sum()
        error = np.sqrt((each**2).sum() * len(each) / (len(each) - 1)) / len(rows)
        np.testing.assert_allclose(
            row[["low", "high"]].tolist(), np.clip(rate + np.array([-1, 1]) * 1.96 * error, 0, 1), atol=1e-4
        )
    pairs = slow.dropna().groupby(["start", "end"]).size()
    crossings = report.crossings.set_index(["started_on", "completed_on"])["journeys"]
    assert crossings[crossings > 0].to_dict() == pairs.to_dict()


@pytest.mark.parametrize("seed", range(3))
def test_shares_and_times_agree_with_pandas(seed):
    log = random_log(seed)
    frame = log.to_frame()
    report = om.evaluation.channel_report(log, every="7D", segments=segments_of(log), k=1)
    sets = frame.groupby("user_id")["channel"].agg(lambda names: " + ".join(sorted(set(names))))
    assert report.combinations.set_index("channels")["people"].to_dict() == sets.value_counts().to_dict()
    for table, total in ((report.combinations, 1.0),):
        for name in ("people", "events", "completions", "value"):
            np.testing.assert_allclose(table[f"share_of_{name}"].sum(), total)
    bought = frame[frame["event"] == "purchase"]
    own = report.channels[report.channels["channel"] != SEVERAL].set_index("channel")
    np.testing.assert_allclose(own["value"], bought.groupby("channel")["value"].sum().reindex(own.index, fill_value=0))

    frame["period"] = (frame["timestamp"] - log.start) // pd.Timedelta("7D")
    people = frame.groupby(["period", "channel"])["user_id"].nunique()
    over = report.over_time.assign(period=(report.over_time["period_start"] - log.start) // pd.Timedelta("7D"))
    plain = over[over["channel"] != SEVERAL].set_index(["period", "channel"])["people"]
    assert plain[plain > 0].to_dict() == people.to_dict()
    several = frame.groupby(["period", "user_id"])["channel"].nunique().gt(1).groupby("period").sum()
    assert over[over["channel"] == SEVERAL].set_index("period")["people"].to_dict() == several.to_dict()

    ordered = frame.sort_values(["user_id", "timestamp", "channel"], kind="stable")
    follow = ordered.groupby("user_id")
    moves = ordered.assign(to=follow["channel"].shift(-1), gap=-follow["timestamp"].diff(-1)).dropna(subset=["to"])
    moves = moves[moves["channel"] != moves["to"]]
    table = report.times.set_index(["from", "to"])
    for pair, rows in moves.groupby(["channel", "to"]):
        hours = rows["gap"] / pd.Timedelta("1h")
        assert table.loc[pair, ["moves", "people"]].tolist() == [len(rows), rows["user_id"].nunique()]
        np.testing.assert_allclose(
            table.loc[pair, ["hours_25", "hours_50", "hours_75"]].tolist(), hours.quantile([0.25, 0.5, 0.75])
        )


def segments_of(log):
    users = log.users.ids[:-1]
    return pd.DataFrame({"user_id": users, "segment": np.where(np.arange(users.size) % 2 == 0, "even", None)})


def test_segments():
    log = random_log(1)
    report = om.evaluation.channel_report(log, segments=segments_of(log), k=1)
    table = report.segments
    assert set(table["segment"]) == {"even", "(unknown)"}
    plain = table[table["channel"] != SEVERAL]
    assert plain["events"].sum() == len(log)
    np.testing.assert_allclose(plain.groupby("segment")["share_of_value"].sum(), 1.0)
    assert len(om.evaluation.channel_report(log, k=1).segments) == 0
    twice = pd.concat([segments_of(log)] * 2)
    with pytest.raises(SchemaError, match="segments lists people twice"):
        om.evaluation.channel_report(log, segments=twice, k=1)


def test_row_order_and_names_do_not_matter():
    log = random_log(2)
    frame = log.to_frame()
    shuffled = om.EventLog.from_frame(frame.sample(frac=1, random_state=1).assign(user_id=frame["user_id"] * -7))
    one, other = om.evaluation.channel_report(log, k=1), om.evaluation.channel_report(shuffled, k=1)
    for name in ("channels", "combinations", "journeys", "crossings", "times", "over_time"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


def test_small_logs_and_wrong_questions():
    one = log_of(("ann", None, "web", "call", 0), ("ann", "tea", "web", "purchase", 1))
    report = om.evaluation.channel_report(one, k=1)
    assert report.channels["share_of_value"].tolist() == [0.0, 0.0]
    assert report.journeys["journeys"].tolist() == [0]
    assert "0% completed" in repr(report)
    with pytest.raises(ParameterError, match="completes: 'order' is a name that nothing here has"):
        om.evaluation.channel_report(one, completes="order")
    with pytest.raises(ParameterError, match="starts is empty"):
        om.evaluation.channel_report(one, starts=[])
    with pytest.raises(EmptyError, match="the log has no events"):
        om.evaluation.channel_report(random_log(1).before("2020-01-01"))
    with pytest.raises(SchemaError, match="channel_report takes a Dataset"):
        om.evaluation.channel_report(one.matrix())


def test_pictures():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib comes with the demo extra")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    report = om.evaluation.channel_report(random_log(3, n=60), every="7D", k=1)
    plotting = pytest.importorskip("omnireco.plotting")
    for draw in ("channel_shares", "channel_combinations", "channel_journeys", "channel_times", "channels_over_time"):
        ax = getattr(plotting, draw)(report)
        ax.figure.canvas.draw()
        assert ax.get_title(loc="left")
    assert len(plotting.channel_combinations(report, top=2).get_yticklabels()) == 3
    free = om.evaluation.channel_report(
        log_of(("ann", "tea", "web", "view", 0), ("bob", "tea", "app", "purchase", 1)), k=1
    )
    shares = plotting.channel_shares(free)  # no event has a value
    assert [len(bars) for bars in shares.containers] == [len(free.channels)]
    assert shares.get_title(loc="left") == "Share of people by channel"
    with pytest.raises(ParameterError, match="measure must be one of"):
        plotting.channels_over_time(report, measure="likes")
    alone = om.evaluation.channel_report(
        log_of(("ann", None, "web", "call", 0), ("ann", "tea", "web", "purchase", 1)), k=1
    )
    for draw in ("channel_shares", "channel_combinations", "channel_journeys", "channel_times", "channels_over_time"):
        getattr(plotting, draw)(alone)
    pyplot.close("all")


def test_a_picture_of_journeys_names_hidden_cells():
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib comes with the demo extra")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    log = log_of(
        *((f"p{i}", "tea", "web", "view", 0) for i in range(9)),
        *((f"p{i}", "tea", "web", "purchase", 1) for i in range(6)),
        ("p7", "tea", "store", "purchase", 1),
        *((f"q{i}", "cup", "app", "view", 0) for i in range(6)),
        *((f"q{i}", "cup", "store", "purchase", 1) for i in range(6)),
        ("z", "cup", "app", "view", 30),
    )
    ax = om.plotting.channel_journeys(om.evaluation.channel_report(log, window="6h"))
    shown = [text.get_text() for text in ax.texts]
    assert "hidden" in shown
    assert not any("nan" in text for text in shown)
    assert ax.images[0].get_clim()[1] == 1.0  # every journey from the app ends in the store
    pyplot.close("all")


def test_a_dataset_is_described_by_its_events():
    log = random_log(4)
    whole, plain = (om.evaluation.channel_report(one, window="3D", k=1) for one in (om.Dataset(log), log))
    assert whole.journeys.equals(plain.journeys)
    assert whole.channels.equals(plain.channels)
    with pytest.raises(SchemaError, match="channel_report needs events, and the data has none"):
        om.evaluation.channel_report(om.Dataset(catalog=om.Catalog.from_frame(pd.DataFrame({"item_id": ["a"]}))))
    with pytest.raises(TypeError, match=r"Write om\.evaluation\.channel_report\(data, completes="):
        om.evaluation.channel_report(log, "purchase")


def test_a_missing_value_is_counted_where_the_report_is_asked_for():
    log = log_of(("ann", "tea", "web", "purchase", 0), ("bob", "tea", "web", "purchase", 1), value=[1.0, np.nan])
    with pytest.warns(om.errors.DataWarning, match="value is missing in 1 of 2") as found:
        om.evaluation.channel_report(log, k=1)
    assert found[0].filename == __file__


def test_names_of_the_report_are_no_names_of_the_data():
    frame = random_log(0).to_frame()
    for name in ("(several)", "(rare combinations)"):
        with pytest.raises(om.errors.ParameterError, match="a channel is called"):
            om.evaluation.channel_report(frame.assign(channel=name))
    segments = pd.DataFrame({"user_id": frame["user_id"].unique(), "segment": "(unknown)"})
    with pytest.raises(om.errors.ParameterError, match="a segment is called '\\(unknown\\)'"):
        om.evaluation.channel_report(frame, segments=segments)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_crossed_tables_do_not_know_the_clock_or_the_order(zone):
    frame = random_log(1).to_frame()
    segments = pd.DataFrame({"user_id": frame["user_id"].unique()})
    segments["segment"] = np.where(np.arange(len(segments)) % 2, "a", "b")
    one = om.evaluation.channel_report(frame, segments=segments, every="7D", k=1)
    there = frame.assign(timestamp=frame["timestamp"].dt.tz_convert(zone)).sample(frac=1, random_state=2)
    other = om.evaluation.channel_report(there, segments=segments.iloc[::-1], every="7D", k=1)
    for name in ("segments", "over_time", "segments_over_time"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


def test_everybody_in_a_segment_of_their_own_shows_nothing():
    frame = random_log(1).to_frame()
    segments = pd.DataFrame({"user_id": frame["user_id"].unique()})
    report = om.evaluation.channel_report(
        frame, segments=segments.assign(segment=segments["user_id"].map("s{}".format))
    )
    assert report.segments["events"].isna().all()
    shown = report.segments_over_time
    assert shown.loc[shown["people"] != 0, "events"].isna().all()
    none = om.evaluation.channel_report(frame, segments=segments.iloc[:0].assign(segment=pd.Series(dtype=object)))
    assert set(none.segments["segment"]) == {"(unknown)"}


def test_what_one_person_did_not_do_is_hidden_too():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": rng.integers(0, 100, 2000), "channel": rng.choice(["web", "app"], 2000)})
    day = np.where(frame["user_id"] == 0, rng.integers(0, 20, 2000), rng.integers(0, 90, 2000))
    frame.loc[frame["user_id"] == 0, "channel"] = "web"
    at = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(day, unit="D")
    data = om.Dataset(frame.assign(item_id="a", event="view", timestamp=at))
    groups = pd.DataFrame({"user_id": np.arange(100), "segment": ["one"] + ["a", "b", "c"] * 33})
    report = om.evaluation.channel_report(data, segments=groups, completes="view")
    for table in (report.segments, report.segments_over_time):
        own = table[table["segment"] == "one"]
        assert len(own)
        assert own[["people", "events", "share_of_people"]].isna().all().all()
    over_time = report.segments_over_time
    assert over_time.loc[over_time["segment"] == "one", "period_start"].nunique() == over_time["period_start"].nunique()
