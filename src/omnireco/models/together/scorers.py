"""What turns features into scores: a conditional logit with pairwise products, and boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import require
from omnireco._core.compute import Progress, compiled, one_blas_thread, pays, row_blocks, ticker
from omnireco._core.parts import Array, Parts, coded, freeze, numbers
from omnireco._core.random import stream

__all__ = ["Quadratic", "Trees", "fit_lambdamart", "fit_lightgbm"]

_LEAVES, _DEPTH, _SMALLEST_LEAF, _RATE, _BINS = 31, 5, 40, 0.1, 63
_STEPS = 80
_ROUNDS = 60
_PENALTIES = (20.0, 200.0, 2000.0)
_ENOUGH_REQUESTS = 200  # to choose a penalty on the last fifth of them
_SHARE = 0.4  # of the requests that a tree sees
_CLIP = 5.0
_WALKS = 2e6  # of a row through a tree, from which compiled code pays


@dataclass(frozen=True, slots=True, eq=False)
class Quadratic:
    """score = w'z + z'Az of standardised features z: all pairwise products, without writing them out.

    Parameters
    ----------
    centre, scale, linear : ndarray of shape (p,), float32
    products : ndarray of shape (p, p), float32
    """

    centre: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    products: np.ndarray

    parts: ClassVar[Parts] = {
        **{name: numbers("features", dtype=np.float32) for name in ("centre", "scale", "linear")},
        "products": numbers("features", "features", dtype=np.float32),
    }

    def __post_init__(self) -> None:
        freeze(self)

    @classmethod
    def fit(cls, x: np.ndarray, label: np.ndarray, indptr: np.ndarray, *, penalty: float = 20.0) -> Quadratic:
        """Maximise the conditional likelihood of what was chosen, given the list (McFadden 1974), by L-BFGS."""
        from scipy.optimize import minimize

        centre, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
        flat = scale < 1e-6
        start = cls(
            centre.astype(np.float32),
            np.where(flat, 1.0, scale).astype(np.float32),
            np.zeros(x.shape[1], np.float32),
            np.zeros((x.shape[1],) * 2, np.float32),
        )
        z = start._standard(x)
        z[:, flat] = 0
        p, request = x.shape[1], np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
        taken = np.add.reduceat(label, indptr[:-1])
        target = label / np.maximum(taken, 1)[request]
        upper = np.triu_indices(p)

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            w, half = theta[:p].astype(np.float32), np.zeros((p, p), np.float32)
            half[upper] = theta[p:]
            score = np.empty(len(z))
            for rows in row_blocks(len(z), 1, most=65_536):
                score[rows] = z[rows] @ w + np.einsum("np,np->n", z[rows] @ half, z[rows])
            score -= np.maximum.reduceat(score, indptr[:-1])[request]
            odds = np.exp(score)
            chance = odds / np.add.reduceat(odds, indptr[:-1])[request]
            slope = (chance - target).astype(np.float32)
            value = -float(target @ np.log(np.maximum(chance, 1e-300)))
            grad_w, grad_a = z.T @ slope, np.zeros((p, p))
            for rows in row_blocks(len(z), 1, most=65_536):
                grad_a += z[rows].T @ (z[rows] * slope[rows, None])
            gradient = np.concatenate([grad_w, grad_a[upper]]) + penalty * theta
            return value + 0.5 * penalty * float(theta @ theta), gradient

        with one_blas_thread():  # narrow products: a second thread costs more than it brings
            found = minimize(
                loss, np.zeros(p + upper[0].size), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}
            )
        products = np.zeros((p, p), np.float32)
        products[upper] = found.x[p:]
        return cls(start.centre, start.scale, found.x[:p].astype(np.float32), products)

    @classmethod
    def tuned(cls, x: np.ndarray, label: np.ndarray, indptr: np.ndarray) -> Quadratic:
        """Fit with the penalty under which the last fifth of the requests, in order of time, is likeliest.

        A thousand products on a few thousand requests learn noise under a light penalty, and miss effects under a heavy
        one where there are many requests. Few requests get the lightest.
        """
        n = indptr.size - 1
        cut = n - n // 5
        if n < _ENOUGH_REQUESTS:
            return cls.fit(x, label, indptr, penalty=_PENALTIES[0])
        row, held = indptr[cut], indptr[cut:] - indptr[cut]
        early = (x[:row], label[:row], indptr[: cut + 1])
        found = [cls.fit(*early, penalty=penalty).likelihood(x[row:], label[row:], held) for penalty in _PENALTIES]
        return cls.fit(x, label, indptr, penalty=_PENALTIES[int(np.argmax(found))])

    def likelihood(self, x: np.ndarray, label: np.ndarray, indptr: np.ndarray) -> float:
        """Return the mean log probability of what was chosen, given the lists."""
        size, score = np.diff(indptr), self(x)
        score -= np.repeat(np.maximum.reduceat(score, indptr[:-1]), size)
        chance = score - np.repeat(np.log(np.add.reduceat(np.exp(score), indptr[:-1])), size)
        return float((np.add.reduceat(chance * label, indptr[:-1]) / np.add.reduceat(label, indptr[:-1])).mean())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the score of each row, float64."""
        z = self._standard(x)
        return (z @ self.linear + np.einsum("np,np->n", z @ self.products, z)).astype(np.float64)

    def _standard(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.centre) / self.scale, -_CLIP, _CLIP).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """A sum of decision trees, as flat arrays.

    Parameters
    ----------
    root : ndarray of shape (n_trees,), int32
        Where each tree begins.
    feature : ndarray of shape (n_nodes,), int32
        -1 for a leaf.
    threshold, value : ndarray of shape (n_nodes,), float64
        Left when the feature is at most the threshold; what a leaf adds.
    left, right : ndarray of shape (n_nodes,), int32
    """

    root: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    left: np.ndarray
    right: np.ndarray

    parts: ClassVar[Parts] = {
        "feature": Array(np.int32, ("nodes",), -1),
        "root": coded("nodes", "trees"),
        "threshold": numbers("nodes", endless=True),
        "value": numbers("nodes"),
        **{name: coded("nodes", "nodes", none=True) for name in ("left", "right")},
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the score of each row, float64."""
        score = np.zeros(len(x))
        parts = (self.root, self.feature, self.threshold, self.value, self.left, self.right)
        walk = _walk if pays(float(len(x)) * self.root.size, _WALKS) else _walk_together
        walk(np.ascontiguousarray(x, np.float32), *parts, score)
        return score

    @classmethod
    def of(cls, trees: list[dict[str, np.ndarray]]) -> Trees:
        """Join trees whose children are numbered from 0."""
        sizes = np.array([tree["feature"].size for tree in trees])
        base = np.cumsum(sizes) - sizes
        joined = {name: np.concatenate([tree[name] for tree in trees]) for name in ("feature", "threshold", "value")}
        children = {
            side: np.concatenate([tree[side] + start for tree, start in zip(trees, base, strict=True)]).astype(np.int32)
            for side in ("left", "right")
        }
        return cls(base.astype(np.int32), joined["feature"].astype(np.int32), joined["threshold"], joined["value"],
                   children["left"], children["right"])  # fmt: skip


def fit_lambdamart(
    x: np.ndarray, label: np.ndarray, indptr: np.ndarray, *, seed: int, progress: Progress = False
) -> Trees:
    """Boost trees towards the order of the lists (LambdaMART), on features binned once.

    Each tree takes Newton steps: for every pair of a chosen and another candidate ``rho = sigma(s_other - s_chosen)``,
    ``g = rho |change of NDCG|`` and ``h = rho (1 - rho) |change of NDCG|``; a leaf adds ``sum g / (sum h + l2)``.
    (One histogram tree of scikit-learn per step would do the same, and bins all rows again at every step.)

    References
    ----------
    Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82, section 7.
    """
    draw = stream(seed, "ranker/lambdamart")
    edges = [_edges(x[:, column]) for column in range(x.shape[1])]
    codes = np.empty(x.shape, np.uint8)
    for column, cuts in enumerate(edges):
        codes[:, column] = np.searchsorted(cuts, x[:, column])  # code <= c exactly when the value is <= cuts[c]
    score, trees, n, size = np.zeros(len(x)), [], indptr.size - 1, np.diff(indptr)
    with ticker(_STEPS, progress, label="trees") as tick:
        for _ in range(_STEPS):
            g, h = np.zeros(len(x)), np.zeros(len(x))
            _lambdas(score, label, indptr, g, h)
            rows = np.flatnonzero(np.repeat(draw.random(n) < max(_SHARE, min(1.0, 200 / n)), size))
            nodes = 2 ** (_DEPTH + 1) - 1
            feature, cut, value = np.full(nodes, -1), np.zeros(nodes, np.int64), np.zeros(nodes)
            penalty = max(1e-9, 1e-3 * float(h[rows].sum()))
            _grow(codes[rows], g[rows], h[rows], _DEPTH, penalty, _SMALLEST_LEAF, feature, cut, value)
            split = feature >= 0
            threshold = np.array([edges[f][c] if f >= 0 else 0.0 for f, c in zip(feature, cut, strict=True)])
            below = 2 * np.arange(nodes) + 1
            tree = {
                "feature": feature,
                "threshold": threshold.astype(np.float64),
                "value": np.where(split, 0.0, _RATE * value),
                "left": np.where(split, below, 0),
                "right": np.where(split, below + 1, 0),
            }
            trees.append(tree)
            score += Trees.of([tree])(x)
            tick()
    return Trees.of(trees)


def _edges(values: np.ndarray) -> np.ndarray:
    """Return up to 63 values of a column at which it may be cut: its values, or its quantiles."""
    found = np.unique(values)
    if found.size > _BINS:
        found = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
    else:
        found = found[:-1]
    return found


@compiled
def _grow(
    codes: np.ndarray,
    g: np.ndarray,
    h: np.ndarray,
    depth: int,
    penalty: float,
    smallest: int,
    feature: np.ndarray,
    cut: np.ndarray,
    value: np.ndarray,
) -> None:
    """Grow one tree over codes (n, p), level by level; node i has the children 2 i + 1 and 2 i + 2."""
    n, p = codes.shape
    node = np.zeros(n, np.int64)
    for level in range(depth + 1):
        first, width = 2**level - 1, 2**level
        total = np.zeros((width, 3))
        for i in range(n):
            if node[i] >= first:
                at = node[i] - first
                total[at, 0] += g[i]
                total[at, 1] += h[i]
                total[at, 2] += 1.0
        best = np.full(width, 1e-9)
        for at in range(width):
            value[first + at] = total[at, 0] / (total[at, 1] + penalty)
        if level == depth:
            return
        held = np.zeros((width, 64, 3))
        for f in range(p):
            held[:] = 0.0
            for i in range(n):
                if node[i] >= first:
                    at, c = node[i] - first, codes[i, f]
                    held[at, c, 0] += g[i]
                    held[at, c, 1] += h[i]
                    held[at, c, 2] += 1.0
            for at in range(width):
                whole = total[at, 0] ** 2 / (total[at, 1] + penalty)
                sum_g, sum_h, count = 0.0, 0.0, 0.0
                for c in range(63):
                    sum_g += held[at, c, 0]
                    sum_h += held[at, c, 1]
                    count += held[at, c, 2]
                    if count < smallest or total[at, 2] - count < smallest:
                        continue
                    rest_g, rest_h = total[at, 0] - sum_g, total[at, 1] - sum_h
                    gain = sum_g**2 / (sum_h + penalty) + rest_g**2 / (rest_h + penalty) - whole
                    if gain > best[at]:
                        best[at] = gain
                        feature[first + at] = f
                        cut[first + at] = c
        for i in range(n):
            if node[i] >= first and feature[node[i]] >= 0:
                side = 1 if codes[i, feature[node[i]]] <= cut[node[i]] else 2
                node[i] = 2 * node[i] + side
            elif node[i] >= first:
                node[i] = -1


def fit_lightgbm(x: np.ndarray, label: np.ndarray, indptr: np.ndarray, *, seed: int) -> Trees:
    """Boost trees with LightGBM's lambdarank; what comes back needs LightGBM no more."""
    lightgbm = require("lightgbm", extra="lightgbm", purpose="Ranker(ranker='lightgbm')")
    options = {
        "objective": "lambdarank",
        "learning_rate": _RATE,
        "num_leaves": _LEAVES,
        "min_data_in_leaf": _SMALLEST_LEAF,
        "use_missing": False,
        "deterministic": True,
        "num_threads": 1,
        "force_col_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(x, label.astype(np.int32), group=np.diff(indptr), free_raw_data=True)
    booster = lightgbm.train(options, data, num_boost_round=_STEPS)
    trees = [_flatten(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    return Trees.of(trees or [_stump()])


def _flatten(structure: dict[str, Any]) -> dict[str, np.ndarray]:
    nodes: list[list[float]] = []
    waiting = [(structure, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        place = len(nodes)
        leaf = "split_feature" not in node
        nodes.append([-1, 0, node.get("leaf_value", 0.0), 0, 0] if leaf else
                     [node["split_feature"], node["threshold"], 0.0, 0, 0])  # fmt: skip
        if parent >= 0:
            nodes[parent][3 + side] = place
        if not leaf:
            waiting += [(node["left_child"], place, 0), (node["right_child"], place, 1)]
    table = np.array(nodes, np.float64)
    names = ("feature", "threshold", "value", "left", "right")
    return {
        name: table[:, at].astype(np.float64 if name in ("threshold", "value") else np.int64)
        for at, name in enumerate(names)
    }


def _stump() -> dict[str, np.ndarray]:
    zero = np.zeros(1)
    return {"feature": np.array([-1]), "threshold": zero, "value": zero, "left": np.array([0]), "right": np.array([0])}


@compiled
def _walk(
    x: np.ndarray,
    root: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    value: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    score: np.ndarray,
) -> None:
    """Add to score (n,) the leaf that each row of x (n, p) reaches in each tree."""
    for i in range(x.shape[0]):
        for t in range(root.size):
            node = root[t]
            while feature[node] >= 0:
                node = left[node] if x[i, feature[node]] <= threshold[node] else right[node]
            score[i] += value[node]


def _walk_together(
    x: np.ndarray,
    root: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    value: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    score: np.ndarray,
) -> None:
    """Do what :func:`_walk` does, all rows down one tree at a time."""
    for start in root:
        node, walking = np.full(len(x), start), np.arange(len(x))
        while walking.size:
            walking = walking[feature[node[walking]] >= 0]
            at = node[walking]
            node[walking] = np.where(x[walking, feature[at]] <= threshold[at], left[at], right[at])
        score += value[node]


@compiled
def _lambdas(score: np.ndarray, label: np.ndarray, indptr: np.ndarray, g: np.ndarray, h: np.ndarray) -> None:
    """Fill g and h (n,): for every list, the push and its curvature from each pair of a chosen and another row."""
    for q in range(indptr.size - 1):
        low, high = indptr[q], indptr[q + 1]
        order = np.argsort(-score[low:high])
        discount = np.empty(high - low)
        ideal, taken = 0.0, 0
        for place in range(high - low):
            discount[order[place]] = 1.0 / np.log2(place + 2.0)
        for i in range(high - low):
            if label[low + i] > 0:
                ideal += 1.0 / np.log2(taken + 2.0)
                taken += 1
        if taken == 0 or taken == high - low:
            continue
        for i in range(high - low):
            if label[low + i] <= 0:
                continue
            for j in range(high - low):
                if label[low + j] > 0:
                    continue
                rho = 1.0 / (1.0 + np.exp(min(50.0, score[low + i] - score[low + j])))
                change = abs(discount[i] - discount[j]) / ideal
                g[low + i] += rho * change
                g[low + j] -= rho * change
                h[low + i] += rho * (1.0 - rho) * change
                h[low + j] += rho * (1.0 - rho) * change
