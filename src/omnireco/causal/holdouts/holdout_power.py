"""Power before a test: how many people it takes, or which effect a number of people can show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnireco._core.checks import check_number
from omnireco._core.notebook import shown_html
from omnireco._kernels.sample_size import detectable, needed, power_of
from omnireco.errors import ParameterError

__all__ = ["HoldoutSize", "holdout_power"]


class HoldoutSize(NamedTuple):
    """How large a test is and what it can show; made by :func:`holdout_power`.

    ``people`` in all, of whom ``held_out`` get nothing; ``effect`` of the messages on the mean (of a probability, or in
    the outcome's unit) and ``lift`` relative to it; ``power`` with which that effect is found.
    """

    people: int
    held_out: int
    effect: float
    lift: float
    power: float

    def _repr_html_(self) -> str:
        return shown_html(self)


def holdout_power(
    mean: float,
    *,
    lift: float | None = None,
    people: float | None = None,
    sd: float | None = None,
    share: float = 0.1,
    correlation: float = 0.0,
    per_cluster: float = 1.0,
    icc: float = 0.0,
    confidence: float = 0.95,
    power: float = 0.8,
) -> HoldoutSize:
    """Return how many people a holdout test needs to show a lift, or which lift a number of people can show.

    Parameters
    ----------
    mean : float
        Of the outcome without messages: a conversion probability, or with ``sd`` any mean (money per person).
    lift : float, optional
        Relative, such as 0.05. With ``people`` too, the power is what is asked.
    people : float, optional
        In all. Give this, ``lift``, or both.
    sd : float, optional
        Standard deviation of the outcome; that of a yes-or-no outcome by default.
    share : float
        Held out.
    correlation : float
        Of the outcome with that of the same people before the test. CUPED leaves 1 - correlation^2 of the variance.
    per_cluster : float
        People who are assigned together (a household, a shop).
    icc : float
        Correlation of outcomes within a cluster: the variance is 1 + (per_cluster - 1) icc times as great.
    confidence, power : float
        Of the two-sided test: its confidence, and the probability that it shows the lift; 0.95 and 0.8 by default.

    Returns
    -------
    HoldoutSize

    Raises
    ------
    ParameterError
        When a number lies outside its range, neither ``lift`` nor ``people`` is given, a probability would rise above
        1, or numbers are so large or so small that no number of people follows from them.

    Notes
    -----
    ``n = (z_a + z_b)^2 (v_1 / (1 - s) + v_0 / s) / effect^2``, two-sided. For messages at explored hours see
    :func:`omnireco.timing.power`. Deterministic.

    References
    ----------
    Cohen (1988), Statistical power analysis; Deng, Xu, Kohavi and Walker (2013), Improving the sensitivity of online
    controlled experiments by utilizing pre-experiment data (CUPED), equation 4; Kish (1965), Survey sampling, for
    clusters.

    Examples
    --------
    >>> holdout_power(0.05, lift=0.1)
    HoldoutSize(people=167260, held_out=16726, effect=0.005, lift=0.1, power=0.8)
    >>> holdout_power(0.05, lift=0.1, correlation=0.6).people < 0.65 * 167260
    True
    """
    mean = check_number(mean, "mean", above=0.0, high=1.0 if sd is None else None)
    share = check_number(share, "share", above=0.0)
    for name, value in (("share", share), ("confidence", confidence), ("power", power)):
        if not 0 < check_number(value, name) < 1:
            raise ParameterError(f"{name} must be between 0 and 1, both outside. Got {value:g}.")
    correlation = check_number(correlation, "correlation", low=-0.999, high=0.999)
    inflate = 1.0 + (check_number(per_cluster, "per_cluster", low=1.0) - 1.0) * check_number(
        icc, "icc", low=0.0, high=1.0
    )
    if lift is None and people is None:
        raise ParameterError("holdout_power: give lift=, to learn how many people it takes, or people=, or both.")
    if lift is not None:
        lift = check_number(lift, "lift", above=-1.0)
        if not lift:
            raise ParameterError("holdout_power: no number of people shows a lift of 0. Write lift=0.05.")
    if people is not None:
        people = check_number(people, "people", low=4.0)

    spread = None if sd is None else float(np.square(np.float64(check_number(sd, "sd", above=0.0, high=1e150))))
    if spread == 0.0 or (spread is None and mean == 1.0):
        raise ParameterError(
            "holdout_power: the outcome does not vary, so no test is needed. Give the mean and sd of the outcome."
        )
    if spread is None and lift is not None and mean * (1.0 + lift) > 1.0:
        raise ParameterError(
            f"holdout_power: a lift of {lift:g} takes a mean of {mean:g} above 1, which no probability is. Write a "
            f"lift of at most {1.0 / mean - 1.0:.3g}, or sd= where the outcome is no yes or no."
        )
    left = (1.0 - correlation**2) * inflate

    def variances(by: float) -> tuple[float, float]:
        if spread is not None:
            return spread * left, spread * left
        treated = min(mean * (1.0 + by), 1.0)
        return treated * (1.0 - treated) * left, mean * (1.0 - mean) * left

    found = float(people or 0)
    with np.errstate(all="ignore"):  # what is endless is refused below
        if lift is None:
            by = 0.0
            for _ in range(50):  # the variance of the treated depends on the lift
                by = float(np.float64(detectable(found, variances(by), share, confidence, power)) / mean)
            lift = by
            if not np.isfinite(lift) or (spread is None and mean * (1.0 + lift) > 1.0):
                raise ParameterError(
                    f"holdout_power: {found:,.0f} people show no lift that this outcome can have. Give more people, or "
                    "a mean, sd and share that are less extreme."
                )
        elif people is None:
            found = needed(np.float64(lift) * mean, variances(lift), share, confidence, power)
        else:
            power = power_of(lift * mean, found, variances(lift), share, confidence)
        effect = float(np.float64(lift) * mean)
    if not np.isfinite(effect):
        raise ParameterError(
            f"holdout_power: a lift of {lift:g} of a mean of {mean:g} is no number. Lower one of them."
        )
    if not effect or not np.isfinite(found) or found > 1e15 or not np.isfinite(power):
        raise ParameterError("holdout_power: no number of people shows so small a lift. Raise it.")
    n = max(4, int(np.ceil(found)))
    return HoldoutSize(n, round(share * n), float(round(effect, 12)), float(lift), float(power))
