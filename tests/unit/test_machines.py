"""Machines told from people by their delays."""

import numpy as np
import pytest

from omnireco.timing.machines import fit_delay_mixture


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("people", ["exponential", "eager", "slow"])
def test_the_share_of_machines_comes_back(share, people):
    random = np.random.default_rng(3)
    n = 4000
    human = {
        "exponential": random.exponential(6 * 3600, n),
        "eager": random.weibull(0.55, n) * 3600,
        "slow": random.lognormal(9.5, 1.2, n),
    }[people]
    machine = random.random(n) < share
    delay = np.where(machine, random.lognormal(np.log(5), 0.5, n), human)
    found = fit_delay_mixture(delay)
    assert abs(found.share - share) < 0.06
    assert (found.human(delay[machine]) < 0.5).mean() > 0.9
    assert (found.human(delay[~machine]) > 0.5).mean() > 0.9


@pytest.mark.parametrize("people", ["exponential", "eager", "slow"])
def test_people_alone_are_no_machines(people):
    random = np.random.default_rng(4)
    delay = {
        "exponential": random.exponential(6 * 3600, 5000),
        "eager": random.weibull(0.55, 5000) * 3600,
        "slow": random.lognormal(9.5, 1.2, 5000),
    }[people]
    found = fit_delay_mixture(delay)
    assert found.share < 0.02
    assert found.human(delay).min() >= 0.0


def test_nothing_is_claimed_of_few_answers_or_whole_minutes():
    assert fit_delay_mixture(np.full(20, 3.0)).share == 0
    assert fit_delay_mixture(np.empty(0)).share == 0
    random = np.random.default_rng(0)
    minutes = np.floor(np.where(random.random(3000) < 0.5, 20.0, random.exponential(9000, 3000)) / 60) * 60
    assert fit_delay_mixture(minutes).share == 0


def test_everybody_a_machine():
    found = fit_delay_mixture(np.random.default_rng(0).lognormal(1.0, 0.4, 2000))
    assert found.human(np.array([0.0, 3.0])).max() < 0.5 or found.share == 0
    assert np.isfinite(found.human(np.array([0.0, 1e9]))).all()
