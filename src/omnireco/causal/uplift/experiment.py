"""Who got which treatment, what came of it, and what was known before: randomised, or as it happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_names, check_numbers, count_of, name_rows, shown
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Maybe, Parts, coded, declare, numbers, probabilities
from omnireco._core.small import Each, Settings, Text
from omnireco.causal.logged import LoggedDecisions
from omnireco.causal.uplift.features import Feature, columns_of, encoded, learned, names_of
from omnireco.data.parts import Ids, Labels
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, ParameterError, SchemaError

__all__ = ["Experiment"]

_LINE = "om.causal.Experiment.from_frame(frame, treatment='arm', control='none', outcome='spend', features=['age'])"
_LEAST_CHANCE = 1e-6
_MOST_ARMS = 100


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Experiment:
    """Treatments and their outcomes: one row per person and occasion.

    What :class:`Uplift` learns from, and what curves and policy values are measured on. :meth:`from_frame` reads an
    A/B test or any table; ``Uplift.fit(data)`` makes one of the messages of a Dataset.

    Attributes
    ----------
    arms : tuple of str
        The treatments; the first is the control.
    users : Vocabulary
        The people.
    user : ndarray of shape (n,), int32
        Who each row is about. Rows of one person are not independent: they stay in one fold and are resampled together.
    arm : ndarray of shape (n,), int32
        Which treatment each row got (or was assigned to).
    outcome : ndarray of shape (n,)
        0 and 1, or an amount.
    x : ndarray of shape (n, d)
        What was known before the treatment, as numbers.
    features : tuple of Feature
        How columns became ``x``.
    propensity : ndarray of shape (n, n_arms), or None
        The probability of each arm; None where it is not known.
    received : ndarray of shape (n,), or None
        Whether the treatment that was assigned was received, 0 or 1.
    placebo : ndarray of shape (n,), or None
        An outcome from before the treatment, on which it can have no effect.
    placebo_x : ndarray of shape (n, p), or None
        What was known before the placebo outcome; ``x`` where None.
    labels : mapping of str to (Vocabulary, ndarray)
        Text columns, for groups.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"who": [1, 2, 3, 4], "mail": ["yes", "no", "yes", "no"], "spend": [9.0, 0.0, 0.0, 4.0],
    ...                       "recency": [3, 2, 8, 1]})
    >>> Experiment.from_frame(frame, treatment="mail", control="no", outcome="spend", features=["recency"],
    ...                       propensity={"yes": 0.5, "no": 0.5}, user="who")
    Experiment(4 rows of 4 people: 2 no, 2 yes; 1 feature, propensities known)
    """

    arms: tuple[str, ...]
    users: Vocabulary
    user: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray
    x: np.ndarray
    features: tuple[Feature, ...] = ()
    propensity: np.ndarray | None = None
    received: np.ndarray | None = None
    placebo: np.ndarray | None = None
    placebo_x: np.ndarray | None = None
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]] = field(default_factory=dict)

    parts: ClassVar[Parts] = {
        "arms": Each(Text(), "arms"),
        "users": Ids(people=True),
        "user": coded("users", "n"),
        "arm": coded("arms", "n"),
        "outcome": numbers("n"),
        "x": numbers("n", "d"),
        "features": Each(Settings(Feature)),
        "propensity": Maybe(probabilities("n", "arms")),
        "received": Maybe(probabilities("n")),
        "placebo": Maybe(numbers("n")),
        "placebo_x": Maybe(numbers("n", "p")),
        "labels": Labels("n"),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    @says_the_line(_LINE)
    def from_frame(
        cls,
        frame: Any,
        *,
        treatment: str,
        control: Any,
        outcome: str,
        features: Iterable[str] = (),
        propensity: Any = None,
        user: str | None = None,
        received: str | None = None,
        placebo: str | None = None,
        groups: Iterable[str] = (),
    ) -> Experiment:
        """Read one row per person and occasion.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            One row per person and occasion; ``columns`` names other spellings.
        treatment : str
            The column that names the arm of each row.
        control : str or int
            The arm that is no treatment: effects are differences to it.
        outcome : str
            The column of the outcome: 0 and 1 (or False and True), or an amount.
        features : iterable of str
            Columns known before the treatment was decided. Texts become a column per level; missing numbers are filled
            with the mean, and a further column marks them.
        propensity : mapping of arm to float or str, or str, optional
            The probability of each arm: a number for all rows, or the name of a column. One column name alone is the
            probability of the arm that the row got, which is enough with two arms. Leave it out where nobody drew
            lots; it is then estimated.
        user : str, optional
            The column of ids of people. By default every row is a person of its own.
        received : str, optional
            A column of 0 and 1: whether the assigned treatment was received (:func:`complier_effect`).
        placebo : str, optional
            An outcome from before the treatment: an effect on it shows that arms were not comparable.
        groups : iterable of str
            Further columns of texts to report by; text features are kept by themselves.

        Returns
        -------
        Experiment

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind.
        ParameterError
            When the control is no arm, or propensities lie outside (0, 1] or do not sum to 1.
        EmptyError
            When there is no row, no control, or no treatment.
        """
        where = "Experiment.from_frame"
        names = check_names(features, "features")
        others = check_names(groups, "groups")
        _check_apart(
            names,
            others,
            {"treatment": treatment, "outcome": outcome, "received": received, "placebo": placebo, "user": user},
        )
        arms, arm = _arms(_one(frame, treatment, where), control, where)
        n = arm.size
        y = _numbers(frame, outcome, where)
        columns = columns_of(frame, names, where)
        found = learned(columns, where)
        x = encoded(found, columns, where) if found else np.empty((n, 0))
        users, code = _people(frame, user, n)
        texts = columns | columns_of(frame, others, where)
        labels = {
            name: Vocabulary.encode(["(missing)" if one == "" else str(one) for one in texts[name].tolist()], name)
            for name in dict.fromkeys((*(name for name in names if columns[name].dtype == object), *others))
        }
        known = None if propensity is None else _propensities(frame, propensity, arms, arm, where)
        got = None if received is None else _flags(frame, received, where)
        before = None if placebo is None else _numbers(frame, placebo, where)
        return cls(arms, users, code, arm, y, x, found, known, got, before, None, labels)

    def __len__(self) -> int:
        return int(self.arm.size)

    def __repr__(self) -> str:
        n = np.bincount(self.arm, minlength=len(self.arms))
        each = ", ".join(f"{count:,} {name}" for name, count in zip(self.arms[:4], n, strict=False))
        more = f" and {len(self.arms) - 4} arms" if len(self.arms) > 4 else ""
        known = "propensities known" if self.propensity is not None else "propensities unknown"
        return (
            f"Experiment({count_of(len(self), 'row')} of {count_of(len(self.users), 'person', 'people')}: "
            f"{each}{more}; "
            f"{count_of(len(self.features) or self.x.shape[1], 'feature')}, {known})"
        )

    _repr_html_ = shown_html

    @property
    def binary(self) -> bool:
        """Whether every outcome is 0 or 1."""
        return bool(np.isin(self.outcome, (0.0, 1.0)).all())

    def take(self, rows: np.ndarray) -> Experiment:
        """Return some of the rows, by mask or position."""
        part = {name: getattr(self, name) for name in ("propensity", "received", "placebo", "placebo_x")}
        return Experiment(
            self.arms,
            self.users,
            self.user[rows],
            self.arm[rows],
            self.outcome[rows],
            self.x[rows],
            self.features,
            **{name: None if array is None else array[rows] for name, array in part.items()},
            labels={name: (known, code[rows]) for name, (known, code) in self.labels.items()},
        )

    def logged(self) -> LoggedDecisions:
        """Return the rows as logged decisions, for :func:`off_policy`; actions are positions in ``arms``.

        Raises
        ------
        ParameterError
            When propensities are not known.
        """
        if self.propensity is None:
            raise ParameterError(
                "Experiment.logged: the propensities of this experiment are not known. Give them: "
                "Experiment.from_frame(..., propensity={'email': 0.5, 'none': 0.5})."
            )
        mine = self.propensity[np.arange(len(self)), self.arm]
        return LoggedDecisions(self.outcome, mine, actions=self.arm, people=self.user)


def _check_apart(names: tuple[str, ...], groups: tuple[str, ...], others: Mapping[str, str | None]) -> None:
    """Refuse one column in two roles: a feature or a group that is the treatment or its outcome explains it away."""
    seen: dict[str, str] = {}
    for what, name in others.items():
        if name is None:
            continue
        if not isinstance(name, str):
            raise ParameterError(f"{what} must name a column. Got {shown(name)}.")
        if name in names:
            raise ParameterError(
                f"features holds {shown(name)}, which is the {what}. Features are what was known before the treatment "
                "was decided: leave it out."
            )
        if name in groups:
            raise ParameterError(
                f"groups holds {shown(name)}, which is the {what}. Groups are of what was known before the treatment "
                "was decided: leave it out."
            )
        if name in seen:
            raise ParameterError(f"{what} and {seen[name]} are the same column, {shown(name)}. Name two columns.")
        seen[name] = what


def _one(frame: Any, name: str, where: str) -> np.ndarray:
    import narwhals as nw
    import pandas as pd

    columns_of(frame, [name], where)
    column = pd.Series(nw.from_native(frame, eager_only=True).get_column(name).to_pandas())
    missing = column.isna().to_numpy() | (column.astype(str).str.strip() == "").to_numpy(np.bool_)
    if missing.any():
        raise SchemaError(f"{where}: {name} is missing in {name_rows(missing)}. Leave those rows out.")
    if pd.api.types.is_float_dtype(column) and (column == column.round()).all():
        column = column.astype("int64")  # a column of 0 and 1 that once held gaps
    return column.astype(str).to_numpy(object)


def _arms(column: np.ndarray, control: Any, where: str) -> tuple[tuple[str, ...], np.ndarray]:
    known = sorted(set(column.tolist()))
    if not known:
        raise EmptyError(f"{where}: there is no row to learn from.")
    most = min(_MOST_ARMS, max(2, column.size // 2))
    if len(known) > most:
        raise SchemaError(
            f"{where}: the treatment has {len(known):,} different values in {column.size:,} rows. Is it an id? "
            "Name the column of the arms: treatment='arm'."
        )
    first = str(int(control)) if isinstance(control, float) and control.is_integer() else str(control)
    if first not in known:
        raise ParameterError(
            f"{where}: control is {shown(first)}, and no row has this arm; there are "
            f"{', '.join(map(repr, known[:9]))}. "
            "Without people who got nothing, what a message adds cannot be known."
        )
    if len(known) == 1:
        raise EmptyError(f"{where}: every row is the control {shown(first)}, so there is no treatment to measure.")
    arms = (first, *(name for name in known if name != first))
    place = {name: at for at, name in enumerate(arms)}
    return arms, np.array([place[name] for name in column.tolist()], np.int32)


def _numbers(frame: Any, name: str, where: str) -> np.ndarray:
    values = columns_of(frame, [name], where)[name]
    if values.dtype == object:
        raise SchemaError(f"{where}: {name} must hold numbers. Got texts. Cast it: frame[{name!r}].astype(float).")
    if (bad := np.isnan(values)).any():
        raise SchemaError(
            f"{where}: {name} is missing in {name_rows(bad)}. No purchase is 0: fill it in, frame[{name!r}].fillna(0)."
        )
    return values


def _flags(frame: Any, name: str, where: str) -> np.ndarray:
    values = _numbers(frame, name, where)
    if (bad := ~np.isin(values, (0.0, 1.0))).any():
        raise SchemaError(f"{where}: {name} must hold 0 and 1. It does not in {name_rows(bad)}.")
    return values


def _people(frame: Any, user: str | None, n: int) -> tuple[Vocabulary, np.ndarray]:
    import narwhals as nw

    if user is None:
        return Vocabulary(np.arange(n)), np.arange(n, dtype=np.int32)
    columns_of(frame, [user], "Experiment.from_frame")
    return Vocabulary.encode(nw.to_native(nw.from_native(frame, eager_only=True).get_column(user)), user)


def _propensities(frame: Any, given: Any, arms: tuple[str, ...], arm: np.ndarray, where: str) -> np.ndarray:
    n, rows = arm.size, np.arange(arm.size)
    if isinstance(given, str):
        mine = _numbers(frame, given, where)
        if len(arms) > 2:
            raise ParameterError(
                f"{where}: with {len(arms)} arms the probability of the arm that was given is not enough. Write "
                "propensity={arm: 'column', ...} for every arm."
            )
        found = np.empty((n, 2))
        found[rows, arm] = mine
        found[rows, 1 - arm] = 1.0 - mine
    elif isinstance(given, Mapping):
        by = {str(name): value for name, value in given.items()}
        if set(by) != set(arms):
            raise ParameterError(
                f"{where}: propensity must name every arm once: {', '.join(map(repr, arms))}. Got "
                f"{', '.join(map(shown, by))}."
            )
        found = np.empty((n, len(arms)))
        for at, name in enumerate(arms):
            one = by[name]
            found[:, at] = _numbers(frame, one, where) if isinstance(one, str) else check_numbers(one, "propensity")
    else:
        raise ParameterError(
            f"propensity must be a mapping of arms to probabilities, or a column. Got {shown(given)}. Write "
            f"propensity={{{arms[0]!r}: 0.5, {arms[1]!r}: 0.5}}."
        )
    _check_chances(found, rows, arm, where)
    return found


def _check_chances(found: np.ndarray, rows: np.ndarray, arm: np.ndarray, where: str) -> None:
    if not np.isfinite(found).all() or (found < 0).any() or (found > 1).any():
        raise ParameterError(f"{where}: propensity must be probabilities in [0, 1].")
    if (off := np.abs(found.sum(axis=1) - 1.0) > 1e-6).any():
        raise ParameterError(f"{where}: propensities of all arms do not sum to 1 in {name_rows(off)}.")
    if (bad := found[rows, arm] < _LEAST_CHANCE).any():
        raise ParameterError(
            f"{where}: a row got an arm that it had a probability of 0 to get, {name_rows(bad)}. Were propensities "
            "logged before a rule changed the choice?"
        )


def feature_names(experiment: Experiment) -> tuple[str, ...]:
    """Return a name per column of ``x``."""
    found = names_of(experiment.features)
    d = experiment.x.shape[1]
    return found if len(found) == d else tuple(f"x{at}" for at in range(d))
