"""One fitted estimator on one window: values per person, of lists, of a plan, or of messages with responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_names, shown
from omnireco.data.asking.touches import Touches
from omnireco.data.dataset import Cut, Dataset
from omnireco.data.frames.columns import instants_to_pandas, open_frame
from omnireco.data.interactions import Interactions
from omnireco.data.messages import NEVER
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation.evaluate import evaluate
from omnireco.evaluation.metrics import Metric
from omnireco.evaluation.trials.shares import Sides
from omnireco.timing.machines import answers_of_people

__all__ = ["LIKELIHOOD", "Judged", "Score", "check_estimator", "judged", "truth_of"]

LIKELIHOOD = "log likelihood"
"""Mean log likelihood of responses per message: what response models are compared by."""
Score = Callable[[Any, Dataset, Dataset], Any]
Planner = Callable[[Dataset, Recommendations], Any]
_FLOOR = 1e-6


class Judged(NamedTuple):
    """Values of one metric: a person per row."""

    title: str
    k: int
    users: Vocabulary
    values: np.ndarray


def check_estimator(estimator: Any, where: str, *, score: Score | None = None) -> None:
    """Refuse what has no ``fit``, or answers nothing that can be judged."""
    if isinstance(estimator, type) or not callable(getattr(estimator, "fit", None)):
        raise ParameterError(f"{where} takes estimators, such as om.EASE(). Got {shown(estimator)}.")
    verbs = getattr(estimator, "verbs", ("recommend",))
    if score is not None and not callable(score):
        raise ParameterError(
            f"{where}: score must be a function(model, past, later) that returns a frame with user_id and value. Got "
            f"{type(score).__name__}."
        )
    if score is None and not {"recommend", "probability"} & set(verbs):
        raise ParameterError(
            f"{where}: {type(estimator).__name__} neither recommends nor gives probabilities. Say how good its model "
            "is: score=function(model, past, later), a frame with user_id and value."
        )


def truth_of(later: Dataset, counts: Any, where: str) -> Dataset:
    """Return what people did later, as far as it counts."""
    if counts is None:
        return later
    names = check_names((counts,) if isinstance(counts, str) else counts, f"{where}: counts")
    events = later.part("events", where).select(events=names, missing="ignore")
    if not len(events):
        raise EmptyError(f"{where}: no event of {', '.join(map(shown, names))} in a window. Take longer windows.")
    return Dataset(events)


def judged(
    model: Any,
    cut: Cut | Sides,
    *,
    k: int,
    metrics: Sequence[Metric],
    counts: Any,
    where: str,
    plan: Planner | None = None,
    score: Score | None = None,
    exclude_seen: bool = True,
) -> tuple[list[Judged], list[Judged]]:
    """Return the values of a fitted model on the window after its past, and those of a plan made of its lists."""
    past, later = cut
    if score is not None:
        return [_scored(score(model, past, later), where)], []
    if callable(getattr(model, "recommend", None)):
        if isinstance(past, Interactions):
            lists = model.recommend(past.rows(later.users.ids), k=min(k, past.n_items))
            report = evaluate({"m": lists}, later, k=lists.k, metrics=list(metrics), train=past, n_bootstrap=0)
            return _cells_of(report), []
        lists = model.recommend(past.requests(), k=k, exclude_seen=exclude_seen)
        truth = truth_of(later, counts, where)
        planned = [] if plan is None else _lists_of(lists, truth, past, k, metrics, plan(past, lists))
        return _lists_of(lists, truth, past, k, metrics), planned
    return [_likelihood(model, past, later, where)], []


def _lists_of(
    lists: Recommendations, truth: Dataset, past: Dataset, k: int, metrics: Sequence[Metric], made: Any = None
) -> list[Judged]:
    shown_lists = lists if made is None else _planned(made, lists, k)
    return _cells_of(evaluate({"m": shown_lists}, truth, k=k, metrics=list(metrics), train=past, n_bootstrap=0))


def _cells_of(report: Any) -> list[Judged]:
    return [
        Judged(
            cell.metric,
            cell.k,
            report.users,
            np.full(len(report.users), cell.mean) if cell.values is None else cell.values,
        )
        for cell in report.cells
    ]


def _planned(made: Any, lists: Recommendations, k: int) -> Recommendations:
    """Return the items of a plan as lists: per person by value, each once, padded to k places."""
    frame = made.to_frame()
    frame = frame[frame["item_id"].notna()].sort_values(["user_id", "value"], ascending=[True, False], kind="stable")
    frame = frame.drop_duplicates(["user_id", "item_id"])
    frame = frame.assign(rank=frame.groupby("user_id").cumcount() + 1)
    frame = frame[frame["rank"] <= k]
    codes = np.full((len(lists.users), k), NONE, np.int32)
    row = lists.users.codes(frame["user_id"].to_numpy(), missing="none")
    item = lists.items.codes(frame["item_id"].to_numpy(), missing="none")
    known = (row != NONE) & (item != NONE)
    codes[row[known], frame["rank"].to_numpy()[known] - 1] = item[known]
    order = np.argsort(codes == NONE, axis=1, kind="stable")
    codes = np.take_along_axis(codes, order, axis=1)
    places = np.broadcast_to(-np.arange(k, dtype=np.float32), codes.shape)
    scores = np.where(codes == NONE, np.float32(-np.inf), places).astype(np.float32)
    return Recommendations(lists.users, lists.items, codes, scores)


def _scored(frame: Any, where: str) -> Judged:
    opened = open_frame(frame, f"{where}: score", needed=("user_id", "value"))
    users, user = opened.ids("user_id")
    value = opened.numbers("value")
    if not value.size:
        raise EmptyError(f"{where}: score returned no rows.")
    return Judged("score", 0, users, np.bincount(user, weights=value) / np.bincount(user))


def _likelihood(model: Any, past: Dataset, later: Dataset, where: str) -> Judged:
    """Return the mean log likelihood of the window's responses, per person."""
    messages = later.part("messages", where)
    if not len(messages):
        raise EmptyError(f"{where}: no message was sent in a window, so nothing says how good the probabilities are.")
    answered = answers_of_people(messages)[0] != NEVER
    ids = messages.users.ids[messages.user]
    goods = None
    if (messages.item != NONE).all():
        goods = messages.items.ids[messages.item]
    touches = Touches.of(
        past,
        ids,
        channel=messages.channels.ids[messages.channel],
        at=instants_to_pandas(messages.sent_at),
        items=goods,
        new_users=True,
    )
    chance = np.clip(np.asarray(model.probability(touches), np.float64), _FLOOR, 1 - _FLOOR)
    if chance.shape != answered.shape:
        raise ParameterError(f"{where}: the model gave {chance.shape} probabilities for {answered.shape} messages.")
    value = np.where(answered, np.log(chance), np.log1p(-chance))
    size = np.bincount(messages.user, minlength=messages.n_users)
    return Judged(LIKELIHOOD, 0, messages.users, np.bincount(messages.user, weights=value, minlength=size.size) / size)
