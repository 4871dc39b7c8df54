"""EASE with dropout, a relaxed diagonal and a kept weight: beside minimisers that know nothing of the closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

import omnireco as om
from omnireco.errors import ParameterError

ROWS = np.array(
    [[1, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0], [2, 0, 0.5, 1]], np.float64
)
X = om.Interactions.from_scipy(sp.csr_matrix(ROWS))


def expected_loss_minimiser(dropout, kept, ridge):
    """Weights, column by column, that cost least over every possible mask of the inputs, each with its probability."""
    n, keep = ROWS.shape[1], 1 - dropout
    weight = dropout + keep * kept
    found = np.zeros((n, n))
    for item in range(n):
        left, right = weight * keep**2 * ridge * np.eye(n), np.zeros(n)
        for mask in itertools.product([0, 1], repeat=n):
            chance = np.prod([keep if one else dropout for one in mask]) * (kept if mask[item] else 1.0)
            seen = ROWS * np.array(mask)
            left += chance * seen.T @ seen
            right += chance * seen.T @ ROWS[:, item]
        if kept:
            found[:, item] = np.linalg.solve(left, right)
        else:  # where the item itself was kept, nothing is asked: its own weight is free, and 0
            other = np.arange(n) != item
            found[other, item] = np.linalg.solve(left[np.ix_(other, other)], right[other])
    return keep * found


@pytest.mark.parametrize(("dropout", "kept"), [(0.3, 0.0), (0.5, 0.0), (0.4, 0.2), (0.25, 1.0), (0.5, 0.6)])
def test_dropout_is_the_mean_over_every_mask(dropout, kept):
    weights = om.EASE(regularization=1.5, dropout=dropout, kept_weight=kept).fit(X).weights
    assert weights == pytest.approx(expected_loss_minimiser(dropout, kept, 1.5), abs=1e-5)


@pytest.mark.parametrize(("diagonal", "dropout"), [(0.0, 0.0), (0.2, 0.0), (0.4, 0.3), (1.0, 0.0), (1.0, 0.3)])
def test_a_relaxed_diagonal_is_the_least_loss_under_its_bound(diagonal, dropout):
    weights = om.EASE(regularization=1.5, dropout=dropout, diagonal=diagonal).fit(X).weights
    gram = ROWS.T @ ROWS
    ridge = 1.5 + dropout / (1 - dropout) * np.diag(gram)
    for item in range(4):

        def loss(column, item=item):
            return float(column @ gram @ column - 2 * gram[item] @ column + ridge @ column**2)

        bounds = [(None, diagonal) if other == item else (None, None) for other in range(4)]
        if diagonal == 0.0:
            bounds[item] = (0.0, 0.0)
        best = minimize(loss, np.zeros(4), bounds=bounds, tol=1e-14)
        assert weights[:, item] == pytest.approx(best.x, abs=1e-4)
    assert np.diag(weights).max() <= diagonal + 1e-6


def test_nothing_given_is_ease_and_a_bound_of_one_is_plain_ridge():
    gram = ROWS.T @ ROWS
    ridge = om.EASE(regularization=2.0, diagonal=1.0).fit(X).weights
    assert ridge == pytest.approx(np.linalg.solve(gram + 2 * np.eye(4), gram), abs=1e-5)
    assert om.EASE(regularization=2.0, kept_weight=1.0).fit(X).weights == pytest.approx(ridge, abs=1e-5)
    plain = om.EASE(regularization=2.0).fit(X).weights
    assert (np.diag(plain) == 0).all()


def test_few_neighbors_take_dropout_too():
    whole = om.EASE(regularization=1.5, dropout=0.3).fit(X).weights
    few = om.EASE(regularization=1.5, dropout=0.3, neighbors=4).fit(X).weights.toarray()
    assert few == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("power", [0.25, 1.0])
def test_user_power_is_a_regression_weighted_by_people(power):
    square = (ROWS**2).sum(axis=1)
    weight = square**-power
    weight *= square.sum() / (weight * square).sum()
    gram = ROWS.T @ (weight[:, None] * ROWS)
    assert np.trace(gram) == pytest.approx(np.trace(ROWS.T @ ROWS))
    inverse = np.linalg.inv(gram + 1.5 * np.eye(4))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    recipe = om.EASE(regularization=1.5, user_power=power)
    assert recipe.fit(X).weights == pytest.approx(expected, abs=1e-5)
    assert recipe.replace(neighbors=4).fit(X).weights.toarray() == pytest.approx(expected, abs=1e-5)


def test_user_power_changes_nothing_where_histories_are_equally_long():
    rows = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], np.float32))
    x = om.Interactions.from_scipy(rows)
    plain, weighed = (om.EASE(regularization=2.0, user_power=power).fit(x).weights for power in (0.0, 0.7))
    assert weighed == pytest.approx(plain, abs=1e-7)


def test_user_power_lets_one_person_of_everything_say_less():
    x = om.Interactions.from_scipy(sp.csr_matrix(np.vstack([np.ones(12), np.eye(12)[:3] + np.eye(12)[1:4]])))
    plain, weighed = (om.EASE(regularization=1.0, user_power=power).fit(x).weights for power in (0.0, 1.0))
    assert weighed[0, 1] > plain[0, 1]  # what two people with two items chose together
    assert weighed[9, 10] < plain[9, 10]  # what only the person of everything did


@pytest.mark.parametrize("kind", ["empty rows", "dislikes"])
def test_user_power_takes_matrices_in_every_state(kind):
    rows = {"empty rows": np.vstack([ROWS, np.zeros(4)]), "dislikes": ROWS - 0.5}[kind]
    weights = om.EASE(regularization=1.0, user_power=0.5).fit(om.Interactions.from_scipy(sp.csr_matrix(rows))).weights
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dropout": 1.0}, "dropout must be a number in the range"),
        ({"diagonal": -0.1}, "diagonal must be a number in the range"),
        ({"kept_weight": 2.0}, "kept_weight must be a number in the range"),
        ({"user_power": -0.1}, "user_power must be a number in the range"),
        ({"user_power": 1.5}, "user_power must be a number in the range"),
        ({"user_power": "half"}, "user_power must be a number"),
        ({"diagonal": 0.1, "kept_weight": 0.1}, "both say what an item weighs for itself"),
        ({"diagonal": 0.1, "neighbors": 5}, "at 0. Leave diagonal and kept_weight out"),
    ],
)
def test_what_is_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        om.EASE(**parameters)


def test_the_ridge_by_default_follows_the_length_of_histories():
    settled = om.EASE().settled(X)
    short = 8 * 7 / np.count_nonzero(ROWS)  # histories of fewer than eight cells count as of eight
    assert settled.regularization == pytest.approx(5 * short * (ROWS**2).sum() / 7)
    assert settled.fit(X).weights == pytest.approx(om.EASE().fit(X).weights)
    assert settled.settled(X) is settled
    heavy = om.Interactions.from_scipy(sp.csr_matrix(3 * ROWS))
    assert om.EASE().fit(heavy).weights == pytest.approx(om.EASE().fit(X).weights, abs=1e-6)
