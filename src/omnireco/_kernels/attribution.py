"""Credit of channels for conversions: shares of touches, an absorbing Markov chain, Shapley values. Arrays in and out.

Paths are ragged: touches ``start[p] : start[p + 1]`` of ``channel`` belong to path p; ``done`` (n,) and ``none`` (n,)
are how often it ended in a conversion, and without.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from omnireco._kernels.log.order import distinct

__all__ = ["Chain", "chain_of", "distinct_sets", "removal_effects", "shapley_rates", "shapley_sampled", "touch_shares"]

_MOST_STATES = 4_000


class TooMany(ValueError):
    """The chain has more states than one inverse can hold."""


def touch_shares(
    model: str, start: np.ndarray, hours: np.ndarray, half_life: float, ends: tuple[float, float]
) -> np.ndarray:
    """Return the share of a conversion that each touch gets, float64 (n_touches,); they sum to 1 per path."""
    length = np.diff(start)
    path = np.repeat(np.arange(length.size), length)
    place = np.arange(path.size) - start[:-1][path]
    n = length[path]
    if model == "first":
        return (place == 0).astype(np.float64)
    if model == "last":
        return (place == n - 1).astype(np.float64)
    if model == "linear":
        return 1.0 / n
    if model == "position":
        first, last = ends
        middle = np.divide(1.0 - first - last, n - 2, out=np.zeros(n.size), where=n > 2)
        share = np.where(place == 0, first, np.where(place == n - 1, last, middle))
        two = first + last
        half = (first / two, last / two) if two else (0.5, 0.5)
        share = np.where(n == 2, np.where(place == 0, *half), share)
        return np.where(n == 1, 1.0, share)
    least = np.minimum.reduceat(hours, start[:-1]) if length.size else np.empty(0)
    weight = np.exp2(-(hours - least[path]) / half_life)
    return np.asarray(weight / np.bincount(path, weight, minlength=length.size)[path])


class Chain(NamedTuple):
    """Transitions of paths between states (the last ``order`` channels), so that weights of paths can change.

    ``begin`` (n,) and ``end`` (n,) first and last state of each path; ``pair`` one code per step inside a path and
    ``path`` whose it is; ``member`` (n_states, n_channels) which channels a state holds.
    """

    begin: np.ndarray
    end: np.ndarray
    pair: np.ndarray
    path: np.ndarray
    member: np.ndarray


def chain_of(channel: np.ndarray, start: np.ndarray, n_channels: int, order: int) -> Chain:
    """Return the chain of paths whose states are the last ``order`` channels."""
    length = np.diff(start)
    path = np.repeat(np.arange(length.size), length)
    place = np.arange(path.size) - start[:-1][path]
    code = np.zeros(path.size, np.int64)
    for back in range(order - 1, -1, -1):
        there = place >= back
        held = np.zeros(path.size, np.int64)
        held[there] = channel[np.flatnonzero(there) - back] + 1
        code = code * (n_channels + 1) + held
    states, state = np.unique(code, return_inverse=True)
    if states.size > _MOST_STATES:
        raise TooMany(f"{states.size:,}")
    member = np.zeros((states.size, n_channels), np.bool_)
    left = states.copy()
    for _ in range(order):
        held = left % (n_channels + 1)
        member[np.flatnonzero(held), held[held > 0] - 1] = True
        left //= n_channels + 1
    inside = np.flatnonzero(place[1:] > 0) if place.size else np.empty(0, np.int64)
    return Chain(
        state[start[:-1]], state[start[1:] - 1], state[inside] * states.size + state[inside + 1], path[inside], member
    )


def removal_effects(
    chain: Chain, done: np.ndarray, none: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return by how much conversions and value fall without each channel, (n_channels,) each, and the base rate.

    With N = (I - Q)^-1, u the visits of states from the start and v = N r the conversions from there, removing the
    states S takes away ``u_S N_SS^-1 v_S``: one inverse for all channels.
    """
    s = len(chain.member)
    weight = done + none
    move = np.bincount(chain.pair, weight[chain.path], minlength=s * s).reshape(s, s)
    leave = [np.bincount(chain.end, part, minlength=s) for part in (done, value, none)]
    total = move.sum(axis=1) + leave[0] + leave[2]
    out = np.where(total > 0, total, 1.0)
    inverse = np.linalg.inv(np.eye(s) - move / out[:, None])
    begin = np.bincount(chain.begin, weight, minlength=s)
    visits = begin / max(float(begin.sum()), 1e-300) @ inverse
    onwards = inverse @ np.stack([leave[0] / out, leave[1] / out], axis=1)
    lost = np.zeros((chain.member.shape[1], 2))
    for c in range(len(lost)):
        held = np.flatnonzero(chain.member[:, c] & (total > 0))
        if held.size == 1:
            k = held[0]
            lost[c] = visits[k] * onwards[k] / inverse[k, k]
        elif held.size:
            lost[c] = visits[held] @ np.linalg.solve(inverse[np.ix_(held, held)], onwards[held])
    return lost[:, 0], lost[:, 1], float(visits @ (leave[0] / out))


