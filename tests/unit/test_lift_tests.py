"""Lift tests in the columns that PyMC-Marketing, Meridian and Robyn take."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from omnireco.causal import LiftTests
from omnireco.errors import EmptyError, ParameterError, SchemaError


def frame(**changed):
    days = pd.to_datetime(["2025-05-01", "2025-05-29"], utc=True)
    rows = {"channel": ["tv"], "start_at": days[:1], "end_at": days[1:], "lift": 400.0, "standard_error": 200.0,
            "spend": 100.0, "base_spend": 50.0}  # fmt: skip
    return pd.DataFrame(rows | changed)


def test_the_columns_of_each_library():
    tests = LiftTests.from_frame(frame())
    mmm = tests.to_pymc_marketing()
    assert mmm.to_dict("records") == [{"channel": "tv", "x": 50.0, "delta_x": 100.0, "delta_y": 400.0, "sigma": 200.0}]
    meridian = tests.to_meridian()
    assert meridian.to_dict("records") == [
        {"channel_name": "tv", "point_estimate": 4.0, "standard_error": 2.0, "total_spend": 100.0,
         "experiment_start_date": dt.date(2025, 5, 1), "experiment_end_date": dt.date(2025, 5, 28)}
    ]  # fmt: skip
    robyn = tests.to_robyn(metric="sales", scope="total").iloc[0]
    assert list(robyn.index) == [
        "channel",
        "liftStartDate",
        "liftEndDate",
        "liftAbs",
        "spend",
        "confidence",
        "metric",
        "calibration_scope",
    ]
    np.testing.assert_allclose(robyn["confidence"], 0.9544997)
    pd.testing.assert_frame_equal(LiftTests.from_frame(tests.to_frame()).to_frame(), tests.to_frame())


def test_spend_that_was_cut_keeps_its_sign():
    tests = LiftTests.from_frame(frame(lift=-400.0, spend=-50.0))
    assert tests.to_pymc_marketing()["delta_x"].tolist() == [-50.0]
    assert tests.to_meridian()["point_estimate"].tolist() == [8.0]


def test_what_a_library_refuses_is_refused_with_the_rows():
    loss = LiftTests.from_frame(frame(lift=-900.0))
    with pytest.raises(ParameterError, match="opposite directions"):
        loss.to_pymc_marketing()
    with pytest.raises(ParameterError, match="show a loss"):
        loss.to_meridian()
    assert loss.to_robyn()["liftAbs"].tolist() == [-900.0]
    with pytest.raises(ParameterError, match="scope must be one of"):
        loss.to_robyn(scope="all")
    with pytest.raises(ParameterError, match="metric must be"):
        loss.to_robyn(metric="")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"standard_error": 0.0}, "standard_error must be greater than 0"),
        ({"spend": 0.0}, "spend must not be 0"),
        ({"spend": -60.0}, "cannot fall by more"),
        ({"base_spend": -1.0}, "base_spend must be 0"),
        ({"end_at": pd.to_datetime(["2025-05-01"], utc=True)}, "end_at must lie after"),
    ],
)
def test_wrong_rows_are_refused(changed, words):
    with pytest.raises(SchemaError, match=words):
        LiftTests.from_frame(frame(**changed))


def test_no_rows_are_no_tests():
    with pytest.raises(EmptyError, match="no rows"):
        LiftTests.from_frame(frame().iloc[:0])
