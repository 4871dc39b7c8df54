"""What a search may try: values of a list, or numbers of a range."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_mapping,
    check_names,
    check_number,
    shown,
)
from omnireco._core.contract import Estimator, described
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Maybe, Parts
from omnireco._core.small import Each, Flag, Number, Text, Whole
from omnireco.errors import ParameterError

__all__ = ["METHODS", "Between", "Trials", "check_space", "draw", "small_space"]

METHODS = ("random", "halving", "optuna")
_STEPS: dict[str, tuple[float, ...]] = {  # times what the estimator has, or what it would take for the data
    "factors": (1 / 2, 1, 2),
    "neighbors": (1 / 4, 1 / 2, 1, 2, 4),
    "regularization": (1 / 9, 1 / 3, 1, 3, 9),
    "unobserved_weight": (1 / 4, 1 / 2, 1, 2, 4),
}
_VALUES: dict[str, tuple[float, ...]] = {  # beside what the estimator has
    "dropout": (0.25, 0.5),
    "user_power": (0.25, 0.5),
    "shrinkage": (20.0, 100.0),
    "low_pass": (0.1, 1.0),
}
_WALK: dict[str, tuple[float, ...]] = {"alpha": (0.5, 0.7), "beta": (0.3, 0.8)}  # powers of walks, not of similarities
_REGRESSED = (1 / 2, 1, 2)  # times neighbors that a regression has, whose time grows with their cube


@dataclass(frozen=True, slots=True, repr=False)
class Between:
    """Numbers from ``low`` to ``high``, both included, for :func:`omnireco.evaluation.tune`.

    Parameters
    ----------
    low, high : float
        The ends, both included.
    log : bool
        Whether every factor, rather than every difference, is equally probable.
    whole : bool
        Whether only whole numbers are meant.

    Raises
    ------
    ParameterError
        When ``low`` is not below ``high``, or not above 0 with ``log``.

    Examples
    --------
    >>> Between(1, 10_000, log=True)
    Between(low=1.0, high=10000.0, log=True)
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    parts: ClassVar[Parts] = {"low": Number(endless=True), "high": Number(endless=True), "log": Flag(), "whole": Flag()}

    def __post_init__(self) -> None:
        check_flag(self.log, "log")
        check_flag(self.whole, "whole")
        low = check_number(self.low, "low", above=0.0) if self.log else check_number(self.low, "low")
        high = check_number(self.high, "high")
        if not low < high:
            raise ParameterError(
                f"low must lie below high. Got {low:g} and {high:g}. Write Between({high:g}, {low:g})."
            )
        if self.whole and (low != int(low) or high != int(high)):
            raise ParameterError(f"whole=True takes whole numbers. Got {low:g} and {high:g}.")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html

    def at(self, share: float) -> float | int:
        """Return the number at a share of the range, 0 to 1."""
        share = check_number(share, "share", low=0, high=1)
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else value


@dataclass(frozen=True, slots=True, repr=False)
class Trials:
    """How many settings :func:`omnireco.evaluation.tune` tries, and how it chooses them.

    Parameters
    ----------
    n : int
        Settings to try besides the default.
    method : {"random", "halving", "optuna"}
        ``"random"``: each trial is drawn by itself. ``"halving"``: all are fitted on a ninth of the people, the best
        third of them on a third, the best third of these on all (Jamieson and Talwalkar 2016). ``"optuna"``: its TPE
        sampler, with the extra ``omnireco[tune]``; one after another, as each learns from those before.
    seed : int
        Of the draws.
    counts : str or iterable of str, optional
        Types of event that count as truth, such as ``"purchase"``; all with an item by default.
    exclude_seen : bool, optional
        Whether lists leave out what people had before. Say it as you will ask ``recommend``; by default they do, as
        there, but for :class:`omnireco.models.NextBasket` and :class:`omnireco.models.BuyAgain`, alone or in a blend,
        whose lists are of repeats. ``tuned.exclude_seen`` says which it was.

    Raises
    ------
    ParameterError
        When a value is of another kind or outside its range.

    Examples
    --------
    >>> Trials(30, method="halving")
    Trials(n=30, method='halving')
    """

    n: int = 20
    method: str = "random"
    seed: int = 0
    counts: Any = None
    exclude_seen: bool | None = None

    parts: ClassVar[Parts] = {
        "n": Whole(1),
        "method": Text(),
        "seed": Whole(),
        "counts": Maybe(Each(Text())),
        "exclude_seen": Maybe(Flag()),
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_integer(self.n, "n", low=1, high=100_000))
        check_choice(self.method, "method", METHODS)
        object.__setattr__(self, "seed", check_integer(self.seed, "seed", low=0))
        if self.counts is not None:
            names = check_names((self.counts,) if isinstance(self.counts, str) else self.counts, "counts")
            if not names:
                raise ParameterError("counts is empty, so nothing would be truth. Leave it out, or name event types.")
            object.__setattr__(self, "counts", names)
        if self.exclude_seen is not None:
            check_flag(self.exclude_seen, "exclude_seen")

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html


