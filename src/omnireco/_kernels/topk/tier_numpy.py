"""Exact top-K with numpy alone: a float32 product as a filter, float64 as the judge.

::

    scores (b, s*G)      item 0 1 2 ... G-1 | G G+1 ... | ...       s strides of G items
                              |  |  |            maximum down each column g, g+G, g+2G, ...
    maxima (b, G)             v  v  v
    K-th largest of the maxima  <=  K-th largest of the row          (they are K different items)

Only the few columns whose maximum reaches that threshold are looked at again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omnireco._kernels.topk.by_norm import ByNorm
from omnireco._kernels.topk.inputs import Rules

__all__ = [
    "FLOAT32_MAX",
    "canonical_scores",
    "ordered",
    "product_error",
    "rank_exact_rows",
    "rank_scores",
    "rounded",
    "worker",
]

FLOAT32_MAX = float(np.finfo(np.float32).max)
_CHUNK = 1 << 14  # items per product: wide enough for BLAS, small enough to stay near the cache
_ROWS = 256  # queries per product


def product_error(d: int, query_norms: np.ndarray, item_norm: float, bias: float) -> np.ndarray:
    """Return a bound (n,) on how far a float32 product, summed in any order, is from the canonical score.

    The float32 sum of d products is off by at most ``d u / (1 - d u) * sum |q_j x_j|`` with u = 2**-24
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5), and by Cauchy-Schwarz the
    sum is at most the product of the norms. Four more u pay for adding the bias and for rounding the
    canonical score itself; the last term for products below the smallest normal number.
    """
    u = 2.0**-24
    gamma = (d + 4) * u / (1 - min(0.5, (d + 4) * u))
    return 1.001 * (gamma * query_norms * item_norm + 4 * u * bias) + (d + 4) * 2.0**-125


def canonical_scores(
    queries: np.ndarray,
    items: np.ndarray,
    bias: np.ndarray | None,
    row: np.ndarray,
    item: np.ndarray,
) -> np.ndarray:
    """Return the defined score (p,) float32 of p pairs: float64, factors summed in order, then rounded.

    Products of two float32 are exact in float64, so nothing but the order of summation matters, and
    accumulate (unlike sum) fixes the order. Scores beyond float32 stop at its largest number.
    """
    p, d = row.size, queries.shape[1]
    out = np.empty(p, dtype=np.float32)
    step = max(1, (1 << 19) // d)
    for start in range(0, p, step):
        stop = start + step
        terms = queries[row[start:stop]].astype(np.float64)
        terms *= items[item[start:stop]]
        total = np.add.accumulate(terms, axis=1, out=terms)[:, -1]
        if bias is not None:
            total = total + bias[item[start:stop]]
        out[start:stop] = rounded(total)
    return out


def rounded(total: np.ndarray) -> np.ndarray:
    """Return float64 sums as float32, saturated, with one zero."""
    with np.errstate(under="ignore"):
        rounded = np.clip(total, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
    return np.asarray(rounded + np.float32(0.0))  # -0.0 becomes 0.0: equal scores have equal bytes


def ordered(row: np.ndarray, code: np.ndarray, score: np.ndarray, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of each row's pairs, by (score down, code up), padded with -1 and -inf."""
    order = np.lexsort((code, -score, row))
    row, code, score = row[order], code[order], score[order]
    place = np.arange(row.size) - np.searchsorted(row, row, side="left")
    keep = place < k
    codes = np.full((n, k), -1, dtype=np.int32)
    scores = np.full((n, k), -np.inf, dtype=np.float32)
    codes[row[keep], place[keep]] = code[keep]
    scores[row[keep], place[keep]] = score[keep]
    return codes, scores


