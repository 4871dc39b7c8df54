"""The laws of a model, an eligibility and a constraint, to run on your own.

Every model, rule and limit of omnireco passes these checks; whoever writes another one (or changes one of
ours) runs them in a test of one line. A check returns nothing, or raises an AssertionError that names the
law, counts who breaks it, and says what to change. Nothing here needs pytest.

    def test_my_model():
        check_model(MyEstimator(), small_matrix(seed=1))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer
from omnireco._core.random import stream
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import UnknownIdError
from omnireco.models.base import Model

if TYPE_CHECKING:
    from omnireco.data.touches import Touches
    from omnireco.planning.candidates import Candidates
    from omnireco.planning.rules import Constraint, Eligibility

__all__ = ["MODEL_LAWS", "Estimator", "check_constraint", "check_eligibility", "check_model", "small_matrix"]

_TOLERANCE = 1e-6  # a float64 sum of weights against its limit, relative


class Estimator(Protocol):
    """Whatever has a ``fit`` that returns a model."""

    def fit(self, x: Interactions, /) -> Model:
        """Return a fitted model."""


def small_matrix(*, n_users: int = 40, n_items: int = 25, seed: int = 0) -> Interactions:
    """Return a small behaviour matrix with ties, repeats, a crowd favourite and items nobody shares.

    Parameters
    ----------
    n_users, n_items : int
    seed : int

    Examples
    --------
    >>> small_matrix(n_users=8, n_items=5, seed=1)
    Interactions(8 users x 5 items, ... cells, 1 layer)
    """
    n_users = check_integer(n_users, "n_users", low=1, high=1_000_000)
    n_items = check_integer(n_items, "n_items", low=1, high=1_000_000)
    draw = stream(seed, "testing/small_matrix")
    appeal = 1 / np.arange(1, n_items + 1)
    n = 6 * n_users
    user = np.r_[np.arange(n_users), draw.integers(n_users, size=n)]
    item = np.r_[draw.integers(n_items, size=n_users), draw.choice(n_items, size=n, p=appeal / appeal.sum())]
    weight = draw.integers(1, 4, size=user.size).astype(np.float32)
    return Interactions.from_scipy(sp.coo_matrix((weight, (user, item)), (n_users, n_items)))


def check_model(estimator: Estimator, x: Interactions) -> None:
    """Check every law of :data:`MODEL_LAWS` on a model fitted on ``x``.

    Parameters
    ----------
    estimator : object with ``fit(x) -> Model``
    x : Interactions
        Small: the laws fit it about ten times. Best with ties and some people who chose nearly everything.

    Raises
    ------
    AssertionError
        When a law is broken.

    Examples
    --------
    >>> from omnireco.models.matrix.popularity import Popularity
    >>> check_model(Popularity(), small_matrix(n_users=10, n_items=6))
    """
    for law in MODEL_LAWS:
        law(estimator, x)


def check_eligibility(rule: Eligibility, touches: Touches) -> None:
    """Check that a rule answers for each touch on its own, the same way every time, and changes nothing.

    Stacked rules are joined with "and", so a rule of the right shape is monotone: it can only take away.

    Parameters
    ----------
    rule : Eligibility
    touches : Touches
        For example ``candidates.touches``; best with several people, channels and zones.

    Raises
    ------
    AssertionError
        When a law is broken.
    """
    name, before = type(rule).__name__, _bytes_inside(touches)
    mask = np.array(rule.mask(touches))
    _require(
        mask.dtype == np.bool_ and mask.shape == (len(touches),),
        f"{name}.mask must return bool of shape ({len(touches)},). It returned {mask.dtype} of shape {mask.shape}.",
    )
    _require(
        bool((np.asarray(rule.mask(touches)) == mask).all()),
        f"{name}.mask gave two answers to the same touches. Draw and count nothing in it.",
    )
    _require(_bytes_inside(touches) == before, f"{name}.mask changed the touches it was asked about. Work on copies.")
    backwards = np.arange(len(touches))[::-1]
    for rows in (backwards, backwards[::2]):
        wrong = np.asarray(rule.mask(touches.take(rows))) != mask[rows]
        _require(
            not wrong.any(),
            f"{name}.mask judges {int(wrong.sum())} of {rows.size} touches differently in other company. "
            "Limits on several touches together are a Constraint.",
        )


def check_constraint(constraint: Constraint, candidates: Candidates) -> None:
    """Check that a constraint is a sound limit: no plan violates it, and dropping it never costs value.

    Parameters
    ----------
    constraint : Constraint
    candidates : Candidates
        Enough of them that the limit binds.

    Raises
    ------
    AssertionError
        When a law is broken.
    """
    from omnireco.planning.plan import plan

    name, touches, before = type(constraint).__name__, candidates.touches, _bytes_inside(candidates.touches)
    rows, again = constraint.rows(touches), constraint.rows(touches)
    _require(_bytes_inside(rows) == _bytes_inside(again), f"{name}.rows gave two answers to the same touches.")
    _require(_bytes_inside(touches) == before, f"{name}.rows changed the touches it was asked about. Work on copies.")
    weight, limit = np.asarray(rows.weight, np.float64), np.asarray(rows.limit, np.float64)
    _require(
        bool((weight >= 0).all() and (limit >= 0).all()),
        f"{name}.rows holds a negative or missing weight or limit. Only 'at most' can be said.",
    )
    held, free = plan(candidates, constraints=[constraint]), plan(candidates)
    sent = (held.reason == 0)[np.asarray(rows.touch)]
    used = np.bincount(np.asarray(rows.row), weights=weight * sent, minlength=limit.size)
    over = used > limit + _TOLERANCE * np.maximum(1, np.where(np.isfinite(limit), limit, 1))
    _require(not over.any(), f"a plan under {name} exceeds {int(over.sum())} of its {limit.size} limits.")
    _require(
        held.value <= free.bound * (1 + _TOLERANCE) + _TOLERANCE,
        f"a plan under {name} is worth {held.value:g}, more than the bound {free.bound:g} without it.",
    )
    _require(
        not (held.exact and free.exact) or held.value <= free.value * (1 + _TOLERANCE) + _TOLERANCE,
        f"dropping {name} lowers the value of the best plan from {held.value:g} to {free.value:g}.",
    )


def ranks_by_score_then_code(estimator: Estimator, x: Interactions) -> None:
    """Lists hold each item once, by (score down, code up), and end in -1 and -inf."""
    model, k = estimator.fit(x), x.n_items + 3
    for exclude_seen in (True, False):
        recs = model.recommend(x, k=k, exclude_seen=exclude_seen)
        codes, scores = recs.codes, recs.scores
        law = f"ranks_by_score_then_code (exclude_seen={exclude_seen})"
        _require(codes.shape == scores.shape == (x.n_users, k), f"{law}: answers must have the shape (n_users, k).")
        _require(codes.dtype == np.int32 and scores.dtype == np.float32, f"{law}: codes are int32, scores float32.")
        empty = codes == NONE
        _require(bool((empty == np.isneginf(scores)).all()), f"{law}: code -1 and score -inf must go together.")
        _require(not np.isnan(scores).any(), f"{law}: a score is NaN.")
        _require(bool((empty[:, 1:] >= empty[:, :-1]).all()), f"{law}: an item stands behind an empty place.")
        better = scores[:, :-1] > scores[:, 1:]
        tied = (scores[:, :-1] == scores[:, 1:]) & (codes[:, :-1] < codes[:, 1:])
        wrong = ~(better | tied | empty[:, 1:]).all(axis=1)
        _require(not wrong.any(), f"{law}: {int(wrong.sum())} of {x.n_users} lists are out of order.")
        left = x.n_items - (np.diff(x.csr.indptr) if exclude_seen else 0)
        short = (~empty).sum(axis=1) != left
        _require(not short.any(), f"{law}: {int(short.sum())} lists do not hold every item that is left.")


def top_5_begins_top_10(estimator: Estimator, x: Interactions) -> None:
    """A longer list begins with the shorter one."""
    model = estimator.fit(x)
    short, long = model.recommend(x, k=5), model.recommend(x, k=10)
    _require_same(short, long.head(5), "top_5_begins_top_10", "Rank all items the same way for any k.")


def answers_one_by_one_as_in_a_batch(estimator: Estimator, x: Interactions) -> None:
    """Nobody's list depends on who else is asked about, or in which order."""
    model = estimator.fit(x)
    batch, fix = model.recommend(x, k=7), "Let each row of _rank depend on its own history only."
    for code in range(x.n_users):
        alone = model.recommend(x.take(np.array([code])), k=7)
        _require_same(alone, batch.take(np.array([code])), "answers_one_by_one_as_in_a_batch", fix)
    order = stream(0, "testing/order").permutation(x.n_users)
    _require_same(
        model.recommend(x.take(order), k=7), batch.take(order), "answers_one_by_one_as_in_a_batch (shuffled)", fix
    )


