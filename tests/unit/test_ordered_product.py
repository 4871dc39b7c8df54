import numpy as np
import pytest

from omnireco._kernels.ordered_product import ordered_product


@pytest.mark.parametrize(("n", "m", "d"), [(0, 3, 2), (1, 1, 1), (3, 0, 4), (1, 40_000, 3), (300, 517, 16), (2, 5, 0)])
def test_every_cell_is_summed_in_the_order_of_its_factors(n, m, d):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(m, d)).astype(np.float32)
    by_hand = np.zeros((n, m))
    for factor in range(d):
        by_hand += left[:, factor, None].astype(np.float64) * right[:, factor].astype(np.float64)
    assert ordered_product(left, right).tobytes() == by_hand.tobytes()
