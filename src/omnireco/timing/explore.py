"""Choosing hours with exact probabilities, so that later estimates are not confounded by today's model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_array, check_instants, check_integer, check_number, check_numbers, shown
from omnireco._core.notebook import shown_html
from omnireco._core.random import GOLDEN, mixed, numbers_of_ids, unit
from omnireco._kernels.sample_size import matched_pairs
from omnireco.errors import ParameterError

__all__ = ["Exploration", "Explored", "Power", "explore", "power", "uniforms"]

_TRIES = 25  # floors that are tried, from the least to the most


class Explored(NamedTuple):
    """Chosen slots and the probabilities they were chosen with.

    Attributes
    ----------
    slot : ndarray of shape (n,), int32
        Position of the slot, -1 for people without an allowed one.
    propensity : ndarray of shape (n,), float64
        Exact probability of that choice, in (0, 1]; 0 where there is none. Store it: off-policy evaluation needs it.
    """

    slot: np.ndarray
    propensity: np.ndarray

    def _repr_html_(self) -> str:
        return shown_html(self)


class Power(NamedTuple):
    """How many messages it takes to see a lift."""

    matched: int
    explored: int
    sends: int

    def _repr_html_(self) -> str:
        return shown_html(self)


def explore(
    value: np.ndarray,
    *,
    user_ids: Any,
    at_us: np.ndarray,
    date: str,
    temperature: np.ndarray | float,
    allowed: np.ndarray | None = None,
    floor: np.ndarray | float = 0.05,
    seed: int = 0,
) -> Explored:
    """Choose a slot for each person: mostly a good one, sometimes another, always with a known probability.

    ``pi(s) = (1 - floor) softmax(value / temperature)(s) + floor / |allowed|``. The softmax stands in for Thompson
    sampling, whose probabilities have no closed form: with a temperature of 0.8 posterior standard deviations its
    spread is about the same, so people who are known converge and new people explore by themselves. The floor keeps
    every slot possible: habits drift.

    Parameters
    ----------
    value : ndarray of shape (n, s)
        Estimated value of each slot.
    user_ids : array-like of shape (n,)
        Ids, integers or strings.
    at_us : ndarray of int64, shape (s,)
        Instants of the slots.
    date : str
        Day of the decision, such as ``"2025-06-01"``.
    temperature : float or ndarray of shape (n,)
        In the unit of ``value``; 0 takes the best.
    allowed : ndarray of bool, shape (n, s), optional
        Masks come before the choice.
    floor : float or ndarray of shape (n,)
        Share of choices that is even over the allowed slots, in [0, 1], for all or per person.
    seed : int
        Of the draws, 0 or more; 0 by default.

    Returns
    -------
    Explored

    Raises
    ------
    ParameterError
        When shapes disagree or a number is outside its range.

    Notes
    -----
    Every draw belongs to (seed, date, user, slot): a person's choice does not depend on who else is in the batch or on
    the order of rows. Vectorised; ties take the earliest slot.

    References
    ----------
    Chapelle and Li (2011), An empirical evaluation of Thompson sampling; Maddison et al. (2014), A* sampling (the
    Gumbel trick).

    Examples
    --------
    >>> value = np.array([[0.1, 0.3, 0.2]])
    >>> chosen = explore(value, user_ids=[7], at_us=np.arange(3), date="2025-06-01", temperature=0.05)
    >>> int(chosen.slot[0]), round(float(chosen.propensity[0]), 3)
    (1, 0.84)
    """
    value, at_us = check_numbers(value, "value"), check_instants(at_us, "at_us")
    n, s = value.shape if value.ndim == 2 else (-1, -1)
    mask = np.ones(value.shape, np.bool_) if allowed is None else check_array(allowed, "allowed")
    ids = check_array(user_ids, "user_ids")
    if n < 0 or at_us.shape != (s,) or mask.shape != value.shape or mask.dtype != np.bool_ or ids.shape != (n,):
        raise ParameterError(
            "explore: value (n, s), user_ids (n,), at_us (s,) and allowed (n, s) bool must fit together. "
            f"Got {value.shape}, {ids.shape}, {at_us.shape} and {mask.dtype} {mask.shape}."
        )
    even_share = check_numbers(floor, "floor")
    if even_share.shape not in ((), (n,)) or not ((even_share >= 0) & (even_share <= 1)).all():
        raise ParameterError(
            f"floor must be a number in the range [0, 1], or one per person ({n:,}). Got {shown(floor)}."
        )
    even_share = np.broadcast_to(even_share, (n,))
    heat = check_numbers(temperature, "temperature")
    if heat.shape not in ((), (n,)):
        raise ParameterError(f"temperature must be one number, or one per person ({n:,}). Got {shown(temperature)}.")
    heat = np.broadcast_to(heat, (n,))
    if not np.all(heat >= 0):
        raise ParameterError("temperature must be 0 or greater for everybody. Use 0.8 posterior standard deviations.")
    coin, noise = uniforms(seed, date, ids, at_us)
    some, sharp = mask.any(axis=1), _sharpened(value, heat, mask)
    good, even = _shares(sharp, mask)
    pi = (1.0 - even_share[:, None]) * good + even_share[:, None] * even
    chosen_from = np.where((coin < even_share)[:, None], np.where(mask, 0.0, -np.inf), sharp)
    slot = (chosen_from - np.log(-np.log(noise))).argmax(axis=1).astype(np.int32)
    propensity = np.where(some, np.take_along_axis(pi, slot[:, None], axis=1)[:, 0], 0.0)
    return Explored(np.where(some, slot, -1).astype(np.int32), propensity)


def _sharpened(value: np.ndarray, heat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return values over temperatures, 0 for the best allowed slot (one of them where the temperature is 0)."""
    score = np.where(mask, value, -np.inf)
    gap = score - np.where(mask.any(axis=1), score.max(axis=1, initial=-np.inf), 0.0)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sharp = np.where(gap == 0, 0.0, np.where(heat[:, None] > 0, gap / heat[:, None], -np.inf))
    sharp = np.where(mask, sharp, -np.inf)
    best = sharp == 0
    return np.where((heat[:, None] == 0) & best & (np.cumsum(best, axis=1) > 1), -np.inf, sharp)


