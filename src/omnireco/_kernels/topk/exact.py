"""The exact top-K kernels: arrays in, arrays out.

Every ranking of omnireco ends here. The score of a pair is *defined* as the float64 sum of the float32
products in factor order, plus the bias, rounded to float32; everything fast is only a filter with a proven
error bound in front of it. So all tiers, threads, block sizes and batches give the same bytes.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from omnireco._core.checks import check_k
from omnireco._core.compute import one_blas_thread, split_evenly, usable_threads
from omnireco._kernels.topk import tier_numpy, tier_sparse
from omnireco._kernels.topk.by_norm import ByNorm
from omnireco._kernels.topk.inputs import NOTHING, Rules, as_bias, as_factors, as_k, as_rules, frozen, row_norms
from omnireco._kernels.topk.packing import Tiles, pack, pack_some
from omnireco._kernels.topk.tiers import tier, tier_for
from omnireco.errors import ParameterError

__all__ = ["ItemIndex", "rank_one", "select", "tier", "topk", "topk_sparse"]

_MOST_INT8_FACTORS = 1 << 15  # beyond, sums of bytes could leave int32
_FEW = 32  # rows below which one thread answers
_HUGE = 1e37  # above this, float32 products could overflow: every score is then computed in float64


class ItemIndex:
    """Item factors prepared once, to be searched by :func:`topk` many times.

    Checking, norms and the quantised copy of the int8 tier are paid for here and not in every call,
    which is what makes the answer for one person a matter of a tenth of a millisecond.

    Parameters
    ----------
    items : array_like of float32, shape (m, d)
        One row of factors per item code. Copied unless it is a read-only float32 array.

    Raises
    ------
    ParameterError
        If ``items`` is not a 2-D array of finite numbers.

    Examples
    --------
    >>> index = ItemIndex(np.eye(3, dtype=np.float32))
    >>> index
    ItemIndex(n_items=3, n_factors=3)
    >>> topk(np.array([[0.0, 2.0, 1.0]], dtype=np.float32), index, k=2)[0]
    array([[1, 2]], dtype=int32)
    """

    __slots__ = ("_among", "_largest", "_lock", "_norms", "_ranked", "_tiles", "items")

    items: np.ndarray
    _among: tuple[ItemIndex, np.ndarray] | None

    def __init__(self, items: Any) -> None:
        array = as_factors(items, "items")
        if array.base is not None and np.shares_memory(array, items) and np.asarray(items).flags.writeable:
            array = array.copy()
        self._prepare(array)

    def _prepare(self, array: np.ndarray) -> None:
        self.items = frozen(array)
        self._norms = row_norms(array, "items")
        self._largest = float(self._norms.max(initial=0.0))
        self._tiles: dict[str, Tiles] = {}
        self._ranked: ByNorm | None = None
        self._among = None
        self._lock = threading.Lock()

    def among(self, codes: np.ndarray) -> ItemIndex:
        """Return an index of some items, ascending codes (int32), for :func:`rank_one`; it answers with these codes."""
        index = ItemIndex.__new__(ItemIndex)
        index.items, index._norms, index._largest = self.items, self._norms, self._largest
        index._tiles, index._ranked, index._lock = {}, None, threading.Lock()
        index._among = self, codes
        return index

    def _quantised(self, shape: str) -> Tiles:
        """Return the tiles of the int8 tier for a shape, made when first needed."""
        found = self._tiles.get(shape)
        if found is not None:
            return found
        with self._lock:
            if shape not in self._tiles:
                halves = shape == "int8-avx2"
                if self._among is None:
                    self._tiles[shape] = pack(self.items, self._norms, halves=halves)
                else:
                    whole, codes = self._among
                    self._tiles[shape] = pack_some(
                        self.items, self._norms, codes, halves=halves, like=whole._quantised(shape)
                    )
        return self._tiles[shape]

    def _by_norm(self) -> ByNorm:
        """Return the items in the order in which the other tiers read them, made when first needed."""
        with self._lock:
            if self._ranked is None:
                some = None if self._among is None else self._among[1]
                self._ranked = ByNorm.of(self.items, self._norms, some)
        return self._ranked

    @property
    def n_items(self) -> int:
        """Return m, the number of items."""
        return int(self.items.shape[0])

    @property
    def n_factors(self) -> int:
        """Return d, the number of factors."""
        return int(self.items.shape[1])

    def __len__(self) -> int:
        return self.n_items

    def __repr__(self) -> str:
        return f"ItemIndex(n_items={self.n_items}, n_factors={self.n_factors})"


def topk(
    queries: Any,
    items: Any,
    *,
    k: int,
    exclude: Any = None,
    eligible: Any = None,
    bias: Any = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, exactly, the k items with the largest inner product for every query.

    Parameters
    ----------
    queries : array_like of float32, shape (n, d)
        One row of factors per person. Other number types are converted to float32.
    items : array_like of float32, shape (m, d), or ItemIndex
        Factors of the items, in code order. Build an :class:`ItemIndex` when they are used more than once.
    k : int
        How many items per query, 1 or more; may exceed m.
    exclude : scipy sparse matrix, shape (n, m), or (indptr, indices), optional
        Items never returned to a query, such as those already bought. Only the stored positions count,
        not the values.
    eligible : bool array, shape (m,), or (masks (g, m), group (n,)), optional
        Items that may be returned at all, or to each query of a group.
    bias : array_like of float32, shape (m,), optional
        Added to every score of an item.
    threads : int, optional
        How many threads; None means all usable cores. Never changes the answer.

    Returns
    -------
    codes : ndarray of int32, shape (n, k)
        Item codes, best first; -1 at the tail where nothing is left.
    scores : ndarray of float32, shape (n, k)
        Their scores; -inf at the tail where nothing is left.

    Raises
    ------
    ParameterError
        If shapes do not fit, or queries, items or bias hold NaN or infinity.

    Notes
    -----
    The score of query u and item i is *defined* as ``float32(bias_i + sum_j q_uj * x_ij)`` with the sum taken
    in float64 for j = 0, 1, ..., and the ranking as (score down, code up) on that score. Scores beyond
    float32 stop at its largest number. Same input, same bytes: whatever the tier, the number of threads,
    and the other rows of the batch. Cost: about one matrix product of the same shape or less; memory beyond
    the answer is a few tens of megabytes per thread, never n x m.

    Examples
    --------
    >>> items = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> codes, scores = topk(np.array([[2.0, 1.0]]), items, k=2, exclude=([0, 1], [2]))
    >>> codes
    array([[0, 1]], dtype=int32)
    >>> scores
    array([[2., 1.]], dtype=float32)
    """
    return _topk(queries, items, k, exclude, eligible, bias, threads)


