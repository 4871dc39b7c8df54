"""Models that implicit has trained: whether a matrix is the one that they were fitted on."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from omnireco.data.interactions import Interactions
from omnireco.errors import DataWarning, SchemaError

__all__ = ["check_guest"]

_CELLS, _FEW_CELLS = 10_000, 400  # of the matrix, that are looked at; fewer say nothing


def check_guest(model: Any, factors: np.ndarray, x: Interactions) -> None:
    """Refuse a model of another number of people; warn of one that does not know which of two items a person has."""
    given = getattr(model, "user_factors", None)
    if given is None:
        return
    people = np.asarray(getattr(given, "to_numpy", lambda: given)())
    if len(people) != len(x.users):
        raise SchemaError(
            f"from_implicit: the model has {len(people):,} people and x has {len(x.users):,}. Give the matrix that the "
            "model was fitted on, of people by items: model.fit(x.to_scipy())."
        )
    cell = np.unique(np.linspace(0, x.csr.nnz - 1, _CELLS).astype(np.int64)) if x.csr.nnz else np.empty(0, np.int64)
    who, mine = np.searchsorted(x.csr.indptr, cell, side="right") - 1, x.csr.indices[cell]
    other = np.roll(mine, mine.size // 2)
    known = np.flatnonzero((mine != other) & (x.csr.data[cell] > 0))
    if known.size < _FEW_CELLS:
        return
    vector = people[who[known]]
    better = np.einsum("ij,ij->i", vector, factors[mine[known]]) > np.einsum("ij,ij->i", vector, factors[other[known]])
    if better.mean() < 0.5 + 2.0 * known.size**-0.5:  # four standard errors of a coin
        warnings.warn(
            f"from_implicit: the model puts what people have in x above what others have in {better.mean():.0%} of "
            f"{known.size:,} pairs, as a coin would. Give the matrix that it was fitted on, of people by items: "
            "model.fit(x.to_scipy()).",
            DataWarning,
            stacklevel=3,
        )