def small_space(estimator: Estimator, data: Any) -> dict[str, tuple[Any, ...]]:
    """Return what :func:`omnireco.evaluation.tune` tries where nothing is asked for: a few steps around the default.

    Parameters
    ----------
    estimator : Estimator
        Of its own parameters these are tried, where it has them: factors, neighbors, regularization,
        unobserved_weight, dropout, user_power, shrinkage, low_pass, and alpha and beta of random walks.
    data : Dataset, EventLog or Interactions
        What parameters that follow the data are read from.

    Raises
    ------
    ParameterError
        When it has none of them.

    Examples
    --------
    >>> import omnireco as om
    >>> small_space(om.EASE(regularization=90.0), om.simulate(n_users=20, n_items=9, days=30, seed=1).dataset())
    {'regularization': (10.0, 30.0, 90.0, 270.0, 810.0), 'dropout': (0.0, 0.25, 0.5), 'user_power': (0.0, 0.25, 0.5)}
    """
    own, settled = (one.get_params(deep=False) for one in (estimator, estimator.settled(data)))
    found: dict[str, tuple[Any, ...]] = {}
    for name, steps in _STEPS.items():
        if name not in own or not settled[name]:
            continue
        if name == "neighbors" and "regularization" in own:
            steps = _REGRESSED
        whole = isinstance(settled[name], int)
        tried = [own[name] if step == 1 else settled[name] * step for step in steps]
        found[name] = tuple(dict.fromkeys(max(1, round(value)) if whole else value for value in tried))
    values = _VALUES | _WALK if "normalize" in own else _VALUES
    found |= {name: tuple(dict.fromkeys((own[name], *more))) for name, more in values.items() if name in own}
    if not found:
        raise ParameterError(
            f"tune: {type(estimator).__name__} has none of the parameters {', '.join((*_STEPS, *values))}, so there "
            "is no space to take by default. Say what to try: space={'prior_strength': om.evaluation.Between(0.1, 10, "
            "log=True)}."
        )
    return found


def check_space(space: Any, known: Iterable[str]) -> dict[str, Between | tuple[Any, ...]]:
    """Return what may be tried of each parameter, in the order of names; a name the estimator lacks is an error."""
    given, names = (
        check_mapping(space, "space", "{'regularization': om.evaluation.Between(1, 1000, log=True)}"),
        set(known),
    )
    if not given:
        raise ParameterError(
            "space is empty. Write space={'regularization': om.evaluation.Between(1, 1000, log=True)}."
        )
    found: dict[str, Between | tuple[Any, ...]] = {}
    for name in sorted(given, key=str):
        values = given[name]
        if name not in names:
            raise ParameterError(
                f"space: the estimator has no parameter {shown(name)}; it has {', '.join(sorted(map(str, names)))}."
            )
        if isinstance(values, Between):
            found[str(name)] = values
            continue
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise ParameterError(
                f"space[{shown(name)}] must be a list of values or a Between. Got {shown(values)}. Write [{values!r}]."
            )
        found[str(name)] = tuple(values)
        if not found[str(name)]:
            raise ParameterError(f"space[{shown(name)}] is an empty list: there is nothing to try.")
    return found


def draw(space: Mapping[str, Between | tuple[Any, ...]], random: np.random.Generator) -> dict[str, Any]:
    """Return one random choice of every parameter."""
    return {
        name: values.at(float(random.random()))
        if isinstance(values, Between)
        else values[int(random.integers(len(values)))]
        for name, values in space.items()
    }