def forgets_the_order_of_rows(estimator: Estimator, x: Interactions) -> None:
    """A frame in another order gives the same model."""
    frame = x.to_frame()
    order = stream(0, "testing/rows").permutation(len(frame))
    first, second = (Interactions.from_frame(part) for part in (frame, frame.iloc[order]))
    _require_same(
        estimator.fit(first).recommend(first, k=7),
        estimator.fit(second).recommend(second, k=7),
        "forgets_the_order_of_rows",
        "Sum in the order of codes, not of arrival.",
    )


def forgets_the_names_of_ids(estimator: Estimator, x: Interactions) -> None:
    """Renaming people and items, in order, changes no code and no score."""
    named = Interactions.from_scipy(x.csr, users=_renamed(x.users), items=_renamed(x.items))
    _require_same(
        estimator.fit(x).recommend(x, k=7),
        estimator.fit(named).recommend(named, k=7),
        "forgets_the_names_of_ids",
        "Compute with codes only.",
    )


def leaves_out_what_was_seen(estimator: Estimator, x: Interactions) -> None:
    """Nobody is shown an item of their own history, not even at the tail."""
    recs = estimator.fit(x).recommend(x, k=x.n_items)
    row, place = np.nonzero(recs.codes != NONE)
    history = np.repeat(np.arange(x.n_users), np.diff(x.csr.indptr)) * x.n_items + x.csr.indices
    seen = np.isin(row * x.n_items + recs.codes[row, place], history)
    _require(
        not seen.any(),
        f"leaves_out_what_was_seen: {np.unique(row[seen]).size} of {x.n_users} people are shown what they have. "
        "Pass exclude to the kernel.",
    )


