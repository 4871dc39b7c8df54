"""What a message adds: effects of treatments against no treatment, per person, by meta-learners."""

from __future__ import annotations

import functools
import logging
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_number,
    check_one_or_more,
    count_of,
    shown,
)
from omnireco._core.compute import Progress, ticker, usable_threads
from omnireco._core.contract import Estimator
from omnireco.causal.uplift.checks import ratio_mismatch, warnings_of
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.learners import (
    contrasts,
    estimated_propensity,
    fitted,
    folds_of,
    linear_effects,
    outcome_models,
    predicted,
    second_stage,
    trees,
    with_arm,
)
from omnireco.causal.uplift.model import UpliftModel
from omnireco.causal.uplift.waves import Waves, features_at, of_messages
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.vocabulary import Vocabulary, unite
from omnireco.errors import DataWarning, ParameterError

__all__ = ["Uplift"]

LEARNERS = ("s", "t", "x", "r", "dr")
_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_MOST_LOST = 0.5
_MANY = 200_000


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Uplift(Estimator):
    """Effects of messages, offers or channels against none, per person and per group.

    Parameters
    ----------
    target : str or iterable of str, optional
        The events that count, such as ``"purchase"``; needed for a Dataset.
    outcome : {"any", "value"}
        Whether a target event happened within the horizon, or what those events were worth.
    arm : {"channel", "creative", "item"}
        Which property of a message is the treatment.
    horizon : duration
        How long outcomes are counted from the start of a wave.
    within : duration
        Messages sent so soon after the start of a wave are its treatments; later ones are business as usual.
    waves : int, optional
        How many waves, back from the end of the data; by default as many as there are, 52 at most.
    learner : {"dr", "r", "x", "t", "s"}
        How effects are learned; see Notes.
    model : scikit-learn classifier or regressor, optional
        Of the outcome; cloned. By default small boosted trees.
    effect_model : scikit-learn regressor, optional
        The second stage of ``dr``, ``r`` and ``x``: the effect as a function of the features. By default linear, with
        intervals; another has none.
    folds : int
        Parts of the people, for cross-fitting.
    overlap : float
        Least estimated propensity of any arm, of a rare one in proportion: rows below are left out. Known propensities
        are taken as they are.
    least : int
        Fewest rows of an arm; with fewer it is refused.
    seed : int
        Names the deal of people into folds.

    Raises
    ------
    ParameterError
        When a parameter lies outside its range.

    Examples
    --------
    Mail helps those who bought lately, and nobody else.

    >>> import numpy as np, pandas as pd
    >>> import omnireco as om
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"recent": rng.integers(0, 2, 8000), "mail": rng.choice(["yes", "no"], 8000)})
    >>> chance = 0.1 + 0.1 * ((frame["mail"] == "yes") & (frame["recent"] == 1))
    >>> frame["bought"] = (rng.random(8000) < chance).astype(int)
    >>> test = om.causal.Experiment.from_frame(frame, treatment="mail", control="no", outcome="bought",
    ...                                        features=["recent"], propensity={"yes": 0.5, "no": 0.5})
    >>> model = om.causal.Uplift(learner="dr").fit(test)
    >>> people = pd.DataFrame({"recent": [0, 1]})
    >>> model.effect(people)["effect"].round(1).abs().tolist()
    [0.0, 0.1]
    """

    needs: ClassVar[tuple[str, ...]] = ("events", "messages")
    reads: ClassVar[tuple[str, ...]] = ("audience",)
    verbs: ClassVar[tuple[str, ...]] = ("effect", "group_effects", "average", "advice", "policy", "timing", "to_frame")

    target: Any = None
    outcome: str = "any"
    arm: str = "channel"
    horizon: Any = "7D"
    within: Any = "1D"
    waves: int | None = None
    learner: str = "dr"
    model: Any = None
    effect_model: Any = None
    folds: int = 5
    overlap: float = 0.02
    least: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target is not None and not isinstance(self.target, str):
            object.__setattr__(self, "target", check_one_or_more(self.target, "target"))
        check_choice(self.outcome, "outcome", ("any", "value"))
        check_choice(self.arm, "arm", ("channel", "creative", "item"))
        if check_duration(self.within, "within") > check_duration(self.horizon, "horizon"):
            raise ParameterError(
                f"within must not be longer than horizon. Got {shown(self.within)} and {shown(self.horizon)}."
            )
        if self.waves is not None:
            check_integer(self.waves, "waves", low=1, high=10_000)
        check_choice(self.learner, "learner", LEARNERS)
        for name in ("model", "effect_model"):
            one = getattr(self, name)
            if one is not None and (isinstance(one, type) or not callable(getattr(one, "fit", None))):
                raise ParameterError(f"{name} must be an estimator of scikit-learn, such as Ridge(). Got {shown(one)}.")
        if self.effect_model is not None and self.learner in ("s", "t"):
            raise ParameterError(
                f"learner={self.learner!r} has no second stage, so effect_model would not be read. Write learner='dr'."
            )
        check_integer(self.folds, "folds", low=2, high=1000)
        check_number(self.overlap, "overlap", above=0.0, high=0.49)
        check_integer(self.least, "least", low=2)
        check_integer(self.seed, "seed", low=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> UpliftModel:
        """Learn what treatments add.

        Parameters
        ----------
        data : Experiment or Dataset
            An experiment as it was; or a Dataset, whose messages are the treatments: every ``horizon`` back from its
            end a wave begins; the arm of a person is that of their first message ``within`` the beginning, else
            ``"no message"``; the outcome is what they do within the horizon; features are what was known before
            (events, targets and messages of 7, 30 and 90 days, days since, attributes of the audience).
        threads : int, optional
            Never changes a result.
        progress : bool or callable(done, total)
            A bar over the steps.

        Returns
        -------
        UpliftModel

        Raises
        ------
        EmptyError
            When there is no control or no treatment.
        ParameterError
            When an arm has too few rows, arms do not overlap, messages followed the outcome that they should cause, the
            log is too short, or there are fewer people than folds.
        SchemaError
            When the data lacks a part.

        Warns
        -----
        DataWarning
            When arms have other sizes than their propensities say, features stay imbalanced after weighting, or an arm
            seems to have changed what came before it.

        Notes
        -----
        With ``mu_k(x)`` the mean outcome under arm k and ``p_k(x)`` its propensity, both from people of other folds:

        - ``s``: one model of the outcome with the arm as a feature; ``t``: one per arm; effects are differences.
        - ``x``: effects regressed on ``Y - mu_0`` of the treated and on ``mu_k - Y`` of controls, averaged by
          propensity.
        - ``r``: ``Y - m`` on ``(T - e) tau(x)``, arm k and control alone, ``e = p_k / (p_k + p_0)``, ``m = e mu_k +
          (1 - e) mu_0``.
        - ``dr``: regression of ``mu_k - mu_0 + 1[A=k] (Y - mu_k) / p_k - 1[A=0] (Y - mu_0) / p_0``, right when the
          propensities or the outcome models are.

        Where the differences between people are not confirmed by the outcomes of other people, decisions are made on
        the average (:attr:`UpliftModel.increment`), as in the test of calibration of Chernozhukov, Demirer, Duflo and
        Fernandez-Val (2018, the best linear predictor). Averages and groups use the pseudo-outcomes of ``dr`` whatever
        the learner. Unknown propensities are estimated by multinomial logistic regression. **What nobody can see**: a
        cause of both the treatment and the outcome that is no feature. The placebo and the balance notice some of it,
        and only a draw by lot rules it out.

        Deterministic for a seed. Cost: folds x arms models of the outcome, then a few passes.

        References
        ----------
        Kuenzel, Sekhon, Bickel and Yu (2019), "Metalearners for estimating heterogeneous treatment effects" (S, T, X);
        Nie and Wager (2021), "Quasi-oracle estimation of heterogeneous treatment effects" (R, equation 4); Kennedy
        (2023), "Towards optimal doubly robust estimation of heterogeneous causal effects" (DR); Semenova and
        Chernozhukov (2021), "Debiased machine learning of conditional average treatment effects" (the intervals);
        Crump, Hotz, Imbens and Mitnik (2009), "Dealing with limited overlap".
        """
        read = None
        if isinstance(data, Experiment):
            experiment = data
        else:
            known = dataset_of(data, "Uplift.fit", self.needs)
            experiment = of_messages(known, self._waves(), "Uplift.fit")
            read = functools.partial(_people_of, self.target)
        _check_sizes(experiment, self.least, self.folds)
        import sklearn.ensemble  # noqa: F401 - its threads can be limited only once they are loaded
        from threadpoolctl import threadpool_limits

        several = usable_threads(threads) if len(experiment) >= _MANY else 1  # trees on few rows wait for one another
        with threadpool_limits(several, user_api="openmp"), ticker(3, progress, label="uplift") as tick:
            model = self._fit(experiment, read, tick)
        for one in warnings_of(model):
            warnings.warn(f"Uplift.fit: {one}", DataWarning, stacklevel=5)
        _LOG.info("fit %r", model)
        return model

    def _waves(self) -> Waves:
        horizon, within = check_duration(self.horizon, "horizon"), check_duration(self.within, "within")
        return Waves(self.target, self.outcome, self.arm, horizon, within, self.waves)

    def _fit(self, experiment: Experiment, read: Any, tick: Any) -> UpliftModel:
        x, arm, y, n_arms = experiment.x, experiment.arm, experiment.outcome, len(experiment.arms)
        fold = folds_of(experiment.user, len(experiment.users), self.folds, self.seed)
        p, inside, mismatch = self._propensities(experiment, fold)
        if not inside.all():  # rows that no comparison reaches teach nothing
            _check_sizes(experiment.take(inside), self.least, self.folds, " after rows without overlap are left out")
        tick()
        base = trees(experiment.binary, self.seed) if self.model is None else self.model
        rows = np.flatnonzero(inside)
        part = [array[rows] for array in (x, arm, y, fold, p)] if rows.size < arm.size else [x, arm, y, fold, p]
        mu, models = outcome_models(part[0], part[1], part[2], n_arms, part[3], self.folds, base, False)
        psi = contrasts(part[2], part[1], part[4], mu)
        tick()
        person = experiment.user[rows] if len(experiment.users) < len(experiment) else None
        found, linear, predict = self._effects(part, mu, models, psi, base, person)
        effect, error = self._everywhere(experiment, rows, found, linear, predict)
        whole_psi, whole_mu = np.zeros((arm.size, n_arms - 1)), np.zeros((arm.size, n_arms))
        whole_psi[rows], whole_mu[rows] = psi, mu
        tick()
        return UpliftModel(
            experiment,
            self.learner,
            effect,
            error,
            _calibration(found, psi),
            whole_psi,
            whole_mu,
            p,
            inside,
            experiment.propensity is not None,
            mismatch,
            None if linear is None else linear.center,
            None if linear is None else linear.scale,
            None if linear is None else linear.coefficient,
            None if linear is None else linear.covariance,
            _predict=predict,
            _read=read,
        )

    def _propensities(self, experiment: Experiment, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return propensities, the rows in which every arm was possible, and the test of their sizes."""
        n_arms = len(experiment.arms)
        if experiment.propensity is not None:
            p = experiment.propensity
            return p, np.asarray(p.min(axis=1) > 0), ratio_mismatch(p, experiment.arm, experiment.user)
        p = estimated_propensity(experiment.x, experiment.arm, n_arms, fold, self.folds, self.seed)
        share = np.bincount(experiment.arm, minlength=n_arms) / len(experiment)
        inside = np.asarray((p >= self.overlap * np.minimum(n_arms * share, 1.0)).all(axis=1))
        lost = 1.0 - float(inside.mean())
        if lost > _MOST_LOST:
            raise ParameterError(
                f"Uplift.fit: no overlap. For {lost:.0%} of the rows some arm was hardly possible (estimated "
                "propensity "
                f"below {self.overlap:g}): who was treated and who was not differ too much to be compared. Draw lots "
                "for "
                "some people, leave out features that decide the treatment alone, or lower overlap= and report it."
            )
        return p, inside, float("nan")

    def _effects(
        self, part: list[np.ndarray], mu: np.ndarray, models: list[Any], psi: np.ndarray, base: Any, person: Any
    ) -> tuple[np.ndarray, Any, Any]:
        """Return effects of the rows out of fold, the linear second stage where there is one, and what predicts."""
        x, arm, y, fold, p = part
        n_arms = mu.shape[1]
        if self.learner == "s":
            single, made = outcome_models(x, arm, y, n_arms, fold, self.folds, base, True)
            return single[:, 1:] - single[:, :1], None, lambda new: _mean_of(made, new, n_arms)
        if self.learner == "t":
            return mu[:, 1:] - mu[:, :1], None, lambda new: _mean_of_several(models, new)
        if self.learner == "x":
            return _x_learner(x, arm, y, fold, self.folds, p, mu, self.effect_model)
        target, weight = psi, None
        if self.learner == "r":
            target, weight = _residuals(arm, y, p, mu)
        if self.effect_model is None:
            effect, linear = linear_effects(x, target, weight, fold, self.folds, person)
            return effect, linear, None
        effect, predict = second_stage(x, target, weight, fold, self.folds, self.effect_model)
        return effect, None, predict

    def _everywhere(
        self, experiment: Experiment, rows: np.ndarray, found: np.ndarray, linear: Any, predict: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return effects and errors of all rows: those without overlap by the models of the others."""
        q = found.shape[1]
        effect, error = np.empty((len(experiment), q)), np.full((len(experiment), q), np.nan)
        if linear is not None:
            effect, error = linear.predict(experiment.x)
        elif rows.size < len(experiment):
            effect[:] = predict(experiment.x)
        effect[rows] = found
        return effect, error


def _people_of(target: Any, data: Dataset) -> tuple[Vocabulary, np.ndarray]:
    """Return everybody of a Dataset and what is known of them at its end."""
    from omnireco.causal.uplift.waves import target_events

    events, messages, audience = data.events, data.messages, data.audience
    empty = Vocabulary(np.empty(0, np.int64))
    tables = [empty if part is None else part.users for part in (events, messages)]
    tables += [] if audience is None else [audience.users]
    users, codes = unite(tables, "user_id")
    wanted = np.empty(0, np.int64) if events is None else target_events(events, target, "UpliftModel")
    return users, features_at(data, users, codes, wanted, data.end_us)


def _calibration(effect: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """Return the slope of pseudo-outcomes on out-of-fold effects, between 0 and 1, (n_arms - 1,)."""
    away = effect - effect.mean(axis=0)
    spread = (away**2).sum(axis=0)
    slope = (away * psi).sum(axis=0) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.clip(np.where(spread > 0, slope, 0.0), 0.0, 1.0))


def _check_sizes(experiment: Experiment, least: int, folds: int, when: str = "") -> None:
    n = np.bincount(experiment.arm, minlength=len(experiment.arms))
    for code, name in enumerate(experiment.arms):
        if n[code] < least:
            what = "control" if code == 0 else "arm"
            raise ParameterError(
                f"Uplift.fit: the {what} {shown(name)} has {count_of(int(n[code]), 'row')}{when}, and {least} is the "
                "least from which an effect is learned. Leave the arm out (experiment.take), gather more, or lower "
                "least= and read the intervals."
            )
    if len(experiment.users) < folds:
        raise ParameterError(
            f"Uplift.fit: {len(experiment.users)} people cannot be dealt into {folds} folds. Write folds=2."
        )


def _residuals(arm: np.ndarray, y: np.ndarray, p: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and weights of the R learner, (n, n_arms - 1): of arm k and the control alone."""
    n, q = arm.size, mu.shape[1] - 1
    target, weight = np.zeros((n, q)), np.zeros((n, q))
    for k in range(1, q + 1):
        rows = np.flatnonzero((arm == 0) | (arm == k))
        e = p[rows, k] / (p[rows, k] + p[rows, 0])
        m = e * mu[rows, k] + (1 - e) * mu[rows, 0]
        away = (arm[rows] == k) - e
        target[rows, k - 1], weight[rows, k - 1] = (y[rows] - m) / away, away**2
    return target, weight


def _x_learner(
    x: np.ndarray, arm: np.ndarray, y: np.ndarray, fold: np.ndarray, folds: int, p: np.ndarray, mu: np.ndarray,
    model: Any,
) -> tuple[np.ndarray, Any, Any]:  # fmt: skip
    """Return X-learner effects out of fold and what predicts for others; the propensity weighs both sides."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    one = make_pipeline(StandardScaler(), Ridge(1.0)) if model is None else model
    q = mu.shape[1] - 1
    effect, sides, shares = np.empty((arm.size, q)), [], []
    for k in range(1, q + 1):
        e = p[:, k] / (p[:, k] + p[:, 0])
        whole = []
        both = np.empty((2, arm.size))
        for side, (rows, target) in enumerate(
            [(np.flatnonzero(arm == k), y - mu[:, 0]), (np.flatnonzero(arm == 0), mu[:, k] - y)]
        ):
            for part in range(folds):
                train, test = rows[fold[rows] != part], np.flatnonzero(fold == part)
                both[side, test] = predicted(fitted(one, x[train], target[train]), x[test])
            whole.append(fitted(one, x[rows], target[rows]))
        effect[:, k - 1] = (1 - e) * both[0] + e * both[1]
        sides.append(whole)
        shares.append(float(e.mean()))

    def predict(new: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [(1 - e) * predicted(a, new) + e * predicted(b, new) for (a, b), e in zip(sides, shares, strict=True)]
        )

    return effect, None, predict


def _mean_of(models: list[Any], x: np.ndarray, n_arms: int) -> np.ndarray:
    """Return S-learner effects: the mean over the models of the folds."""
    every = [
        [predicted(one, with_arm(x, np.full(x.shape[0], code), n_arms)) for code in range(n_arms)] for one in models
    ]
    mean = np.mean(every, axis=0).T
    return np.asarray(mean[:, 1:] - mean[:, :1])


def _mean_of_several(models: list[Any], x: np.ndarray) -> np.ndarray:
    """Return T-learner effects: the mean over the models of the folds."""
    mean = np.mean([[predicted(one, x) for one in several] for several in models], axis=0).T
    return np.asarray(mean[:, 1:] - mean[:, :1])
