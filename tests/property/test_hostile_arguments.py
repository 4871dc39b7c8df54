"""Whatever a public verb is given for one of its arguments, it answers or raises an error of ours, and it ends.

Set ``OMNIRECO_HOSTILE`` to the number of calls to try; by default it is a few hundred, the same ones every time.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

matplotlib.use("Agg")
from matplotlib import pyplot

from omnireco.errors import DataWarning, OmnirecoError

_SPEC = importlib.util.spec_from_file_location("verbs", Path(__file__).parents[1] / "contract" / "verbs.py")
verbs = importlib.util.module_from_spec(_SPEC)
sys.modules["verbs"] = verbs  # its dataclasses look for it
_SPEC.loader.exec_module(verbs)

CALLS = int(os.environ.get("OMNIRECO_HOSTILE", "400"))
MISSING = [None, float("nan"), pd.NaT, pd.NA, ""]

HOSTILE: dict[str, Any] = {
    **{f"integer {n}": n for n in (0, 1, -1, 2**31, 2**63, -(2**63), 10**30)},
    **{f"number {x}": x for x in (0.5, -0.5, 1e308, float("inf"), float("-inf"), 5e-324)},
    **{f"missing {one!r}": one for one in MISSING},
    **{f"list of missing {one!r}": [one] for one in MISSING},
    "true": True,
    "text": "zz-nobody",
    "text of a number": "1",
    "bytes": b"zz",
    "texts": ["zz-nobody", "zz-nobody"],
    "integers": [1, 2, 3],
    "huge integers": [2**31, -1, 2**63 - 1],
    "mixed": [1, "a", None],
    "nested": [[1], [2, 3]],
    "nothing": [],
    "no pair": {},
    "pair of names": {"zz-nobody": 1.0},
    "pair of nonsense": {None: None},
    "a set": {"zz-nobody"},
    "an object": object(),
    "a class": dict,
    "a function": lambda *args, **more: None,
    "a frame": pd.DataFrame({"user_id": ["a"], "nonsense": [object()]}),
    "an empty frame": pd.DataFrame(),
    "a column": pd.Series(["zz-nobody", None]),
    "a matrix": np.full((2, 3), np.nan),
    "an empty array": np.empty(0),
    "a deep array": np.zeros((1, 1, 1)),
    "complex numbers": np.array([1j, 2]),
    "a naive time": dt.datetime(2025, 5, 1),
    "the first year": "0001-01-01T00:00:00+14:00",
    "the last year": "9999-12-31T23:59:59.999999-12:00",
    "the first day": dt.date.min,
    "the last time": dt.datetime.max.replace(tzinfo=dt.UTC),
    "the first stamp": pd.Timestamp.min.tz_localize("UTC"),
    "a stamp of year 1": pd.Timestamp("0001-01-01", tz="UTC").as_unit("s"),
    "the longest time": dt.timedelta.max,
    "a microsecond": "1us",
    "no time": "0s",
    "a negative time": dt.timedelta(days=-1),
    "no timedelta": np.timedelta64("NaT"),
    "a path of nothing": Path("zz-nobody") / "nowhere",
}

# Sizes that the caller states: such a call takes the time and memory it was asked to take.
LARGE = {("simulate", name) for name in ("n_users", "n_items", "days")} | {("small_matrix", "n_users")}
THEIRS = {"progress", "metric", "metrics"}  # functions of the caller: what they raise is the caller's
CASES = [
    (name, parameter, kind)
    for name in verbs.names()
    for parameter in verbs.parameters(name)
    for kind, value in HOSTILE.items()
    if (name, parameter) not in LARGE
    and not ((parameter in THEIRS or (name, parameter) == ("backtest", "plan")) and callable(value))
]


def attempt(name: str, parameter: str, value: Any) -> str:
    """Return what went wrong in one call with a hostile argument, or nothing."""
    verb = verbs.verb(name)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            verb(**{parameter: value})
        except OmnirecoError:
            pass
        except Exception as error:  # noqa: BLE001 - any other is what the law forbids
            return f"{type(error).__module__}.{type(error).__name__}: {error}"
    strange = [one for one in seen if not issubclass(one.category, DataWarning)]
    return f"warns: {strange[0].category.__name__}: {strange[0].message}" if strange else ""


def test_every_verb_is_driven():
    assert verbs.unknown() == [], "name a value for these in tests/contract/verbs.py, or a reason not to drive them"


def test_valid_arguments_are_valid():
    """What the law varies is right to begin with, so that each argument is looked at and not the one before it."""
    may_refuse = {
        "PopularityModel.similar_items": "popularity has no item similarities",
        "probabilistic_links": "needs a package that is not always there",
    }
    assert [name for name in verbs.names() if name not in may_refuse and not _answers(name)] == []


def _answers(name: str) -> bool:
    try:
        verbs.verb(name)()
    except OmnirecoError:
        return False
    finally:
        pyplot.close("all")
    return True


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a text may be the name of a file to write


@settings(
    max_examples=CALLS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sampled_from(CASES))
def test_whatever_is_given_is_answered_or_refused(case):
    name, parameter, kind = case
    found = attempt(name, parameter, HOSTILE[kind])
    pyplot.close("all")
    assert found == "", f"{name}({parameter}=<{kind}>)"


KNOWN = [
    ("evaluate", "metrics", "missing None"),
    ("evaluate", "metrics", "a function"),
    ("candidates", "recs", "no pair"),
    ("candidates", "channels", "a frame"),
    ("EventLog.from_frame", "columns", "a frame"),
    ("EASE.fit", "data", "missing None"),
    ("EASE.fit", "data", "a frame"),
    ("ALS.loss", "model", "missing None"),
    ("by_hour", "data", "a frame"),
    ("Budget.rows", "touches", "missing None"),
    ("ZonePosterior.allowed", "at_us", "integer -9223372036854775808"),
    ("ZonePosterior.fill", "zone_probability", "number 5e-324"),
    ("Ranker", "requests_from", "the last time"),
    ("channel_report", "every", "a microsecond"),
    ("cross_fitted_rewards", "n_actions", "integer 2147483648"),
    ("learn_blend", "sweeps", "integer 2147483648"),
    ("ALS.fit", "threads", "integer 2147483648"),
    ("Identities.from_links", "max_links", "text"),
    ("machine_responses", "at", "text"),
    ("plan_per_day", "plan", "a frame"),
    ("WhatNext.one", "age", "a negative time"),
    ("slots", "days", "integer 2147483648"),
]


@pytest.mark.parametrize(("name", "parameter", "kind"), KNOWN)
def test_what_once_ended_in_an_error_of_another_kind(name, parameter, kind):
    assert attempt(name, parameter, HOSTILE[kind]) == ""
