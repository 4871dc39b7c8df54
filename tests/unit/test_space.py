"""Ranges to search: numbers of a range, evenly or by factors."""

import pytest

from omnireco.errors import ParameterError
from omnireco.evaluation import Between


def test_ranges():
    assert [Between(1, 100, log=True).at(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([1, 10, 100])
    assert Between(1, 3, whole=True).at(0.5) == 2
    with pytest.raises(ParameterError, match=r"Write Between\(1, 3\)"):
        Between(3, 1)
    with pytest.raises(ParameterError, match="low"):
        Between(0, 1, log=True)
    with pytest.raises(ParameterError, match="whole numbers"):
        Between(0.5, 1, whole=True)
