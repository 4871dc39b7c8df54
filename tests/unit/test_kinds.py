"""Whose week reading follows: planted shares and kinds are found, and nothing is found where nothing is."""

import numpy as np
import pytest

from omnireco._kernels.week.delay import reading_after
from omnireco._kernels.week.kinds import Evidence, Follows, evidence, fit_follows, kinds_of

TAU = 5.0


def answers(own, seed=0, n=600, sends=40):
    """Three kinds of people, half of whom read (partly) like another kind; Poisson answers to random sends."""
    rng = np.random.default_rng(seed)
    clock = np.arange(24)
    weeks = [np.exp(-0.5 * ((clock - peak + 12) % 24 - 12) ** 2 / 4) + 0.02 for peak in (7, 14, 21)]
    psi = np.stack([np.tile(week, 7) / week.sum() / 7 for week in weeks])
    kind = np.arange(n) % 3
    other = np.where(rng.random(n) < 0.5, kind, rng.integers(0, 3, n))
    r = 0.7 * psi[kind] + 0.3 * rng.dirichlet(np.full(168, 0.5), n)
    reading = own * r + (1 - own) * psi[other]
    person, sent = np.repeat(np.arange(n), sends), rng.integers(0, 168, n * sends)
    answered = rng.random(n * sends) < np.minimum(2.0 * reading_after(reading, TAU)[person, sent], 1.0)
    chance = np.exp(-np.arange(168) / TAU) * reading[person[:, None], (sent[:, None] + np.arange(168)) % 168]
    delay = (chance.cumsum(axis=1) / chance.sum(axis=1, keepdims=True) > rng.random((n * sends, 1))).argmax(axis=1)
    found = evidence(r, psi, person, sent, answered, (sent + delay) % 168, TAU)
    return found, np.eye(3)[kind], other


def test_finds_how_much_is_own_and_whose_the_rest_is():
    found, member, other = answers(own=0.6)
    follows = fit_follows(found, member, 2.0, 1e6)
    assert follows.own == pytest.approx(0.6, abs=0.11)
    np.testing.assert_allclose(follows.follows.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.diag(follows.follows), 2 / 3, atol=0.15)
    kind = kinds_of(found.log_likelihood(follows.own, 2.0, 1e6), member, follows.follows)
    np.testing.assert_allclose(kind.sum(axis=1), 1.0)
    assert (kind.argmax(axis=1) == other).mean() > 0.6 > (member.argmax(axis=1) == other).mean() - 0.1


def test_reading_as_activity_stays_as_it_is():
    found, member, _ = answers(own=1.0)
    follows = fit_follows(found, member, 2.0, 1e6)
    assert follows.own >= 0.9


@pytest.mark.parametrize("seed", range(6))
def test_who_comes_first_does_not_matter(seed):
    found, member, _ = answers(own=0.7, seed=seed, n=61, sends=12)
    n = len(member)
    order = np.random.default_rng(seed).permutation(n)
    place = np.argsort(order)
    turned = Evidence(
        place[found.row], found.own_read, found.kind_read, found.own_pull[order], found.kind_pull[order],
        found.answers[order],
    )  # fmt: skip
    here, there = fit_follows(found, member, 2.0, 1e6), fit_follows(turned, member[order], 2.0, 1e6)
    assert here.own == there.own
    np.testing.assert_allclose(here.follows, there.follows, rtol=1e-9)


def test_nothing_to_learn_from():
    silent, member, _ = answers(own=1.0, n=6, sends=1)
    silent = evidence(
        np.full((6, 168), 1 / 168), np.full((3, 168), 1 / 168), np.arange(6), np.zeros(6, int), np.zeros(6, bool),
        np.zeros(6, int), TAU,
    )  # fmt: skip
    assert fit_follows(silent, member, 0.1, 1.0).own == 1.0
    assert isinstance(fit_follows(silent, member[:, :1], 0.1, 1.0), Follows)


def test_likelihood_by_hand():
    """One person, one send at hour 3 answered at hour 5, even own week: Poisson with a Gamma(2, 2) gladness."""
    even, sharp = np.full((1, 168), 1 / 168), np.zeros((1, 168))
    sharp[0, 5] = 1.0
    found = evidence(even, sharp, np.zeros(1, int), np.array([3]), np.ones(1, bool), np.array([5]), TAU)
    own, rate = 0.25, 4.0
    ahead = np.exp(-np.arange(1000) / TAU)
    pull = 0.25 * ahead.sum() / 168 + 0.75 * ahead[2::168].sum()
    expected = np.log(0.25 / 168 + 0.75) - 3.0 * np.log(1.0 + rate * pull / 2.0)
    assert found.log_likelihood(own, rate, 2.0)[0, 0] == pytest.approx(expected)


def test_being_silent_at_all_hours_says_nothing_about_kinds():
    rng = np.random.default_rng(1)
    r, psi = rng.dirichlet(np.ones(168), 1), rng.dirichlet(np.ones(168), 2)
    sent = np.arange(168)
    found = evidence(r, psi, np.zeros(168, int), sent, np.zeros(168, bool), sent, TAU)
    spread = np.ptp(found.log_likelihood(0.5, 0.1, 2.0))
    assert spread < 1e-9
