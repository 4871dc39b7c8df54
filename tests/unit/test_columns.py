"""How a door reads one column; frames as a whole are in property/test_doors.py."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from omnireco.data import Catalog
from omnireco.data.frames.columns import decode_optional, instants_to_arrow, instants_to_pandas, open_frame
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import SchemaError

NEVER = np.iinfo(np.int64).min


def column(values, name="x"):
    return open_frame(pa.table({name: values}), "door", needed=(name,))


def test_only_named_columns_are_read_and_the_rest_is_known():
    frame = pd.DataFrame({"a": [1], "consent_push": [True], "other": [object()]})
    opened = open_frame(frame, "door", needed=("a",), optional=("b",), prefixes=("consent_",))
    assert set(opened.columns) == {"a", "consent_push"}
    assert opened.others == ("other",)
    assert opened.n_rows == 1
    assert "a" in opened
    assert "b" not in opened


def test_instants():
    aware = pa.array([0, None, -1], pa.timestamp("ms", "Asia/Tokyo"))
    assert column(aware).instants("x", none=NEVER).tolist() == [0, NEVER, -1000]
    with pytest.raises(SchemaError, match=r"door: x is missing in 1 row \(position 1\)"):
        column(aware).instants("x")
    assert column(pa.nulls(2)).instants("x", none=NEVER).tolist() == [NEVER, NEVER]
    with pytest.raises(SchemaError, match=r"x is missing in all 2 rows. Fill them in upstream"):
        column(pa.nulls(2)).instants("x")


def test_numbers():
    assert column(pa.array([1, 2], pa.uint64())).numbers("x").tolist() == [1, 2]
    assert column(pa.array([], pa.string())).numbers("x").size == 0
    with pytest.raises(SchemaError, match=r"x must hold numbers. Got bool. Cast it: frame\['x'\].astype\(float\)"):
        column([True]).numbers("x")
    with pytest.raises(SchemaError, match=r"missing or infinite in 2 rows \(positions 0, 1\)"):
        column([None, float("-inf"), 1.0]).numbers("x")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.5", "2"], [1.5, 2.0]),
        (["1.234,50", "2"], [1234.5, 2.0]),
        (["12,5", "-3,25"], [12.5, -3.25]),
        (["1,234.50", "2"], [1234.5, 2.0]),
        ([True, False], [1.0, 0.0]),
        (pd.to_timedelta([1, 90], unit="s"), [1.0, 90.0]),
        (["12 apples", "2"], [np.nan, 2.0]),
        (["1,234", "2"], [np.nan, 2.0]),  # one thousand, or a little more than one: it does not say
    ],
    ids=str,
)
def test_the_advice_for_numbers_leads_to_them(cells, values):
    frame = pd.DataFrame({"item_id": ["a", "b"], "price": cells})
    with pytest.raises(SchemaError, match="price must hold numbers") as caught:
        Catalog.from_frame(frame)
    line = str(caught.value).split(": ")[-1].split(" makes")[0].rstrip(".")
    frame["price"] = eval(line, {"pd": pd, "frame": frame})
    np.testing.assert_array_equal(Catalog.from_frame(frame).price, values)


def test_flags():
    assert column([True, None]).flags("x", missing=False).tolist() == [True, False]
    assert column([True, None]).flags("x", missing=True).tolist() == [True, True]
    assert column(pa.nulls(2)).flags("x", missing=False).tolist() == [False, False]
    with pytest.raises(SchemaError, match=r"x must hold True and False. Got string. Compare it: frame\['x'\] == 'yes'"):
        column(["yes"]).flags("x", missing=False)


def test_back_to_frames():
    at = np.array([0, NEVER, -1])
    stamps = instants_to_pandas(at, none=NEVER)
    assert str(stamps.dtype) == "datetime64[us, UTC]"
    assert pd.isna(stamps[1])
    assert stamps[2] == pd.Timestamp("1969-12-31 23:59:59.999999", tz="UTC")
    assert at[1] == NEVER
    assert instants_to_arrow(np.array([5])).type == pa.timestamp("us", tz="UTC")
    words, numbers = Vocabulary.from_ids(["a"]), Vocabulary.from_ids([2**62 + 1])
    assert decode_optional(words, np.array([0, -1])).tolist() == ["a", None]
    whole = decode_optional(numbers, np.array([0, -1]))
    assert whole[0] == 2**62 + 1  # no detour through floats
    assert whole[1] is pd.NA
    assert decode_optional(numbers, np.array([0])).dtype == np.int64
