"""What treatments add, per person and per group: learned effects, their intervals, and what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_known, check_mapping, check_number, count_of
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Maybe, Parts, flags, freeze, numbers, probabilities
from omnireco._core.small import Flag, Number, Text, Value
from omnireco.causal.uplift.effects import LEAST_PEOPLE, Effects, check_least, line, z_of
from omnireco.causal.uplift.experiment import Experiment
from omnireco.causal.uplift.features import columns_of, encoded
from omnireco.causal.uplift.learners import Linear
from omnireco.data.dataset import dataset_of
from omnireco.data.frames.columns import open_frame
from omnireco.data.vocabulary import Vocabulary, match
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UpliftModel"]

WRITE, ALONE, HARMED, UNSURE = "write", "leave alone", "harmed", "unsure"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UpliftModel:
    """What each treatment adds to the outcome, against no treatment; made by :meth:`Uplift.fit`.

    Attributes
    ----------
    experiment : Experiment
        What was learned from.
    learner : str
        How effects were learned: ``s``, ``t``, ``x``, ``r`` or ``dr``.
    own, error : ndarray of shape (n, n_arms - 1)
        The effect of each arm on each row, by models that never saw the row's person, and its standard error (NaN where
        the learner has none).
    calibration : ndarray of shape (n_arms - 1,)
        How much of the differences between people is real: the slope of ``psi`` on ``own`` in [0, 1]. Decisions use
        :attr:`increment`, the average effect plus that share of the difference.
    psi : ndarray of shape (n, n_arms - 1)
        Doubly robust pseudo-outcomes: noisy for one row, and their mean over any group is an estimate of its effect.
    outcomes : ndarray of shape (n, n_arms)
        The expected outcome under each arm, out of fold; ``off_policy(predicted=)`` takes them.
    propensity : ndarray of shape (n, n_arms)
        Those known, or the estimated ones.
    overlap : ndarray of shape (n,)
        Whether every arm was possible: other rows are left out of every estimate.
    known : bool
        Whether propensities were known.
    imbalance : float
        The p-value of the counts of the arms under the known propensities (sample ratio mismatch); NaN where unknown.
    center, scale, coefficient, covariance : ndarrays, or None
        Effects as linear functions of standardised features, and their covariance; None for other second stages.
    """

    experiment: Experiment
    learner: str
    own: np.ndarray
    error: np.ndarray
    calibration: np.ndarray
    psi: np.ndarray
    outcomes: np.ndarray
    propensity: np.ndarray
    overlap: np.ndarray
    known: bool
    imbalance: float
    center: np.ndarray | None = None
    scale: np.ndarray | None = None
    coefficient: np.ndarray | None = None
    covariance: np.ndarray | None = None
    _predict: Callable[[np.ndarray], np.ndarray] | None = None
    _read: Callable[[Any], tuple[Vocabulary, np.ndarray]] | None = None

    parts: ClassVar[Parts] = {
        "experiment": Value((Experiment,)),
        "learner": Text(("s", "t", "x", "r", "dr")),
        "own": numbers("experiment.n", "effects"),
        "error": numbers("experiment.n", "effects", low=0.0, missing=True),
        "calibration": probabilities("effects"),
        "psi": numbers("experiment.n", "effects"),
        "outcomes": numbers("experiment.n", "arms"),
        "propensity": probabilities("experiment.n", "arms"),
        "overlap": flags("experiment.n"),
        "known": Flag(),
        "imbalance": Number(0.0, 1.0, missing=True),
        "center": Maybe(numbers("d")),
        "scale": Maybe(numbers("d")),
        "coefficient": Maybe(numbers("effects", "d1")),
        "covariance": Maybe(numbers("effects", "d1", "d1")),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        table = self.average().table
        found = ", ".join(
            f"{row['arm']} {row['effect']:+.4g} ({row['low']:+.4g} to {row['high']:+.4g})"
            for row in table.head(3).to_dict("records")
        )
        more = "" if len(table) <= 3 else f", and {len(table) - 3} arms"
        lots = "propensities known" if self.known else "propensities estimated"
        return f"UpliftModel({self.learner}, {count_of(len(self.experiment), 'row')}: {found}{more}; {lots})"

    @property
    def arms(self) -> tuple[str, ...]:
        """The treatments, without the control."""
        return self.experiment.arms[1:]

    @property
    def increment(self) -> np.ndarray:
        """The effect of each arm on each row as decisions need it, (n, n_arms - 1): shrunk to the average, out of fold.

        The highest of several noisy effects is too high. So each is the average effect, plus the share of the
        difference between people that other people's outcomes confirm (``calibration``).
        """
        return self._calibrated(self.own)

    def average(self, *, confidence: float = 0.95) -> Effects:
        """Return the average effect of every arm against the control.

        Parameters
        ----------
        confidence : float
            Coverage of the intervals.
        """
        return self._effects({"all": self.overlap}, confidence, LEAST_PEOPLE)

    def group_effects(self, by: Any, *, k: int = LEAST_PEOPLE, confidence: float = 0.95) -> Effects:
        """Return the effect of every arm in each group of people, doubly robust whatever the learner.

        Parameters
        ----------
        by : str, or array-like of shape (n,)
            A text column of the experiment, or a label per row, known before the treatment.
        k : int
            A group of fewer people is not reported, nor the smallest other one where the average would tell of it.
        confidence : float
            Coverage of the intervals.

        Raises
        ------
        ParameterError
            When the experiment has no such column, or there is not one label per row.
        """
        k = check_least(k)
        if isinstance(by, str):
            check_known([by], self.experiment.labels, "group_effects: by", missing=None)
            values, code = self.experiment.labels[by]
        else:
            values, code = Vocabulary.encode(by, "by", allow_missing=True)
            if code.size != len(self.experiment):
                raise ParameterError(
                    f"group_effects: by has {code.size:,} labels for {len(self.experiment):,} rows. Give one per row."
                )
        groups = {str(name): self.overlap & (code == at) for at, name in enumerate(values.ids)}
        if (code < 0).any():
            groups["(missing)"] = self.overlap & (code < 0)
        return self._effects(_withheld_together(groups, self.experiment.user, k), confidence, k)

    def effect(self, data: Any = None, *, confidence: float = 0.95) -> pd.DataFrame:
        """Return the effect of every arm on every person, with intervals.

        Parameters
        ----------
        data : frame or Dataset, optional
            Whose: a frame with the columns that were features, or the Dataset as of its end for a model of messages. By
            default the rows that were learned from, each by models that never saw its person.
        confidence : float
            Coverage of the intervals.

        Returns
        -------
        pandas.DataFrame
            ``row user_id arm effect low high``, rows in their order; without ``user_id`` for a frame. The interval is
            that of the linear function of the features which approximates the effect best, not of one person's fate;
            NaN for learners without one (S, T and X, and second stages of the caller's), whose groups have intervals
            all the same (:meth:`group_effects`).

        Raises
        ------
        SchemaError
            When a feature is missing or of another kind.
        ParameterError
            When the model came from a file without its models.
        """
        import pandas as pd

        z = z_of(confidence)
        if data is None:
            experiment = self.experiment
            ids, effect, error = experiment.users.ids[experiment.user], self.own, self.error
        else:
            ids, x = self._rows_of(data)
            effect, error = self._of(x)
        n, q = effect.shape
        columns: dict[str, Any] = {"row": np.repeat(np.arange(n), q)}
        if ids is not None:
            columns["user_id"] = np.repeat(ids, q)
        columns["arm"] = np.tile(np.array(self.arms, object), n)
        low, high = effect - z * error, effect + z * error
        return pd.DataFrame(columns | {"effect": effect.ravel(), "low": low.ravel(), "high": high.ravel()})

    def advice(self, *, costs: Any = None, confidence: float = 0.95) -> pd.DataFrame:
        """Return whom to write to, whom to leave alone, and who is harmed, per person that was learned from.

        Parameters
        ----------
        costs : mapping of str to float, optional
            What each arm costs, in units of the outcome; 0 by default.
        confidence : float
            Coverage of the intervals.

        Returns
        -------
        pandas.DataFrame
            ``row user_id arm effect low high advice``: the arm of the highest effect after costs, and ``"write"`` where
            its interval lies above the cost, ``"harmed"`` where it lies below 0, ``"leave alone"`` where it lies below
            the cost, else ``"unsure"``. Without intervals: by the effect alone, and nobody is harmed or unsure.
        """
        import pandas as pd

        z, cost = z_of(confidence), self.costs(costs)
        best = (self.increment - cost).argmax(axis=1)
        row = np.arange(best.size)
        effect, error, price = self.own[row, best], self.error[row, best], cost[best]
        low, high = effect - z * error, effect + z * error
        blind = np.isnan(error)
        words = np.select(
            [np.where(blind, effect, low) > price, high < 0, np.where(blind, effect, high) <= price],
            [WRITE, HARMED, ALONE],
            UNSURE,
        )
        experiment = self.experiment
        arm = np.array(self.arms, object)[best]
        table = {"row": row, "user_id": experiment.users.ids[experiment.user], "arm": arm, "effect": effect}
        return pd.DataFrame(table | {"low": low, "high": high, "advice": words.astype(object)})

    def policy(self, *, costs: Any = None) -> np.ndarray:
        """Return the arm of the highest effect after costs, else the control, as probabilities, (n, n_arms).

        For :func:`off_policy` and :func:`policy_value`. Effects are out of fold, so nobody's own outcome chooses for
        them.

        Parameters
        ----------
        costs : mapping of str to float, optional
            What each arm costs, in units of the outcome; 0 by default.
        """
        gain = np.column_stack([np.zeros(len(self.experiment)), self.increment - self.costs(costs)])
        return np.asarray(np.eye(gain.shape[1])[gain.argmax(axis=1)])

    def costs(self, costs: Any) -> np.ndarray:
        """Return what each arm costs, (n_arms - 1,), from a mapping by arm.

        Parameters
        ----------
        costs : mapping of str to float, or None
            Arms that are not named cost nothing.
        """
        given = check_mapping(costs, "costs", "{'email': 0.01}")
        check_known(list(given), self.arms, "costs", missing=None)
        return np.array([check_number(given.get(name, 0.0), f"costs[{name!r}]", low=0.0) for name in self.arms])

    def placebo(self, *, confidence: float = 0.95) -> Effects:
        """Return the effect of every arm on an outcome from before it, which can have none.

        An interval without 0 shows that arms were not comparable, and that the effects are confounded. One with 0
        proves nothing: what decided who was treated and the outcome, and left no trace before, cannot be seen.

        Parameters
        ----------
        confidence : float
            Coverage of the intervals.

        Raises
        ------
        ParameterError
            When the experiment has no placebo outcome.
        """
        from omnireco.causal.uplift.checks import placebo_effects

        return placebo_effects(self.experiment, self.propensity, self.overlap, self.known, confidence)

    def balance(self) -> pd.DataFrame:
        """Return how much arms differ from the control in each feature, before and after weighting.

        Returns
        -------
        pandas.DataFrame
            ``arm feature before after``: differences of means in standard deviations; above 0.1 in absolute value after
            weighting is a warning.

        References
        ----------
        Austin (2009), "Balance diagnostics for comparing the distribution of baseline covariates between treatment
        groups in propensity-score matched samples".
        """
        from omnireco.causal.uplift.checks import balance_table

        return balance_table(self.experiment, self.propensity, self.overlap)

    @says_the_line("model.timing(om.SendTime().fit(data), data)")
    def timing(self, timing: Any, data: Any) -> Any:
        """Return a timing whose values are increments: for :func:`omnireco.candidates` in place of raw chances.

        Parameters
        ----------
        timing : fitted SendTime, or any Timing
            Its chances spread the effect over the hours.
        data : Dataset
            Whose effects: as of its end.

        Returns
        -------
        Increments

        Raises
        ------
        ParameterError
            When the outcome is not 0 and 1: an amount is no chance of a response, and would be multiplied by the margin
            again. Or when the arms are not channels.
        """
        from omnireco.causal.uplift.increments import Increments

        if not self.experiment.binary:
            raise ParameterError(
                "UpliftModel.timing: the outcome is an amount, and candidates multiplies by the margin of the item. "
                "Fit the chance: om.causal.Uplift(target='purchase', outcome='any')."
            )
        users, effect = self.read(data)
        usual = self.average().table["effect"].to_numpy(np.float64)
        return Increments(users, self.arms, effect, usual, timing)

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return :meth:`average` as a frame."""
        return self.average().to_frame()

    @property
    def verdict(self) -> str:
        """What was found and what it rests on, in words, a line each."""
        from omnireco.causal.uplift.checks import verdict

        return verdict(self)

    def read(self, data: Any) -> tuple[Vocabulary, np.ndarray]:
        """Return the people of a Dataset and each arm's increment for them, as of its end: ``(users, increment)``.

        Parameters
        ----------
        data : Dataset
            With the parts that the features are made of.
        """
        if self._read is None:
            raise ParameterError(
                "UpliftModel: this model was learned from an experiment, or came from a file, and cannot read a "
                "Dataset. "
                "Fit one on messages: om.causal.Uplift(target='purchase').fit(data); or give a frame of features."
            )
        users, x = self._read(dataset_of(data, "UpliftModel.read", ()))
        return users, self._calibrated(self._of(x)[0])

    def increments(self, rows: Any, *, data: Any = None) -> np.ndarray:
        """Return the effect of each arm on other rows as decisions need it, (n, n_arms - 1): shrunk to the average.

        Parameters
        ----------
        rows : frame
            With the columns that were features. For a model of messages: with ``user_id``.
        data : Dataset, optional
            For a model of messages: where people are read, as of its end. Whom it does not know has the average effect.

        Raises
        ------
        SchemaError
            When a feature is missing or of another kind.
        ParameterError
            When a model of messages gets no ``data``.
        """
        if self._read is None:
            return self._calibrated(self._of(self._rows_of(rows)[1])[0])
        if data is None:
            raise ParameterError(
                "increments: this model reads people from a Dataset. Write increments(rows, data=data)."
            )
        known, effect = self.read(data)
        users, user = open_frame(rows, "increments: rows", needed=("user_id",)).ids("user_id")
        usual = self.average().table["effect"].to_numpy(np.float64)
        return np.vstack([effect, usual])[match(known, users, ("the uplift model", "rows"))[user]]

    def _calibrated(self, effect: np.ndarray) -> np.ndarray:
        usual = self.psi[self.overlap].mean(axis=0)
        level = self.own[self.overlap].mean(axis=0)
        return np.asarray(usual + self.calibration * (effect - level))

    def _effects(self, groups: Mapping[str, np.ndarray], confidence: float, k: int) -> Effects:
        import pandas as pd

        z, user = z_of(confidence), self.experiment.user
        rows = [
            line(arm, name, self.psi[inside, at], user[inside], z, k)
            for at, arm in enumerate(self.arms)
            for name, inside in groups.items()
        ]
        columns = ["arm", "group", "effect", "low", "high", "rows", "people"]
        what = f"difference to {self.experiment.arms[0]}"
        return Effects(what, pd.DataFrame(rows, columns=columns), float(confidence), int(self.overlap.sum()))

    def _rows_of(self, data: Any) -> tuple[np.ndarray | None, np.ndarray]:
        if hasattr(data, "requests"):
            if self._read is None:
                self.read(data)
            users, x = self._read(data)  # type: ignore[misc]
            return users.ids, x
        if not self.experiment.features:
            raise ParameterError(
                "effect: nothing was known of people when the effects were learned; all have average()."
            )
        names = [feature.name for feature in self.experiment.features]
        return None, encoded(self.experiment.features, columns_of(data, names, "effect"), "effect")

    def _of(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.coefficient is not None:
            linear: Any = (self.center, self.scale, self.coefficient, self.covariance)
            return Linear(*linear).predict(x)
        if self._predict is None:
            raise ParameterError(
                f"UpliftModel: the models of a {self.learner} learner are Python objects, which no file holds. Fit it "
                "again, or save one of learner='dr' with its linear second stage."
            )
        effect = self._predict(x)
        return effect, np.full_like(effect, np.nan)


def _withheld_together(groups: Mapping[str, np.ndarray], user: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Return the groups, emptied where a total less the others would tell of fewer than k people."""
    people = {name: int(np.unique(user[inside]).size) for name, inside in groups.items()}
    hidden = [name for name, n in people.items() if 0 < n < max(k, 2)]
    for name in sorted(people, key=people.__getitem__):
        if not hidden or sum(people[one] for one in hidden) >= k:
            break
        if name not in hidden and people[name]:
            hidden.append(name)
    return {name: inside & (name not in hidden) for name, inside in groups.items()}
