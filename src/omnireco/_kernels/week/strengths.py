"""How strongly to pool: strengths, widths and half-life that predict what people did next.

The evidence of a Dirichlet prior is the product of one-step-ahead predictions. Sessions come in bursts, so a step of
one session would take a burst for a habit; here the log is predicted in a few blocks of time, each from what
came before it. That is type-II maximum likelihood against the question that matters, with a weak prior towards
`DEFAULT` for logs too small to answer it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial

import numpy as np

from omnireco._core.compute import in_parallel
from omnireco._core.units import DAY_US, WEEK
from omnireco._kernels.week.pooling import (
    DEFAULT,
    Base,
    Pooling,
    base_profiles,
    circular_kernel,
    day_kernel,
    fit_segments,
    given_segments,
    part_kernel,
    pool,
    population_profile,
)

__all__ = [
    "HALF_LIVES",
    "STRATA",
    "Fitted",
    "Sessions",
    "decayed_counts",
    "fit_channel_strength",
    "fit_half_life",
    "fit_pooling",
    "trust_of",
]

STRATA = ((1, 5), (6, 20), (21, 100), (101, np.inf))
"""Sessions of history by which timing is judged: hardly any, few, some, many."""
_CENTRES = (3.0, 11.0, 46.0, 200.0)
HALF_LIVES = tuple(days * DAY_US for days in (45, 90, 180, 365, 730))
_CUTS = (0.4, 0.55, 0.7, 0.85)
_CHANNEL_STRENGTHS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 125.0, 250.0, 500.0, 1000.0, np.inf])
_WIDTHS = (0.5, 0.75, 1.0, 1.5, 2.0)
_MOST_PER_PERSON = 20.0  # sessions of one person in one block that count fully
_UNPROVEN = 0.5  # share of the personal profile in a log too small to be cut in time
_REACH = 8  # hours to either side that the widest kernel sees


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of some people: code of the person (0..n_users-1), local hour of the week, instant.

    ``segment`` (n_users,) where segments are given, -1 unknown.
    """

    user: np.ndarray
    hour: np.ndarray
    at: np.ndarray
    n_users: int
    segment: np.ndarray | None = None

    def where(self, keep: np.ndarray) -> Sessions:
        """Return some of the sessions."""
        return Sessions(self.user[keep], self.hour[keep], self.at[keep], self.n_users, self.segment)

    def counts(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return sessions per person and hour, (n_users, 168)."""
        cell = self.user.astype(np.int64) * WEEK + self.hour
        found = np.bincount(cell, weights=weights, minlength=self.n_users * WEEK)
        return np.asarray(found.reshape(self.n_users, WEEK), np.float64)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned about pooling from the log itself.

    Attributes
    ----------
    pooling : Pooling
    trust : ndarray of shape (4,)
        Share of the personal profile, against the population's, that paid off in each stratum of history
        (`STRATA`), by more than a standard error over people; where nobody tells, that of the
        stratum below.
    gains : ndarray of shape (cells, 3)
        History (undecayed sessions), weight, and nats gained over the population, per predicted cell.
    """

    pooling: Pooling
    trust: np.ndarray
    gains: np.ndarray


@dataclass(frozen=True, slots=True)
class _Past:
    """What was known before a cut, and what happened in the block of time after it."""

    past: Sessions
    cut: int
    stop: int
    theta: np.ndarray
    future: np.ndarray
    history: np.ndarray


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of time to predict: cells (person, hour) that happened, and what each level said of them."""

    weight: np.ndarray
    n: np.ndarray
    theta: np.ndarray
    segment: np.ndarray
    part: np.ndarray
    day: dict[float, np.ndarray]
    hour: dict[float, np.ndarray]
    history: np.ndarray
    person: np.ndarray


def decayed_counts(sessions: Sessions, now_us: int, half_life_us: int | None) -> np.ndarray:
    """Return sessions per person and hour, each halved with every half-life of age."""
    if half_life_us is None:
        return sessions.counts()
    return sessions.counts(0.5 ** ((now_us - sessions.at) / half_life_us))


def fit_half_life(sessions: Sessions, *, threads: int | None = 1) -> int | None:
    """Return the half-life, microseconds, whose counts predict the later blocks best; None for no forgetting."""
    pasts = _pasts(sessions)
    if not pasts:
        return 180 * DAY_US

    def nats(half_life: int | None) -> float:
        return _fit_strengths([_block(past, half_life, n_segments=1) for past in pasts], DEFAULT, steps=12)[1]

    span = int(sessions.at.max() - sessions.at.min())
    useful = (None, *(half_life for half_life in HALF_LIVES[::-1] if half_life < 4 * span))
    best: tuple[float, int | None] = (-np.inf, None)
    for half_life, found in zip(useful, in_parallel([partial(nats, tried) for tried in useful], threads), strict=True):
        if found > best[0] + 1e-9:
            best = (found, half_life)
    return best[1]


def fit_pooling(sessions: Sessions, half_life_us: int | None, n_segments: int, *, threads: int | None = 1) -> Fitted:
    """Return the pooling that predicts later blocks best, and how far to trust it by length of history."""
    blocks = in_parallel([partial(_block, past, half_life_us, n_segments) for past in _pasts(sessions)], threads)
    pooling = DEFAULT
    if not blocks:
        return Fitted(pooling, np.full(len(STRATA), _UNPROVEN), np.empty((0, 3)))
    pooling = _fit_strengths(blocks, pooling, steps=12)[0]
    for _ in range(2):
        pooling = _best_width(blocks, pooling, "hour_width", threads)
        pooling = _best_width(blocks, pooling, "day_width", threads)
    pooling = _fit_strengths(blocks, pooling, steps=40)[0]
    gains = np.concatenate(
        [
            np.stack([block.history, block.weight, np.log(_chances(block, pooling)[-1] / block.theta)], axis=1)
            for block in blocks
        ]
    )
    return Fitted(pooling, _trust(gains, np.concatenate([block.person for block in blocks])), gains)


def fit_channel_strength(
    sessions: Sessions, inside: np.ndarray, half_life_us: int | None, pooling: Pooling, base: Base
) -> float:
    """Return how much what people do on all channels tells about one of them: the strength of ``p_u`` as its prior.

    That with which later sessions of the channel are predicted best, each block of time from what came before it;
    infinite when the channel's own history adds nothing.

    Parameters
    ----------
    inside : ndarray of bool
        Which sessions are of the channel.
    """
    kernel = circular_kernel(WEEK, pooling.hour_width)
    value = np.zeros(len(_CHANNEL_STRENGTHS))
    for past in _pasts(sessions):
        known = sessions.where(inside & (sessions.at < past.cut))
        later = sessions.where(inside & (sessions.at >= past.cut) & (sessions.at < past.stop)).counts()
        later[past.history == 0] = 0.0
        later *= np.minimum(1.0, _MOST_PER_PERSON / np.maximum(later.sum(axis=1, keepdims=True), 1.0))
        row, hour = np.nonzero(later)
        counts = decayed_counts(known, past.cut, half_life_us)
        own = (counts @ kernel)[row, hour]
        n = counts.sum(axis=1)[row]
        whole = pool(decayed_counts(past.past, past.cut, half_life_us), base, pooling)[row, hour]
        for i, k in enumerate(_CHANNEL_STRENGTHS):
            chance = whole if np.isinf(k) else (k * whole + own) / (k + n)
            value[i] += float(later[row, hour] @ np.log(chance))
    return float(_CHANNEL_STRENGTHS[::-1][int(np.argmax(value[::-1]))])  # of equals the strongest


def trust_of(history: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Return how far to trust profiles with given numbers of sessions: no jump where a stratum ends."""
    return np.asarray(np.interp(np.log(np.maximum(history, 1.0)), np.log(_CENTRES), trust))


def _trust(gains: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return per stratum the share of the personal profile that has paid off, and not by a few people's luck.

    A share is judged by what it gained less one standard error over people. Where there is hardly any evidence, that is
    cautious: the population's profile cannot lose against itself.
    """
    shares = np.linspace(1.0, 0.0, 11)
    best = np.full(len(STRATA), np.nan)
    for i, (low, high) in enumerate(STRATA):
        inside = (gains[:, 0] >= low) & (gains[:, 0] <= high)
        if inside.any():
            ratio, weight, who = np.exp(gains[inside, 2]), gains[inside, 1], person[inside]
            each = np.stack([np.bincount(who, weight * np.log1p(share * (ratio - 1.0))) for share in shares])
            best[i] = shares[np.argmax(each.sum(axis=1) - np.sqrt((each**2).sum(axis=1)))]
        elif i:
            best[i] = best[i - 1]
    known = best[np.isfinite(best)]
    return np.where(np.isfinite(best), best, known[0] if known.size else _UNPROVEN)


def _pasts(sessions: Sessions) -> list[_Past]:
    """Cut the sessions into blocks of time to predict; none for a log too small to learn from."""
    if sessions.at.size < 50:
        return []
    cuts = np.unique(np.quantile(sessions.at, _CUTS, method="higher"))
    edges = [*cuts.tolist(), int(sessions.at.max()) + 1]
    found = []
    for cut, stop in itertools.pairwise(edges):
        past = sessions.where(sessions.at < cut)
        plain = past.counts()
        future = sessions.where((sessions.at >= cut) & (sessions.at < stop)).counts()
        future[plain.sum(axis=1) == 0] = 0.0
        if not future.any():
            continue
        future *= np.minimum(1.0, _MOST_PER_PERSON / np.maximum(future.sum(axis=1, keepdims=True), 1.0))
        theta = population_profile(plain, plain.sum(axis=0))
        found.append(_Past(past, int(cut), int(stop), theta, future, plain.sum(axis=1)))
    return found


def _block(known: _Past, half_life_us: int | None, n_segments: int) -> _Block:
    """Look at one block from before it: return what each level said of the cells that happened."""
    theta, row, hour = known.theta, *np.nonzero(known.future)
    counts = decayed_counts(known.past, known.cut, half_life_us)
    by_day = counts.reshape(-1, 7, 24).sum(axis=1)
    near = counts[row[:, None], (hour[:, None] + np.arange(-_REACH, _REACH + 1)) % WEEK]
    middle = WEEK // 2
    kernels = {width: circular_kernel(WEEK, width)[middle, middle - _REACH : middle + _REACH + 1] for width in _WIDTHS}
    start = segment = theta[hour]
    given = known.past.segment
    if given is not None:  # given segments count before any session does
        named = given_segments(counts, theta, given, int(given.max(initial=0)) + 1)
        start = segment = np.concatenate([named.phi, theta[None]])[given[row], hour]
    elif n_segments > 1:
        segment = base_profiles(counts, fit_segments(counts, theta, n_segments))[row, hour]
    return _Block(
        weight=known.future[row, hour],
        n=counts.sum(axis=1)[row],
        theta=start,
        segment=segment,
        part=(counts @ part_kernel(theta))[row, hour],
        day={width: (by_day @ day_kernel(theta, width))[row, hour] for width in _WIDTHS},
        hour={width: near @ kernel for width, kernel in kernels.items()},
        history=known.history[row],
        person=row,
    )


def _chances(block: _Block, pooling: Pooling) -> list[np.ndarray]:
    """Return the probability of what happened at each level, the population first."""
    n = block.n
    evidence = (n * block.segment, block.part, block.day[pooling.day_width], block.hour[pooling.hour_width])
    found = [block.theta]
    for k, gain in zip(pooling.strengths, evidence, strict=True):
        found.append((k * found[-1] + gain) / (k + n))
    return found


def _fit_strengths(blocks: list[_Block], pooling: Pooling, *, steps: int) -> tuple[Pooling, float]:
    """Return the pooling with the best strengths at its widths, and the nats per session it reaches."""
    from scipy.optimize import minimize

    centre = np.log(DEFAULT.strengths)
    total = sum(float(block.weight.sum()) for block in blocks)

    def with_strengths(x: np.ndarray) -> Pooling:
        a, b, c, d = (float(strength) for strength in np.exp(x))
        return Pooling((a, b, c, d), pooling.hour_width, pooling.day_width)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        at = with_strengths(x)
        value, slope = 0.5 * float(((x - centre) ** 2).sum()), x - centre
        for block in blocks:
            p = _chances(block, at)
            value -= float(block.weight @ np.log(p[-1]))
            passed_on = block.weight / p[-1]  # d log likelihood / d p of this level
            for level in (3, 2, 1, 0):
                share = at.strengths[level] / (at.strengths[level] + block.n)
                slope[level] -= float(passed_on @ (share * (p[level] - p[level + 1])))
                passed_on = passed_on * share
        return value / total, slope / total

    found = minimize(
        loss,
        np.log(pooling.strengths),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-1.0, 9.0)] * 4,
        options={"maxiter": steps},
    )
    return with_strengths(found.x), -float(found.fun)


def _best_width(blocks: list[_Block], pooling: Pooling, which: str, threads: int | None) -> Pooling:
    """Return the pooling with the best of the widths for one of its kernels."""
    tried = [
        Pooling(
            pooling.strengths,
            width if which == "hour_width" else pooling.hour_width,
            width if which == "day_width" else pooling.day_width,
        )
        for width in _WIDTHS
    ]
    found = in_parallel([partial(_fit_strengths, blocks, one, steps=8) for one in tried], threads)
    return max(found, key=lambda pair: pair[1])[0]
