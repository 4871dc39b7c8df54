"""Uplift curves: what is gained when those with the highest scores are treated, and the numbers read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, check_integer, check_known, check_number, count_of, shown
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, numbers, probabilities
from omnireco._core.small import Each, Number, Text, Whole
from omnireco._kernels.bootstrap import percentile_interval
from omnireco._kernels.poisson import person_keys, resampled_sums
from omnireco.causal.arrays import matrix, vector
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.learners import contrasts
from omnireco.errors import EmptyError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURES", "UpliftCurve", "check_arms", "check_experiment", "group_ends", "uplift_curve"]

MEASURES = ("qini", "auuc", "autoc")
_POINTS = 1000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UpliftCurve:
    """The gain curve of a score, the numbers read from it, and their bootstrap intervals.

    Attributes
    ----------
    arm, control : str
        The treatment, and what it is compared with.
    share : ndarray of shape (n,)
        Share of the people who are treated, those with the highest scores first; from 0 to 1.
    gain, gain_low, gain_high : ndarray of shape (n,)
        Outcome gained per person of the population, treated or not.
    measures : tuple of str
        ``qini``, ``auuc``, ``autoc``; defined in :func:`uplift_curve`.
    value, low, high : ndarray of shape (3,)
        Each of ``measures``, and its interval.
    draws : ndarray of shape (n_draws, 3)
        The measures in each resample, for paired differences.
    rows, people, seed : int
        Rows of the experiment, the people they are about, and the seed of the resamples.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    arm: str
    control: str
    share: np.ndarray
    gain: np.ndarray
    gain_low: np.ndarray
    gain_high: np.ndarray
    measures: tuple[str, ...]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray
    rows: int
    people: int
    seed: int
    confidence: float

    parts: ClassVar[Parts] = {
        "arm": Text(),
        "control": Text(),
        "share": probabilities("points"),
        **{name: numbers("points") for name in ("gain", "gain_low", "gain_high")},
        "measures": Each(Text(), "measures"),
        **{name: numbers("measures") for name in ("value", "low", "high")},
        "draws": numbers("draws", "measures"),
        **{name: Whole() for name in ("rows", "people", "seed")},
        "confidence": Number(0.0, 1.0),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        return (
            f"UpliftCurve({self.arm} against {self.control}: qini {self.value[0]:.4g} ({self.low[0]:.4g} to "
            f"{self.high[0]:.4g}), {count_of(self.people, 'person', 'people')})"
        )

    @property
    def toc(self) -> np.ndarray:
        """The targeting operator characteristic: effect on the treated share, above the average effect, (n,)."""
        inside = np.maximum(self.share, 1e-300)
        return np.where(self.share > 0, self.gain / inside - self.gain[-1], 0.0)

    def uplift_at(self, share: float) -> tuple[float, float, float]:
        """Return the effect per treated person when a share is treated, with its interval: uplift@k.

        Parameters
        ----------
        share : float
            Share of the people with the highest scores, in (0, 1].

        Returns
        -------
        (float, float, float)
            Value, low, high.
        """
        at = check_number(share, "share", above=0.0, high=1.0)
        found = [float(np.interp(at, self.share, line)) / at for line in (self.gain, self.gain_low, self.gain_high)]
        return found[0], found[1], found[2]

    def compare(self, other: UpliftCurve, *, measure: str = "qini") -> tuple[float, float, float]:
        """Return by how much this curve's measure exceeds another's on the same people, with a paired interval.

        Parameters
        ----------
        other : UpliftCurve
            Of the same experiment, seed and number of resamples: both then drew the same people.
        measure : {"qini", "auuc", "autoc"}
            Which of ``measures`` to compare; ``qini`` by default.

        Returns
        -------
        (float, float, float)
            Difference, low, high.

        Raises
        ------
        ParameterError
            When the curves are of other people, seeds or resamples.
        """
        check_choice(measure, "measure", MEASURES)
        if not isinstance(other, UpliftCurve):
            raise ParameterError(
                f"compare takes an UpliftCurve. Got {shown(other)}. Write om.causal.uplift_curve(...)."
            )
        mine, theirs = (
            (one.rows, one.people, one.seed, len(one.draws), one.arm, round(float(one.gain[-1]), 12))
            for one in (self, other)
        )
        if mine != theirs:
            raise ParameterError(
                "compare: the curves were not drawn on the same people: make both of one experiment, with one seed= "
                "and "
                "n_bootstrap=."
            )
        at = MEASURES.index(measure)
        low, high = percentile_interval((self.draws[:, at] - other.draws[:, at])[:, None], self.confidence)
        return float(self.value[at] - other.value[at]), float(low[0]), float(high[0])

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the measures as a frame: ``arm measure value low high``."""
        import pandas as pd

        columns = {"arm": self.arm, "measure": self.measures, "value": self.value, "low": self.low, "high": self.high}
        return pd.DataFrame(columns)

    def curve(self) -> pd.DataFrame:
        """Return the curve as a frame: ``share gain low high toc``."""
        import pandas as pd

        columns = {"share": self.share, "gain": self.gain, "low": self.gain_low, "high": self.gain_high}
        return pd.DataFrame(columns | {"toc": self.toc})


@says_the_line("om.causal.uplift_curve(scores, experiment, arm='email')")
def uplift_curve(
    scores: Any,
    experiment: Experiment,
    *,
    arm: str | None = None,
    propensity: Any = None,
    predicted: Any = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    k: int = 5,
) -> UpliftCurve:
    """Return the gain curve of a score, and Qini, AUUC and RATE with Poisson-bootstrap intervals over people.

    Parameters
    ----------
    scores : array-like of shape (n,)
        By which people would be chosen, the highest first; made without their outcomes (a test set, or effects out of
        fold such as ``model.increment[:, 0]``). Ties are treated together, in proportion.
    experiment : Experiment
        The rows; with known propensities, or give ``propensity``.
    arm : str, optional
        Against the control; needed with more than one.
    propensity : array-like of shape (n, n_arms), optional
        Where the experiment has none: estimated ones (``model.propensity``).
    predicted : array-like of shape (n, n_arms), optional
        Expected outcomes under every arm, by models that did not see the row (``model.outcomes``): the curve is then
        doubly robust, and narrower.
    n_bootstrap, seed : int
        Resamples of people.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    threads : int, optional
        Never changes a result.
    k : int
        Smallest number of people between two points of the curve: a step would else be somebody's outcome.

    Returns
    -------
    UpliftCurve

    Raises
    ------
    ParameterError
        When shapes disagree, a number is missing, propensities are not known, or the arm is none.
    EmptyError
        When fewer than ``k`` people are treated, or in control.

    Notes
    -----
    **Gain** ``G(q)``: treat the share q of people with the highest scores; the outcome gained per person of the whole
    population is q times the difference between the means of treated and control among them, each weighted by 1 /
    propensity. (With ``predicted``: the sum of doubly robust pseudo-outcomes among them, divided by n.) From it:

    - ``auuc`` is the integral of ``G(q)`` over q from 0 to 1;
    - ``qini`` is the integral of ``G(q) - q G(1)``: the area above treating a random share. It equals RATE with
      weights q (Yadlowsky et al.), and 0 for a score that knows nothing;
    - ``autoc`` is the integral of ``TOC(q) = G(q) / q - G(1)``: RATE with equal weights, which looks at the very top;
    - uplift@k is ``G(k) / k``.

    All in units of the outcome. Other packages divide by other things (a perfect curve, G(1), n), so their numbers
    are not comparable; orders of models on one test set mostly are. The curve has at most 1,000 points, ``k`` people
    or more between two, at shares that no tie is split by; the integral is that of straight lines between them. Each
    resample gives a person a weight of Poisson(1), a hash of who they are and the draw: two curves of the same people
    are paired (:meth:`UpliftCurve.compare`). Deterministic. Cost: one sort, and 3 ns for each row and draw.

    References
    ----------
    Radcliffe (2007), "Using control groups to target on predicted lift" (Qini); Yadlowsky, Fleming, Shah, Brunskill and
    Wager (2025), "Evaluating treatment prioritization rules via rank-weighted average treatment effects", JASA 120,
    definitions 1 and 2; Athey and Imbens (2016) for weights of 1 / propensity.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from omnireco.causal import Experiment, uplift_curve
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"mail": rng.choice(["yes", "no"], 4000), "recent": rng.random(4000)})
    >>> frame["spend"] = rng.normal(size=4000) + 2 * frame["recent"] * (frame["mail"] == "yes")
    >>> test = Experiment.from_frame(frame, treatment="mail", control="no", outcome="spend",
    ...                              propensity={"yes": 0.5, "no": 0.5})
    >>> curve = uplift_curve(frame["recent"], test)
    >>> bool(curve.low[0] > 0), round(float(curve.gain[-1]), 1)
    (True, 1.0)
    """
    check_experiment(experiment)
    n = len(experiment)
    score = vector(scores, "scores", n)
    code = _arm_code(experiment, arm)
    n_bootstrap = check_integer(n_bootstrap, "n_bootstrap", low=1, high=100_000)
    check_number(confidence, "confidence", above=0, high=0.999)
    p = propensities_of(experiment, propensity, "uplift_curve")
    values = _columns(experiment, code, p, predicted)
    k = check_integer(k, "k", low=1)
    check_arms(experiment, code, k, "uplift_curve")
    order = np.lexsort([np.arange(n), -score])
    ends = group_ends(score[order], _POINTS, experiment.user[order], k)
    keys = person_keys(experiment.user[order], seed)
    values = values[order]
    starts = np.concatenate([[0], ends[:-1]])
    point = np.add.reduceat(values, starts, axis=0)[None]
    share, gain, value = _measured(point, None)
    drawn = resampled_sums(keys, values, ends, n_draws=n_bootstrap, threads=threads)
    _, gains, draws = _measured(drawn, share)
    low, high = percentile_interval(draws, confidence)
    gain_low, gain_high = percentile_interval(gains, confidence)
    return UpliftCurve(
        experiment.arms[code],
        experiment.arms[0],
        share,
        gain[0],
        gain_low,
        gain_high,
        MEASURES,
        value[0],
        low,
        high,
        draws,
        n,
        int(np.unique(experiment.user).size),
        seed,
        float(confidence),
    )


def check_experiment(experiment: Any) -> None:
    """Refuse what is no experiment, with the line that makes one."""
    if not isinstance(experiment, Experiment):
        raise ParameterError(
            f"experiment must be an Experiment. Got {type(experiment).__name__}. Write om.causal.Experiment.from_frame("
            "frame, treatment='arm', control='none', outcome='spend')."
        )
    if not len(experiment):
        raise EmptyError("The experiment has no row.")


def propensities_of(experiment: Experiment, given: Any, where: str) -> np.ndarray:
    """Return the propensities of an experiment, or those given, (n, n_arms)."""
    held = experiment.propensity if given is None else given
    if held is None:
        raise ParameterError(
            f"{where}: the propensities of this experiment are not known. Give estimated ones, propensity="
            "model.propensity, or known ones: Experiment.from_frame(..., propensity={'email': 0.5, 'none': 0.5})."
        )
    p = matrix(held, "propensity", len(experiment))
    if p.shape[1] != len(experiment.arms):
        raise ParameterError(f"propensity has {p.shape[1]} columns for {len(experiment.arms)} arms.")
    mine = p[np.arange(len(experiment)), experiment.arm]
    if (mine <= 0).any() or (p > 1).any() or (p < 0).any():
        raise ParameterError(f"{where}: propensity must lie in [0, 1], and above 0 for the arm that was given.")
    return p


def check_arms(experiment: Experiment, code: int | None, k: int, where: str) -> None:
    """Refuse an experiment in which fewer than ``k`` people have an arm."""
    for one in range(len(experiment.arms)) if code is None else (0, code):
        people = np.unique(experiment.user[experiment.arm == one]).size
        if not people:
            raise EmptyError(f"{where}: no row has the arm {shown(experiment.arms[one])}.")
        if people < k:
            raise EmptyError(
                f"{where}: {people:,} people have the arm {shown(experiment.arms[one])}; of fewer than k={k} nothing "
                "is said. Wait for more."
            )


def group_ends(score: np.ndarray, most: int, user: np.ndarray, k: int) -> np.ndarray:
    """Return where at most ``most`` groups end among sorted scores, each of ``k`` people or more; ties stay together.

    Of about equal size. With fewer than ``2 k`` people it is one group.
    """
    n = score.size
    last = np.append(np.flatnonzero(score[1:] != score[:-1]) + 1, n)
    most = max(1, min(most, n // k))
    if last.size > most:
        wanted = np.linspace(0, n, most + 1)[1:]
        last = np.unique(last[np.searchsorted(last, wanted)])
    return last if k == 1 else _of_enough(last, user, k)


def _of_enough(ends: np.ndarray, user: np.ndarray, k: int) -> np.ndarray:
    """Return ends of groups joined with the next until ``k`` people are in each, the last with those before."""
    kept: list[int] = []
    begin = 0
    for end in ends.tolist():
        if end - begin >= k and np.unique(user[begin:end]).size >= k:
            kept.append(end)
            begin = end
    if not kept:
        return ends[-1:]
    kept[-1] = int(ends[-1])
    return np.array(kept, np.int64)


def _arm_code(experiment: Experiment, arm: Any) -> int:
    if arm is None:
        if len(experiment.arms) > 2:
            raise ParameterError(f"arm= must name one of {', '.join(map(repr, experiment.arms[1:]))}.")
        return 1
    check_known([arm], experiment.arms[1:], "uplift_curve: arm", missing=None)
    return experiment.arms.index(str(arm))


def _columns(experiment: Experiment, code: int, p: np.ndarray, predicted: Any) -> np.ndarray:
    """Return what is summed along the curve: a count, then weights and outcomes of both arms, or pseudo-outcomes."""
    n, arm, y = len(experiment), experiment.arm, experiment.outcome
    if predicted is not None:
        mu = matrix(predicted, "predicted", n)
        if mu.shape[1] != len(experiment.arms):
            raise ParameterError(f"predicted has {mu.shape[1]} columns for {len(experiment.arms)} arms.")
        return np.column_stack([np.ones(n), contrasts(y, arm, p, mu)[:, code - 1]])
    found = np.zeros((n, 5))
    found[:, 0] = 1.0
    for at, one in ((1, code), (3, 0)):
        rows = np.flatnonzero(arm == one)
        found[rows, at] = 1.0 / p[rows, one]
        found[rows, at + 1] = y[rows] / p[rows, one]
    return found


def _measured(sums: np.ndarray, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shares, gains at those (or at a given grid), and measures, of sums per group (b, groups, c)."""
    total = np.cumsum(sums, axis=1)
    b = total.shape[0]
    q = np.concatenate([np.zeros((b, 1)), total[:, :, 0] / np.maximum(total[:, -1:, 0], 1e-300)], axis=1)
    if total.shape[2] == 2:
        level = total[:, :, 1] / np.maximum(total[:, -1:, 0], 1e-300)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            level = q[:, 1:] * (total[:, :, 2] / total[:, :, 1] - total[:, :, 4] / total[:, :, 3])
        _fill(level, q[:, 1:])
    gain = np.concatenate([np.zeros((b, 1)), level], axis=1)
    step = np.diff(q, axis=1)
    middle = 0.5 * (gain[:, 1:] + gain[:, :-1])
    auuc = (middle * step).sum(axis=1)
    end = gain[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(q > 0, gain / q, 0.0)
    slope[:, 0] = slope[:, 1]
    autoc = (0.5 * (slope[:, 1:] + slope[:, :-1]) * step).sum(axis=1) - end
    measures = np.stack([auuc - 0.5 * end, auuc, autoc], axis=1)
    if grid is None:
        return q[0], gain, measures
    return grid, np.stack([np.interp(grid, q[row], gain[row]) for row in range(b)]), measures


def _fill(level: np.ndarray, q: np.ndarray) -> None:
    """Let the gain rise straight from 0 to the first share at which both arms were seen."""
    bad = ~np.isfinite(level)
    if not bad.any():
        return
    for row in np.flatnonzero(bad.any(axis=1)):
        good = np.flatnonzero(~bad[row])
        known = np.concatenate([[0.0], q[row, good]]), np.concatenate([[0.0], level[row, good]])
        level[row] = np.interp(q[row], *known)
