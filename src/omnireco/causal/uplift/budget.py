"""What every budget earns with several treatments: the whole path from nothing to everything, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_known, check_number, check_numbers, count_of
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, numbers, probabilities
from omnireco._core.small import Each, Number, Text, Whole
from omnireco._kernels.bootstrap import percentile_interval
from omnireco._kernels.hull import Steps, hull_steps
from omnireco._kernels.poisson import person_keys, resampled_sums
from omnireco.causal.arrays import matrix
from omnireco.causal.uplift.curves import check_arms, check_experiment, group_ends, propensities_of
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.learners import contrasts
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BudgetPath", "budget_path"]

_POINTS = 1000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BudgetPath:
    """What each budget earns when every person gets the best arm that it allows: the multi-armed Qini curve.

    All amounts are per person of the population.

    Attributes
    ----------
    arms : tuple of str
        The treatments between which a budget is divided; the control is not among them.
    budget : ndarray of shape (n,)
        What is spent, from 0 to what the path can spend.
    price : ndarray of shape (n,)
        Reward of the next unit of cost there: at a price, a person's arm is ``argmax(reward - price * cost)``.
    predicted : ndarray of shape (n,)
        The reward that the predictions promise: the optimum of the linear program.
    gain, low, high : ndarray of shape (n,)
        The reward that the experiment found, with its interval.
    single : ndarray of shape (n,)
        That of the best arms without targeting: the same for everybody, or for a random share of them.
    lift, lift_low, lift_high : ndarray of shape (n,)
        ``gain - single``, paired.
    share : ndarray of shape (n, n_arms)
        Share of the people with each arm.
    rows, people : int
        Rows of the experiment, and the people they are about.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    arms: tuple[str, ...]
    budget: np.ndarray
    price: np.ndarray
    predicted: np.ndarray
    gain: np.ndarray
    low: np.ndarray
    high: np.ndarray
    single: np.ndarray
    lift: np.ndarray
    lift_low: np.ndarray
    lift_high: np.ndarray
    share: np.ndarray
    rows: int
    people: int
    confidence: float

    parts: ClassVar[Parts] = {
        "arms": Each(Text(), "arms"),
        "budget": numbers("points", low=0.0, order="rising"),
        "price": numbers("points", low=0.0, endless=True),
        **{
            name: numbers("points")
            for name in ("predicted", "gain", "low", "high", "single", "lift", "lift_low", "lift_high")
        },
        "share": probabilities("points", "arms"),
        **{name: Whole() for name in ("rows", "people")},
        "confidence": Number(0.0, 1.0),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        return (
            f"BudgetPath({count_of(len(self.arms), 'arm')}, {count_of(self.people, 'person', 'people')}: "
            f"{self.gain[-1]:.4g} ({self.low[-1]:.4g} to {self.high[-1]:.4g}) for {self.budget[-1]:.4g}; "
            f"{self.lift[-1]:+.4g} ({self.lift_low[-1]:+.4g} to {self.lift_high[-1]:+.4g}) on one arm for all)"
        )

    def at(self, budget: float) -> dict[str, float]:
        """Return what a budget earns: every number of the path, straight between its points.

        Parameters
        ----------
        budget : float
            Per person of the population; more than the path can spend earns no more.

        Returns
        -------
        dict of str to float
            ``budget predicted gain low high single lift lift_low lift_high``, and the share of people per arm.
        """
        spent = min(check_number(budget, "budget", low=0.0), float(self.budget[-1]))
        names = ("predicted", "gain", "low", "high", "single", "lift", "lift_low", "lift_high")
        found = {name: float(np.interp(spent, self.budget, getattr(self, name))) for name in names}
        shares = {arm: float(np.interp(spent, self.budget, self.share[:, at])) for at, arm in enumerate(self.arms)}
        return {"budget": spent} | found | shares

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the path as a frame: ``budget price predicted gain low high single lift lift_low lift_high``."""
        import pandas as pd

        names = ("budget", "price", "predicted", "gain", "low", "high", "single", "lift", "lift_low", "lift_high")
        return pd.DataFrame({name: getattr(self, name) for name in names})


@says_the_line("om.causal.budget_path(model.increment, experiment, costs={'email': 0.01}, predicted=model.outcomes)")
def budget_path(
    rewards: Any,
    experiment: Experiment,
    *,
    costs: Any,
    propensity: Any = None,
    predicted: Any = None,
    n_bootstrap: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    k: int = 5,
) -> BudgetPath:
    """Return what every budget earns: the multi-armed Qini curve with costs, and the same without targeting.

    Parameters
    ----------
    rewards : array-like of shape (n, n_arms - 1)
        The effect of each arm on each row, made without its outcome (``model.increment``).
    experiment : Experiment
        The rows on which the path is measured.
    costs : mapping of str to float, or array-like of shape (n, n_arms - 1)
        What an arm costs, the control nothing; per row in an array.
    propensity : array-like of shape (n, n_arms), optional
        Where the experiment has none: estimated ones (``model.propensity``).
    predicted : array-like of shape (n, n_arms), optional
        Expected outcomes under every arm (``model.outcomes``): measured doubly robust; by weights alone without.
    n_bootstrap, seed : int
        Resamples of people; the predictions and the path stay as they are.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    threads : int, optional
        Never changes a result.
    k : int
        Smallest number of people between two points of the path.

    Returns
    -------
    BudgetPath

    Raises
    ------
    ParameterError
        When shapes disagree, a number is missing, a cost is negative or missing, or propensities are not known.
    EmptyError
        When fewer than ``k`` people have an arm.

    Notes
    -----
    At a budget, the best assignment solves the linear program: maximise the sum of rewards over people and arms, with
    at most one arm per person and costs within the budget. Its solution takes the steps of every person's upper hull
    of reward against cost in the order of reward per cost; at most one person stands between two arms. The path has
    at most 1,000 points (``k`` people or more between two), each an exact optimum, and straight lines between (exact
    throughout with fewer steps). An arm whose rewards are negative is never taken. The comparison without targeting
    takes the same steps for the average person. Deterministic. Cost: a sort of the steps, and 3 ns for each step and
    resample.

    References
    ----------
    Sverdrup, Wu, Athey and Wager (2024), "Qini curves for multi-armed treatment rules" (section 2, and the paired
    comparison in section 3); Sinha and Zoltners (1979), "The multiple-choice knapsack problem".

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from omnireco.causal import Experiment, budget_path
    >>> rng = np.random.default_rng(0)
    >>> arm, taste = rng.choice(["none", "mail", "call"], 9000), rng.integers(0, 2, 9000)
    >>> spend = rng.normal(size=9000) + (arm == "mail") * (taste == 0) + 2 * (arm == "call") * (taste == 1)
    >>> test = Experiment.from_frame(pd.DataFrame({"arm": arm, "spend": spend}), treatment="arm", control="none",
    ...                              outcome="spend", propensity=dict.fromkeys(["none", "mail", "call"], 1 / 3))
    >>> known = np.column_stack([2.0 * (taste == 1), 1.0 * (taste == 0)])    # of call, of mail
    >>> path = budget_path(known, test, costs={"mail": 0.1, "call": 1.0})
    >>> found = path.at(0.05)                    # half of the people get the cheap mail
    >>> round(found["gain"], 1), round(found["mail"], 1), bool(found["lift_low"] > 0)
    (0.5, 0.5, True)
    """
    check_experiment(experiment)
    n, arms = len(experiment), experiment.arms[1:]
    reward = matrix(rewards, "rewards", n)
    if reward.shape[1] != len(arms):
        raise ParameterError(
            f"rewards has {reward.shape[1]} columns for {len(arms)} arms: {', '.join(map(repr, arms))}, without the "
            "control."
        )
    cost = _costs(costs, arms, n)
    k = check_integer(k, "k", low=1)
    check_arms(experiment, None, k, "budget_path")
    n_bootstrap = check_integer(n_bootstrap, "n_bootstrap", low=1, high=100_000)
    check_number(confidence, "confidence", above=0, high=0.999)
    scores = _scores(experiment, propensities_of(experiment, propensity, "budget_path"), predicted)
    steps = hull_steps(reward, cost)
    ends = np.empty(0, np.int64)
    if steps.unit.size:
        ends = group_ends(-steps.slope, _POINTS, experiment.user[steps.unit], k)
    keys = person_keys(experiment.user, seed)
    spent, won = _along(steps, np.column_stack([_step(steps, cost), _step(steps, scores)]), ends, n)
    promised = np.concatenate([[0.0], np.cumsum(_by_group(_step(steps, reward)[:, None], ends)[:, 0])]) / n
    whole = _single(reward.mean(axis=0), np.broadcast_to(cost, reward.shape).mean(axis=0))
    averages = np.column_stack([np.ones(n), np.broadcast_to(cost, reward.shape), scores])
    single = _single_path(averages.mean(axis=0)[None], whole, spent)[0]
    parts = np.unique(np.linspace(0, n, 65).astype(np.int64)[1:])
    mean = resampled_sums(keys, averages, parts, n_draws=n_bootstrap, threads=threads).sum(axis=1)
    moved = np.column_stack([_step(steps, cost), _step(steps, scores)])
    drawn = resampled_sums(keys[steps.unit], moved, ends, n_draws=n_bootstrap, threads=threads)
    paths = np.cumsum(drawn, axis=1) / mean[:, :1, None]
    gains = np.stack([_at(spent, one[:, 0], one[:, 1]) for one in paths])
    others = _single_path(mean / mean[:, :1], whole, spent)
    low, high = percentile_interval(gains, confidence)
    lift_low, lift_high = percentile_interval(gains - others, confidence)
    share = _shares(steps, ends, n, len(arms))
    slope = steps.slope[ends - 1] if ends.size else np.empty(0)
    price = np.concatenate([steps.slope[:1] if steps.slope.size else [0.0], slope])
    people = int(np.unique(experiment.user).size)
    noise = 1e-12 * max(1e-300, float(np.abs(scores).max(initial=0.0)), float(np.abs(reward).max(initial=0.0)))
    found = (promised, won, low, high, single, won - single, lift_low, lift_high)
    predicted_, gain, lowest, highest, one, lift, less, more = (np.where(np.abs(a) < noise, 0.0, a) for a in found)
    return BudgetPath(
        arms,
        spent,
        price,
        predicted_,
        gain,
        lowest,
        highest,
        one,
        lift,
        less,
        more,
        share,
        n,
        people,
        float(confidence),
    )


def _costs(costs: Any, arms: tuple[str, ...], n: int) -> np.ndarray:
    """Return costs, (1, n_arms) or (n, n_arms)."""
    if isinstance(costs, Mapping):
        check_known(list(costs), arms, "costs", missing=None)
        if lacking := [name for name in arms if name not in costs]:
            raise ParameterError(f"costs has none for {', '.join(map(repr, lacking))}. A free arm costs 0: write it.")
        return np.array([[check_number(costs[name], f"costs[{name!r}]", low=0.0) for name in arms]])
    array = check_numbers(costs, "costs")
    found = matrix(array[None] if array.ndim == 1 else array, "costs", 1 if array.ndim == 1 else n)
    if found.shape[1] != len(arms) or (found < 0).any():
        raise ParameterError(f"costs must be 0 or more for each of {len(arms)} arms. Got the shape {found.shape}.")
    return found


def _scores(experiment: Experiment, p: np.ndarray, predicted: Any) -> np.ndarray:
    """Return unbiased scores of the effects, (n, n_arms - 1)."""
    n, n_arms = len(experiment), len(experiment.arms)
    if predicted is None:
        level = float(experiment.outcome.mean())  # the same for all arms: less variance, and no bias
        return contrasts(experiment.outcome, experiment.arm, p, np.full((n, n_arms), level))
    mu = matrix(predicted, "predicted", n)
    if mu.shape[1] != n_arms:
        raise ParameterError(f"predicted has {mu.shape[1]} columns for {n_arms} arms, the control first.")
    return contrasts(experiment.outcome, experiment.arm, p, mu)


def _step(steps: Steps, table: np.ndarray) -> np.ndarray:
    """Return by how much a number per unit and arm changes at each step."""
    row = np.zeros(1, np.int64) if table.shape[0] == 1 else steps.unit
    after = table[row, steps.after]
    return np.asarray(after - np.where(steps.before >= 0, table[row, steps.before], 0.0))


def _by_group(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    if not ends.size:
        return np.empty((0, values.shape[1]))
    return np.asarray(np.add.reduceat(values, np.concatenate([[0], ends[:-1]]), axis=0))


def _along(steps: Steps, values: np.ndarray, ends: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(_by_group(values, ends), axis=0)]) / n
    return np.maximum.accumulate(total[:, 0]), total[:, 1]


def _at(budget: np.ndarray, spent: np.ndarray, won: np.ndarray) -> np.ndarray:
    return np.interp(budget, np.concatenate([[0.0], spent]), np.concatenate([[0.0], won]))


def _single(reward: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Return the arms that the average person passes through, from the cheapest."""
    return hull_steps(reward[None], cost[None]).after


def _single_path(means: np.ndarray, arms: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """Return what budgets earn without targeting, (b, n), from means (b, 1 + 2 n_arms) of 1, costs and scores."""
    q = (means.shape[1] - 1) // 2
    return np.stack([_at(budget, one[1 + arms], one[1 + q + arms]) for one in means])


def _shares(steps: Steps, ends: np.ndarray, n: int, n_arms: int) -> np.ndarray:
    """Return the share of people with each arm at every point."""
    found = np.zeros((ends.size + 1, n_arms))
    if ends.size:
        group = np.searchsorted(ends, np.arange(steps.unit.size), side="right")
        came = np.bincount(group * n_arms + steps.after, minlength=ends.size * n_arms)
        held = steps.before >= 0
        went = np.bincount(group[held] * n_arms + steps.before[held], minlength=ends.size * n_arms)
        found[1:] = np.cumsum((came - went).reshape(ends.size, n_arms), axis=0) / n
    return np.clip(found, 0.0, 1.0)