def leaves_out_what_is_not_eligible(estimator: Estimator, x: Interactions) -> None:
    """Ineligible items never appear, whether told by ids, by mask, or per group; the others keep their order."""
    model = estimator.fit(x)
    mask = stream(0, "testing/eligible").random(x.n_items) < 0.4
    mask[0], mask[-1] = True, False
    everything = model.recommend(x, k=x.n_items)
    for wanted in (mask, ~mask):
        kept = _filtered(everything, wanted[None, :].repeat(x.n_users, axis=0))
        for eligible in (wanted, model.items.ids[wanted]):
            recs = model.recommend(x, k=x.n_items, eligible=eligible)
            _require_same(recs, kept, "leaves_out_what_is_not_eligible", "Pass eligible to the kernel.")
    label = np.arange(x.n_users) % 2
    options = {0: mask, 1: model.items.ids[~mask]}
    recs = model.recommend(x, k=x.n_items, eligible=(label, options))
    kept = _filtered(everything, np.where(label[:, None] == 0, mask[None, :], ~mask[None, :]))
    _require_same(recs, kept, "leaves_out_what_is_not_eligible (per group)", "Pass eligible to the kernel.")


def ignores_threads(estimator: Estimator, x: Interactions) -> None:
    """The number of threads changes no byte, neither of fit nor of recommend."""
    model = estimator.fit(x)
    one = model.recommend(x, k=7, threads=1)
    _require_same(one, model.recommend(x, k=7, threads=3), "ignores_threads", "Give each row one thread.")
    if "threads" in inspect.signature(estimator.fit).parameters:
        fit: Callable[..., Model] = estimator.fit
        for threads in (1, 3):
            _require_same(one, fit(x, threads=threads).recommend(x, k=7), "ignores_threads (fit)", "Order every sum.")


