"""Hierarchical logistic regression: the mode of the posterior and the curvature at it."""

from __future__ import annotations

import numpy as np

__all__ = ["design", "grouped", "laplace"]

_ROWS = 1 << 15
_PSEUDO = (1.0, 10.0)  # answers and messages that the base rate has beforehand: Beta(1, 9)


def design(code: np.ndarray, person: np.ndarray, tags: np.ndarray, interests: np.ndarray) -> np.ndarray:
    """Return rows of 1, tags, and interests times tags, (n, 1 + q + m q); unknown users have no interests."""
    g = tags[code]
    u = np.zeros((len(g), interests.shape[1]))
    if len(interests):
        u[person >= 0] = interests[person[person >= 0]]
    crossed = (u[:, :, None] * g[:, None, :]).reshape(len(g), -1)
    return np.concatenate([np.ones((len(g), 1)), g, crossed], axis=1)


def grouped(code: np.ndarray, person: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct pairs of code and person (-1 for none) in order, and the sums of counts (n, 2) over each."""
    width = int(person.max(initial=-1)) + 2
    keys, cell = np.unique(code.astype(np.int64) * width + person + 1, return_inverse=True)
    sums = np.stack([np.bincount(cell, counts[:, side], minlength=keys.size) for side in (0, 1)], axis=1)
    return (keys // width).astype(np.int32), (keys % width - 1).astype(np.int32), sums.astype(np.int64)


def alike(interests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of interests, and which of them each person has."""
    rows = np.ascontiguousarray(interests + 0.0)  # no -0.0, whose bytes are others
    if not rows.size:
        return rows[:1], np.zeros(len(rows), np.int64)
    _, first, row = np.unique(rows.view(f"V{rows.strides[0]}").ravel(), return_index=True, return_inverse=True)
    return rows[first], row.ravel()


def laplace(
    code: np.ndarray, person: np.ndarray, counts: np.ndarray, item: np.ndarray, n_items: int, tags: np.ndarray,
    interests: np.ndarray,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Return the mode and the curvature at it: weights, their covariance, offsets, slopes, variances, sd.

    Each row of code, person and counts (n, 2) is a creative, a person, how often it was shown and how often answered:
    all that the likelihood needs of the messages. People with the same interests are one.
    """
    if len(interests):
        interests, row = alike(interests)
        person = np.where(person >= 0, row[person], -1)
    code, person, counts = grouped(code, person, counts)
    times, y = counts[:, 0].astype(np.float64), counts[:, 1].astype(np.float64)
    p = 1 + tags.shape[1] * (1 + interests.shape[1])
    w, alpha, beta = np.zeros(p), np.zeros(n_items), np.zeros(item.size)
    answers, shown = _PSEUDO
    rate = (y.sum() + answers) / (times.sum() + shown)
    w[0] = np.log(rate / (1.0 - rate))
    prior, tau_item, tau = np.full(p, 1.0), 4.0, 10.0
    prior[0] = 0.0  # the intercept has a Beta prior on its probability instead, which is log-concave
    for step in range(25):
        hess, cross, weight = np.diag(prior), np.zeros((item.size, p)), np.zeros(item.size)
        g_w, g_beta = -prior * w, -tau * beta
        base = 1.0 / (1.0 + np.exp(-w[0]))
        hess[0, 0] += shown * base * (1.0 - base)
        g_w[0] += answers - shown * base
        for start in range(0, y.size, _ROWS):
            rows = slice(start, start + _ROWS)
            c = code[rows]
            x = design(c, person[rows], tags, interests)
            chance = 1.0 / (1.0 + np.exp(-np.clip(x @ w + alpha[item[c]] + beta[c], -35, 35)))
            expected = times[rows] * chance
            curve, error = expected * (1.0 - chance), y[rows] - expected
            xc = x * curve[:, None]
            hess += x.T @ xc
            g_w += x.T @ error
            first = np.flatnonzero(np.diff(c, prepend=-1))  # rows stand in the order of creatives
            cross[c[first]] += np.add.reduceat(xc, first, axis=0)
            weight += np.bincount(c, curve, minlength=item.size)
            g_beta += np.bincount(c, error, minlength=item.size)
        g_alpha = np.bincount(item, g_beta + tau * beta, minlength=n_items) - tau_item * alpha
        own = weight + tau  # eliminate creatives, then items
        share = tau / own
        level = tau_item + np.bincount(item, weight * share, minlength=n_items)
        tie = np.zeros((n_items, p))
        np.add.at(tie, item, cross * share[:, None])
        left_alpha = g_alpha - np.bincount(item, weight / own * g_beta, minlength=n_items)
        reduced = hess - (cross / own[:, None]).T @ cross - (tie / level[:, None]).T @ tie
        spread = np.linalg.inv(reduced)
        d_w = spread @ (g_w - cross.T @ (g_beta / own) - tie.T @ (left_alpha / level))
        d_alpha = (left_alpha - tie @ d_w) / level
        d_beta = (g_beta - cross @ d_w - weight * d_alpha[item]) / own
        size = max(np.abs(d_w).max(), np.abs(d_alpha).max(initial=0), np.abs(d_beta).max(initial=0))
        damp = min(1.0, 3.0 / max(size, 1e-12))
        w, alpha, beta = w + damp * d_w, alpha + damp * d_alpha, beta + damp * d_beta
        if step >= 3 and size < 1e-6:
            break
        if 1 <= step < 15:
            seen = weight > 0
            seen_items = np.bincount(item, weight, minlength=n_items) > 0
            if seen.sum() > 1:
                tau = float(np.clip(seen.sum() / np.sum(beta[seen] ** 2 + 1.0 / own[seen]), 1.0, 1e4))
            if seen_items.sum() > 1:
                both = np.sum(alpha[seen_items] ** 2 + 1.0 / level[seen_items])
                tau_item = float(np.clip(seen_items.sum() / both, 0.05, 1e4))
            if p > 1:
                # As if one more weight of size 1 had been seen: a handful of messages cannot set tags free.
                prior[1:] = np.clip(p / (1.0 + np.sum(w[1:] ** 2 + np.diag(spread)[1:])), 0.1, 1e4)
    slope = cross / own[:, None] + share[:, None] * (tie / level[:, None])[item]
    sd = np.array([tau_item**-0.5, tau**-0.5])
    return w, spread, alpha, beta, slope, 1.0 / own, sd
