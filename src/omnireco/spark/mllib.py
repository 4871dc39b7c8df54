"""Factors of MLlib's ALS, served by our engine: filters, ids, new people."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.base import count_users, require_interactions
from omnireco.models.matrix.factors import ALS, FactorModel

__all__ = ["from_mllib"]

_SCALE = 2.0**-40  # of the whole loss: a power of two, which changes no digit


def from_mllib(model: Any, estimator: Any, x: Interactions, *, labels: Any = None) -> FactorModel:
    """Serve a model that MLlib's ALS has trained, with the filters, ids and speed of this library.

    Parameters
    ----------
    model : pyspark.ml.recommendation.ALSModel
        Fitted; its item factors are fetched (4 bytes a number).
    estimator : pyspark.ml.recommendation.ALS
        The recipe that it was fitted with: ``alpha``, ``regParam`` and ``implicitPrefs`` place people among the items.
    x : Interactions
        The behaviour matrix of the ratings, such as ``om.EventLog.scan(events).matrix(weights)``: it names the items,
        their popularity, and the weights that histories are read by.
    labels : sequence of item ids, optional
        What ``StringIndexerModel.labels`` says where ``itemCol`` holds its numbers: label ``i`` is the item called
        ``i``. Without it ``itemCol`` holds the ids of ``x.items`` themselves.

    Returns
    -------
    FactorModel
        Its people are placed by MLlib's own loss, so the lists are those of ``recommendForUserSubset`` (with
        ``exclude_seen=False``), but for rounding. People whom MLlib did not know, and would drop or answer with NaN
        (``coldStartStrategy``), are placed by their history as well, or get what is popular. Items without factors are
        not in the model.

    Raises
    ------
    SchemaError
        When the model or the recipe is of another kind, an item of the model is none of ``x`` or has no label, or all
        of its people and items are fewer than one.
    ParameterError
        When factors are not finite or differ in length, or ``nonnegative`` was set: such a person is no least squares
        solution.

    Notes
    -----
    MLlib's ridge is ``regParam`` times the number of ratings, and an unobserved cell weighs 1 (explicit: 0).
    Deterministic.

    References
    ----------
    Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008; the ridge: Zhou,
    Wilkinson, Schreiber and Pan, "Large-scale parallel collaborative filtering for the Netflix prize", AAIM 2008.
    """
    x = require_interactions(x, "om.spark.from_mllib")
    if not hasattr(model, "itemFactors") or not hasattr(estimator, "getImplicitPrefs"):
        raise SchemaError(
            f"om.spark.from_mllib takes MLlib's fitted ALSModel and its ALS. Got {type(model).__name__} and "
            f"{type(estimator).__name__}: model = als.fit(ratings), then om.spark.from_mllib(model, als, x)."
        )
    if estimator.getNonnegative():
        raise ParameterError(
            "om.spark.from_mllib: nonnegative=True places people by another rule than least squares. Serve the lists "
            "of recommendForAllUsers as a frame, or fit with nonnegative=False."
        )
    ids, factors = _factors(model)
    items = _named(ids, x.items, labels)
    codes = x.items.codes(items.ids)
    loss = _loss(estimator)
    return FactorModel.build(factors, items=items, popularity=count_users(x)[codes], loss=loss, event_weights=x.weights)


def _factors(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of a model by number, and their vectors."""
    table = model.itemFactors.toArrow()
    ids, lists = table.column("id").to_numpy(), table.column("features").combine_chunks()
    rank, lengths = int(model.rank), np.diff(np.asarray(lists.offsets))
    if not ids.size:
        raise SchemaError("om.spark.from_mllib: the model has no items. Fit it on ratings that have some.")
    if (wrong := int((lengths != rank).sum())) or lists.null_count:
        raise ParameterError(
            f"om.spark.from_mllib: {wrong:,} of {ids.size:,} items have not {rank} factors, as the model's rank says. "
            "Fit it anew: model = als.fit(ratings)."
        )
    order = np.argsort(ids, kind="stable")
    vectors = np.asarray(lists.flatten(), np.float32).reshape(-1, rank)
    return ids[order].astype(np.int64), vectors[order]


def _named(ids: np.ndarray, known: Vocabulary, labels: Any) -> Vocabulary:
    """Return the items of the model by their own ids."""
    if labels is None:
        if len(known) and known.ids.dtype == object:
            raise SchemaError(
                "om.spark.from_mllib: items of x are strings, and MLlib's are numbers. Say which is which: "
                "om.spark.from_mllib(model, als, x, labels=indexer.labels)."
            )
        names: Any = ids
    else:
        listed = list(labels)
        if beyond := int(((ids < 0) | (ids >= len(listed))).sum()):
            raise SchemaError(
                f"om.spark.from_mllib: {beyond:,} of {ids.size:,} items have a number without a label; there are "
                f"{len(listed):,} labels. Give those of the indexer that made the ratings: labels=indexer.labels."
            )
        names = np.array(listed, known.ids.dtype)[ids]
    if twice := ids.size - len(set(names.tolist())):
        raise SchemaError(
            f"om.spark.from_mllib: {twice:,} of {ids.size:,} items have the label of another one. Give those of the "
            "indexer that made the ratings: labels=indexer.labels."
        )
    strange = int((known.codes(names, missing="none") < 0).sum())
    if strange:
        raise SchemaError(
            f"om.spark.from_mllib: {strange:,} of {ids.size:,} items of the model are none of x. Give the matrix of "
            "the ratings that it was fitted on: om.EventLog.scan(events).matrix(weights)."
        )
    return Vocabulary.encode(names, "items")[0].take(Vocabulary.encode(names, "items")[1])


def _loss(estimator: Any) -> Any:
    """Return the loss that MLlib fits, by its recipe."""
    ridge = max(float(estimator.getRegParam()), 1e-12)
    if not estimator.getImplicitPrefs():
        recipe = ALS(regularization=ridge, alpha=1.0, unobserved_weight=0.0, frequency_scaling=1.0, graded=True)
        return recipe._loss()
    recipe = ALS(
        regularization=ridge * _SCALE,
        alpha=float(estimator.getAlpha()) * _SCALE,
        unobserved_weight=_SCALE,
        frequency_scaling=1.0,  # of the ratings and, as the whole loss is scaled down, hardly any unobserved cell
        confidence_weights=True,
    )
    return recipe._loss()