def changes_no_input(estimator: Estimator, x: Interactions) -> None:
    """The estimator, the matrix and the arguments are what they were."""
    matrix, holder = _bytes_inside(x), repr(estimator)
    eligible = x.items.ids.copy()
    model = estimator.fit(x)
    model.recommend(x, k=3, eligible=eligible)
    model.score(x, x.items.ids)
    _require(_bytes_inside(x) == matrix, "changes_no_input: the matrix was changed. Work on x.to_scipy().")
    _require(repr(estimator) == holder, "changes_no_input: fit changed the estimator, which holds parameters only.")
    _require(bool((eligible == x.items.ids).all()), "changes_no_input: eligible was changed.")


def refuses_unknown_items(estimator: Estimator, x: Interactions) -> None:
    """An item that the model has never seen is an UnknownIdError, until the caller leaves it out."""
    model = estimator.fit(x)
    strange = Interactions.from_scipy(x.csr, users=x.users, items=_strangers(x.items))
    for call in (
        lambda: model.recommend(strange, k=3),
        lambda: model.score(x, [_strange_id(x.items)]),
        lambda: model.recommend(x, k=3, eligible=[_strange_id(x.items)]),
    ):
        try:
            call()
        except UnknownIdError:
            continue
        raise AssertionError("refuses_unknown_items: an unknown item was taken without a word.")
    _require_same(
        model.recommend(strange.with_items(model.items), k=3),
        _popular(model, x.n_users, 3),
        "refuses_unknown_items (left out by with_items)",
        "Rank by popularity where nothing is left of a history.",
    )


def gives_popularity_to_the_unknown(estimator: Estimator, x: Interactions) -> None:
    """A person with an empty history gets what most people chose, among others or alone."""
    model = estimator.fit(x)
    matrix = x.to_scipy()
    matrix.data[matrix.indptr[0] : matrix.indptr[1]] = 0
    mixed = Interactions.from_scipy(matrix, users=x.users, items=x.items)
    recs, fix = model.recommend(mixed, k=7), "Leave empty histories to Model.recommend."
    _require_same(recs.take(np.array([0])), _popular(model, 1, 7), "gives_popularity_to_the_unknown", fix)
    if x.n_users > 1:
        rest = np.arange(1, x.n_users)
        _require_same(
            recs.take(rest), model.recommend(x.take(rest), k=7), "gives_popularity_to_the_unknown (others)", fix
        )


def scores_what_it_ranks_by(estimator: Estimator, x: Interactions) -> None:
    """``score`` and ``recommend`` say the same number for the same person and item."""
    model = estimator.fit(x)
    recs = model.recommend(x, k=x.n_items, exclude_seen=False)
    scores = model.score(x, model.items.ids)
    _require(
        scores.shape == x.shape and scores.dtype == np.float32,
        f"scores_what_it_ranks_by: score must be float32 of shape {x.shape}. Got {scores.dtype} {scores.shape}.",
    )
    wrong = (np.take_along_axis(scores, recs.codes, axis=1) != recs.scores).any(axis=1)
    _require(
        not wrong.any(),
        f"scores_what_it_ranks_by: {int(wrong.sum())} of {x.n_users} people have other scores in score() than in "
        "recommend(). Sum in the same order and the same precision in both.",
    )
    some = model.items.ids[::-2]
    _require(
        bool((model.score(x, some) == scores[:, ::-2]).all()),
        "scores_what_it_ranks_by: the score of an item depends on which others are asked about.",
    )


