"""Plots of scorecards and backtests: bars and marks are the numbers of the table."""

import numpy as np
import pytest

import omnireco as om
from omnireco.errors import ParameterError


@pytest.fixture(scope="module")
def data():
    return om.simulate(n_users=200, n_items=40, days=100, seed=5).dataset()


def test_a_scorecard_draws_its_shares(data):
    card = om.scorecard(data, compare=data.before("2025-03-01"))
    ax = om.plotting.scorecard(card)
    ax.figure.canvas.draw()
    shares = card.table[card.table["unit"] == "share"].iloc[::-1]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], shares["value"].fillna(0.0))
    assert ax.get_title(loc="left") == "Scorecard: bars now, marks before"
    with pytest.raises(ParameterError, match="scorecard"):
        om.plotting.scorecard(3)


def test_a_backtest_draws_its_differences(data):
    found = om.backtest({"popular": om.Popularity(), "ease": om.EASE()}, data, horizon="14D", n=1, k=5)
    ax = om.plotting.backtest(found)
    assert [text.get_text() for text in ax.get_yticklabels()] == found.leaderboard["model"].iloc[::-1].unique().tolist()
    with pytest.raises(ParameterError, match="backtest"):
        om.plotting.backtest(3)
