"""Item cold start: factors of new items, predicted from attributes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_number
from omnireco._core.compute import one_blas_thread
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.base import Model
from omnireco.models.matrix.factors import FactorModel

__all__ = ["add_new_items", "predict_vectors"]


def add_new_items(model: FactorModel, attributes: Interactions, *, regularization: float = 10.0) -> FactorModel:
    """Return the model with further items, placed by what they have in common with the known ones.

    A factor model learns items from interactions. For a new item, the vector is predicted from
    its attributes (brand, category, words) by the ridge regression that predicts the vectors of the known items
    best. Everything else stays: the known items keep their vectors, and people are placed by the same loss.

    Parameters
    ----------
    model : FactorModel
        A fitted factor model, such as that of ALS.
    attributes : Interactions
        Items x attributes, the items where people usually stand: ``Interactions.from_frame(frame,
        columns={"user_id": "item_id", "item_id": "attribute"})``. Known items teach the map, the others are added.
        Known items without a row, or without a person, teach nothing.
    regularization : float
        Ridge penalty per attribute: prior strength in items (a pseudo-count).

    Returns
    -------
    FactorModel
        Known items first, in their order, then the new ones. Their popularity is 0, so they come last for people
        without a history.

    Raises
    ------
    EmptyError
        When no known item has attributes.

    Notes
    -----
    With attributes F and vectors Y of the known items around their means: ``B = (F'F + regularization I)^-1 F'Y``,
    and a new item is ``mean + (f - mean f) B``; one that shares no attribute with known items lands near the mean
    item. Deterministic. O(attributes^3). To see whether attributes help, leave known items out and place them.

    References
    ----------
    Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010, section 4.

    Examples
    --------
    >>> import pandas as pd
    >>> model = FactorModel.from_arrays([[2.0, 0.0], [2.2, 0.1], [0.0, 1.9]], items=["tea", "mate", "drum"],
    ...                                 popularity=[3.0, 2.0, 2.0])
    >>> kinds = pd.DataFrame({"item_id": ["tea", "mate", "drum", "chai"],
    ...                       "attribute": ["drink", "drink", "sound", "drink"]})
    >>> table = Interactions.from_frame(kinds, columns={"user_id": "item_id", "item_id": "attribute"})
    >>> wider = add_new_items(model, table, regularization=0.1)
    >>> wider.similar_items(["chai"], k=2).to_frame()["item_id"].tolist()
    ['mate', 'tea']
    """
    if not isinstance(model, Model) or model._factorised() is None:
        raise ParameterError(f"add_new_items takes a FactorModel, such as ALS().fit(x). Got {type(model).__name__}.")
    if not isinstance(attributes, Interactions):
        raise SchemaError(f"add_new_items: attributes must be Interactions. Got {type(attributes).__name__}.")
    regularization = check_number(regularization, "regularization", above=0)
    code = match(model.items, attributes.users, ("model", "attributes"), column="item_id")
    known = np.flatnonzero((code != NONE) & (np.diff(attributes.csr.indptr) > 0))
    known = known[model.popularity[code[known]] > 0]
    new = np.flatnonzero(code == NONE)
    if not known.size:
        raise EmptyError(
            f"add_new_items: none of {len(model.items):,} known items has both people and attributes, so there is "
            "nothing to learn from. Check that item ids agree."
        )
    if not new.size:
        return model
    predicted = predict_vectors(
        attributes.csr[known].astype(np.float64),
        model.factors[code[known]].astype(np.float64),
        attributes.csr[new].astype(np.float64),
        regularization,
    )
    ids = attributes.users.decode(new)
    joined = np.empty(len(model.items) + new.size, model.items.ids.dtype)
    joined[: len(model.items)], joined[len(model.items) :] = model.items.ids, ids
    return FactorModel.build(
        np.concatenate([model.factors, predicted.astype(np.float32)]),
        items=Vocabulary(joined),
        popularity=np.concatenate([model.popularity, np.zeros(new.size, np.float32)]),
        loss=model.loss,
        event_weights=model.event_weights,
    )


def predict_vectors(known: sp.csr_matrix, vectors: np.ndarray, new: sp.csr_matrix, regularization: float) -> np.ndarray:
    """Return vectors (n_new, d) by ridge regression of vectors (n, d) on attributes (n, f), both around their means."""
    middle, centre = np.asarray(known.mean(axis=0)).ravel(), vectors.mean(axis=0)
    with one_blas_thread():
        gram = (known.T @ known).toarray() - len(vectors) * np.outer(middle, middle)
        gram[np.diag_indices_from(gram)] += regularization
        try:
            slope = np.linalg.solve(gram, known.T @ (vectors - centre))
        except np.linalg.LinAlgError:
            raise ParameterError(
                f"regularization={regularization:g} is too small for these attributes: they are collinear. "
                "Write regularization=10."
            ) from None
        return np.asarray(centre + new @ slope - middle @ slope)
