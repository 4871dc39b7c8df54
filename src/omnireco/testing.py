"""The laws of a model, an eligibility and a constraint, to run on your own.

Every model, rule and limit of omnireco passes these checks; whoever writes another one (or changes one of
ours) runs them in a test of one line. A check returns nothing, or raises an AssertionError that names the
law, counts who breaks it, and says what to change. Nothing here needs pytest.

    def test_my_model():
        check_model(MyEstimator(), small_matrix(seed=1))
        check_model(MyEstimator(), small_data(seed=1))
"""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_instant, check_integer, from_microseconds
from omnireco._core.random import stream
from omnireco.data.asking.requests import Asked
from omnireco.data.audience import Audience
from omnireco.data.dataset import Dataset, dataset_of
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.messages import MessageLog
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import OmnirecoError, ParameterError, UnknownIdError
from omnireco.models.base import Model

if TYPE_CHECKING:
    from omnireco.data.asking.touches import Touches
    from omnireco.planning.candidates import Candidates
    from omnireco.planning.rules import Constraint, Eligibility

__all__ = [
    "MODEL_LAWS",
    "Estimator",
    "check_constraint",
    "check_eligibility",
    "check_model",
    "check_no_leak",
    "differences",
    "small_data",
    "small_matrix",
]

_TOLERANCE = 1e-6  # a float64 sum of weights against its limit, relative


class Estimator(Protocol):
    """Whatever has a ``fit`` that returns a model."""

    def fit(self, data: Any, /) -> Model:
        """Return a fitted model."""


