"""What one person may be offered: numbers, and the constraints that they bring along."""

import datetime as dt

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