def distinct_sets(channel: np.ndarray, start: np.ndarray, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct channels of each path: path and channel of each, sorted by path."""
    path = np.repeat(np.arange(start.size - 1), np.diff(start))
    cell = distinct(path * n_channels + channel)
    return cell // n_channels, cell % n_channels


def shapley_rates(
    path: np.ndarray, channel: np.ndarray, done: np.ndarray, none: np.ndarray, n_channels: int
) -> np.ndarray:
    """Return exact Shapley values of the conversion rate of paths within a set of channels, (n_channels,)."""
    size = 1 << n_channels
    mask = np.bincount(path, weights=np.exp2(channel), minlength=done.size).astype(np.int64)
    sums = [np.bincount(mask, part, minlength=size) for part in (done, done + none)]
    for bit in range(n_channels):  # subset sums
        for part in sums:
            cube = part.reshape(-1, 2, 1 << bit)
            cube[:, 1] += cube[:, 0]
    rate = np.divide(sums[0], sums[1], out=np.zeros(size), where=sums[1] > 0)
    members = np.zeros(size, np.int64)
    for bit in range(n_channels):
        members[1 << bit : 2 << bit] = members[: 1 << bit] + 1
    by_size = np.array(
        [
            math.exp(math.lgamma(m + 1) + math.lgamma(n_channels - m) - math.lgamma(n_channels + 1))
            for m in range(n_channels)
        ]
    )
    found = np.empty(n_channels)
    for bit in range(n_channels):
        cube, size_of = rate.reshape(-1, 2, 1 << bit), members.reshape(-1, 2, 1 << bit)[:, 0]
        found[bit] = (by_size[size_of] * (cube[:, 1] - cube[:, 0])).sum()
    return found


def shapley_sampled(
    path: np.ndarray,
    channel: np.ndarray,
    done: np.ndarray,
    none: np.ndarray,
    n_channels: int,
    random: np.random.Generator,
    n_samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Shapley values as in :func:`shapley_rates` by random orders of channels, and their standard errors."""
    first = np.flatnonzero(np.r_[True, path[1:] != path[:-1]][: path.size])
    whose = path[first]
    sums, squares = np.zeros(n_channels), np.zeros(n_channels)
    for _ in range(n_samples):
        order = random.permutation(n_channels)
        place = np.empty(n_channels, np.int64)
        place[order] = np.arange(n_channels)
        complete = np.maximum.reduceat(place[channel], first)  # a path counts once its last channel is there
        up = [np.cumsum(np.bincount(complete, part[whose], minlength=n_channels)) for part in (done, done + none)]
        rate = np.divide(up[0], up[1], out=np.zeros(n_channels), where=up[1] > 0)
        step = np.empty(n_channels)
        step[order] = np.diff(rate, prepend=0.0)
        sums += step
        squares += step**2
    mean = sums / n_samples
    spread = np.maximum(squares / n_samples - mean**2, 0.0) * n_samples / max(1, n_samples - 1)
    return mean, np.sqrt(spread / n_samples)
