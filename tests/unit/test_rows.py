"""Rows of at most: what one is, and that a plan keeps it; small and on paper."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.planning import Rows


def touches(values):
    """One touch each of these values, a day apart and each to another person, all on push."""
    days = pd.date_range("2025-06-01", periods=len(values), tz="UTC")
    frame = pd.DataFrame({"user_id": range(len(values)), "item_id": "tea", "send_at": days, "value": values})
    return om.planning.Candidates.from_frame(frame.assign(channel="push"))


class Weighed(om.planning.Constraint):
    """The weights of what is sent may not exceed the limit."""

    def __init__(self, weights, limit):
        self.weights, self.limit = np.array(weights, float), limit

    def rows(self, touches):
        every = np.arange(self.weights.size)
        return Rows(np.zeros_like(every), every, self.weights, np.array([float(self.limit)]), ("weight",))


def sent(values, weights, limit):
    return sorted(om.plan(touches(values), constraints=[Weighed(weights, limit)]).to_frame()["value"])


def test_the_weights_of_what_is_sent_stay_within_the_limit():
    assert sent([5.0, 4.0, 3.0], [1, 1, 1], 2) == [4, 5]
    assert sent([5.0, 4.0, 3.0], [3, 1, 1], 2) == [3, 4]  # the best alone is too heavy
    assert sent([5.0, 4.0, 3.0], [1, 1, 1], 0) == []


def test_what_weighs_nothing_is_free():
    assert sent([5.0, 4.0], [0, 1], 0) == [5]


def test_a_repr_shows_sizes():
    rows = Rows(np.array([0, 0]), np.array([0, 1]), np.ones(2), np.array([1.0]))
    assert repr(rows) == "Rows(1 row, 2 entries)"
    assert (rows.labels, rows.unit) == (None, 1.0)


def test_a_row_that_is_not_there_is_an_error():
    class Broken(om.planning.Constraint):
        def rows(self, touches):
            return Rows(np.array([1]), np.array([0]), np.ones(1), np.ones(1))

    with pytest.raises((om.errors.ParameterError, om.errors.SchemaError), match="Broken"):
        om.plan(touches([1.0]), constraints=[Broken()])
