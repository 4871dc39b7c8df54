"""Ids to codes and back."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data.vocabulary import NONE, Vocabulary, compress, distinct_codes
from omnireco.errors import IdKindError, ParameterError, SchemaError, UnknownIdError


@pytest.mark.parametrize(
    "column",
    [
        ["b", "a", "b"],
        ("b", "a", "b"),
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], object),
        pd.Series(["b", "a", "b"]),
        pd.Index(["b", "a", "b"]),
        pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"]),
        pl.Series(["b", "a", "b"]),
        pl.Series(["b", "a", "b"], dtype=pl.Categorical),
        pl.Series(["b", "a", "b"], dtype=pl.Enum(["b", "c", "a"])),
        pa.array(["b", "a", "b"]),
        pa.chunked_array([["b"], [], ["a", "b"]]),
        pa.array(["b", "a", "b"]).dictionary_encode(),
    ],
)
def test_any_column_of_strings(column):
    vocabulary, codes = Vocabulary.encode(column)
    assert vocabulary.ids.tolist() == ["a", "b"]
    assert codes.tolist() == [1, 0, 1]
    assert codes.dtype == np.int32
    assert vocabulary.decode(codes).tolist() == ["b", "a", "b"]


@pytest.mark.parametrize(
    "values", [[3, -1, 3], [10**15, -(10**15), 10**15], [2**63 - 1, -(2**63), 2**63 - 1], [1, 0, 1]]
)
def test_integers_near_and_far(values):
    for column in (values, np.array(values), pl.Series(values), pd.array(values, "Int64")):
        vocabulary, codes = Vocabulary.encode(column)
        assert vocabulary.ids.tolist() == sorted(set(values))
        assert vocabulary.ids.dtype == np.int64
        assert vocabulary.decode(codes).tolist() == values


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.uint64])
def test_every_width_of_integer(dtype):
    assert Vocabulary.from_ids(np.array([2, 1], dtype)).ids.tolist() == [1, 2]


def test_missing_ids():
    for column in (["a", None], pd.array([1, None], "Int64"), pd.Categorical(["b", None]), pl.Series(["x", None])):
        with pytest.raises(SchemaError, match=r"user_id is missing in 1 row \(position 1\)"):
            Vocabulary.encode(column, "user_id")
        vocabulary, codes = Vocabulary.encode(column, allow_missing=True)
        assert len(vocabulary) == 1
        assert codes.tolist() == [0, NONE]


@pytest.mark.parametrize(
    ("column", "error", "match"),
    [
        (5, ParameterError, r"ids must be a list or column, not one int: write \[id\]"),
        ("abc", ParameterError, "not one str"),
        (b"abc", ParameterError, "not one bytes"),
        (pd.DataFrame({"user_id": [1]}), ParameterError, "not a whole frame"),
        (pl.DataFrame({"user_id": [1]}), ParameterError, "not a whole frame"),
        (pa.table({"user_id": [1]}), ParameterError, "not"),
        ([1, "a"], SchemaError, "several kinds"),
        ([2**70], SchemaError, "OverflowError"),
        (np.array([[1], [2]]), SchemaError, "ids holds values of several kinds"),
        ([1.0], SchemaError, r"Got double. Cast them: frame\['ids'\].astype\('int64'\)"),
        ([b"a"], SchemaError, r"str.decode\('utf-8'\)"),
        ([True], SchemaError, "Got bool"),
        (np.array([2**63], np.uint64), SchemaError, r"integers above 2\*\*63 - 1"),
        (pd.PeriodIndex(["2025"], freq="Y"), SchemaError, "Got extension<pandas.period"),
        (np.ma.array([1, 2], mask=[0, 1]), SchemaError, "missing in 1 row"),
    ],
)
def test_what_cannot_be_ids(column, error, match):
    with pytest.raises(error, match=match):
        Vocabulary.from_ids(column)


def test_codes_of_known_and_unknown_ids():
    users = Vocabulary.from_ids(["ann", "bob"])
    assert users.codes(["bob", "ann", "bob"]).tolist() == [1, 0, 1]
    assert users.codes(["bob", "eve", None], missing="none").tolist() == [1, -1, -1]
    assert users.codes([]).tolist() == []
    with pytest.raises(UnknownIdError, match=r"1 of 2 ids are unknown here: 1 row \(position 1\)") as caught:
        users.codes(["ann", "eve"])
    assert "eve" not in str(caught.value)
    with pytest.raises(IdKindError, match="ids given are integers, those known here are strings: they can never match"):
        users.codes([1])
    with pytest.raises(UnknownIdError, match="ids given are strings, those known here are integers"):
        Vocabulary.from_ids([1]).codes(["1"])
    with pytest.raises(ParameterError, match=r"write \[id\]"):
        users.codes("ann")
    with pytest.raises(ParameterError, match="missing must be one of 'raise', 'none'"):
        users.codes(["ann"], missing="ignore")


def test_codes_twice():
    users = Vocabulary.from_ids(["ann", "bob"])
    assert distinct_codes(users, ["bob", "ann"]).tolist() == [1, 0]
    with pytest.raises(ParameterError, match="1 of 2 ids are named twice"):
        distinct_codes(users, ["bob", "bob"])


def test_membership():
    words, numbers = Vocabulary.from_ids(["a", " "]), Vocabulary.from_ids([1, 2])
    assert "a" in words
    assert " " in words
    for value in ("", "b", 1, None, "\ud800", ["a"]):
        assert value not in words
    assert 2 in numbers
    assert np.int8(2) in numbers
    for value in (3, True, 2.0, "2", 2**70, None):
        assert value not in numbers


def test_equality_is_ids_in_their_order():
    one = Vocabulary.from_ids(["a", "b"])
    assert one == Vocabulary.from_ids(["b", "a"])
    assert hash(one) == hash(Vocabulary.from_ids(["b", "a"]))
    assert one != one.take(np.array([1, 0]))
    assert Vocabulary.from_ids(["ab", "c"]) != Vocabulary.from_ids(["a", "bc"])
    assert Vocabulary.from_ids([1]) != Vocabulary.from_ids(["1"])
    assert one != "a"
    odd = np.array(["\ud800"], object)
    assert Vocabulary(odd) == Vocabulary(odd.copy())


def test_frozen_and_silent():
    ids = np.array([1, 2])
    vocabulary = Vocabulary(ids)
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.ids[0] = 9
    ids[0] = 5  # the caller's array stays writable
    assert repr(Vocabulary.from_ids(["secret"])) == "Vocabulary(1 str id)"


def test_compress_keeps_what_occurs():
    vocabulary, codes = compress(Vocabulary.from_ids(["a", "b", "c"]), np.array([2, -1, 0], np.int32))
    assert vocabulary.ids.tolist() == ["a", "c"]
    assert codes.tolist() == [1, -1, 0]


@pytest.mark.parametrize("ids", [[1.5, 2.0], [True], 3, None, [[1, 2]], np.array(["2025-01-01"], "datetime64[D]")])
def test_a_vocabulary_holds_integers_or_strings(ids):
    """1.5 was cut to 1 in silence."""
    with pytest.raises(SchemaError, match="integers or strings in one dimension"):
        Vocabulary(ids)


def test_a_vocabulary_of_numpy_strings_is_one_of_strings():
    assert Vocabulary(np.array(["a", "b"])) == Vocabulary.from_ids(["b", "a"])
