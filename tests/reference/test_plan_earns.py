"""A plan beside greedy sending in worlds of known truth, at the sizes of CI: the benchmark prints the large ones."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def earns():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("plan_earns", BENCHMARKS / "plan_earns.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


def test_the_joint_plan_earns_more_than_each_channel_by_itself(earns):
    more = [earns.joint(seed, 200)["more than per channel"] for seed in range(3)]
    assert np.mean(more) >= 0.05


def test_fewer_messages_convert_as_often_when_fatigue_is_real(earns):
    fewer = [earns.tired(seed, 150)["fewer by the aware plan"] for seed in range(2)]
    assert min(fewer) >= 0.2
