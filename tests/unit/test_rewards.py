"""Cross-fitted rewards: by hand, and never from the person's own rows."""

import numpy as np
from sklearn.dummy import DummyRegressor

from omnireco.causal import LoggedDecisions, cross_fitted_rewards


def test_nobody_is_predicted_from_their_own_rewards():
    """Two people, two folds: each gets the mean of the other, whatever the action."""
    rewards, people = [0.0, 2.0, 10.0, 30.0], ["ann", "ann", "bob", "bob"]
    logged = LoggedDecisions(rewards, np.full(4, 0.5), actions=[0, 1, 0, 1], people=people)
    found = cross_fitted_rewards(logged, np.zeros((4, 1)), model=DummyRegressor(), folds=2)
    assert found.tolist() == [[20.0, 20.0], [20.0, 20.0], [1.0, 1.0], [1.0, 1.0]]
