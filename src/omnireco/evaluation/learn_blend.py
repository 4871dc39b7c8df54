"""What each model counts in a blend, found on a validation part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_flag, check_integer, check_k, check_kind, check_number, count_of, shown
from omnireco._core.frozen import ReadOnly
from omnireco._core.random import stream
from omnireco._kernels.topk.exact import select
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.learn_weights import mean_of, values_of
from omnireco.evaluation.metrics import Metric, ndcg
from omnireco.models.base import Model
from omnireco.models.together.blend import BlendModel, Scale, all_scores, scaled

__all__ = ["LearnedBlend", "learn_blend"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedBlend:
    """What :func:`learn_blend` found.

    Parameters
    ----------
    model : BlendModel
        Ready to use; refit its members on all data with ``BlendModel.of(refitted, weights=learned.weights)``.
    weights : mapping of str to float
    trials : tuple of (weights, mean)
        Every blend that was tried.
    """

    model: BlendModel
    weights: Mapping[str, float]
    trials: tuple[tuple[Mapping[str, float], float], ...]

    def __repr__(self) -> str:
        best = max(mean for _, mean in self.trials)
        return f"LearnedBlend({dict(self.weights)}, {best:.4f} on validation, {count_of(len(self.trials), 'trial')})"


def learn_blend(
    models: Mapping[str, Model],
    histories: Interactions,
    truth: Interactions,
    *,
    k: int,
    metric: Metric = ndcg,
    scale: Scale = "deviation",
    exclude_seen: bool = True,
    grid: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0),
    sweeps: int = 2,
    people: int = 5000,
    seed: int = 0,
) -> LearnedBlend:
    """Find what each model should count in a blend, on a validation part.

    Parameters
    ----------
    models : mapping of str to Model
        Fitted without the truth.
    histories, truth : Interactions
        What people had, and what they chose next; people of the truth without a history here are left out.
    k : int
    metric : callable
        One value per person, to be as large as possible.
    scale : {"deviation", "rank", "none"}
        See :class:`omnireco.Blend`.
    exclude_seen : bool
    grid : sequence of float
        Weights to try for each model beside the best one, whose weight stays 1.
    sweeps : int
        How often to go over the models.
    people : int
        At most so many people, drawn by ``seed``: their scores of all items are held in memory.
    seed : int

    Returns
    -------
    LearnedBlend

    Notes
    -----
    Coordinate search from the best single model; a model that adds nothing gets weight 0. Report the blend on data
    that took no part here. Deterministic. Memory 4 bytes x people x items per model.

    Examples
    --------
    >>> from omnireco.models import EASE, Popularity
    >>> from omnireco.testing import small_matrix
    >>> x = small_matrix(seed=1)
    >>> models = {"ease": EASE().fit(x), "popular": Popularity().fit(x)}
    >>> learn_blend(models, x, x, k=5, exclude_seen=False).model
    BlendModel(25 items, ease x ..., popular x ..., scale='deviation')
    """
    k, sweeps = check_k(k), check_integer(sweeps, "sweeps", low=1, high=100)
    if not isinstance(grid, Iterable):
        raise ParameterError(f"grid must be a list of weights, such as (0.1, 0.3). Got {shown(grid)}.")
    steps, exclude_seen = [check_number(step, "grid") for step in grid], check_flag(exclude_seen, "exclude_seen")
    check_kind(truth, Interactions, "learn_blend: truth", "test.matrix()")
    blend = BlendModel.of(models, scale=scale)
    asked, relevant = _people(blend, histories, truth, check_integer(people, "people", low=1), seed)
    past, targets = blend._cells(asked)
    seen = past if exclude_seen else None if targets is None else asked.rejected()
    scores = {
        name: scaled(all_scores(model, past, targets), scale).astype(np.float32) for name, model in models.items()
    }

    def measure(weights: Mapping[str, float]) -> float:
        total = sum(np.float32(weight) * scores[name] for name, weight in weights.items() if weight)
        codes, _ = select(np.ascontiguousarray(total), k=k, exclude=seen)
        return mean_of(values_of(metric, codes, relevant))

    trials: list[tuple[Mapping[str, float], float]] = [(ReadOnly({name: 1.0}), measure({name: 1.0})) for name in models]
    best, highest = max(trials, key=lambda trial: trial[1])
    leader = next(iter(best))
    for _ in range(sweeps):
        for name, step in itertools.product([name for name in models if name != leader], steps):
            trial = {**best, name: step}
            if trial == best or (step == 0 and name not in best):
                continue
            trials.append((ReadOnly(trial), measure(trial)))
            if trials[-1][1] > highest:
                best, highest = trial, trials[-1][1]
    weights = ReadOnly({name: float(best.get(name, 0.0)) for name in models})
    return LearnedBlend(BlendModel.of(models, weights=weights, scale=scale), weights, tuple(trials))


def _people(
    blend: BlendModel, histories: Interactions, truth: Interactions, people: int, seed: int
) -> tuple[Interactions, sp.csr_matrix]:
    """Return histories and truth (n, n_items) of the people who have both, at most ``people`` of them."""
    known = blend._align(histories)
    row = truth.users.codes(histories.users.ids, missing="none")
    chosen = truth.without_targets().with_items(blend.items).csr
    both = (row != NONE) & (np.diff(known.csr.indptr) > 0)
    both[both] = np.diff(chosen.indptr)[row[both]] > 0
    keep = np.flatnonzero(both)
    if not keep.size:
        raise EmptyError("learn_blend: nobody of the truth has a history. Check that user ids agree.")
    if keep.size > people:
        keep = np.sort(stream(seed, "evaluation/blend").choice(keep, people, replace=False))
    return known.take(keep), sp.csr_matrix(chosen[row[keep]])
