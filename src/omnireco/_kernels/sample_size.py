"""How many people a test needs, and what it can see: the arithmetic of power, in one place."""

from __future__ import annotations

import numpy as np

__all__ = ["detectable", "matched_pairs", "needed", "power_of"]


def matched_pairs(rate: float, lift: float) -> float:
    """Return how many messages per arm show a relative lift of a rate with 80 % power at 5 %, two-sided.

    ``(1 - p) / p ((1.96 + 0.84) / d)^2``: the other arm is taken to be so large that its error does not count.
    """
    with np.errstate(over="ignore"):
        return float((1.0 - rate) / rate * np.square((1.959964 + 0.841621) / np.float64(lift)))


def needed(effect: float, variances: tuple[float, float], share: float, confidence: float, power: float) -> float:
    """Return how many people in all a difference of two means needs; ``share`` of them are in the second arm.

    ``n = (z_a + z_b)^2 (v_1 / (1 - s) + v_2 / s) / effect^2``.
    """
    from scipy.special import ndtri

    z = ndtri((1.0 + confidence) / 2.0) + ndtri(power)
    return float(z**2 * (variances[0] / (1.0 - share) + variances[1] / share) / effect**2)


def detectable(n: float, variances: tuple[float, float], share: float, confidence: float, power: float) -> float:
    """Return the least difference of means that ``n`` people in all show with this power."""
    return float(np.sqrt(needed(1.0, variances, share, confidence, power) / n))


def power_of(effect: float, n: float, variances: tuple[float, float], share: float, confidence: float) -> float:
    """Return the probability that a difference is found, two-sided; the other tail is left out."""
    from scipy.special import ndtr, ndtri

    error = np.sqrt((variances[0] / (1.0 - share) + variances[1] / share) / n)
    return float(ndtr(abs(effect) / error - ndtri((1.0 + confidence) / 2.0)))
