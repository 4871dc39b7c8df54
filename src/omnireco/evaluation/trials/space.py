"""What a search may try: values of a list, or numbers of a range."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_choice, check_flag, check_integer, check_mapping, check_number, shown
from omnireco._core.contract import described
from omnireco._core.parts import Parts
from omnireco._core.small import Flag, Number, Text, Whole
from omnireco.errors import ParameterError

__all__ = ["METHODS", "Between", "Trials", "check_space", "draw"]

METHODS = ("random", "halving", "optuna")


@dataclass(frozen=True, slots=True, repr=False)
class Between:
    """Numbers from ``low`` to ``high``, both included, for :func:`omnireco.evaluation.tune`.

    Parameters
    ----------
    low, high : float
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

    def at(self, share: float) -> float | int:
        """Return the number at a share of the range, 0 to 1."""
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

    parts: ClassVar[Parts] = {"n": Whole(1), "method": Text(), "seed": Whole()}

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_integer(self.n, "n", low=1, high=100_000))
        check_choice(self.method, "method", METHODS)
        object.__setattr__(self, "seed", check_integer(self.seed, "seed", low=0))

    def __repr__(self) -> str:
        return described(self)


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
