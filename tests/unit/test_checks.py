"""Bad input becomes an error that says what, where and how to repair it."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from omnireco._core import checks as checks
from omnireco.errors import (
    EmptyError,
    InfeasibleError,
    MissingExtraError,
    NotFittedError,
    OmnirecoError,
    ParameterError,
    SchemaError,
    StorageError,
    UnknownIdError,
)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (SchemaError, ValueError),
        (UnknownIdError, KeyError),
        (ParameterError, ValueError),
        (NotFittedError, AttributeError),
        (EmptyError, ValueError),
        (InfeasibleError, ValueError),
        (StorageError, OSError),
        (MissingExtraError, ImportError),
    ],
)
def test_every_error_is_ours_and_the_builtin_a_caller_would_catch(error, builtin):
    assert issubclass(error, OmnirecoError)
    assert issubclass(error, builtin)
    assert str(error("plain words")) == "plain words"


def test_integers():
    assert checks.check_integer(np.int8(3), "k", low=1) == 3
    assert type(checks.check_integer(np.int8(3), "k")) is int
    for value in (True, np.True_, 3.0, "3", None):
        with pytest.raises(ParameterError, match=r"k must be an integer of at least 1\. Got .*\("):
            checks.check_integer(value, "k", low=1)
    with pytest.raises(ParameterError, match=r"k must be an integer of at least 1\. Got 0\."):
        checks.check_integer(0, "k", low=1)
    with pytest.raises(ParameterError, match=r"k must be an integer in the range \[0, 5\]\. Got 6\."):
        checks.check_integer(6, "k", low=0, high=5)
    with pytest.raises(ParameterError, match=r"k must be an integer of at most 5\. Got 6\."):
        checks.check_integer(6, "k", high=5)


def test_numbers():
    assert checks.check_number(np.float32(0.5), "b", low=0, high=1) == 0.5
    with pytest.raises(ParameterError, match=r"b must be a number\. Got a text of 1 character \(str\)"):
        checks.check_number("1", "b")
    with pytest.raises(ParameterError, match=r"b must be a number\. Got True \(bool\)"):
        checks.check_number(True, "b")
    with pytest.raises(ParameterError, match=r"b must be a finite number\. Got nan"):
        checks.check_number(float("nan"), "b")
    with pytest.raises(ParameterError, match=r"b must be greater than 0\. Got 0"):
        checks.check_number(0, "b", above=0)
    with pytest.raises(ParameterError, match=r"b must be a number in the range \[0, 1\]\. Got 1\.5"):
        checks.check_number(1.5, "b", low=0, high=1)


def test_flags_choices_and_names():
    assert checks.check_flag(np.True_, "binary") is True
    with pytest.raises(ParameterError, match=r"binary must be True or False\. Got 1"):
        checks.check_flag(1, "binary")
    assert checks.check_choice("log", "value", ("linear", "log")) == "log"
    with pytest.raises(ParameterError, match=r"value must be one of 'linear', 'log'\. Got a list of length 1"):
        checks.check_choice(["log"], "value", ("linear", "log"))
    assert checks.check_names(iter(["a", "b"]), "context") == ("a", "b")
    for value in ("device", b"device", 5, None):
        with pytest.raises(ParameterError, match="context must be a list of names, such as"):
            checks.check_names(value, "context")


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("30D", 30 * 86_400_000_000),
        (" 1.5 h ", 5_400_000_000),
        ("90min", 5_400_000_000),
        ("2W", 14 * 86_400_000_000),
        ("3s", 3_000_000),
        ("4ms", 4_000),
        ("5us", 5),
        (dt.timedelta(hours=1), 3_600_000_000),
        (pd.Timedelta("1h"), 3_600_000_000),
        (np.timedelta64(1, "h"), 3_600_000_000),
    ],
)
def test_durations(value, microseconds):
    assert checks.check_duration(value, "half_life") == microseconds


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("30", "half_life must be a duration such as '30D'"),
        (30, "half_life must be a duration such as '30D'.* Got 30"),
        ("30M", "half_life has the unknown unit 'M'. Use us, ms, s, min, h, D or W"),
        ("0D", "half_life must be longer than zero. Got '0D'"),
        (dt.timedelta(days=-1), "half_life must be longer than zero"),
        (np.timedelta64("NaT"), "half_life must be longer than zero"),
        ("9" * 400 + "D", "half_life must be at most 10,000 years"),
        (np.timedelta64(20_000, "Y"), "half_life must be at most 10,000 years"),
    ],
)
def test_durations_that_are_none(value, match):
    with pytest.raises(ParameterError, match=match):
        checks.check_duration(value, "half_life")


@pytest.mark.parametrize(
    "value",
    [
        "2025-06-01",
        " 2025-06-01 ",
        "2025-06-01T00:00:00Z",
        "2025-06-01T02:00:00+02:00",
        dt.date(2025, 6, 1),
        dt.datetime(2025, 6, 1, tzinfo=dt.UTC),
        pd.Timestamp("2025-05-31 20:00", tz="America/New_York"),
    ],
)
def test_instants(value):
    assert checks.check_instant(value, "at") == 1_748_736_000_000_000
    assert checks.from_microseconds(1_748_736_000_000_000) == dt.datetime(2025, 6, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("June", "at is not an ISO 8601 date or time: 'June'"),
        ("2025-06-01T12:00", r"at has no time zone: 2025-06-01T12:00:00. .*'2025-06-01T12:00:00\+00:00'"),
        (dt.datetime(2025, 6, 1), "at has no time zone"),
        (pd.NaT, r"at must be an instant: .* Got NaT \(NaTType\)"),
        (1_748_736_000, r"at must be an instant: .* Got 1748736000 \(int\)"),
        (None, "at must be an instant"),
        (np.datetime64("2025-06-01"), "at must be an instant"),
        (dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))), "outside the years 1 to 9999"),
        (dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=14))), "outside the years 1 to 9999"),
    ],
)
def test_instants_that_are_none(value, match):
    with pytest.raises(ParameterError, match=match):
        checks.check_instant(value, "at")


def test_rows_are_counted_and_the_first_are_named():
    assert checks.name_rows(np.array([True, False, True])) == "2 rows (positions 0, 2)"
    assert checks.name_rows(np.array([7])) == "1 row (position 7)"
    assert checks.name_rows(np.ones(9, bool)) == "9 rows (positions 0, 1, 2, 3, 4, ...)"


def test_missing_columns_are_named_with_a_near_miss():
    checks.check_columns(["a", "b"], ["a"], "door")
    with pytest.raises(SchemaError, match=r"door needs the column 'user_id'; .*columns=\{\"user_id\": \"userid\"\}"):
        checks.check_columns(["userid", "x"], ["user_id"], "door")
    with pytest.raises(SchemaError, match=r"needs the columns 'a', 'b'; the frame has no columns.*your_column"):
        checks.check_columns([], ["a", "b"], "door")


def test_optional_packages():
    assert checks.require("math", extra="demo", purpose="This").pi > 3
    with pytest.raises(
        MissingExtraError, match=r"Plotting needs the package 'not_there'. Run: pip install \"omnireco\[demo\]\""
    ):
        checks.require("not_there.part", extra="demo", purpose="Plotting")


def test_the_near_column_is_one_of_another_case_and_never_one_of_ours():
    with pytest.raises(SchemaError, match=r'needs the column .user_id.*columns=\{"user_id": "User_ID"\}'):
        checks.check_columns(["User_ID", "item_id", "channel"], ["user_id", "item_id"], "door")
    with pytest.raises(SchemaError, match=r'columns=\{"user_id": "your_column"\}'):
        checks.check_columns(["item_id"], ["user_id", "item_id"], "door")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("meann", "'meann'"),
        ("Europe/Nowhere", "'Europe/Nowhere'"),
        ("30D", "'30D'"),
        ("2025-05-01T09:00:00+02:00", "'2025-05-01T09:00:00+02:00'"),
        ("", "''"),
        (np.float64(0.5), "0.5"),
        (10**30, "an integer of more than 20 digits"),
        (None, "None"),
        (np.timedelta64("NaT"), "NaT"),
        ("ann@example.org", "a text of 15 characters"),
        ("cust-0012", "a text of 9 characters"),
        ("+4915112345", "a text of 11 characters"),
        (b"ann", "a bytes of length 3"),
        (["ann", "bob"], "a list of length 2"),
        ({"ann": 1}, "a dict of length 1"),
        (np.array(["ann"]), "a ndarray of shape (1,)"),
        (pd.DataFrame({"ann": [1, 2]}), "a DataFrame of shape (2, 1)"),
        (dict, "the class dict"),
    ],
)
def test_an_error_repeats_only_what_cannot_be_somebodys_id(value, said):
    assert checks.shown(value) == said


def test_names_are_names():
    with pytest.raises(ParameterError, match=r"context must hold names, such as \['email'\]\. Got None among them"):
        checks.check_names(["device", None], "context")


def test_unknown_names_that_look_like_ids_are_described():
    with pytest.raises(ParameterError, match=r"QuietHours: channels: a text of 10 characters is a name that nothing"):
        checks.check_known(["ann@mail.x"], ["push"], "QuietHours: channels")
    with pytest.raises(ParameterError, match=r"'in-ap' is a name that nothing here has. Did you mean 'in-app'"):
        checks.check_known(["in-ap"], ["in-app"], "QuietHours: channels")
    with pytest.raises(ParameterError, match=r"names must be a list. Got 'push'"):
        checks.check_known("push", ["push"], "QuietHours: channels")
    with pytest.raises(ParameterError, match=r"a list of length 1 is a name that nothing here has"):
        checks.check_known([["push"]], ["push"], "QuietHours: channels")


def test_instants_and_arrays():
    assert checks.check_instants([1, 2], "at_us").dtype == np.int64
    with pytest.raises(ParameterError, match=r"at_us must be instants, integer microseconds since 1970"):
        checks.check_instants([1.5], "at_us")
    with pytest.raises(ParameterError, match=r"at_us must be one instant, or one per person \(3\)"):
        checks.check_instants([1, 2], "at_us", n=3)
    with pytest.raises(ParameterError, match=r"at_us lies outside the years 1 to 9999"):
        checks.check_instants(np.array([-(2**63)]), "at_us")
    with pytest.raises(ParameterError, match=r"ids must be an array, all rows as long as each other. Got a list"):
        checks.check_array([[1], [2, 3]], "ids")
    with pytest.raises(ParameterError, match=r"weights must be a mapping, such as \{'ease': 0.5\}. Got 3"):
        checks.check_mapping(3, "weights", "{'ease': 0.5}")
    with pytest.raises(ParameterError, match=r"audience must be a DataFrame. Got the class dict. Write it"):
        checks.check_kind(dict, pd.DataFrame, "audience", "it")
