"""Who may be reached: everything unknown fails closed."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data import Audience
from omnireco.errors import ParameterError, SchemaError, UnknownIdError


def frame(**changes):
    return pd.DataFrame(
        {
            "user_id": ["eve", "ann", "bob"],
            "timezone": ["Asia/Tokyo", None, "Europe/Berlin"],
            "consent_push": [True, True, None],
            "consent_email": [1, 0, 1],
            "reachable_push": [True, None, True],
            "segment": ["new", None, "old"],
        }
        | changes
    )


def test_by_hand():
    people = Audience.from_frame(frame(), attributes=["segment"])
    assert people.users.ids.tolist() == ["ann", "bob", "eve"]
    assert people.zones.ids.tolist() == ["Asia/Tokyo", "Europe/Berlin"]
    assert people.zone.tolist() == [-1, 1, 0]
    assert people.channels.ids.tolist() == ["email", "push"]
    assert people.consent.tolist() == [[False, True], [True, False], [True, True]]
    assert people.reachable.tolist() == [[True, False], [True, True], [True, True]]
    assert people.attributes["segment"][1].tolist() == [-1, 1, 0]
    assert repr(people) == "Audience(3 users, 2 zones, 1 user without a zone, consent: email 2, push 2)"
    assert not people.consent.flags.writeable


def test_rows_in_the_order_given():
    some = Audience.from_frame(frame(), attributes=["segment"]).rows(["eve", "ann"])
    assert some.users.ids.tolist() == ["eve", "ann"]
    assert some.zones.ids.tolist() == ["Asia/Tokyo"]
    assert some.zone.tolist() == [0, -1]
    assert some.consent.tolist() == [[True, True], [False, True]]
    with pytest.raises(UnknownIdError, match="1 of 1 ids are unknown"):
        some.rows(["bob"])
    with pytest.raises(ParameterError, match="1 of 2 ids are named twice"):
        some.rows(["ann", "ann"])


def test_every_frame_and_back():
    expected = Audience.from_frame(frame(), attributes=["segment"]).to_frame()
    for table in (pl.from_pandas(frame()), pa.Table.from_pandas(frame()), expected, frame()[::-1]):
        found = Audience.from_frame(table, attributes=["segment"]).to_frame()
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"user_id": ["ann", "ann", "bob"]}, r"user_id is listed again in 1 row \(position 1\).*drop_duplicates"),
        (
            {"timezone": ["EST", "UTC+3", "Etc/GMT+4"]},
            r"timezone holds 3 values that are not an IANA region, in 3 rows .*: 'EST', 'Etc/GMT\+4', 'UTC\+3'",
        ),
        ({"timezone": [1, 2, 3]}, "timezone must hold strings"),
        (
            {"consent_push": ["yes", "no", "no"]},
            r"consent_push must hold True and False.*frame\['consent_push'\] == 'yes'",
        ),
        ({"consent_push": [2, 0, 1]}, r"other numbers stand in 1 row \(position 0\)"),
        ({"reachable_sms": [True] * 3}, "reachable_sms has no consent_sms beside it"),
    ],
)
def test_refused(changes, match):
    with pytest.raises(SchemaError, match=match):
        Audience.from_frame(frame(**changes))


def test_a_column_mapped_to_zones_by_mistake_is_not_read_aloud():
    with pytest.raises(SchemaError, match=r"3 values that are not an IANA region, in 3 rows") as caught:
        Audience.from_frame(frame(), columns={"timezone": "user_id"})
    assert not any(name in str(caught.value) for name in ("eve", "ann", "bob"))


def test_attributes_are_a_list():
    with pytest.raises(ParameterError, match=r"attributes must be a list of names, such as \['segment'\]"):
        Audience.from_frame(frame(), attributes="segment")


def test_consent_as_missing_floats_fails_closed():
    people = Audience.from_frame(frame(consent_email=[1.0, np.nan, 0.0]))
    assert people.consent[:, 0].tolist() == [False, False, True]
    nobody = Audience.from_frame(frame(consent_email=[None, None, None]))
    assert not nobody.consent[:, 0].any()


def test_columns_by_other_names():
    renamed = frame().rename(columns={"consent_email": "mail_ok", "timezone": "tz"})
    people = Audience.from_frame(renamed, columns={"consent_email": "mail_ok", "timezone": "tz"})
    assert people.channels.ids.tolist() == ["email", "push"]
