"""Who may be reached: everything unknown fails closed."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from omnireco.data import Audience
from omnireco.errors import DataWarning, ParameterError, SchemaError, UnknownIdError


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
            {"consent_push": ["oui", "non", None]},
            r"None can be read, in 2 rows \(positions 0, 1\).*frame\['consent_push'\] == 'x'",
        ),
        ({"consent_push": [2, 3, 5]}, r"None can be read, in 3 rows"),
        ({"consent_push": [{"email": True}, None, None]}, r"None can be read, in 1 row \(position 0\)"),
        ({"consent_": [True] * 3}, "the column 'consent_' names no channel"),
        ({"consent_push_at": ["2025-05-01"] * 3}, "consent_push_at must hold times with a time zone"),
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


@pytest.mark.parametrize(
    "spelled",
    [
        ["yes", "no", None],
        ["TRUE ", "false", ""],
        ["1", "0", "0"],
        [1, 0, None],
        [1.0, 0.0, np.nan],
        [True, "no", None],
        [1, "0", pd.NA],
        ["subscribed", "unsubscribed", "pending"],
        ["opt-in", "opted out", "never"],
        pd.Categorical(["y", "n", None]),
        pd.array([True, False, None], "boolean"),
    ],
    ids=repr,
)
def test_a_consent_is_read_as_it_is_spelled(spelled):
    people = Audience.from_frame(frame(consent_push=spelled, reachable_push=spelled))
    by_id = dict(zip(people.users.ids, people.consent[:, 1].tolist(), strict=True))
    assert [by_id[name] for name in frame()["user_id"]] == [True, False, False]
    assert (people.reachable[:, 1] == people.consent[:, 1]).all()
    assert people.quality.ok


@pytest.mark.parametrize("word", ["maybe", 2, -1.0, "yes, but not often", "2025-05-01"])
def test_a_consent_that_nobody_can_read_is_a_no_and_is_counted(word):
    mixed = frame(consent_push=[word, True, True])
    with pytest.warns(DataWarning, match=r"consent_push is neither true nor false in 1 row \(position 0\), so"):
        people = Audience.from_frame(mixed)
    assert int(people.consent[:, 1].sum()) == 2
    silent = Audience.from_frame(mixed, on_invalid="drop")
    assert len(silent) == 3
    assert silent.quality.rows("unreadable").tolist() == [0]
    assert silent.quality.n_dropped == 0


def test_columns_by_other_names():
    renamed = frame().rename(columns={"consent_email": "mail_ok", "timezone": "tz"})
    people = Audience.from_frame(renamed, columns={"consent_email": "mail_ok", "timezone": "tz"})
    assert people.channels.ids.tolist() == ["email", "push"]
