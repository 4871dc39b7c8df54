"""What each model counts in a blend, found on a validation part."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_flag, check_integer, check_k, check_number, count_of, shown
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.random import stream
from omnireco._kernels.topk.exact import select
from omnireco.data.interactions import Interactions
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.evaluate import read_pairs
from omnireco.evaluation.learn_weights import mean_of, values_of
from omnireco.evaluation.metrics import Metric, ndcg
from omnireco.models.base import Model
from omnireco.models.together.blended import BlendModel, Scale, scaled

__all__ = ["LearnedBlend", "learn_blend"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedBlend:
    """What :func:`learn_blend` found.

    Parameters
    ----------
    estimator : Blend
        The blend with these weights: ``learned.estimator.fit(data)`` learns its members again, on all data.
    model : BlendModel
        Ready to use: the members as they were fitted before the validation part.
    weights : mapping of str to float
        The weight of each model, by name.
    trials : tuple of (weights, mean)
        Every blend that was tried.
    """

    estimator: Any
    model: BlendModel
    weights: Mapping[str, float]
    trials: tuple[tuple[Mapping[str, float], float], ...]

    def __repr__(self) -> str:
        best = max(mean for _, mean in self.trials)
        return f"LearnedBlend({dict(self.weights)}, {best:.4f} on validation, {count_of(len(self.trials), 'trial')})"

    _repr_html_ = shown_html


@says_the_line("om.evaluation.learn_blend(om.Blend(models={'ease': om.EASE(), 'als': om.ALS()}), past, later, k=10)")
def learn_blend(
    estimator: Any,
    past: Any,
    later: Any,
    *,
    k: int,
    metric: Metric = ndcg,
    exclude_seen: bool = True,
    grid: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0),
    sweeps: int = 2,
    people: int = 5000,
    seed: int = 0,
    progress: Progress = False,
) -> LearnedBlend:
    """Find what each model should count in a blend, on a validation part.

    Parameters
    ----------
    estimator : Blend
        Its members are fitted on the past once; its own weights are not read.
    past, later : Dataset
        What was known, and what came next: ``past, later = data.split(at)``. Or matrices of both; people of the later
        one without a history in the past are left out.
    k : int
        Places of each list that the metric looks at.
    metric : callable
        One value per person, to be as large as possible.
    exclude_seen : bool
        Whether lists leave out what people had before; True by default.
    grid : sequence of float
        Weights to try for each model beside the best one, whose weight stays 1.
    sweeps : int
        How often to go over the models.
    people : int
        At most so many people, drawn by ``seed``: their scores of all items are held in memory.
    seed : int
        Of the draw of people, 0 or more; 0 by default.
    progress : bool or callable(done, total)
        A bar over the fit, the scores of the members and the weights that are tried.

    Returns
    -------
    LearnedBlend

    Raises
    ------
    ParameterError
        When ``estimator`` is no blend, or a number is outside its range.
    EmptyError
        When nobody has both a history and a truth.

    Notes
    -----
    Coordinate search from the best single model; a model that adds nothing gets weight 0. Report the blend on data
    that took no part here. Deterministic. Memory 4 bytes x people x items per model.

    Examples
    --------
    >>> import omnireco as om
    >>> past, later = om.simulate(n_users=80, n_items=20, days=60, seed=1).dataset().split("2025-02-20")
    >>> blend = om.Blend(models={"knn": om.ItemKNN(), "popular": om.Popularity()})
    >>> learned = learn_blend(blend, past, later, k=5, exclude_seen=False)
    >>> learned.estimator.fit(past).recommend(past.requests(), k=3).k
    3
    """
    if not isinstance(estimator, Estimator) or not {"models", "scale"} <= estimator.get_params(deep=False).keys():
        raise ParameterError(
            f"learn_blend takes a blend of estimators, such as om.Blend(models={{'ease': om.EASE()}}). Got "
            f"{shown(estimator)}: models that are fitted already may have seen the truth."
        )
    k, sweeps = check_k(k), check_integer(sweeps, "sweeps", low=1, high=100)
    if not isinstance(grid, Iterable):
        raise ParameterError(f"grid must be a list of weights, such as (0.1, 0.3). Got {shown(grid)}.")
    steps, exclude_seen = [check_number(step, "grid") for step in grid], check_flag(exclude_seen, "exclude_seen")
    people, scale = check_integer(people, "people", low=1), estimator.get_params(deep=False)["scale"]
    chosen = read_pairs(later, "learn_blend: later", needs_items=True)
    n_members = len(estimator.get_params(deep=False)["models"])
    total = 1 + 2 * n_members + sweeps * (n_members - 1) * len(steps)
    with ticker(total, progress, label="learn_blend") as tick:
        return _learned(
            estimator, past, chosen, tick, steps=steps, k=k, metric=metric, exclude_seen=exclude_seen, sweeps=sweeps,
            people=people, seed=seed, scale=scale,
        )  # fmt: skip


def _learned(
    estimator: Any, past: Any, chosen: Any, tick: Callable[[], object], *, steps: Sequence[float], k: int,
    metric: Metric, exclude_seen: bool, sweeps: int, people: int, seed: int, scale: Scale,
) -> LearnedBlend:  # fmt: skip
    """Fit the members, score the people with each, and climb."""
    blend = estimator.replace(weights=None).fit(past)
    tick()
    members = dict(zip(blend.names, blend.models, strict=True))
    histories = {
        name: (past if isinstance(past, Interactions) else model.inputs(past)).with_items(blend.items)
        for name, model in members.items()
    }
    keep, relevant = _people(histories, chosen, blend.items, people, seed)
    rows = {name: x.take(keep) for name, x in histories.items()}
    seen = _barred(list(rows.values()), exclude_seen=exclude_seen)
    scores = {}
    for name, member in members.items():
        scores[name] = _scores(member, rows[name], scale)
        tick()

    def measure(weights: Mapping[str, float]) -> float:
        total = sum(np.float32(weight) * scores[name] for name, weight in weights.items() if weight)
        codes, _ = select(np.ascontiguousarray(total), k=k, exclude=seen)
        return mean_of(values_of(metric, codes, relevant))

    best, trials = _climb(tuple(members), steps, sweeps, measure, tick)
    weights = ReadOnly({name: float(best.get(name, 0.0)) for name in members})
    model = BlendModel.of(members, weights=weights, scale=scale)
    return LearnedBlend(estimator.replace(weights=dict(weights)), model, weights, trials)


def _scores(model: Model, rows: Interactions, scale: Scale) -> np.ndarray:
    """Return scores (n, n_items), float32; a member without a history of a user adds nothing for them."""
    found = scaled(model.score(rows, model.items.ids), scale).astype(np.float32)
    found[np.diff(rows.csr.indptr) == 0] = 0.0
    return found


def _climb(
    names: tuple[str, ...],
    steps: Sequence[float],
    sweeps: int,
    measure: Callable[[Mapping[str, float]], float],
    tick: Callable[[], object],
) -> tuple[Mapping[str, float], tuple[tuple[Mapping[str, float], float], ...]]:
    """Return the best weights and all that were tried: from the best single model, one weight after the other."""
    trials: list[tuple[Mapping[str, float], float]] = []
    for name in names:
        trials.append((ReadOnly({name: 1.0}), measure({name: 1.0})))
        tick()
    best, highest = max(trials, key=lambda trial: trial[1])
    leader = next(iter(best))
    for _ in range(sweeps):
        for name, step in itertools.product([name for name in names if name != leader], steps):
            tick()
            trial = {**best, name: step}
            if trial == best or (step == 0 and name not in best):
                continue
            trials.append((ReadOnly(trial), measure(trial)))
            if trials[-1][1] > highest:
                best, highest = trial, trials[-1][1]
    return best, tuple(trials)


def _people(
    histories: Mapping[str, Interactions], chosen: Any, items: Vocabulary, people: int, seed: int
) -> tuple[np.ndarray, sp.csr_matrix]:
    """Return rows of people who have a history and a truth, at most ``people`` of them, and their truth."""
    users = next(iter(histories.values())).users
    row = users.codes(chosen.users.ids, missing="none")[chosen.user]
    column = items.codes(chosen.items.ids, missing="none")[chosen.item]
    known = (row != NONE) & (column != NONE)
    relevant = sp.csr_matrix(
        (np.ones(int(known.sum()), np.float32), (row[known], column[known])), (len(users), len(items))
    )
    relevant.data[:] = 1.0
    both = np.diff(relevant.indptr) > 0
    both &= np.any([np.diff(x.csr.indptr) > 0 for x in histories.values()], axis=0)
    keep = np.flatnonzero(both)
    if not keep.size:
        raise EmptyError("learn_blend: nobody of the truth has a history. Check that user ids agree.")
    if keep.size > people:
        keep = np.sort(stream(seed, "evaluation/blend").choice(keep, people, replace=False))
    return keep, sp.csr_matrix(relevant[keep])


def _barred(rows: Sequence[Interactions], *, exclude_seen: bool) -> sp.csr_matrix | None:
    """Return what lists leave out: all that anybody has in a history, or only what was rejected."""
    rejected = [x.rejected() for x in rows if x.targets is not None]
    parts = [x.csr for x in rows] if exclude_seen else rejected
    if len(parts) < 2:
        return parts[0] if parts else None
    ones = [sp.csr_matrix((np.ones(part.nnz, np.float32), part.indices, part.indptr), part.shape) for part in parts]
    return sp.csr_matrix(sum(ones[1:], start=ones[0]))
