"""The compiled loops of bandits: one update, counter-based draws, shortlists and choices.

Every draw is a function of (key, decision, slot, arm) by SplitMix64 (Steele et al. 2014), so no choice depends on who
else is in the batch, on its blocks or on threads.
"""

# mypy: ignore-errors
# Types are numba's to find.
from __future__ import annotations

import math

import numpy as np

from omnireco._core.compute import compiled
from omnireco._kernels.choice.highest import chance_of, start_row

__all__ = [
    "add_one",
    "learn_many",
    "learn_one",
    "moments",
    "normal_table",
    "pick_drawn",
    "pick_ranked",
    "pick_weighted",
    "products",
    "ranked",
    "refine",
    "scores_of",
    "shortlist",
]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
CELLS, LEVELS = 4096, 9  # of the table of normal quantiles


def normal_table() -> np.ndarray:
    """Return T (9, 4097): the lower half of the normal's quantiles, each level 64 times closer to the tail.

    T[l, i] = Phi^-1(i / 8192 / 64^l). Linear between cells; cells 64 and up of each level are used.
    """
    from scipy.special import ndtri

    cell = np.arange(CELLS + 1) / (2.0 * CELLS)
    table = np.stack([ndtri(cell / 64.0**level) for level in range(LEVELS)])
    table[:, 0] = table[:, 1]
    return table.astype(np.float32)


