"""Hierarchical logistic regression: the mode of the posterior and the curvature at it."""

from __future__ import annotations

import numpy as np

__all__ = ["design", "laplace"]

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


def laplace(
    code: np.ndarray, person: np.ndarray, y: np.ndarray, item: np.ndarray, n_items: int, tags: np.ndarray,
    interests: np.ndarray,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Return the mode and the curvature at it: weights, their covariance, offsets, slopes, variances, sd."""
    p = 1 + tags.shape[1] * (1 + interests.shape[1])
    w, alpha, beta = np.zeros(p), np.zeros(n_items), np.zeros(item.size)
    answers, shown = _PSEUDO
    rate = (y.sum() + answers) / (y.size + shown)
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
            curve, error = chance * (1.0 - chance), y[rows] - chance
            xc = x * curve[:, None]
            hess += x.T @ xc
            g_w += x.T @ error
            np.add.at(cross, c, xc)
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
