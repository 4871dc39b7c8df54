"""What one person may be offered: numbers, and the constraints that they bring along."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.planning import PerPerson


def test_the_defaults_are_what_the_documentation_says():
    assert PerPerson() == PerPerson(n_items=3, n_slots=8, once_per_item=True, min_interval="4h")
    assert hash(PerPerson()) == hash(PerPerson(min_interval="4h"))
    assert repr(PerPerson()) == "PerPerson(n_items=3, n_slots=8, once_per_item=True, min_interval='4h')"


def test_it_implies_once_per_item_and_the_gap_as_a_cap_of_one():
    assert PerPerson(min_interval="20h").implied == (om.planning.OncePerItem(), om.FrequencyCap(1, per="20h"))
    assert PerPerson(once_per_item=False, min_interval=dt.timedelta(hours=2)).implied == (
        om.FrequencyCap(1, per=dt.timedelta(hours=2)),
    )
    assert PerPerson(min_interval=None).implied == (om.planning.OncePerItem(),)
    assert PerPerson(once_per_item=False, min_interval=None).implied == ()


@pytest.mark.parametrize("name", ["n_items", "n_slots"])
@pytest.mark.parametrize("number", [0, -1, 1.5, "3", None, True])
def test_counts_are_whole_and_at_least_one(name, number):
    with pytest.raises(ParameterError, match=name):
        PerPerson(**{name: number})


@pytest.mark.parametrize("gap", ["soon", "0h", 4, {"push": "1D"}])
def test_a_gap_is_one_duration(gap):
    with pytest.raises(ParameterError, match="min_interval"):
        PerPerson(min_interval=gap)


@pytest.mark.parametrize("flag", ["yes", 1, None])
def test_once_per_item_is_yes_or_no(flag):
    with pytest.raises(ParameterError, match="once_per_item"):
        PerPerson(once_per_item=flag)


def test_parameters_are_named():
    with pytest.raises(TypeError):
        PerPerson(3)


def on_devices(device, n_items, attributes=("device",)):
    people = pd.DataFrame({"user_id": range(len(device)), "timezone": "UTC", "consent_email": True, "device": device})
    ranked = [{"user_id": u, "item_id": f"i{r}", "rank": r} for u in range(len(device)) for r in range(1, 7)]
    even = SimpleNamespace(slot_probability=lambda audience, rows, channel, at: np.full((len(rows), len(at)), 0.1))
    found = om.candidates(
        om.Recommendations.from_frame(pd.DataFrame(ranked)),
        om.Dataset(audience=om.Audience.from_frame(people, attributes=list(attributes))),
        even,
        om.slots("2025-06-01", days=1),
        channels="email",
        per_person=PerPerson(n_items=n_items, n_slots=1),
    )
    return found.to_frame().groupby("user_id")["item_id"].nunique().tolist()


def test_a_list_is_as_long_as_its_device_shows_and_short_where_that_is_not_known():
    lengths = {"email": {"desktop": 6, "phone": 3}}
    assert on_devices(["phone", "desktop", None, "watch"], lengths) == [3, 6, 3, 3]
    assert on_devices(["phone", "desktop"], {"email": 2}) == [2, 2]


@pytest.mark.parametrize(
    ("lengths", "match"),
    [
        ({"email": {}}, r"n_items\['email'\] names no device"),
        ({"email": {"phone": 0}}, r"n_items\['email'\]\['phone'\] must be an integer of at least 1"),
        ({"email": {"fone": 3}}, "'fone' is a name that nothing here has. Did you mean 'phone'"),
    ],
)
def test_lengths_by_device_are_checked(lengths, match):
    with pytest.raises(ParameterError, match=match):
        on_devices(["phone"], lengths)


def test_lengths_by_device_need_the_attribute():
    with pytest.raises(ParameterError, match="'device' is a name that nothing here has"):
        on_devices(["phone"], {"email": {"phone": 3}}, attributes=())
    with pytest.raises(ParameterError, match="by must be an attribute"):
        PerPerson(by=3)
