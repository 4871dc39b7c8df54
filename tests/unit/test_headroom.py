"""Headroom: what each interval advises; measured on people with and without hours of their own in test_explore.py."""

import pandas as pd
import pytest

import omnireco as om

SKILL = pd.DataFrame({"model": ["profile"], "nats": [0.25]})


def found(low, high, worthwhile=0.02):
    return om.timing.Headroom(
        skill=SKILL,
        lift=(low + high) / 2,
        low=low,
        high=high,
        prior_strength=8.0,
        people=1234,
        sessions=1,
        worthwhile=worthwhile,
    )


@pytest.mark.parametrize(
    ("low", "high", "advice"),
    [
        (0.05, 0.15, "Personal timing can help here."),
        (0.02, 0.15, "Personal timing can help here."),  # as much as is worthwhile is enough
        (-0.01, 0.019, "Do not bother: send at the best common hour."),
        (-0.01, 0.02, "Not proven, so do not bother yet"),
        (-0.01, 0.15, "Not proven, so do not bother yet"),
    ],
)
def test_the_interval_decides(low, high, advice):
    assert found(low, high).verdict.startswith(advice)


def test_the_numbers_are_shown():
    assert "+10.0% attention (+5.0% to +15.0%)" in found(0.05, 0.15).verdict
    assert "1,234 people, 1 later sessions" in found(0.05, 0.15).verdict
    assert repr(found(0.05, 0.15)) == "Headroom(lift +10.0% (+5.0% to +15.0%), 1,234 people)"
    assert "0.2500" in found(0.05, 0.15)._repr_html_()
