"""Decisions that learn: a linear contextual bandit over many arms, with exact probabilities for every choice."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    no_such,
    shown,
)
from omnireco._core.compute import Progress, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco.choices.arms import Posteriors
from omnireco.choices.feedback import Feedback
from omnireco.choices.inputs import MOST, MOST_REWARD, matrix_of_numbers
from omnireco.choices.live import LiveBandit
from omnireco.choices.policies import EXPLORATION
from omnireco.choices.scoring import Scorer
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError

__all__ = ["LinearBandit"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LinearBandit(Estimator):
    """A contextual bandit whose rewards are linear in the context: parameters only.

    Which of many arms (an offer, a banner, a layout) for this person now, while learning online
    deciding. Expected reward ``x'(B f_a + delta_a)``: what arms with like features share, plus what is an arm's own.

    Parameters
    ----------
    policy : {"thompson", "linucb", "epsilon_greedy", "softmax", "squarecb"}
        How uncertainty becomes choices. ``thompson``: the best of scores drawn from their posteriors. ``linucb``: the
        best upper bound, mean + exploration times width. ``epsilon_greedy``: the best mean, but any arm with
        probability ``exploration``. ``softmax``: by exp(mean / (exploration times the noise)). ``squarecb``: the best
        mean most of all, others by the inverse of their gap, less and less.
    exploration : float, optional
        How much, in posterior standard deviations (``thompson``, ``linucb``) or as above; in ``squarecb`` more of it
        means less exploration, as in its paper. By default 0.5, 0.5, 0.05, 0.05 and 4 in the order above.
    regularization : float, default 1
        Prior precision of coefficients, in units of the noise.
    shared : bool, default True
        Whether arms learn from each other: what they have in common, by their features where they have some; the prior
        variance of arms around it, of level and of coefficients, is learned. A new arm starts there. False:
        disjoint arms, each a ridge regression of its own.
    intercept : bool, default True
        Whether a 1 is put before each context.
    noise : float, optional
        Standard deviation of rewards around their expectation; learned by default.
    discount : float, default 1
        What an event still counts after the next one was learned: 0.999 forgets over some thousand events.
    floor : float, default 0.01
        Share of choices that is even over the eligible arms, whatever the policy: without it some arms have
        probability 0, and no log of theirs can ever be evaluated for another policy.
    groups : int, optional
        For ``thompson``: draw this many sets of coefficients per batch, and let each context use one of them. The
        probabilities of each context stay the same and the work is less; contexts of one group err together.
    exact : bool, default False
        Whether widths are computed exactly, at any number of arms; see the notes.
    max_pending : int, default 100_000
        How many decisions wait for their rewards; the oldest are forgotten first.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Notes
    -----
    ``linucb`` names the arm of the exact method: a dozen candidates by an approximate width in the common eigenbasis
    of the covariances, then exact widths. ``thompson`` draws each arm's score from its own posterior, independently
    also where arms share coefficients; with more than 65,536 numbers in all covariances its widths are those of the
    eigenbasis. Its propensities are those of what it does, by quadrature.

    References
    ----------
    Li et al. (2010), A contextual-bandit approach to personalized news article recommendation (LinUCB); Agrawal and
    Goyal (2013), Thompson sampling for contextual bandits with linear payoffs; Foster and Rakhlin (2020), Beyond UCB
    (SquareCB); Russac et al. (2019), Weighted linear bandits (discounting).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> live = LinearBandit(policy="thompson").start(["tea", "cup"], n_features=2)
    >>> for _ in range(50):
    ...     x = rng.normal(size=(20, 2))
    ...     chosen = live.decide(x)
    ...     liked = np.where(chosen.arm_ids == "tea", x[:, 0] > 0, x[:, 1] > 0)
    ...     live.reward(chosen.ids, liked.astype(float))
    >>> live
    LiveBandit(thompson, 2 arms, 2 features, 1,000 rewards)
    >>> live.decide([[2.0, -2.0], [-2.0, 2.0]]).arm_ids.tolist()
    ['tea', 'cup']
    """

    needs: ClassVar[tuple[str, ...]] = ()
    verbs: ClassVar[tuple[str, ...]] = ("decide", "reward", "update", "expected", "propensity")

    policy: str = "thompson"
    exploration: float | None = None
    regularization: float = 1.0
    shared: bool = True
    intercept: bool = True
    noise: float | None = None
    discount: float = 1.0
    floor: float = 0.01
    groups: int | None = None
    exact: bool = False
    max_pending: int = 100_000

    def __post_init__(self) -> None:
        check_choice(self.policy, "policy", tuple(EXPLORATION))
        if self.exploration is not None:
            check_number(self.exploration, "exploration", low=0.0, high=MOST_REWARD)
            if self.policy == "epsilon_greedy":
                check_number(self.exploration, "exploration", low=0.0, high=1.0)
            if self.policy == "softmax":
                check_number(self.exploration, "exploration", above=0.0)
        check_number(self.regularization, "regularization", above=0.0, high=MOST_REWARD)
        if self.regularization < 1.0 / MOST:
            raise ParameterError(f"regularization must be at least {1.0 / MOST:g}. Got {self.regularization:g}.")
        check_flag(self.shared, "shared")
        check_flag(self.intercept, "intercept")
        if self.noise is not None:
            check_number(self.noise, "noise", above=0.0, high=MOST_REWARD)
        check_number(self.discount, "discount", above=0.0, high=1.0)
        check_number(self.floor, "floor", low=0.0, high=1.0)
        if self.groups is not None:
            check_integer(self.groups, "groups", low=1)
            if self.policy != "thompson":
                raise ParameterError(
                    f"groups is for policy='thompson'. Got policy={shown(self.policy)}: leave groups out."
                )
        check_flag(self.exact, "exact")
        check_integer(self.max_pending, "max_pending", low=1)

    def start(self, arms: Iterable[Any], *, n_features: int, features: Any = None) -> LiveBandit:
        """Return a live bandit without any data.

        Parameters
        ----------
        arms : array-like of int or str
            Ids of the arms.
        n_features : int
            Length of a context; 0 for a bandit without contexts.
        features : array-like of shape (n_arms, q), optional
            What is known of each arm, such as its category as zeros and ones. Scale them to about 1.

        Returns
        -------
        LiveBandit
        """
        n_features = check_integer(n_features, "n_features", low=0, high=10_000)
        if n_features == 0 and not self.intercept:
            raise ParameterError("A bandit with n_features=0 needs intercept=True: there is nothing else to learn.")
        table = None if features is None else matrix_of_numbers(features, "features")
        if table is not None and not self.shared:
            raise ParameterError("features describe what arms share, and shared=False. Leave one of them out.")
        n_shared = None if not self.shared else 1 + (0 if table is None else table.shape[1])
        state = Posteriors.empty(
            n_features + self.intercept, self.regularization, self.discount, n_shared, level=self.intercept
        )
        live = LiveBandit(self, Vocabulary(np.empty(0, np.int64)), state, Scorer(state, self.exact))
        live.add_arms(arms, features=table)
        return live

    @says_the_line("om.LinearBandit(...).fit(om.choices.Feedback(arms, contexts, rewards))")
    def fit(self, data: Feedback, *, threads: int | None = None, progress: Progress = False) -> LiveBandit:
        """Return a live bandit that has learned a log: a warm start.

        Parameters
        ----------
        data : Feedback
            Arms that were chosen, their contexts and rewards.
        threads, progress : optional
            As everywhere; learning is one step, which uses one thread and reports nothing.

        Returns
        -------
        LiveBandit

        Raises
        ------
        SchemaError
            When ``data`` is no Feedback: a log does not contain what was known when an arm was chosen.

        Notes
        -----
        Deterministic. O(n d^2), and O(n_arms d^3) for the shared coefficients.
        """
        if not isinstance(data, Feedback):
            raise SchemaError(
                f"LinearBandit.fit takes a Feedback. Got {type(data).__name__}. Write "
                "om.LinearBandit(...).fit(om.choices.Feedback(arms, contexts, rewards))."
            )
        usable_threads(threads)
        live = self.start(data.arm_ids, n_features=data.contexts.shape[1], features=data.features)
        live.update(data.arms, data.contexts, data.rewards, weights=data.weights)
        live.refresh(em_steps=10)
        _LOG.info("fit %r", live)
        return live

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to get a live bandit, when one of its verbs is called on the parameters."""
        no_such(self, name, self.verbs, "start(arms, n_features=...), or .fit(om.choices.Feedback(...))")
