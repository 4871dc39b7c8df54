"""One pooled matrix against joined channels and one alone, on four people; more of it is in test_cross_channel.py."""

import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError


def log():
    """On the app three have a; in the store two have b. Later 1 and 2 buy a and b in the store."""
    old, new = pd.Timestamp("2025-05-01", tz="UTC"), pd.Timestamp("2025-05-20", tz="UTC")
    rows = [(1, "a", "app", old), (2, "a", "app", old), (3, "a", "app", old), (3, "b", "store", old)]
    rows += [(4, "b", "store", old), (1, "a", "store", new), (2, "b", "store", new)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "channel", "timestamp"])
    return om.EventLog.from_frame(frame.assign(event="purchase"))


def compared(**options):
    settings = {"k": 1, "metrics": [om.hit_rate], "exclude_seen": False, "n_bootstrap": 100}
    cross = om.models.CrossChannel(estimator=om.Popularity())
    return om.evaluation.compare_channels(cross, *om.Dataset(log()).split("2025-05-14"), **(settings | options))


def test_the_most_popular_item_of_each_by_hand():
    table = compared().to_frame().set_index("model")
    assert set(table["channel"]) == {"store"}
    assert table["mean"]["pooled"] == 0.5  # everybody is shown a, which 1 bought
    assert table["mean"]["only store"] == 0.5  # everybody is shown b, which 2 bought
    assert table["gain"]["only store"] == 0.0
    assert (table["gain_low"]["only store"], table["gain_high"]["only store"]) == (-1.0, 1.0)
    assert table["n_users"]["pooled"] == 2


def test_two_places_show_both():
    assert (compared(k=2).to_frame()["mean"] == 1.0).all()


def test_it_shows_its_table():
    found = compared()
    assert repr(found) == "ChannelComparison(1 channel: store)"
    assert "each against one pooled matrix" in str(found)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metrics": om.ndcg}, "metrics must be a list of functions"),
        ({"k": 0}, "k must be an integer"),
    ],
)
def test_refusals(options, says):
    with pytest.raises(ParameterError, match=says):
        compared(**options)