def worker(
    queries: np.ndarray,
    ranked: ByNorm,
    norms: np.ndarray,
    error: np.ndarray,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
    *,
    rows: int = _ROWS,
    chunk: int = _CHUNK,
) -> Callable[[int, int], None]:
    """Return a function that ranks rows ``first`` to ``last`` of queries (n, d) into codes and scores (n, k).

    ``error`` (n,) bounds the distance of float32 products from canonical scores. People leave when norm times the
    largest norm that is left, plus the largest bias, is below what they have.
    """
    items, m = ranked.items, len(ranked.items)
    if ranked.order.size:
        if ranked.differ:
            chunk = min(chunk, max(2048, 4 * k))  # the sooner to stop
        moved = None if bias is None else bias[ranked.order]
    else:
        moved = bias
    most_bias = 0.0 if bias is None else float(bias.max())
    groups = _group_count(k, min(m, chunk))
    width = -(-min(m, chunk) // groups) * groups

    def work(first_row: int, last_row: int) -> None:
        scratch = np.empty((min(last_row - first_row, rows), width), dtype=np.float32)
        for first in range(first_row, last_row, rows):
            part = slice(first, min(first + rows, last_row))
            b = part.stop - first
            pairs, here = _Pairs(b, k, 2.0 * error[part]), None
            for start in range(0, m, chunk):
                c = min(chunk, m - start)
                if start and ranked.order.size:
                    reach = norms[part] * (ranked.rest[start] * (1 + 1e-5)) + (most_bias + error[part])
                    here = np.flatnonzero(reach >= pairs.least)
                    if not here.size:
                        break
                asked = queries[part] if here is None or here.size == b else queries[part][here]
                block = scratch[: len(asked)]
                np.matmul(asked, items[start : start + c].T, out=block[:, :c])
                if moved is not None:
                    block[:, :c] += moved[start : start + c]
                some = rules if here is None or here.size == b else rules.rows(first + here)
                some.hide(block[:, :c], first if some is rules else 0, start, ranked.order, ranked.place)
                block[:, c:] = -np.inf
                pairs.add(block, groups, start, here)
            item = ranked.codes_of(pairs.item)
            score = canonical_scores(queries[part], ranked.codes, bias, pairs.row, item)
            codes[part], scores[part] = ordered(pairs.row, item, score, b, k)

    return work


def rank_exact_rows(
    queries: np.ndarray,
    items: np.ndarray,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    codes: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Rank with every canonical score computed: for factors so large that float32 products overflow."""
    n, m = queries.shape[0], items.shape[0]
    rows = max(1, (1 << 21) // max(1, m))
    for first in range(0, n, rows):
        part = slice(first, min(first + rows, n))
        total = np.zeros((part.stop - first, m))
        for j in range(queries.shape[1]):
            total += queries[part, j, None].astype(np.float64) * items[:, j]
        if bias is not None:
            total += bias
        block = rounded(total)
        rules.hide(block, first, 0)
        codes[part], scores[part] = rank_scores(block, k)


def rank_scores(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of every row of a block of scores (b, m) float32, -inf left out."""
    b, m = block.shape
    groups = _group_count(k, m)
    width = -(-m // groups) * groups
    if width != m:
        padded = np.full((b, width), -np.inf, dtype=np.float32)
        padded[:, :m] = block
        block = padded
    pairs = _Pairs(b, k, np.zeros(b))
    pairs.add(block, groups, 0)
    return ordered(pairs.row, pairs.item, pairs.score, b, k)


def _group_count(k: int, m: int) -> int:
    """Return G: at least 2k groups so that the threshold is close, about 32 items in each."""
    return int(max(1, min(m, max(2 * k, m // 32))))


class _Pairs:
    """The (row, item) pairs that may still belong to the k best of b rows, while chunks of items pass."""

    def __init__(self, b: int, k: int, margin: np.ndarray) -> None:
        self.b, self.k, self.margin = b, k, margin
        self.least = np.full(b, -np.inf)  # below this (minus the margin) nothing can belong
        self.row = np.zeros(0, dtype=np.intp)
        self.item = np.zeros(0, dtype=np.intp)
        self.score = np.zeros(0, dtype=np.float32)

    def add(self, block: np.ndarray, groups: int, first_item: int, rows: np.ndarray | None = None) -> None:
        """Take in scores (b, s*groups) of the items from ``first_item`` on, of some rows; -inf never enters."""
        strided = block.reshape(len(block), -1, groups)
        maxima = strided.max(axis=1)
        here = slice(None) if rows is None else rows
        if self.k <= groups:
            kth = np.partition(maxima, groups - self.k, axis=1)[:, groups - self.k]
            self.least[here] = np.maximum(self.least[here], kth)
        lowest = self._lowest()[here]
        row, group = np.nonzero((maxima >= lowest[:, None]) & (maxima > -np.inf))
        near = strided[row, :, group]
        pair, stride = np.nonzero((near >= lowest[row, None]) & (near > -np.inf))
        again = self.row.size > 0
        self.row = np.concatenate([self.row, row[pair] if rows is None else rows[row[pair]]])
        self.item = np.concatenate([self.item, first_item + stride * groups + group[pair]])
        self.score = np.concatenate([self.score, near[pair, stride]])
        if again:
            self._prune()

    def _lowest(self) -> np.ndarray:
        """Return the smallest float32-comparable score (b,) that may still matter."""
        return np.asarray(self.least - self.margin)

    def _prune(self) -> None:
        """Raise ``least`` to the k-th best seen so far, and drop the pairs that fell below it."""
        order = np.lexsort((-self.score, self.row))
        row, score = self.row[order], self.score[order]
        place = np.arange(row.size) - np.searchsorted(row, row, side="left")
        kth = place == self.k - 1
        self.least[row[kth]] = np.maximum(self.least[row[kth]], score[kth])
        keep = self.score >= self._lowest()[self.row]
        self.row, self.item, self.score = self.row[keep], self.item[keep], self.score[keep]
