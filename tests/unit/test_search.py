"""What a search for weights is asked to try: checked when it is made, and equal when it says the same."""

import pytest

from omnireco.errors import ParameterError
from omnireco.evaluation import Search


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half_lives": "7D"}, "half_lives must be a list of durations"),
        ({"slopes": 2.0}, "slopes must be a list of numbers"),
        ({"slopes": [-1]}, "slopes must be greater than 0"),
        ({"channels": "app"}, "channels must be a list"),
        ({"events": {"a": "view"}}, "must be a list"),
        ({"parameters": {"factors": 3}}, r"parameters\['factors'\] must be a list of values to try"),
        ({"parameters": [3]}, "parameters must"),
        ({"sweeps": 0}, "sweeps must be an integer"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"n_bootstrap": 0}, "n_bootstrap must be an integer"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_a_search_checks_itself(change, message):
    with pytest.raises(ParameterError, match=message):
        Search(**change)


def test_a_search_is_a_value():
    few = Search(events={"against": ["hide"]}, parameters={"factors": [2, 4]}, channels=iter(["app"]))
    assert few == Search(events={"against": ("hide",)}, parameters={"factors": (2, 4)}, channels=["app"])
    assert repr(Search()) == "Search()"
    assert eval(repr(few), {"Search": Search}) == few
    assert Search(half_lives=[None, "7D"]).weighs == ("half_lives",)