def _shares(sharp: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of slots under the softmax, and when all allowed ones are even, each (n, s)."""
    weight = np.exp(sharp)
    good = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    return good, mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """How much to explore: more where less is known, and never so little that an hour goes without evidence.

    With probability ``1 - floor`` a slot is drawn from a softmax of its response probabilities, whose temperature is
    ``width`` posterior standard deviations of the person: near the best one where the answer is known, spread where it
    is not. Else an even one of the allowed slots is drawn. The floor of a person is proportional to their uncertainty
    and, within ``least`` and ``most``, as small as leaves ``evidence`` expected messages to every local hour of the day
    at which somebody may be written to. All of it goes into the propensity.

    Parameters
    ----------
    evidence : float
        Expected messages at each hour of the day, 0 or more.
    width : float
        Temperature in posterior standard deviations; 0 takes the best. 0.8 spreads about as Thompson sampling does.
    least, most : float
        Smallest and largest floor of a person, in [0, 1].
    seed : int
        Of the draws, 0 or more; 0 by default.

    Raises
    ------
    ParameterError
        When a number lies outside its range, or ``least`` above ``most``.

    Examples
    --------
    >>> Exploration(evidence=100).most
    0.2
    """

    evidence: float = 30.0
    width: float = 0.8
    least: float = 0.01
    most: float = 0.2
    seed: int = 0

    _repr_html_ = shown_html

    def __post_init__(self) -> None:
        check_number(self.evidence, "evidence", low=0.0)
        check_number(self.width, "width", low=0.0)
        check_number(self.most, "most", low=0.0, high=1.0)
        if check_number(self.least, "least", low=0.0, high=1.0) > self.most:
            raise ParameterError(f"least must not exceed most ({shown(self.most)}). Got {shown(self.least)}.")
        check_integer(self.seed, "seed", low=0)

    def choose(
        self,
        value: np.ndarray,
        spread: np.ndarray,
        *,
        user_ids: Any,
        at_us: np.ndarray,
        hours: np.ndarray,
        date: str,
        allowed: np.ndarray | None = None,
    ) -> Explored:
        """Choose a slot for each person.

        Parameters
        ----------
        value : ndarray of shape (n, s)
            Estimated response probability of each slot.
        spread : ndarray of shape (n, s)
            Its posterior standard deviation.
        user_ids, at_us, date, allowed
            As in :func:`explore`.
        hours : ndarray of int, shape (n, s)
            Local hour of the day of each slot; negative where it is not known.

        Returns
        -------
        Explored
            Slots, and the exact probabilities they were chosen with.

        Raises
        ------
        ParameterError
            When shapes disagree or a number is missing.

        Notes
        -----
        Deterministic; a person's floor depends on who else is in the batch (through ``evidence``), the draw itself on
        (seed, date, user) alone.
        """
        value, spread = check_numbers(value, "value"), check_numbers(spread, "spread")
        mask = np.ones(value.shape, np.bool_) if allowed is None else check_array(allowed, "allowed")
        clock = check_array(hours, "hours")
        if value.ndim != 2 or not value.shape == spread.shape == clock.shape == mask.shape or (spread < 0).any():
            raise ParameterError(
                "Exploration.choose: value, spread (0 or more), hours and allowed must have one shape (n, s). Got "
                f"{value.shape}, {spread.shape}, {clock.shape} and {mask.shape}."
            )
        sd = np.where(mask, spread, 0.0).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
        floor = self._floors(value, sd, mask, clock)
        given = {"user_ids": user_ids, "at_us": at_us, "date": date, "allowed": mask, "seed": self.seed}
        return explore(value, temperature=self.width * sd, floor=floor, **given)

    def _floors(self, value: np.ndarray, sd: np.ndarray, mask: np.ndarray, clock: np.ndarray) -> np.ndarray:
        """Return the floor of each person, (n,): the least multiple of their uncertainty that gives enough evidence."""
        known = sd > 0
        relative = np.where(known, sd / max(sd[known].mean() if known.any() else 1.0, 1e-300), 0.0)
        good, even = _shares(_sharpened(value, self.width * sd, mask), mask)
        cell = np.where(mask & (clock >= 0), clock % 24, 24)
        wanted = np.bincount(cell[mask], minlength=25)[:24] > 0
        place = (25 * np.arange(len(value))[:, None] + cell).ravel()
        usual, more = (
            np.bincount(place, weights=share.ravel(), minlength=25 * len(value)).reshape(-1, 25)[:, :24][:, wanted]
            for share in (good, even - good)
        )
        lowest, tries = max(self.least, 1e-4), np.zeros(1)
        if self.most > lowest:
            tries = np.geomspace(lowest, self.most / max(relative[known].min(initial=1.0), 1e-3), _TRIES)
        floors = np.clip(np.multiply.outer(tries, relative), self.least, self.most)
        for floor in floors:
            if (usual.sum(axis=0) + floor @ more >= self.evidence).all():
                return np.asarray(floor)
        return np.asarray(floors[-1])


def power(rate: float, lift: float, *, slots: int = 24, share: float = 1.0) -> Power:
    """Return how many messages show a relative lift with 80 % power at 5 %, two-sided.

    Comparing the messages that by chance went out at the recommended hour with the others takes
    ``(1 - p) / p (2.8 / d)^2`` matched ones. Only one in ``slots`` explored messages matches, and only a
    ``share`` of all messages explores.

    Parameters
    ----------
    rate : float
        Response probability, in (0, 1).
    lift : float
        Relative, above 0: 0.05 is five percent more responses.
    slots : int
        Slots that exploration spreads over.
    share : float
        Share of messages that explores, in (0, 1].

    Returns
    -------
    Power
        ``matched``, ``explored`` and ``sends``.

    Examples
    --------
    >>> power(0.05, 0.05, slots=24, share=0.05)
    Power(matched=59652, explored=1431636, sends=28632709)
    """
    rate = check_number(rate, "rate", above=0.0, high=1.0)
    lift = check_number(lift, "lift", above=0.0)
    slots = check_integer(slots, "slots", low=1, high=1_000_000)
    share = check_number(share, "share", above=0.0, high=1.0)
    matched = matched_pairs(rate, lift)
    if not np.isfinite(matched * slots / share):
        raise ParameterError("power: no number of messages shows so small a lift at so small a rate. Raise them.")
    return Power(*(int(np.ceil(number)) for number in (matched, matched * slots, matched * slots / share)))


def uniforms(seed: int, date: str, user_ids: np.ndarray, at_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers in (0, 1) that belong to (seed, date, user), (n,), and to (seed, date, user, slot), (n, s).

    A counter-based generator: the finalizer of SplitMix64 over a key, so no state and no order.
    """
    seed = check_integer(seed, "seed", low=0)
    key = np.uint64(int.from_bytes(hashlib.sha256(f"{seed}/{date}/explore".encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        person = mixed(mixed(numbers_of_ids(user_ids) ^ key) + key)
        slot = mixed(at_us.astype(np.int64).view(np.uint64) * GOLDEN)
        return unit(mixed(person + GOLDEN)), unit(mixed(person[:, None] ^ slot[None, :]))
