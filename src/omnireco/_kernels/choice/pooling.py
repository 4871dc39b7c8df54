"""Beta-binomial pooling of counts: kind of a person <- person <- group <- everybody."""

from __future__ import annotations

import numpy as np

__all__ = ["pool", "strength_of"]

_STRENGTHS = np.geomspace(0.5, 5000.0, 41)
_MOST_CELLS = 100_000


def pool(
    hits: np.ndarray, tries: np.ndarray, group: np.ndarray, n_groups: int, stated: np.ndarray, declared: float,
    *, share: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return Beta posteriors of people and of groups, each as two tables, and the strengths of pooling.

    Parameters
    ----------
    hits, tries, stated : ndarray of shape (n_users, n_channels, n_kinds)
        Successes, trials, and whether the person asked for the channel.
    group : ndarray of shape (n_users,), int64
        -1 for none.
    declared : float
        What a stated preference counts.
    share : bool
        Whether channels share each trial among them.

    Returns
    -------
    a, b : ndarray of shape (n_users, n_channels, n_kinds)
    group_a, group_b : ndarray of shape (n_groups + 1, n_channels, n_kinds)
        The last row is everybody.
    strengths : ndarray of shape (n_channels, 3)
    """
    n_channels, n_kinds = hits.shape[1:]
    strengths = np.empty((n_channels, 3))
    a, b = np.empty(hits.shape), np.empty(hits.shape)
    prior = np.empty((n_groups + 1, n_channels, n_kinds))
    for c in range(n_channels):
        s, n = hits[:, c], tries[:, c]
        overall = (s.sum() + 0.5) / (n.sum() + 1.0)
        everybody = (s.sum(axis=0) + 2.0 * overall) / (n.sum(axis=0) + 2.0)
        s_group, n_group = np.zeros((n_groups + 1, n_kinds)), np.zeros((n_groups + 1, n_kinds))
        np.add.at(s_group, group, s)
        np.add.at(n_group, group, n)
        s_group[-1] = n_group[-1] = 0.0  # people without a group are like everybody
        strengths[c, 2] = strength_of(s_group, n_group, np.broadcast_to(everybody, n_group.shape))
        of_group = (s_group + strengths[c, 2] * everybody) / (n_group + strengths[c, 2])
        prior[:, c] = of_group
        base = of_group[group]
        expected, total = (n * base).sum(axis=1), n.sum(axis=1)
        mean = np.where(total > 0, expected / np.maximum(total, 1e-12), overall)
        strengths[c, 1] = strength_of(s.sum(axis=1), total, mean)
        # What the person does on this channel for other kinds, beyond what the group would.
        s_else, n_else = s.sum(axis=1, keepdims=True) - s, total[:, None] - n
        e_else = np.maximum(expected[:, None] - n * base, 0.0)
        mean_else = np.where(n_else > 0, e_else / np.maximum(n_else, 1e-12), overall)
        tilt = (s_else + strengths[c, 1] * mean_else) / (n_else + strengths[c, 1]) / np.maximum(mean_else, 1e-12)
        centre = np.clip(base * tilt, 1e-6, 1.0 - 1e-6)
        strengths[c, 0] = strength_of(s, n, centre) if n_kinds > 1 else strengths[c, 1]
        # Whoever stated a preference is not taken for like the others with more weight than the statement has.
        has_stated = stated.any(axis=1) if share else stated[:, c]
        strength = np.where(has_stated, min(strengths[c, 0], max(declared, 1.0)), strengths[c, 0])
        a[:, c] = s + strength * centre
        b[:, c] = n - s + strength * (1.0 - centre)
    if share:
        has_stated = stated.any(axis=1, keepdims=True)
        a += declared * stated
        b += declared * (has_stated & ~stated)
    else:
        rate = np.minimum(2.0 * (a / (a + b)).max(axis=1, keepdims=True), 0.99)
        a += declared * stated * rate
        b += declared * stated * (1.0 - rate)
    weight = strengths[None, :, 1:2]
    return a, b, prior * weight, (1.0 - prior) * weight, strengths


def strength_of(s: np.ndarray, n: np.ndarray, mean: np.ndarray) -> float:
    """Return the pseudo-count that makes the counts most likely, each a draw of a Beta around its mean."""
    from scipy.special import betaln

    some = np.flatnonzero(n.ravel() > 0)
    if some.size < 3:
        return 10.0
    if some.size > _MOST_CELLS:
        some = some[:: some.size // _MOST_CELLS + 1]
    s, n, mean = (array.ravel()[some] for array in (s, n, mean))
    mean = np.clip(mean, 1e-6, 1.0 - 1e-6)
    found = [
        float(np.sum(betaln(s + k * mean, n - s + k * (1.0 - mean)) - betaln(k * mean, k * (1.0 - mean))))
        for k in _STRENGTHS
    ]
    return float(_STRENGTHS[int(np.argmax(found))])
