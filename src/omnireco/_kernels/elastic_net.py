"""The compiled elastic net of SLIM: coordinate descent on a Gram matrix, one column at a time."""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["descend"]

_FIRST = 256  # candidates that are tried before all items: those that go with the target most often


@compiled
def shrink(reach, diagonal, ridge, lasso, nonnegative):  # type: ignore[no-untyped-def]
    """Return the best weight of one item while all others stay, given its product with what they leave."""
    if reach > lasso:
        return (reach - lasso) / (diagonal + ridge)
    if reach < -lasso and not nonnegative:
        return (reach + lasso) / (diagonal + ridge)
    return 0.0


@compiled
def descend(gram, start, stop, ridge, lasso, nonnegative, iterations, tolerance, out):  # type: ignore[no-untyped-def]
    """Solve columns [start, stop): gram (m, m) float64, out (stop - start, m), zero on entry.

    The active set begins with the items of the largest products; its own small problem is solved in the cache,
    then one pass over all items looks for others that belong in it, until a pass moves nothing.
    """
    m = gram.shape[0]
    active, pull = np.empty(m, np.int64), np.empty(m)
    room = min(m, _FIRST)
    part, near, now, then = np.empty((room, room)), np.empty(m), np.empty(m), np.empty(m)
    for j in range(start, stop):
        w = out[j - start]
        pull[:] = gram[:, j]  # x_i . (x_j - X w)
        order = np.argsort(-np.abs(pull), kind="mergesort")
        n = 0
        for i in order[: min(m, _FIRST)]:
            if i != j and (pull[i] > lasso or (not nonnegative and pull[i] < -lasso)):
                active[n] = i
                n += 1
        sweeps = 0
        while n > 0:
            if n > room:
                room = min(m, 2 * n)
                part = np.empty((room, room))
            for a in range(n):
                i = active[a]
                near[a], now[a], then[a] = pull[i], w[i], w[i]
                for b in range(n):
                    part[a, b] = gram[i, active[b]]
            while sweeps < iterations:
                moved, largest = 0.0, 0.0
                for a in range(n):
                    old = now[a]
                    new = shrink(near[a] + part[a, a] * old, part[a, a], ridge, lasso, nonnegative)  # type: ignore[no-untyped-call]
                    if new != old:
                        step = new - old
                        for b in range(n):
                            near[b] -= step * part[a, b]
                        now[a] = new
                        moved = max(moved, abs(step))
                    largest = max(largest, abs(new))
                sweeps += 1
                if moved <= tolerance * largest:
                    break
            for a in range(n):
                step = now[a] - then[a]
                if step != 0.0:
                    i = active[a]
                    for p in range(m):
                        pull[p] -= step * gram[i, p]
                    w[i] = now[a]
            if sweeps >= iterations:
                break
            n, moved, largest = 0, 0.0, 0.0
            for i in range(m):
                old = w[i]
                reach = pull[i] + gram[i, i] * old
                if i == j or (old == 0.0 and reach <= lasso and (nonnegative or reach >= -lasso)):
                    continue
                new = shrink(reach, gram[i, i], ridge, lasso, nonnegative)  # type: ignore[no-untyped-call]
                if new != old:
                    step = new - old
                    for p in range(m):
                        pull[p] -= step * gram[i, p]
                    w[i] = new
                    moved = max(moved, abs(step))
                if new != 0.0:
                    active[n] = i
                    n += 1
                    largest = max(largest, abs(new))
            sweeps += 1
            if moved <= tolerance * largest:
                break