def _topk(
    queries: Any,
    items: Any,
    k: int,
    exclude: Any,
    eligible: Any,
    bias: Any,
    threads: int | None,
    chosen: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Check, separate the special rows, and rank the others with the chosen tier: by the size of the work, if none."""
    k = as_k(k)
    index = items if isinstance(items, ItemIndex) else _passing_index(items)
    queries = as_factors(queries, "queries")
    if queries.shape[1] != index.n_factors:
        raise ParameterError(
            f"queries and items must have the same number of factors. Got {queries.shape[1]} and "
            f"{index.n_factors}. Use queries and items of the same fitted model."
        )
    n, m = queries.shape[0], index.n_items
    rules = as_rules(exclude, eligible, n, m)
    bias = as_bias(bias, m)
    workers = usable_threads(threads) if threads is not None or n >= _FEW else 1
    codes = np.full((n, k), -1, dtype=np.int32)
    scores = np.full((n, k), -np.inf, dtype=np.float32)
    if n == 0 or m == 0:
        return codes, scores
    chosen = chosen or tier_for(n, m * index.n_factors)
    norms = row_norms(queries, "queries")
    most_bias = 0.0 if bias is None else float(np.abs(bias).max())
    if n == 1 and (norm := float(norms[0])) > 0.0 and norm * index._largest + most_bias < _HUGE:
        _rank(chosen, queries, index, k, rules, bias, norms, workers, codes, scores)
        return codes, scores
    ordinary = (norms > 0) & (norms * index._largest + most_bias < _HUGE)
    if ordinary.all():
        _rank(chosen, queries, index, k, rules, bias, norms, workers, codes, scores)
        return codes, scores
    for rows, rank in (
        (norms == 0, _rank_constant),
        ((norms > 0) & ~ordinary, _rank_huge),
        (ordinary, lambda *args: _rank(chosen, *args)),
    ):
        row = np.flatnonzero(rows)
        if row.size:
            part = (np.empty((row.size, k), np.int32), np.empty((row.size, k), np.float32))
            rank(frozen(queries[row]), index, k, rules.rows(row), bias, frozen(norms[row]), workers, *part)
            codes[row], scores[row] = part
    return codes, scores


def rank_one(
    query: np.ndarray,
    index: ItemIndex,
    *,
    k: int,
    out: np.ndarray,
    mask: np.ndarray | None,
    among: ItemIndex | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`topk` returns for one finite row, float32 (1, d), without its checks of what is known right.

    ``out`` are the ascending codes (int32) that may not be returned, and ``mask`` (m,) the items that may, or None.
    ``among`` is, where there is one, the index of the items that the mask allows: others are not even looked at.
    """
    wide = query[0].astype(np.float64)
    norm = math.sqrt(float(wide @ wide)) * (1.0 + 1e-9)  # of any rounding: a bound, as row_norms gives
    if not 0.0 < norm * max(1.0, index._largest) < _HUGE or not index.n_items:
        rows = (np.array([0, out.size], np.int64), out) if out.size else None
        return _topk(query, index, k, rows, mask, None, 1)
    rules = NOTHING
    if among is not None:
        index, mask = among, None
    if out.size or mask is not None:
        ends = (
            (frozen(np.array([0, out.size], np.int64)), frozen(out)) if out.size else (NOTHING.indptr, NOTHING.indices)
        )
        masks = NOTHING.masks if mask is None else frozen(np.ascontiguousarray(mask).reshape(1, -1))
        rules = Rules(*ends, masks, NOTHING.group)
    codes, scores = np.empty((1, k), np.int32), np.empty((1, k), np.float32)
    codes.fill(-1)
    scores.fill(-np.inf)
    chosen = tier_for(1, index.n_items * index.n_factors)
    norms = np.array([norm])
    for array in (query, norms):  # one type of array, one compiled kernel
        array.setflags(write=False)
    _rank(chosen, query, index, k, rules, None, norms, 1, codes, scores)
    return codes, scores


def _passing_index(items: Any) -> ItemIndex:
    """Return an index for one call: nothing is copied, since the caller cannot change it meanwhile."""
    index = ItemIndex.__new__(ItemIndex)
    index._prepare(as_factors(items, "items"))
    return index


def _rank(
    chosen: str,
    queries: np.ndarray,
    index: ItemIndex,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    norms: np.ndarray,
    workers: int,
    codes: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Rank ordinary rows into codes and scores with the chosen tier."""
    n = queries.shape[0]
    if chosen.startswith("int8") and index.n_factors <= _MOST_INT8_FACTORS:
        from omnireco._kernels.topk import tier_int8

        tiles = index._quantised(chosen)
        work = tier_int8.worker(tiles, queries, index.items, norms, k, rules, bias, codes, scores, shape=chosen)
        _over_rows(work, n, workers, blas=False)
        return
    most_bias = 0.0 if bias is None else float(np.abs(bias).max())
    error = tier_numpy.product_error(index.n_factors, norms, index._largest, most_bias)
    if chosen == "numpy":
        work = tier_numpy.worker(queries, index._by_norm(), norms, error, k, rules, bias, codes, scores)
    else:
        from omnireco._kernels.topk import tier_numba

        work = tier_numba.worker(queries, index._by_norm(), norms, error, k, rules, bias, codes, scores)
    _over_rows(work, n, workers, blas=True)


def _rank_huge(
    queries: np.ndarray,
    index: ItemIndex,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    norms: np.ndarray,
    workers: int,
    codes: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Rank rows whose float32 products could overflow."""
    tier_numpy.rank_exact_rows(queries, index.items, k, rules, bias, codes, scores)


def _rank_constant(
    queries: np.ndarray,
    index: ItemIndex,
    k: int,
    rules: Rules,
    bias: np.ndarray | None,
    norms: np.ndarray,
    workers: int,
    codes: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Rank zero queries (people without a history): one common order, walked past the exclusions."""
    value = np.zeros(index.n_items, np.float32) if bias is None else bias + np.float32(0.0)
    by_value = np.lexsort((np.arange(index.n_items), -value)).astype(np.int32)
    codes[:], scores[:] = -1, -np.inf
    group = rules.group if rules.group.size else np.zeros(codes.shape[0], np.int32)
    excluded = np.diff(rules.indptr) if rules.excludes else np.zeros(codes.shape[0], np.int64)
    for g in np.unique(group):
        common = by_value[rules.masks[g][by_value]] if rules.masked else by_value
        free = (group == g) & (excluded == 0)
        best = common[:k]
        codes[free, : best.size] = best
        scores[free, : best.size] = value[best]
        for row in np.flatnonzero((group == g) & (excluded > 0)):
            seen = rules.indices[rules.indptr[row] : rules.indptr[row + 1]]
            head = common[: k + seen.size]
            best = head[~np.isin(head, seen)][:k]
            codes[row, : best.size] = best
            scores[row, : best.size] = value[best]


def _over_rows(work: Callable[[int, int], None], n: int, workers: int, *, blas: bool) -> None:
    """Call ``work(first, last)`` on ranges that cover n rows, on our own threads with BLAS on one."""
    workers = max(1, min(workers, n // 16))
    if n == 1:
        work(0, 1)
        return
    with one_blas_thread() if blas else contextlib.nullcontext():
        if workers == 1:
            work(0, n)
            return
        with ThreadPoolExecutor(workers) as pool:
            parts = split_evenly(n, min(4 * workers, n // 16))
            for done in [pool.submit(work, part.start, part.stop) for part in parts]:
                done.result()


def select(scores: Any, *, k: int, exclude: Any = None, eligible: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest of every row of scores that are already computed.

    For models whose scores are not inner products: they compute a block of rows and select from it.

    Parameters
    ----------
    scores : array_like of float32, shape (n, m)
        -inf means excluded. Not changed.
    k, exclude, eligible
        As in :func:`topk`.

    Returns
    -------
    codes : ndarray of int32, shape (n, k)
        Item codes by (score down, code up), -1 at the tail.
    scores : ndarray of float32, shape (n, k)
        Their scores, -inf at the tail.

    Raises
    ------
    ParameterError
        If ``scores`` is not 2-D, or holds NaN or +infinity.

    Examples
    --------
    >>> codes, scores = select(np.array([[1.0, 3.0, 3.0], [-np.inf, 0.0, -1.0]], dtype=np.float32), k=3)
    >>> codes
    array([[ 1,  2,  0], [ 1,  2, -1]], dtype=int32)
    """
    k = check_k(k)
    array = np.asarray(scores)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ParameterError(
            "scores must be a 2-D array of numbers, one row per query. "
            f"Got shape {array.shape} of {array.dtype}. For one row write scores[None, :]."
        )
    n, m = array.shape
    rules = as_rules(exclude, eligible, n, m)
    codes = np.full((n, k), -1, dtype=np.int32)
    best = np.full((n, k), -np.inf, dtype=np.float32)
    if m == 0:
        return codes, best
    rows = max(1, (1 << 22) // m)
    for first in range(0, n, rows):
        part = slice(first, min(first + rows, n))
        block = array[part].astype(np.float32)
        block += np.float32(0.0)
        if not block.max() < np.inf:
            bad = int((~(array < np.inf)).any(axis=1).sum())
            raise ParameterError(
                f"scores must be numbers below infinity (-inf excludes an item). Got NaN or +inf in {bad} of "
                f"{n} rows. Exclude them: np.where(np.isfinite(scores), scores, -np.inf)."
            )
        rules.hide(block, first, 0)
        codes[part], best[part] = tier_numpy.rank_scores(block, k)
    return codes, best


def topk_sparse(
    histories: Any,
    weights: Any,
    *,
    k: int,
    exclude: Any = None,
    eligible: Any = None,
    bias: Any = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, exactly, the k items with the largest ``histories @ weights`` for every history.

    The counterpart of :func:`topk` for item-to-item models (EASE, SLIM, item-kNN). The scores of all items
    exist for one history at a time only.

    Parameters
    ----------
    histories : scipy sparse matrix of float32, shape (n, h)
        One row per person: the weight of what they did with every item.
    weights : array_like or scipy sparse matrix of float32, shape (h, m)
        Row j holds the weights of item j for every other item.
    k, exclude, eligible, bias, threads
        As in :func:`topk`, for n rows and m items.

    Returns
    -------
    codes : ndarray of int32, shape (n, k)
        Item codes, best first; -1 at the tail where nothing is left.
    scores : ndarray of float32, shape (n, k)
        Their scores; -inf at the tail where nothing is left.

    Raises
    ------
    ParameterError
        If shapes do not fit, or there is NaN or infinity.

    Notes
    -----
    The score is *defined* as the float64 sum over the stored cells of the history, in their order, plus the
    bias, rounded to float32. Items without any support score 0 and are ranked like others. Cost: one pass
    over a row of weights for each cell of a history.

    Examples
    --------
    >>> from scipy import sparse
    >>> histories = sparse.csr_matrix(np.array([[1, 0, 2]], dtype=np.float32))
    >>> weights = np.array([[0, 3, 1], [3, 0, 0], [1, 0, 0]], dtype=np.float32)
    >>> codes, scores = topk_sparse(histories, weights, k=2, exclude=histories)
    >>> codes, scores
    (array([[ 1, -1]], dtype=int32), array([[  3., -inf]], dtype=float32))
    """
    histories = tier_sparse.as_histories(histories)
    weights = tier_sparse.as_weights(weights, histories.shape[1])
    return rank_histories(histories, weights, k, exclude, eligible, bias, threads)


def rank_histories(
    histories: Any,
    weights: Any,
    k: int,
    exclude: Any,
    eligible: Any,
    bias: Any,
    threads: int | None,
    chosen: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank histories by weights that are known to be finite float32 (int8 and numba are one tier here).

    What a model calls: checking all its weights again for one person would take longer than the answer.
    """
    k = as_k(k)
    n, m = histories.shape[0], weights.shape[1]
    rules = as_rules(exclude, eligible, n, m)
    bias = as_bias(bias, m)
    workers = usable_threads(threads)
    codes = np.full((n, k), -1, dtype=np.int32)
    scores = np.full((n, k), -np.inf, dtype=np.float32)
    if n and m:
        chosen = chosen or tier_for(n, m + tier_sparse.cells_read(histories, weights) // n)
        work = tier_sparse.worker(histories, weights, k, rules, bias, codes, scores, chosen=chosen)
        _over_rows(work, n, workers, blas=False)
    return codes, scores
