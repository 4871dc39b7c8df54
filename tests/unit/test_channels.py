"""Pictures of channels, and the mark that they carry."""

import matplotlib as mpl
import pandas as pd
import pytest

mpl.use("Agg")
from matplotlib import pyplot

import omnireco as om
from omnireco import plotting


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def log_of(*steps):
    """Ten people, each with the same steps of (channel, event), an hour apart."""
    rows = [(user, "tea", *step, hour) for user in range(10) for hour, step in enumerate(steps)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "channel", "event", "hour"])
    at = pd.Timestamp("2025-05-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    return om.EventLog.from_frame(frame.assign(timestamp=at, value=2.0))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_all_journeys_from_the_web_are_completed_in_the_store():
    log = log_of(("web", "view"), ("store", "purchase"), ("store", "call"), ("store", "call"))
    report = om.evaluation.channel_report(log, starts=["view"], window="90min")
    ax = plotting.channel_journeys(report, title="{} (simulated)")
    assert ax.get_title(loc="left") == "Where journeys are completed (simulated)"
    assert texts(ax) == ["100.0%"]
    times = plotting.channel_times(report, title="Week 12")
    assert times.get_title(loc="left") == "Week 12"
    assert [label.get_text() for label in times.get_yticklabels()] == ["web to store (10)"]


def test_a_picture_of_nothing_keeps_its_mark():
    report = om.evaluation.channel_report(log_of(("web", "view")), completes=["view"], starts=["view"])
    shares = plotting.channel_shares(report, title="{} (simulated)")
    assert shares.get_title(loc="left") == "Share of people and of value by channel (simulated)"
    both = om.evaluation.channel_report(log_of(("store", "purchase"), ("web", "view")), window="10min")
    ax = plotting.channel_journeys(both, title="{} (simulated)")
    assert ax.get_title(loc="left") == "No journey was completed (simulated)"