def fits_twice_as_once(estimator: Estimator, x: Interactions) -> None:
    """A second fit gives the same model, and leaves the first one alone."""
    first = estimator.fit(x)
    before = first.recommend(x, k=7)
    half = x.take(np.arange(max(1, x.n_users // 2)))
    estimator.fit(half)
    fix = "Draw from omnireco._core.random.stream(seed, name) and keep nothing in the estimator."
    _require_same(before, estimator.fit(x).recommend(x, k=7), "fits_twice_as_once", fix)
    _require_same(before, first.recommend(x, k=7), "fits_twice_as_once (first model)", fix)


MODEL_LAWS: tuple[Callable[[Estimator, Interactions], None], ...] = (
    ranks_by_score_then_code,
    top_5_begins_top_10,
    answers_one_by_one_as_in_a_batch,
    forgets_the_order_of_rows,
    forgets_the_names_of_ids,
    leaves_out_what_was_seen,
    leaves_out_what_is_not_eligible,
    ignores_threads,
    changes_no_input,
    refuses_unknown_items,
    gives_popularity_to_the_unknown,
    scores_what_it_ranks_by,
    fits_twice_as_once,
)
"""The laws of a model: functions of an estimator and a small matrix, for a test each."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _require_same(one: Recommendations, other: Recommendations, law: str, fix: str) -> None:
    """Raise unless two answers are the same codes and the same bytes of scores."""
    _require(one.codes.shape == other.codes.shape, f"{law}: shapes {one.codes.shape} and {other.codes.shape} differ.")
    wrong = ((one.codes != other.codes) | (one.scores != other.scores)).any(axis=1)
    _require(not wrong.any(), f"{law}: {int(wrong.sum())} of {len(one)} people get another answer. {fix}")


def _filtered(recs: Recommendations, keep: np.ndarray) -> Recommendations:
    """Return full lists without the items that ``keep`` (n_users, n_items) forbids, closed up and padded."""
    n, k = recs.codes.shape
    codes, scores = np.full((n, k), NONE, np.int32), np.full((n, k), -np.inf, np.float32)
    for row in range(n):
        kept = (recs.codes[row] != NONE) & keep[row, recs.codes[row]]
        codes[row, : kept.sum()], scores[row, : kept.sum()] = recs.codes[row, kept], recs.scores[row, kept]
    return Recommendations(recs.users, recs.items, codes, scores)


def _popular(model: Model, n: int, k: int) -> Recommendations:
    """Return the popularity ranking, once per person, by a plain sort."""
    order = np.lexsort([np.arange(len(model.items)), -model.popularity.astype(np.float64)])[:k]
    codes, scores = np.full((n, k), NONE, np.int32), np.full((n, k), -np.inf, np.float32)
    codes[:, : order.size], scores[:, : order.size] = order, model.popularity[order]
    return Recommendations(Vocabulary(np.arange(n)), model.items, codes, scores)


def _renamed(vocabulary: Vocabulary) -> Vocabulary:
    names = np.empty(len(vocabulary), object)
    names[:] = [f"renamed {code:09d}" for code in range(len(vocabulary))]
    return Vocabulary(names)


def _strange_id(vocabulary: Vocabulary) -> str | int:
    """Return an id of the right kind that the vocabulary does not hold."""
    if vocabulary.ids.dtype == object:
        return max(vocabulary.ids) + "!"
    return int(vocabulary.ids.max()) + 1


def _strangers(vocabulary: Vocabulary) -> Vocabulary:
    """Return as many ids of the same kind, none of which the vocabulary holds."""
    ids, strange = vocabulary.ids, _strange_id(vocabulary)
    return Vocabulary(ids + strange if ids.dtype == object else ids - ids.min() + strange)


def _bytes_inside(value: Any) -> list[bytes]:
    """Return the bytes of every array in a dataclass, to see later whether they changed."""
    found: list[bytes] = []
    for field in fields(value) if is_dataclass(value) else ():
        part = getattr(value, field.name)
        for piece in part.values() if hasattr(part, "values") and not sp.issparse(part) else [part]:
            arrays = [piece.data, piece.indices, piece.indptr] if sp.issparse(piece) else [piece]
            found += [array.tobytes() for array in arrays if isinstance(array, np.ndarray) and array.dtype != object]
    return found
