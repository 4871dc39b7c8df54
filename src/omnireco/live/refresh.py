"""New items and newer data without a fit from nothing: item vectors folded in, and fits that start from a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, check_kind
from omnireco._core.compute import Progress, ticker, usable_threads
from omnireco._core.random import stream
from omnireco._kernels.als.fold_in import Space, fold_in
from omnireco._kernels.als.least_squares import learn
from omnireco.data.dataset import matrix_of
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, unite
from omnireco.errors import EmptyError
from omnireco.models.base import count_users, require_interactions
from omnireco.models.matrix.factors import ALS, FactorModel

__all__ = ["refitted", "updated"]


def updated(model: FactorModel, data: Any, *, threads: int | None = None) -> FactorModel:
    """Return a factor model that knows the items of newer data too; the items that it knew keep their vectors.

    People need no update: each is placed by their history when they ask. A new item is placed by those who chose it:
    its vector is the one that a sweep of ALS over the items would give it, with people where the known items place
    them.

    Parameters
    ----------
    model : FactorModel
        A fitted factor model, such as that of ALS.
    data : Dataset, EventLog or Interactions
        Events are weighed as the model weighs histories.
    threads : int, optional
        All usable cores by default; never changes the result.

    Returns
    -------
    FactorModel
        Over the items of both, sorted. ``popularity`` of a new item counts the people of ``data``.

    Raises
    ------
    ParameterError
        When the model was fitted on a matrix of unknown weights, and ``data`` are events.

    Notes
    -----
    The fold-in of Hu, Koren and Volinsky's equation 5, from the side of the items. Exact, deterministic; time O(cells +
    people x factors^2). Items that only strangers chose, people without a known item, stay out: nothing places them.
    After some weeks fit again: :func:`refitted` starts from the model.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset()
    >>> frame = data.events.before("2025-02-01").to_frame()
    >>> few = om.EventLog.from_frame(frame[frame["item_id"] < "i15"])
    >>> model = om.ALS(factors=8, seed=7, weights=om.Weights(half_life="30D")).fit(few)
    >>> len(model.items), len(updated(model, data).items)
    (14, 20)
    """
    check_kind(model, FactorModel, "model", "om.ALS().fit(data)")
    x = _matrix(model, data, "updated")
    strange = np.flatnonzero(model.items.codes(x.items.ids, missing="none") == NONE)
    known = x.with_items(model.items)
    warm = np.diff(known.csr.indptr) > 0
    if not strange.size or not warm.any():
        return model
    people = model.place(known, threads=threads)
    cells, targets = x.csr.tocsc(), None if x.targets is None else _aligned(x)
    columns = cells[:, strange].T.tocsr()
    columns = sp.csr_matrix(columns.multiply(warm[None, :]))
    columns.sort_indices()
    aim = None
    if targets is not None:
        shifted = sp.csr_matrix(targets.tocsc()[:, strange].T.tocsr().multiply(warm[None, :]))
        shifted.sort_indices()
        aim = shifted.data - 2.0
    chosen = np.diff(columns.indptr) > 0
    if not chosen.any():
        return model
    weight, pull, _ = model.loss.cells(columns.data.astype(np.float32), aim)
    space = Space.of(people[warm], model.loss.unobserved_weight)
    place = np.cumsum(warm) - 1
    vectors = fold_in(
        columns.indptr,
        place[columns.indices].astype(np.int32),
        weight,
        pull,
        space=space,
        ridge=model.loss.ridge(np.diff(columns.indptr), int(warm.sum())),
        threads=threads,
    )
    fresh = strange[chosen]
    items, codes = unite([model.items, x.items.take(fresh)], "item_id")
    factors = np.zeros((len(items), model.factors.shape[1]), np.float32)
    popularity = np.zeros(len(items), np.float32)
    factors[codes[0]], popularity[codes[0]] = model.factors, model.popularity
    factors[codes[1]], popularity[codes[1]] = vectors[chosen], count_users(x)[fresh]
    return FactorModel.build(
        factors, items=items, popularity=popularity, loss=model.loss, event_weights=model.event_weights
    )


def refitted(
    estimator: ALS,
    model: FactorModel,
    data: Any,
    *,
    sweeps: int = 3,
    threads: int | None = None,
    progress: Progress = False,
) -> FactorModel:
    """Return what the estimator fits on newer data, started from a model: a few sweeps in place of sixteen.

    Parameters
    ----------
    estimator : ALS
        Where it has no weights of events, those of the model are taken.
    model : FactorModel
        Of as many factors; items that it does not know start from the estimator's draw.
    data : Dataset, EventLog or Interactions
        All events up to now, or their matrix.
    sweeps : int, default 3
        Rounds of alternating least squares.
    threads, progress
        As in :meth:`ALS.fit`.

    Raises
    ------
    ParameterError
        When the model has another number of factors, or ``sweeps`` is below 1.

    Notes
    -----
    Deterministic, as :meth:`ALS.fit` is. How many sweeps are enough: compare ``estimator.loss(x, model)`` of both.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()
    >>> als = om.ALS(factors=8, seed=7, weights=om.Weights(half_life="30D"))
    >>> refitted(als, als.fit(data.before("2025-02-15")), data)
    FactorModel(20 items, 8 factors)
    """
    check_kind(estimator, ALS, "estimator", "om.ALS(factors=64)")
    check_kind(model, FactorModel, "model", "om.ALS().fit(data)")
    check_integer(sweeps, "sweeps", low=1)
    check_integer(model.factors.shape[1], "factors of the model", low=estimator.factors, high=estimator.factors)
    weights = model.event_weights if estimator.weights is None else estimator.weights
    x = require_interactions(matrix_of(data, weights, "refitted"), "refitted", targets=True)
    code, loss = model.items.codes(x.items.ids, missing="none"), estimator._loss()
    draw = stream(estimator.seed, "als/init")
    first = draw.standard_normal((x.n_items, estimator.factors), np.float32) * np.float32(0.1 / estimator.factors**0.5)
    first[code != NONE] = model.factors[code[code != NONE]]
    plain = replace(x, targets=None, weights=model.event_weights)  # where sweeps begin; any weights will do
    people = model.place(plain.with_items(model.items), threads=threads)
    targets = None if x.targets is None else x.targets.data
    with ticker(sweeps, progress, label="refitted") as tick:
        _, items = learn(
            x.csr,
            targets,
            loss,
            np.ascontiguousarray(people),
            first,
            iterations=sweeps,
            steps=estimator.cg_steps,
            threads=usable_threads(threads),
            tick=tick,
        )
    return FactorModel.build(items, items=x.items, popularity=count_users(x), loss=loss, event_weights=x.weights)


def _matrix(model: FactorModel, data: Any, where: str) -> Interactions:
    x = matrix_of(data, None if isinstance(data, Interactions) else model._asked_with(where), where)
    if not x.nnz:
        raise EmptyError(f"{where}: the data has no cells. Check the weights and the split.")
    return x


def _aligned(x: Interactions) -> sp.csr_matrix:
    """Return targets raised by 2, so that no stored zero is lost on the way."""
    aim = np.ones(x.nnz) if x.targets is None else x.targets.data
    return sp.csr_matrix((aim + 2.0, x.csr.indices, x.csr.indptr), x.csr.shape)