@compiled
def mixed(x):
    """Return 64 bits well mixed."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


@compiled
def seed_of(key, decision, slot):
    """Return the bits that belong to one slot of one decision."""
    return mixed(mixed(np.uint64(decision) ^ key) + np.uint64(slot) * GOLDEN)


@compiled
def unit(bits):
    """Return 53 bits as a number inside (0, 1)."""
    return (np.float64(bits >> np.uint64(11)) + 0.5) * 2.0**-53


@compiled
def normal(bits, table):
    """Return a standard normal: the lowest bit is the sign, the others a quantile of the lower half."""
    level, cell = 0, bits >> np.uint64(52)
    rest = bits
    while cell < np.uint64(64) and level < LEVELS - 1:
        rest = rest << np.uint64(6)
        level += 1
        cell = rest >> np.uint64(52)
    at = np.int64(cell)
    part = np.float32(np.float64(rest & np.uint64(0xFFFFFFFFFFFFF)) * 2.0**-52)
    z = table[level, at] + part * (table[level, at + 1] - table[level, at])
    return -z if bits & np.uint64(1) else z


@compiled
def learn_one(theta, cov, arm, x, weight, reward) -> float:
    """Condition the posterior of one arm, theta (K, d), cov (K, d, d), on one reward (Sherman and Morrison 1950).

    Returns the squared surprise in units of the noise, or NaN and changes nothing when a number is not finite. Where
    rounding has left no variance along x nothing is left to learn of it.
    """
    d = x.size
    s, mean = cov[arm], theta[arm]
    u = np.zeros(d)
    for j in range(d):
        xj = x[j]
        if xj != 0.0:
            row = s[j]
            for i in range(d):
                u[i] += row[i] * xj
    spread, error = 0.0, reward
    for i in range(d):
        spread += x[i] * u[i]
        error -= x[i] * mean[i]
    scale = weight / (1.0 + weight * max(spread, 0.0))
    surprise = scale * error * error
    if not np.isfinite(surprise) or not np.isfinite(spread):
        return np.nan
    if spread <= 0.0:
        return surprise
    for j in range(d):
        c = scale * u[j]
        if c != 0.0:
            row = s[j]
            for i in range(d):
                row[i] -= c * u[i]
    for i in range(d):
        mean[i] += scale * error * u[i]
    return surprise


@compiled
def add_one(a, b, rr, arm, x, weight, reward) -> None:
    """Add one event to the sums of its arm, a (K, d, d), b (K, d), rr (K,)."""
    d = x.size
    for j in range(d):
        c = weight * x[j]
        if c != 0.0:
            row = a[arm, j]
            for i in range(d):
                row[i] += c * x[i]
            b[arm, j] += c * reward
    rr[arm] += weight * reward * reward


@compiled
def learn_many(theta, cov, arm, x, weight, reward) -> float:
    """Do learn_one for each row of x (n, d); returns the sum of surprises."""
    total = 0.0
    for row in range(arm.size):
        total += learn_one(theta, cov, arm[row], x[row], weight[row], reward[row])
    return total


@compiled
def products(x, out) -> None:
    """Fill out (m, d (d + 1) / 2) with x_i x_j, i <= j."""
    m, d = x.shape
    for row in range(m):
        at = 0
        for i in range(d):
            xi = x[row, i]
            for j in range(i, d):
                out[row, at + j - i] = xi * x[row, j]
            at += d - i


@compiled
def moments(x, theta, packed, mean, width) -> None:
    """Fill mean and width (m, K) with x'theta_a and sqrt(x' cov_a x), packed (K, d (d + 1) / 2) as by products.

    One pass for few, small arms: 64 contexts at a time, which are the innermost loop because arms are too few for it.
    """
    m, d = x.shape
    n_arms = theta.shape[0]
    turned, square = np.empty((d, 64)), np.empty(64)
    first, second = np.empty((n_arms, 64)), np.empty((n_arms, 64))
    for start in range(0, m, 64):
        n = min(64, m - start)
        for r in range(n):
            for i in range(d):
                turned[i, r] = x[start + r, i]
        first[:, :n] = 0.0
        second[:, :n] = 0.0
        pair = 0
        for i in range(d):
            for arm in range(n_arms):
                c = theta[arm, i]
                for r in range(n):
                    first[arm, r] += c * turned[i, r]
            for j in range(i, d):
                for r in range(n):
                    square[r] = turned[i, r] * turned[j, r]
                for arm in range(n_arms):
                    c = packed[arm, pair]
                    for r in range(n):
                        second[arm, r] += c * square[r]
                pair += 1
        for r in range(n):
            for arm in range(n_arms):
                mean[start + r, arm] = first[arm, r]
                width[start + r, arm] = math.sqrt(max(second[arm, r], 0.0))


@compiled
def scores_of(x, theta, arms, out) -> None:
    """Fill out (m, k) with the expected rewards of chosen arms (m, k); -inf where there is none."""
    for row in range(arms.shape[0]):
        for slot in range(arms.shape[1]):
            arm = arms[row, slot]
            total = 0.0
            if arm >= 0:
                for i in range(x.shape[1]):
                    total += x[row, i] * theta[arm, i]
            out[row, slot] = total if arm >= 0 else -np.inf


@compiled
def shortlist(score, allowed, everywhere, keep, out) -> None:
    """Fill out (m, keep) with the arms of the highest score (m, K) by (score down, arm up); -1 where none is left.

    allowed (m, K) is read unless everywhere.
    """
    m, n_arms = score.shape
    best = np.empty(keep, score.dtype)
    for row in range(m):
        size = 0
        for arm in range(n_arms):
            value = score[row, arm]
            if size == keep and not value > best[keep - 1]:
                continue
            if not (everywhere or allowed[row, arm]):
                continue
            at = size if size < keep else keep - 1
            while at > 0 and value > best[at - 1]:
                best[at] = best[at - 1]
                out[row, at] = out[row, at - 1]
                at -= 1
            best[at] = value
            out[row, at] = arm
            if size < keep:
                size += 1
        for at in range(size, keep):
            out[row, at] = -1


@compiled
def ranked(x, theta, packed, bonus, allowed, everywhere, keep, out) -> None:
    """Do moments and shortlist in one call: what a single decision costs is mostly calls."""
    score, width = np.empty((x.shape[0], theta.shape[0])), np.empty((x.shape[0], theta.shape[0]))
    moments(x, theta, packed, score, width)
    for row in range(score.shape[0]):
        for arm in range(score.shape[1]):
            score[row, arm] += bonus * width[row, arm]
    shortlist(score, allowed, everywhere, keep, out)


@compiled
def refine(theta, cov, x, bonus, ranking, score) -> None:
    """Reorder ranking (m, l) by its exact scores x'theta + bonus * sqrt(x' cov x), which fill score (m, l).

    Pairs are visited arm by arm: one product of matrices for all contexts that consider an arm.
    """
    m, keep = ranking.shape
    n_arms, d = theta.shape
    start = np.zeros(n_arms + 1, np.int64)
    for pair in range(m * keep):
        arm = ranking[pair // keep, pair % keep]
        if arm >= 0:
            start[arm + 1] += 1
    most = start.max()
    for arm in range(n_arms):
        start[arm + 1] += start[arm]
    place, member = start[:-1].copy(), np.empty(m * keep, np.int64)
    for pair in range(m * keep):
        arm = ranking[pair // keep, pair % keep]
        if arm >= 0:
            member[place[arm]] = pair
            place[arm] += 1
        else:
            score[pair // keep, pair % keep] = -np.inf
    gathered, turned = np.empty((most, d)), np.empty((most, d))
    for arm in range(n_arms):
        n = start[arm + 1] - start[arm]
        if n == 0:
            continue
        for at in range(n):
            gathered[at] = x[member[start[arm] + at] // keep]
        np.dot(gathered[:n], cov[arm], turned[:n])
        for at in range(n):
            mean, variance = 0.0, 0.0
            for i in range(d):
                mean += gathered[at, i] * theta[arm, i]
                variance += gathered[at, i] * turned[at, i]
            pair = member[start[arm] + at]
            score[pair // keep, pair % keep] = mean + bonus * math.sqrt(max(variance, 0.0))
    for row in range(m):
        for end in range(1, keep):
            value, arm, at = score[row, end], ranking[row, end], end
            while at > 0 and (
                value > score[row, at - 1] or (value == score[row, at - 1] and 0 <= arm < ranking[row, at - 1])
            ):
                score[row, at] = score[row, at - 1]
                ranking[row, at] = ranking[row, at - 1]
                at -= 1
            score[row, at] = value
            ranking[row, at] = arm


@compiled
def nth_open(is_open, nth):
    """Return the nth open arm."""
    for arm in range(is_open.size):
        if is_open[arm]:
            if nth == 0:
                return arm
            nth -= 1
    return -1


@compiled
def pick_ranked(ranking, allowed, everywhere, n_arms, k, floor, key, decision, arms, propensity) -> None:
    """Take the first k open arms of ranking (m, l), or with probability floor any open arm; slot after slot."""
    is_open = np.empty(n_arms, np.bool_)
    for row in range(ranking.shape[0]):
        n_open = start_row(allowed, everywhere, row, is_open) if floor > 0.0 else 1
        taken = 0
        for slot in range(k):
            if floor == 0.0:  # nothing but the ranking: the flags are not needed
                best = ranking[row, slot] if slot < ranking.shape[1] else -1
                arms[row, slot] = best
                propensity[row, slot] = 1.0 if best >= 0 else 0.0
                continue
            if n_open == 0:
                arms[row, slot] = -1
                propensity[row, slot] = 0.0
                continue
            while not is_open[ranking[row, taken]]:
                taken += 1
            best = ranking[row, taken]
            arm = best
            coin = unit(seed_of(key, decision[row], slot))
            if coin < floor:
                arm = nth_open(is_open, min(n_open - 1, int(coin / floor * n_open)))
            arms[row, slot] = arm
            propensity[row, slot] = floor / n_open + (1.0 - floor if arm == best else 0.0)
            is_open[arm] = False
            n_open -= 1


@compiled
def pick_weighted(kind, mean, rate, allowed, everywhere, k, floor, key, decision, arms, propensity) -> None:
    """Draw k arms, slot after slot: softmax of rate * mean (kind 0), or inverse gap weights (kind 1, SquareCB)."""
    m, n_arms = mean.shape
    is_open, p = np.empty(n_arms, np.bool_), np.empty(n_arms)
    for row in range(m):
        n_open = start_row(allowed, everywhere, row, is_open)
        for slot in range(k):
            if n_open == 0:
                arms[row, slot] = -1
                propensity[row, slot] = 0.0
                continue
            best = -1
            for arm in range(n_arms):
                if is_open[arm] and (best < 0 or mean[row, arm] > mean[row, best]):
                    best = arm
            top, total = mean[row, best], 0.0
            for arm in range(n_arms):
                p[arm] = 0.0
                if is_open[arm]:
                    gap = np.float64(top - mean[row, arm])
                    if kind == 0:
                        p[arm] = math.exp(-rate * gap)
                    elif arm != best:
                        p[arm] = 1.0 / (n_open + rate * math.sqrt(n_open) * gap)
                    total += p[arm]
            if kind == 1:
                p[best] = 1.0 - total
                total = 1.0
            target = unit(seed_of(key, decision[row], slot))
            chosen, below = best, 0.0
            for arm in range(n_arms):
                if is_open[arm]:
                    p[arm] = (1.0 - floor) * p[arm] / total + floor / n_open
                    below += p[arm]
                    if target < below:
                        chosen = arm
                        target = 2.0
            arms[row, slot] = chosen
            propensity[row, slot] = p[chosen]
            is_open[chosen] = False
            n_open -= 1


@compiled
def pick_drawn(
    mean, width, allowed, everywhere, k, floor, key, decision, serial, normals, logs, crowd, wanted, arms, propensity
) -> None:
    """Thompson sampling in score space: the best of mean + width * normal (m, K), anew for each of k slots."""
    m, n_arms = mean.shape
    is_open = np.empty(n_arms, np.bool_)
    for row in range(m):
        n_open = start_row(allowed, everywhere, row, is_open)
        for slot in range(k):
            if n_open == 0:
                arms[row, slot] = -1
                propensity[row, slot] = 0.0
                continue
            bits = seed_of(key, decision[row], slot)
            chosen, best = -1, -np.inf
            coin = unit(bits)
            if coin < floor:
                chosen = nth_open(is_open, min(n_open - 1, int(coin / floor * n_open)))
            else:
                origin = np.float64(mean[row, nth_open(is_open, 0)])  # what all have in common hides no narrow arm
                for arm in range(n_arms):
                    if is_open[arm]:
                        noise = np.float64(normal(mixed(bits ^ serial[arm]), normals))
                        score = (np.float64(mean[row, arm]) - origin) + np.float64(width[row, arm]) * noise
                        if score > best or chosen < 0:
                            chosen, best = arm, score
            arms[row, slot] = chosen
            if wanted:
                p = chance_of(mean[row], width[row], is_open, chosen, logs, crowd)
                propensity[row, slot] = (1.0 - floor) * p + floor / n_open
            is_open[chosen] = False
            n_open -= 1
