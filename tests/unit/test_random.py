"""Named streams: equal arguments give equal draws, other names give independent ones."""

import numpy as np
import pytest

from omnireco._core.random import stream
from omnireco.errors import ParameterError


def test_a_stream_is_its_seed_and_name():
    assert stream(7, "als/init").random() == stream(7, "als/init").random()
    first = [
        stream(*key).random() for key in [(7, "a"), (8, "a"), (7, "b"), (7, "a", 1), (7, "a", "1"), (7, "a/str:1")]
    ]
    assert len(set(first)) == 6


def test_streams_do_not_move_and_leave_the_global_generator_alone():
    np.random.seed(0)  # noqa: NPY002  the generator that must not be touched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert stream(0, "als/init").integers(1000, size=4).tolist() == FIRST
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_independent():
    a, b = stream(0, "a").normal(size=20_000), stream(0, "b").normal(size=20_000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


@pytest.mark.parametrize("seed", [-1, 1.0, None, True])
def test_seeds(seed):
    with pytest.raises(ParameterError, match="seed must be an integer of at least 0"):
        stream(seed, "a")


FIRST = [887, 424, 682, 732]
