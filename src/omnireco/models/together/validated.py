"""Whether a ranker orders later requests better than the models that propose to it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE
from omnireco.errors import DataWarning

__all__ = ["against_its_models", "warn_if_unknown", "warn_if_worse"]

_PLACES, _DRAWS, _FEWEST = 10, 500, 20
_KNOWN = 0.5  # of the choices, of items that the tables know


def against_its_models(
    row: np.ndarray,
    label: np.ndarray,
    order: np.ndarray,
    ranks: np.ndarray,
    user: np.ndarray,
    names: Sequence[str],
) -> dict[str, tuple[float, float, float, int]]:
    """Return what the ranker's order gains in NDCG@10 over each model's own, with its 95 % interval and the people.

    Parameters
    ----------
    row, label, order : ndarray of shape (n,)
        Request of each candidate, whether it was chosen, and the ranker's score.
    ranks : ndarray of shape (n, n_models)
        Each model's own rank of the candidate, from 1.
    user : ndarray of shape (n_requests,)
        Who asked: the mean is taken per person, then over people, in pairs.
    names : sequence of str

    Returns
    -------
    dict of str to (gain, low, high, n_people)
        Empty where fewer than 20 people chose a candidate. A choice that nobody proposed is missed by every order
        alike, and counts for none.
    """
    n, wanted = user.size, np.bincount(row[label], minlength=user.size)
    asked = np.flatnonzero(wanted)
    known = np.where(user < 0, user.max(initial=0) + 1 + np.arange(n), user)  # strangers are not one person
    people, person = np.unique(known[asked], return_inverse=True)
    if people.size < _FEWEST:
        return {}
    discount = 1.0 / np.log2(np.arange(_PLACES) + 2.0)
    ideal = np.cumsum(discount)[np.minimum(wanted[asked], _PLACES) - 1]

    def earned(keys: Sequence[np.ndarray]) -> np.ndarray:
        by = np.lexsort([*keys, row])
        place = np.arange(row.size) - np.searchsorted(row[by], row[by])
        hit = label[by] & (place < _PLACES)
        got = np.bincount(row[by][hit], discount[place[hit]], n)[asked] / ideal
        mean: np.ndarray = np.bincount(person, got) / np.bincount(person)
        return mean

    ours = earned([-order])
    gaps = np.column_stack([ours - earned([ranks[:, column]]) for column in range(len(names))])
    draws = resampled_means(gaps, n_draws=_DRAWS, seed=0)
    low, high = percentile_interval(draws, 0.95)
    return {
        name: (float(gaps[:, column].mean()), float(low[column]), float(high[column]), int(people.size))
        for column, name in enumerate(names)
    }


def warn_if_worse(gains: Mapping[str, tuple[float, float, float, int]]) -> None:
    """Warn where a model alone orders the held-out requests better than the ranker, beyond chance."""
    worse = {name: gain for name, gain in gains.items() if gain[2] < 0}
    if not worse:
        return
    name = min(worse, key=lambda one: worse[one][0])
    gain, low, high, n = worse[name]
    warnings.warn(
        f"Ranker.fit: on the last fifth of its requests the ranker orders worse than its own candidate model {name!r} "
        f"alone: NDCG@10 {gain:+.4f} [{low:+.4f}, {high:+.4f}] over {n:,} people. Use that model alone, give "
        "the ranker more requests (an earlier requests_from=) or less context=. See model.validation.",
        DataWarning,
        stacklevel=3,
    )


def warn_if_unknown(chosen: Interactions, past: EventLog) -> None:
    """Warn where most of what was chosen had not been there when the tables ended that teach the order."""
    there = np.zeros(len(past.items) + 1, np.bool_)
    there[np.unique(past.item)] = True
    there[NONE] = False
    known = there[past.items.codes(chosen.items.ids, missing="none")]
    share = float(known[chosen.csr.indices].mean()) if chosen.csr.nnz else 1.0
    if share < _KNOWN:
        warnings.warn(
            f"Ranker.fit: {1 - share:.0%} of what was chosen in the requests is of items that nobody had touched "
            "before requests_from=, so no table knows them while the order is learned, and what is fresh looks "
            "worthless. Write Ranker(refresh='1D'), as often as you will fit.",
            DataWarning,
            stacklevel=3,
        )