def small_matrix(*, n_users: int = 40, n_items: int = 25, seed: int = 0) -> Interactions:
    """Return a small behaviour matrix with ties, repeats, a crowd favourite and items nobody shares.

    Parameters
    ----------
    n_users, n_items : int
        Size; 40 users and 25 items by default.
    seed : int
        Of the random draws, 0 or more; the same seed gives the same result. 0 by default.

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


def small_data(*, n_users: int = 40, n_items: int = 25, seed: int = 0) -> Dataset:
    """Return a small Dataset of the same hard cases: views and purchases on two channels, over sixty days.

    Parameters
    ----------
    n_users, n_items : int
        Size; 40 users and 25 items by default.
    seed : int
        Of the random draws, 0 or more; the same seed gives the same result. 0 by default.

    Examples
    --------
    >>> small_data(n_users=8, n_items=5, seed=1)
    Dataset(112 events, known until 2025-03-02T00:00:00+00:00)
    """
    import pandas as pd

    n_users = check_integer(n_users, "n_users", low=1, high=1_000_000)
    n_items = check_integer(n_items, "n_items", low=1, high=1_000_000)
    draw = stream(seed, "testing/small_data")
    appeal = 1 / np.arange(1, n_items + 1)
    user = np.r_[np.arange(n_users), draw.integers(n_users, size=13 * n_users)]
    item = np.r_[draw.integers(n_items, size=n_users), draw.choice(n_items, size=13 * n_users, p=appeal / appeal.sum())]
    minute = draw.integers(0, 59 * 1440, user.size)
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": item,
            "channel": np.array(["app", "store"], object)[draw.integers(0, 2, user.size)],
            "event": np.array(["purchase", "view", "view"], object)[draw.integers(0, 3, user.size)],
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(minute, unit="min"),
        }
    )
    return Dataset(EventLog.from_frame(frame, timestamp="instant"), end="2025-03-02")


def check_model(estimator: Estimator, data: Any) -> None:
    """Check every law of :data:`MODEL_LAWS` on a model fitted on ``data``.

    Parameters
    ----------
    estimator : object with a method fit
        What is checked, unfitted; ``fit(data)`` gives a Model.
    data : Interactions, Dataset or EventLog
        Small: the laws fit it about fifteen times. Best with ties and some people who chose nearly everything. A model
        of a matrix is asked with its rows, one of events with requests; laws about instants and weights hold only for
        the latter, so an estimator that takes both deserves both: :func:`small_matrix` and :func:`small_data`.

    Raises
    ------
    AssertionError
        When a law is broken.

    Examples
    --------
    >>> from omnireco.models import Popularity
    >>> check_model(Popularity(), small_matrix(n_users=10, n_items=6))
    >>> check_model(Popularity(), small_data(n_users=10, n_items=6))
    """
    for law in MODEL_LAWS:
        law(estimator, data)


def check_no_leak(estimator: Any, data: Dataset, cut: Any) -> None:
    """Check that nothing behind a cut reaches what an estimator learns: models, response models and policies alike.

    Fitted on ``data.before(cut)`` it must give the same value as on logs from which the later rows were removed by
    hand: events and messages at or after the cut, responses that came later, consents of later date, later requests.

    Parameters
    ----------
    estimator : object with a method fit
        What is checked, unfitted.
    data : Dataset
        Whole logs, which reach past the cut.
    cut : datetime, date or str
        Nothing at or after it may matter.

    Raises
    ------
    AssertionError
        When the two differ: the message names the first field that does.

    Examples
    --------
    >>> from omnireco.models import BuyAgain
    >>> check_no_leak(BuyAgain(), small_data(seed=1), "2025-02-01")
    """
    name = type(estimator).__name__
    one, two = estimator.fit(data.before(cut)), estimator.fit(_removed_by_hand(data, check_instant(cut, "cut")))
    wrong = differences(one, two)
    _require(
        not wrong,
        f"check_no_leak: {name} learns another {wrong[0] if wrong else ''} from data.before(cut) than from logs "
        "without the later rows. Read every part out of the Dataset that fit is given, and ages against data.end.",
    )


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return the places at which two values differ, such as ``"models.als.factors"``; none where they are equal.

    Arrays, matrices and frames are compared byte by byte, values of omnireco field by field.
    """
    where = where or type(one).__name__
    if one is other:
        return []
    if type(one) is not type(other):
        return [where]
    if isinstance(one, Vocabulary):
        return [] if one == other else [where]
    if isinstance(one, np.ndarray):
        same = one.shape == other.shape and one.dtype == other.dtype
        return [] if same and np.array_equal(one, other, equal_nan=one.dtype.kind == "f") else [where]
    if sp.issparse(one):
        parts = [(getattr(one, name), getattr(other, name)) for name in ("data", "indices", "indptr")]
        return [where] if any(differences(*pair) for pair in parts) or one.shape != other.shape else []
    if isinstance(one, Mapping):
        if list(one) != list(other):
            return [where]
        return [place for key in one for place in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [where]
        pairs = enumerate(zip(one, other, strict=True))
        return [place for number, pair in pairs for place in differences(*pair, f"{where}[{number}]")]
    if is_dataclass(one) and not isinstance(one, type):
        names = [part.name for part in fields(one) if not part.name.startswith("_")]  # others follow from these
        return [
            place
            for name in names
            for place in differences(getattr(one, name), getattr(other, name), f"{where}.{name}")
        ]
    if hasattr(one, "equals"):
        return [] if one.equals(other) else [where]
    return [] if one == other or (one != one and other != other) else [where]


def _removed_by_hand(data: Dataset, cut: int) -> Dataset:
    """Return a Dataset of logs whose later rows were removed before anything of omnireco saw them."""
    import pandas as pd

    at = pd.Timestamp(cut, unit="us", tz="UTC")
    parts: dict[str, Any] = {name: getattr(data, name) for name in ("catalog", "attributes", "facts", "creatives")}
    events, messages, audience, asked = data._given()
    if events is not None:
        frame = events.to_frame()
        parts["events"] = replace(_read_again(frame[frame["timestamp"] < at], events), end_us=cut)
    if messages is not None:
        frame = messages.to_frame()
        frame = frame[frame["sent_at"] < at].copy()
        for name in {"responded_at", "clicked_at", "unsubscribed_at"} & set(frame.columns):
            frame.loc[frame[name] >= at, name] = pd.NaT
        parts["messages"] = replace(MessageLog.from_frame(frame), end_us=cut)
    if audience is not None:
        frame = audience.to_frame()
        for name in [name for name in frame.columns if name.startswith("consent_") and f"{name}_at" in frame.columns]:
            later = frame[f"{name}_at"] >= at
            frame.loc[later, name], frame.loc[later, f"{name}_at"] = False, pd.NaT
        parts["audience"] = Audience.from_frame(frame, attributes=list(audience.attributes))
    if data.identities is not None:
        parts["identities"] = data.identities
    if asked is not None:
        closed_at = asked.requests.at if asked.requests.closed_at is None else asked.requests.closed_at
        kept_rows = np.flatnonzero(closed_at < cut)
        parts["asked"] = Asked(asked.requests.take(kept_rows), asked.chosen.take(kept_rows))
    return Dataset(parts.pop("events", None), end=from_microseconds(cut), **parts)


def check_eligibility(rule: Eligibility, touches: Touches) -> None:
    """Check that a rule answers for each touch on its own, the same way every time, and changes nothing.

    Stacked rules are joined with "and", so a rule of the right shape is monotone: it can only take away.

    Parameters
    ----------
    rule : Eligibility
        The rule to check.
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
        The constraint to check.
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
        bool(np.isfinite(weight).all() and (limit >= 0).all() and not (weight.size and weight.max() < 0)),
        f"{name}.rows holds a missing weight, a negative limit, or only negative weights.",
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


@dataclass(frozen=True, slots=True)
class _World:
    """What an estimator is fitted on, and how its model is asked about everybody in it."""

    data: Any

    @classmethod
    def of(cls, data: Any) -> _World:
        return cls(data if isinstance(data, Interactions) else dataset_of(data, "check_model", ("events",)))

    @property
    def events(self) -> EventLog | None:
        return None if isinstance(self.data, Interactions) else self.data.events

    @property
    def asked(self) -> Any:
        """Everybody: rows of the matrix, or requests at the end of the Dataset."""
        return self.data if isinstance(self.data, Interactions) else self.data.requests()

    @property
    def users(self) -> Vocabulary:
        return self.data.users if isinstance(self.data, Interactions) else self.data.events.users

    def histories(self, model: Model) -> Interactions:
        """Return everybody's history over the model's items, with layers where there are some."""
        if isinstance(self.data, Interactions):
            return self.data
        if model.event_weights is None:  # members of a blend that weigh differently: what any of them may have seen
            found: Interactions = self.data.matrix()
            return found.with_items(model.items)
        return model.inputs(self.data)

    def without(self, row: int) -> Any:
        """Return what asks for everybody, of whom one has no history."""
        if not isinstance(self.data, Interactions):
            asked = self.data.requests()
            at = asked.at.copy()
            at[row] = int(self.data.events.at.min())
            return replace(asked, at=at)
        matrix = self.data.to_scipy()
        matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]] = 0
        return Interactions.from_scipy(matrix, users=self.data.users, items=self.data.items)

    def shuffled(self) -> tuple[_World, _World]:
        """Return the world read from a frame, and from its rows in another order."""
        draw = stream(0, "testing/rows")
        if isinstance(self.data, Interactions):
            frame = self.data.to_frame()
            parts = (frame, frame.iloc[draw.permutation(len(frame))])
            first, second = (_World(Interactions.from_frame(part)) for part in parts)
            return first, second
        frame, log = self.data.events.to_frame(), self.data.events
        parts = (frame, frame.iloc[draw.permutation(len(frame))])
        first, second = (_World(self.data._with(events=_read_again(part, log))) for part in parts)
        return first, second

    def renamed(self) -> _World:
        """Return the world with other names of people and items, in the same order."""
        if isinstance(self.data, Interactions):
            x = self.data
            return _World(Interactions.from_scipy(x.csr, users=_renamed(x.users), items=_renamed(x.items)))
        log = self.data.events
        return _World(self.data._with(events=replace(log, users=_renamed(log.users), items=_renamed(log.items))))

    def smaller(self) -> Any:
        """Return a part of it."""
        if isinstance(self.data, Interactions):
            return self.data.take(np.arange(max(1, self.data.n_users // 2)))
        return self.data.before(from_microseconds(int(self.data.events.at.max())))


def ranks_by_score_then_code(estimator: Estimator, data: Any) -> None:
    """Lists hold each item once, by (score down, code up), and end in -1 and -inf."""
    world = _World.of(data)
    model = estimator.fit(world.data)
    seen, n_items = world.histories(model).csr, len(model.items)
    for exclude_seen in (True, False):
        recs = model.recommend(world.asked, k=n_items + 3, exclude_seen=exclude_seen)
        codes, scores = recs.codes, recs.scores
        law = f"ranks_by_score_then_code (exclude_seen={exclude_seen})"
        shape = (len(world.users), n_items + 3)
        _require(codes.shape == scores.shape == shape, f"{law}: answers must have the shape (n_users, k).")
        _require(codes.dtype == np.int32 and scores.dtype == np.float32, f"{law}: codes are int32, scores float32.")
        empty = codes == NONE
        _require(bool((empty == np.isneginf(scores)).all()), f"{law}: code -1 and score -inf must go together.")
        _require(not np.isnan(scores).any(), f"{law}: a score is NaN.")
        _require(bool((empty[:, 1:] >= empty[:, :-1]).all()), f"{law}: an item stands behind an empty place.")
        better = scores[:, :-1] > scores[:, 1:]
        tied = (scores[:, :-1] == scores[:, 1:]) & (codes[:, :-1] < codes[:, 1:])
        wrong = ~(better | tied | empty[:, 1:]).all(axis=1)
        _require(not wrong.any(), f"{law}: {int(wrong.sum())} of {len(recs)} lists are out of order.")
        left = n_items - (np.diff(seen.indptr) if exclude_seen else 0)
        short = (~empty).sum(axis=1) != left
        _require(not short.any(), f"{law}: {int(short.sum())} lists do not hold every item that is left.")


def top_5_begins_top_10(estimator: Estimator, data: Any) -> None:
    """A longer list begins with the shorter one."""
    world = _World.of(data)
    model, asked = estimator.fit(world.data), world.asked
    short, long = model.recommend(asked, k=5), model.recommend(asked, k=10)
    _require_same(short, long.head(5), "top_5_begins_top_10", "Rank all items the same way for any k.")


def answers_one_by_one_as_in_a_batch(estimator: Estimator, data: Any) -> None:
    """Nobody's list depends on who else is asked about, or in which order."""
    world = _World.of(data)
    model, asked = estimator.fit(world.data), world.asked
    batch, fix = model.recommend(asked, k=7), "Let each row of _rank depend on its own history only."
    for code in range(len(batch)):
        alone = model.recommend(asked.take(np.array([code])), k=7)
        _require_same(alone, batch.take(np.array([code])), "answers_one_by_one_as_in_a_batch", fix)
    order = stream(0, "testing/order").permutation(len(batch))
    shuffled = model.recommend(asked.take(order), k=7)
    _require_same(shuffled, batch.take(order), "answers_one_by_one_as_in_a_batch (shuffled)", fix)


def forgets_the_order_of_rows(estimator: Estimator, data: Any) -> None:
    """A frame in another order gives the same model."""
    first, second = _World.of(data).shuffled()
    _require_same(
        estimator.fit(first.data).recommend(first.asked, k=7),
        estimator.fit(second.data).recommend(second.asked, k=7),
        "forgets_the_order_of_rows",
        "Sum in the order of codes, not of arrival.",
    )


def forgets_the_names_of_ids(estimator: Estimator, data: Any) -> None:
    """Renaming people and items, in order, changes no code and no score."""
    world = _World.of(data)
    named = world.renamed()
    _require_same(
        estimator.fit(world.data).recommend(world.asked, k=7),
        estimator.fit(named.data).recommend(named.asked, k=7),
        "forgets_the_names_of_ids",
        "Compute with codes only.",
    )


def leaves_out_what_was_seen(estimator: Estimator, data: Any) -> None:
    """Nobody is shown an item of their own history, not even at the tail."""
    world = _World.of(data)
    model = estimator.fit(world.data)
    seen = world.histories(model).csr
    n, n_items = seen.shape
    recs = model.recommend(world.asked, k=n_items)
    row, place = np.nonzero(recs.codes != NONE)
    history = np.repeat(np.arange(n), np.diff(seen.indptr)) * n_items + seen.indices
    again = np.isin(row * n_items + recs.codes[row, place], history)
    _require(
        not again.any(),
        f"leaves_out_what_was_seen: {np.unique(row[again]).size} of {n} people are shown what they have. "
        "Pass exclude to the kernel.",
    )


def leaves_out_what_is_not_eligible(estimator: Estimator, data: Any) -> None:
    """Items that may not be shown never appear, by ids, by mask, per group or excluded; the others keep their order."""
    world = _World.of(data)
    model, asked = estimator.fit(world.data), world.asked
    n_items = len(model.items)
    mask = stream(0, "testing/eligible").random(n_items) < 0.4
    mask[0], mask[-1] = True, False
    everything = model.recommend(asked, k=n_items)
    n, law = len(everything), "leaves_out_what_is_not_eligible"
    for wanted in (mask, ~mask):
        kept = _filtered(everything, wanted[None, :].repeat(n, axis=0))
        for eligible in (wanted, model.items.ids[wanted]):
            recs = model.recommend(asked, k=n_items, eligible=eligible)
            _require_same(recs, kept, law, "Pass eligible to the kernel.")
        recs = model.recommend(asked, k=n_items, exclude=model.items.ids[~wanted])
        _require_same(recs, kept, f"{law} (exclude=)", "Take exclude out of what is eligible.")
    label = np.arange(n) % 2
    recs = model.recommend(asked, k=n_items, eligible=(label, {0: mask, 1: model.items.ids[~mask]}))
    kept = _filtered(everything, np.where(label[:, None] == 0, mask[None, :], ~mask[None, :]))
    _require_same(recs, kept, f"{law} (per group)", "Pass eligible to the kernel.")


def finds_similar_items_among_eligible_ones(estimator: Estimator, data: Any) -> None:
    """Similar items obey ``eligible``, ``exclude`` and ``threads`` as lists do; a model without any says so."""
    world, law = _World.of(data), "finds_similar_items_among_eligible_ones"
    model = estimator.fit(world.data)
    n_items, asked = len(model.items), model.items.ids
    try:
        everything = model.similar_items(asked, k=n_items)
    except ParameterError as error:
        _require("has no item similarities" in str(error), f"{law}: {error}")
        return
    _require(not (everything.codes == np.arange(n_items)[:, None]).any(), f"{law}: an item is similar to itself.")
    mask = stream(0, "testing/similar").random(n_items) < 0.5
    kept = _filtered(everything, mask[None, :].repeat(n_items, axis=0))
    ways: list[dict[str, Any]] = [
        {"eligible": mask},
        {"eligible": asked[mask]},
        {"exclude": asked[~mask]},
        {"exclude": ~mask},
    ]
    for how in ways:
        _require_same(model.similar_items(asked, k=n_items, **how), kept, law, "Pass eligible to the kernel.")
    label = np.arange(n_items) % 2
    grouped = model.similar_items(asked, k=n_items, eligible=(label, {0: mask, 1: ~mask}))
    kept = _filtered(everything, np.where(label[:, None] == 0, mask[None, :], ~mask[None, :]))
    _require_same(grouped, kept, f"{law} (per group)", "Pass eligible to the kernel.")
    few = model.similar_items(asked, k=3, threads=1)
    _require_same(few, model.similar_items(asked, k=3, threads=3), f"{law} (threads)", "Give each row one thread.")
    strange: Any = [_strange_id(model.items)]
    for parameter in ("eligible", "exclude"):
        rules: dict[str, Any] = {parameter: strange}
        try:
            model.similar_items(asked, k=1, **rules)
        except UnknownIdError:
            continue
        raise AssertionError(f"{law}: {parameter}= with an unknown item must raise UnknownIdError.")


def ignores_threads(estimator: Estimator, data: Any) -> None:
    """The number of threads changes no byte, neither of fit nor of recommend."""
    world = _World.of(data)
    model, asked = estimator.fit(world.data), world.asked
    one = model.recommend(asked, k=7, threads=1)
    _require_same(one, model.recommend(asked, k=7, threads=3), "ignores_threads", "Give each row one thread.")
    if "threads" in inspect.signature(estimator.fit).parameters:
        fit: Callable[..., Model] = estimator.fit
        for threads in (1, 3):
            again = fit(world.data, threads=threads).recommend(asked, k=7)
            _require_same(one, again, "ignores_threads (fit)", "Order every sum.")


def changes_no_input(estimator: Estimator, data: Any) -> None:
    """The estimator, the data and the arguments are what they were."""
    world = _World.of(data)
    given: Any = world.data if world.events is None else world.events
    before, holder = _bytes_inside(given), repr(estimator)
    model = estimator.fit(world.data)
    eligible = model.items.ids.copy()
    model.recommend(world.asked, k=3, eligible=eligible)
    model.score(world.asked, model.items.ids)
    _require(_bytes_inside(given) == before, "changes_no_input: the data were changed. Work on copies: x.to_scipy().")
    _require(repr(estimator) == holder, "changes_no_input: fit changed the estimator, which holds parameters only.")
    _require(bool((eligible == model.items.ids).all()), "changes_no_input: eligible was changed.")


def refuses_unknown_items(estimator: Estimator, data: Any) -> None:
    """A history with an item the model has never seen is an error, and requests leave it out."""
    world = _World.of(data)
    model = estimator.fit(world.data)
    known, fix = world.histories(model), "Align histories by id, with Model.recommend, not by position."
    strange = Interactions.from_scipy(known.csr, users=known.users, items=_strangers(known.items))
    try:
        model.recommend(strange, k=3)
    except UnknownIdError:
        pass
    else:
        raise AssertionError(f"refuses_unknown_items: histories of other items were ranked. {fix}")
    if world.events is None:
        return
    log = world.events
    past = world.data.before(_moment(log, len(log) // 2))
    try:
        older = estimator.fit(past)
    except OmnirecoError:
        return  # half of so few events is too little for this estimator
    older.recommend(world.asked, k=3)


def gives_popularity_to_the_unknown(estimator: Estimator, data: Any) -> None:
    """An empty history gets what most people chose, among others or alone."""
    world = _World.of(data)
    model = estimator.fit(world.data)
    recs, fix = model.recommend(world.without(0), k=7), "Leave empty histories to Model.recommend."
    _require_same(recs.take(np.array([0])), _popular(model, 1, 7), "gives_popularity_to_the_unknown", fix)
    if len(recs) > 1:
        rest = np.arange(1, len(recs))
        others = model.recommend(world.without(0).take(rest), k=7)
        _require_same(recs.take(rest), others, "gives_popularity_to_the_unknown (others)", fix)


def scores_what_it_ranks_by(estimator: Estimator, data: Any) -> None:
    """``score`` and ``recommend`` give the same number for the same person and item."""
    world = _World.of(data)
    model, asked = estimator.fit(world.data), world.asked
    shape = (len(world.users), len(model.items))
    recs = model.recommend(asked, k=shape[1], exclude_seen=False)
    scores = model.score(asked, model.items.ids)
    _require(
        scores.shape == shape and scores.dtype == np.float32,
        f"scores_what_it_ranks_by: score must be float32 of shape {shape}. Got {scores.dtype} {scores.shape}.",
    )
    wrong = (np.take_along_axis(scores, recs.codes, axis=1) != recs.scores).any(axis=1)
    _require(
        not wrong.any(),
        f"scores_what_it_ranks_by: {int(wrong.sum())} of {len(recs)} people have other scores in score() than in "
        "recommend(). Sum in the same order and the same precision in both.",
    )
    some = model.items.ids[::-2]
    _require(
        bool((model.score(asked, some) == scores[:, ::-2]).all()),
        "scores_what_it_ranks_by: the score of an item depends on which others are asked about.",
    )


def fits_twice_as_once(estimator: Estimator, data: Any) -> None:
    """A second fit gives the same model, and leaves the first one alone."""
    world = _World.of(data)
    first, asked = estimator.fit(world.data), world.asked
    before = first.recommend(asked, k=7)
    with contextlib.suppress(OmnirecoError):  # it may be too little for this estimator
        estimator.fit(world.smaller())
    fix = "Draw from omnireco._core.random.stream(seed, name) and keep nothing in the estimator."
    _require_same(before, estimator.fit(world.data).recommend(asked, k=7), "fits_twice_as_once", fix)
    _require_same(before, first.recommend(asked, k=7), "fits_twice_as_once (first model)", fix)


def answers_requests_as_histories(estimator: Estimator, data: Any) -> None:
    """Asked with requests, a model answers as with the rows of ``model.inputs(data)``."""
    world = _World.of(data)
    if world.events is None or (model := estimator.fit(world.data)).event_weights is None:
        return
    law, fix = "answers_requests_as_histories", "Keep event_weights: the weights that fit was given, or made."
    rows = model.inputs(world.data).rows(world.users.ids)
    _require_same(model.recommend(world.asked, k=7), model.recommend(rows, k=7), law, fix)
    middle = _moment(world.events, len(world.events) // 2)
    past = model.inputs(world.data.before(middle))
    here = world.data.requests(past.users.ids, at=middle)
    scores = model.score(here, model.items.ids)
    by_hand = model.score(past.with_items(model.items), model.items.ids)
    off = ~np.isclose(scores, by_hand, rtol=1e-3, atol=1e-4).all(axis=1)
    _require(not off.any(), f"{law}: {int(off.sum())} of {off.size} people get other scores in the past. {fix}")


def answers_each_request_alone(estimator: Estimator, data: Any) -> None:
    """Somebody who asks several times, at several instants, gets each time the answer of that instant."""
    world = _World.of(data)
    if world.events is None:
        return
    model, log = estimator.fit(world.data), world.events
    places = (0, len(log) // 2, len(log) - 1, len(log) // 2)
    moments = [*(_moment(log, place) for place in places), world.data.end]
    who = [world.users.ids[log.user[place]] for place in (-1, -1, -1, 0, -1)]
    together = model.recommend(world.data.requests(who, at=moments), k=7)
    for row, (user, at) in enumerate(zip(who, moments, strict=True)):
        alone = model.recommend(world.data.requests([user], at=at), k=7)
        fix = "Read histories per request, not per person."
        _require_same(together.take(np.array([row])), alone, "answers_each_request_alone", fix)


def leaves_out_baskets_and_what_requests_exclude(estimator: Estimator, data: Any) -> None:
    """What lies in the basket, and what a request excludes, is in no list; the order of the others stays."""
    world = _World.of(data)
    if world.events is None:
        return
    model, n = estimator.fit(world.data), len(world.users)
    n_items, draw = len(model.items), stream(0, "testing/baskets")
    sets = draw.random((n, n_items)) < 0.3
    named = [model.items.ids[row].tolist() for row in sets]
    law, users = "leaves_out_baskets_and_what_requests_exclude", world.users.ids
    everything = model.recommend(world.data.requests(users), k=n_items)
    kept = model.recommend(world.data.requests(users, exclude=named), k=n_items)
    _require_same(kept, _filtered(everything, ~sets), law, "Take requests.exclude out of every list.")
    for exclude_seen in (True, False):
        recs = model.recommend(world.data.requests(users, given=named), k=n_items, exclude_seen=exclude_seen)
        row, place = np.nonzero(recs.codes != NONE)
        again = sets[row, recs.codes[row, place]]
        _require(not again.any(), f"{law}: {int(again.sum())} items of baskets are recommended.")


def refuses_histories_of_other_weights(estimator: Estimator, data: Any) -> None:
    """Histories made with other weights than the model is asked with are an error."""
    world = _World.of(data)
    if world.events is None or (model := estimator.fit(world.data)).event_weights is None:
        return
    other = world.data.matrix(Weights(half_life="1h", cap=0.5))
    try:
        model.recommend(other.with_items(model.items), k=3)
    except ParameterError:
        return
    raise AssertionError("refuses_histories_of_other_weights: they were ranked. Keep event_weights, and call _align.")


def learns_nothing_from_after_a_cut(estimator: Estimator, data: Any) -> None:
    """Fitted on the data before a cut, it is as if the later rows had been removed by hand."""
    world = _World.of(data)
    if world.events is None:
        return
    log = world.events
    cut = _moment(log, 2 * len(log) // 3)
    try:
        estimator.fit(world.data.before(cut))
    except OmnirecoError:
        return  # too little for this estimator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_no_leak(estimator, world.data, cut)


MODEL_LAWS: tuple[Callable[[Estimator, Any], None], ...] = (
    ranks_by_score_then_code,
    top_5_begins_top_10,
    answers_one_by_one_as_in_a_batch,
    forgets_the_order_of_rows,
    forgets_the_names_of_ids,
    leaves_out_what_was_seen,
    leaves_out_what_is_not_eligible,
    finds_similar_items_among_eligible_ones,
    ignores_threads,
    changes_no_input,
    refuses_unknown_items,
    gives_popularity_to_the_unknown,
    scores_what_it_ranks_by,
    fits_twice_as_once,
    answers_requests_as_histories,
    answers_each_request_alone,
    leaves_out_baskets_and_what_requests_exclude,
    refuses_histories_of_other_weights,
    learns_nothing_from_after_a_cut,
)
"""The laws of a model: functions of an estimator and a small matrix or Dataset, for a test each."""


def _moment(log: EventLog, place: int) -> dt.datetime:
    """Return the instant of an event, by its place in the order of time."""
    return from_microseconds(int(np.take(log.at, place)))


def _read_again(frame: Any, log: EventLog) -> EventLog:
    """Return a log of some rows of another one's frame, with its window."""
    given = "date" if log.dated is not None and log.dated.all() else "instant"
    dates: Any = "detect" if log.dates_found else given
    read = EventLog.from_frame(frame, context=list(log.labels), itemless="keep", timestamp=dates)
    return replace(read, start_us=log.start_us, end_us=log.end_us)


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
