"""Tables of effects."""

import numpy as np
import pytest

from omnireco.causal.uplift.effects import clustered_mean, line, z_of


def test_the_error_of_a_mean_is_over_people():
    values = np.array([1.0, 1.0, 3.0, 3.0])
    mean, error, people = clustered_mean(values, np.array([7, 7, 2, 2]))
    assert (mean, people) == (2.0, 2)
    assert error == pytest.approx(1.0)  # two people, 1 and 3: sd sqrt(2), over sqrt(2)
    assert z_of(0.95) == pytest.approx(1.959964)


def test_a_cell_of_fewer_than_k_people_says_nothing():
    found = line("mail", "few", np.ones(9), np.repeat([0, 1, 2], 3), 1.96, 5)
    assert np.isnan(found["effect"])
    assert (found["rows"], found["people"]) == (0, 0)
