"""The best of several policies on one log, with intervals that allow for having looked at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, check_integer, check_mapping, count_of
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Number, Text, Whole
from omnireco._kernels.bootstrap import resampled_means
from omnireco.causal.estimating import ESTIMATORS, ends
from omnireco.causal.logged import logged_decisions
from omnireco.causal.off_policy import judge, warn_of_weights
from omnireco.data.parts import Frame
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PolicyChoice", "select_policy"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PolicyChoice:
    """Which of several policies to use, and how sure that is; made by :func:`select_policy`.

    Attributes
    ----------
    best : str
        The policy whose lift over the logging policy has the highest lower bound; empty where none is shown to be
        better.
    table : pandas.DataFrame
        ``policy value low high lift lift_low lift_high effective refused``, best first. The intervals hold for all
        policies at once.
    estimator : str
        What estimated them.
    critical : float
        Standard errors to either side; 1.96 for one policy, more for several.
    rows, people : int
        Decisions, and the people (or other clusters) that made them.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    best: str
    table: pd.DataFrame
    estimator: str
    critical: float
    rows: int
    people: int
    confidence: float

    parts: ClassVar[Parts] = {
        "best": Text(),
        "table": Frame(("policy", "refused"), ("value", "lift", "lift_low", "lift_high", "effective")),
        "estimator": Text(),
        "critical": Number(endless=True, missing=True),
        "rows": Whole(),
        "people": Whole(),
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        found = repr(self.best) if self.best else "none is shown to be better than the log"
        return (
            f"PolicyChoice({found}, of {count_of(len(self.table), 'policy', 'policies')} by {self.estimator}, "
            f"{count_of(self.rows, 'decision')} of {count_of(self.people, 'person', 'people')})"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @property
    def verdict(self) -> str:
        """What to do, in one sentence."""
        n = count_of(len(self.table), "policy", "policies")
        if not self.best:
            return f"Keep the policy that made the log: of {n} none is better with {self.confidence:.0%} confidence."
        row = self.table.iloc[0]
        return (
            f"Use {self.best}: {row['lift']:+.4g} ({row['lift_low']:+.4g} to {row['lift_high']:+.4g}) per decision "
            f"over the log, with {self.confidence:.0%} confidence for all of {n} looked at."
        )


@says_the_line(
    "om.causal.select_policy(om.causal.LoggedDecisions(rewards, propensity, actions=actions), {'new': policy})"
)
def select_policy(
    logged: Any,
    policies: Any,
    *,
    predicted: Any = None,
    estimator: str | None = None,
    least_effective: float = 1000,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
    groups: Any = None,
    k: int = 5,
) -> PolicyChoice:
    """Choose among candidate policies, with intervals that allow for having looked at all of them.

    The best of twenty equal policies looks better than the log by luck. Here all intervals hold together, and the
    choice is the policy whose lower bound is highest, or none.

    Parameters
    ----------
    logged, predicted, least_effective, confidence, groups, k
        As in :func:`off_policy`.
    policies : mapping of str to array-like
        Probabilities of the candidates, as in :func:`off_policy`. None may have been learned on these rows.
    estimator : str, optional
        By default the first that the input allows of ``sndr snips``.
    n_bootstrap, seed : int
        Resamples of people, for the critical value of all intervals together.

    Returns
    -------
    PolicyChoice

    Raises
    ------
    ParameterError
        As in :func:`off_policy`, and for ``dm``, which has no interval.

    Notes
    -----
    Max-t bootstrap: all policies see the same resamples of people; the critical value is the quantile of the largest
    absolute studentised deviation (Romano and Wolf 2005, "Stepwise Multiple Testing as Formalized Data Snooping"), and
    intervals are corrected for skewness as those of :func:`off_policy`. Refused policies take no part. Deterministic
    for a seed.

    Examples
    --------
    >>> import numpy as np
    >>> from omnireco.causal import LoggedDecisions, select_policy
    >>> rng = np.random.default_rng(0)
    >>> hour = rng.integers(0, 2, 6000)
    >>> read = rng.random(6000) < np.where(hour == 1, 0.2, 0.1)
    >>> logged = LoggedDecisions(read, np.full(6000, 0.5), actions=hour)
    >>> found = select_policy(logged, {"late": np.tile([0.0, 1.0], (6000, 1)), "early": np.tile([1.0, 0.0], (6000, 1))})
    >>> found
    PolicyChoice('late', of 2 policies by snips, 6,000 decisions of 6,000 people)
    """
    import pandas as pd

    given = check_mapping(policies, "policies", "{'new': probabilities, 'newer': others}")
    if estimator is None:
        estimator = "snips" if predicted is None else "sndr"
    check_choice(estimator, "estimator", ESTIMATORS)
    if estimator == "dm":
        raise ParameterError("estimator='dm' has no interval to choose by. Take sndr, dr, snips or ips.")
    judged = judge(
        logged_decisions(logged, "select_policy"),
        given if isinstance(given, Mapping) else dict(given),
        predicted,
        [estimator],
        groups,
        "select_policy",
        clip=None,
        least_effective=least_effective,
        confidence=confidence,
        k=k,
    )
    warn_of_weights((check for _, _, check in judged.found), "select_policy")
    check_integer(n_bootstrap, "n_bootstrap", low=1, high=1_000_000)
    kept = [one for _, one, _ in judged.found if not np.isnan(one.value[estimator])]
    critical = {
        lift: _critical([one.pair(estimator, lift=lift)[1] for one in kept], confidence, n_bootstrap, seed)
        for lift in (False, True)
    }
    rows = []
    for name, one, check in judged.found:
        refused = check[7] or ("" if not np.isnan(one.value[estimator]) else "No estimate.")
        if refused:
            rows.append((name, *[np.nan] * 6, check[1], refused))
            continue
        found = []
        for lift in (False, True):
            value, influence = one.pair(estimator, lift=lift)
            grown = one.grows.get(estimator, 1.0)
            found += [value, *ends(value, influence, confidence, grown=grown, critical=critical[lift])]
        rows.append((name, *found, check[1], ""))
    columns = ["policy", "value", "low", "high", "lift", "lift_low", "lift_high", "effective", "refused"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.sort_values(["lift_low", "policy"], ascending=[False, True], kind="stable").reset_index(drop=True)
    first = table.iloc[0]
    return PolicyChoice(
        str(first["policy"]) if first["lift_low"] > 0 else "",
        table,
        estimator,
        critical[True],
        len(judged.decisions),
        judged.decisions.clusters[1],
        confidence,
    )


def _critical(kept: list[np.ndarray], confidence: float, n_draws: int, seed: int) -> float:
    """Return the standard errors to either side that hold for all policies at once; NaN where there is none."""
    if not kept:
        return float("nan")
    apart = np.column_stack(kept)
    apart = apart - apart.mean(axis=0)
    spread = apart.std(axis=0) / np.sqrt(max(1, len(apart)))
    varies = spread > 0
    if not varies.any():
        return 0.0
    draws = resampled_means(apart[:, varies], n_draws=n_draws, seed=seed)
    return float(np.quantile(np.abs(draws / spread[varies]).max(axis=1), confidence))
