"""Models compared on a time split: hyper-parameters tuned on a validation set, results from a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from omnireco._core.checks import from_microseconds
from omnireco._core.compute import track
from omnireco._core.units import DAY_US
from omnireco._demo.words import counted
from omnireco.data import Dataset, Recommendations
from omnireco.data.events import EventLog
from omnireco.data.weights import Weights
from omnireco.errors import EmptyError, ParameterError
from omnireco.evaluation import Report, coverage, evaluate, hit_rate, ndcg, recall
from omnireco.models import ALS, EASE, BuyAgain, ItemKNN, Popularity

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TASKS", "Choice", "Comparison", "Cut", "Task", "choices", "compare", "cut_in_time", "recommend"]

K = 10
SIMPLE = ("Popularity", "BuyAgain")
EVENT_WEIGHTS = {"view": 1.0, "add_to_cart": 3.0, "purchase": 5.0}


class Task(NamedTuple):
    """A recommendation task: with or without items that the person already knows."""

    key: str
    title: str
    exclude_seen: bool


TASKS = (
    Task("all", "What will this person choose next, known items included?", False),
    Task("new", "What will this person choose that they never chose before?", True),
)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """An algorithm with its hyper-parameters and the weights of the matrix it learns from."""

    family: str
    estimator: Any
    weights: Weights
    history: str

    @property
    def ready(self) -> Any:
        """Return the estimator with its weights: what is fitted."""
        return self.estimator.replace(weights=self.weights)

    @property
    def label(self) -> str:
        """Return its label in a table: hyper-parameters that differ from the defaults, and the training data."""
        shown = [
            f"{setting.name}={getattr(self.estimator, setting.name)!r}"
            for setting in fields(self.estimator)
            if getattr(self.estimator, setting.name) != setting.default
        ]
        return f"{self.family}({', '.join(shown)}) on {self.history}"


class Cut(NamedTuple):
    """Training, validation and test period: tune on the first two, then train on both and test on the third."""

    inner: Dataset
    validation: Dataset
    train: Dataset
    test: Dataset
    days: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The results of a task on the test set.

    Attributes
    ----------
    chosen : mapping of str to Choice
        Per family, the choice with the best validation score.
    validation : mapping of str to float
        The NDCG of each of them on the validation set.
    report : Report
        Metrics on the test set.
    baseline : str
        The better of the two simple models on the test set: a strict baseline.
    differences : pandas.DataFrame
        ``report.differences(baseline)``.
    """

    task: Task
    chosen: Mapping[str, Choice]
    validation: Mapping[str, float]
    report: Report
    baseline: str
    differences: pd.DataFrame

    @property
    def best(self) -> Choice:
        """Return the choice with the best validation score: what the demo recommends with."""
        return self.chosen[max(self.validation, key=lambda family: self.validation[family])]


def cut_in_time(data: Dataset, *, days: int = 28) -> Cut:
    """Keep the last days as the test set, and as many before them for validation.

    Short logs get a shorter horizon: a sixth of their length, at least one day.
    """
    log = data.part("events", "cut_in_time")
    span = (log.end_us - log.start_us) // DAY_US
    days = int(min(days, span // 6))
    if days < 1:
        raise EmptyError(
            f"events: the log covers {counted(span, 'day')}, and a comparison over time needs 6 at "
            "least. Give a longer log."
        )
    end = log.end_us // DAY_US * DAY_US
    cuts = [from_microseconds(end - n * days * DAY_US) for n in (2, 1)]
    train, test = data.split(cuts[1], horizon=f"{days}D")
    inner, validation = train.split(cuts[0], horizon=f"{days}D")
    return Cut(inner, validation, train, test, days)


def choices(log: EventLog, *, quick: bool) -> list[Choice]:
    """Return the candidates of the search; with ``quick`` one setting per family."""
    weigh = {name: weight for name, weight in EVENT_WEIGHTS.items() if name in log.events} or None
    recent = Weights(events=weigh, half_life="90D")
    every, once = Weights(events=weigh), Weights(binary=True)
    counted, decayed, binary = "event counts", "events weighted with a 90-day half-life", "binary events"
    tried = [
        Choice("Popularity", Popularity(), once, binary),
        Choice("BuyAgain", BuyAgain(prior_strength=20), recent, decayed),
        Choice("ItemKNN", ItemKNN(neighbors=200), once, binary),
        Choice("EASE", EASE(regularization=2000), once, binary),
        Choice("ALS", ALS(factors=64, unobserved_weight=0.3, iterations=8), once, binary),
    ]
    more = [
        Choice("BuyAgain", BuyAgain(prior_strength=20), every, counted),
        Choice("ItemKNN", ItemKNN(neighbors=200), recent, decayed),
        Choice("ItemKNN", ItemKNN(neighbors=200, similarity="bm25"), every, counted),
        Choice("EASE", EASE(regularization=100), recent, decayed),
        Choice("EASE", EASE(regularization=500), once, binary),
        Choice("ALS", ALS(factors=64, regularization=0.001, unobserved_weight=3.0, iterations=8), recent, decayed),
        Choice("ALS", ALS(factors=64, regularization=0.004, unobserved_weight=1.0, iterations=8), recent, decayed),
    ]
    return tried if quick else tried + more


def compare(
    cut: Cut, tried: Sequence[Choice], *, seed: int, progress: bool = False
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """Return one comparison per task, and a sentence for every algorithm that could not run.

    Nothing is tuned on the test set: the hyper-parameters of each family are those with the best score on the
    validation set, trained only on what came before it.
    """
    tasks = [
        task
        for task in TASKS
        if len(_truth(cut.validation, cut.inner, task)) and len(_truth(cut.test, cut.train, task))
    ]
    ranked, notes = _rank_all(cut.inner, tried, progress=progress, label="choosing settings")
    chosen = {task.key: _choose(cut, task, tried, ranked) for task in tasks}
    again = list(dict.fromkeys(choice for best, _ in chosen.values() for choice in best.values()))
    ranked, _ = _rank_all(cut.train, again, progress=progress, label="testing")
    found = tuple(_test(cut, task, *chosen[task.key], ranked, seed=seed) for task in tasks)
    if not found:
        raise EmptyError(
            f"events: nobody who was seen before {cut.train.end:%Y-%m-%d} chose anything in the "
            f"{counted(cut.days, 'day')} after "
            "it, so there is nothing to compare models on. Give a longer log, or one of people who come back."
        )
    left = [f"Left out, since nobody did so in the test period: {task.title}" for task in TASKS if task not in tasks]
    return found, (*notes, *left)


def recommend(
    data: Dataset, choice: Choice, task: Task, *, offered: np.ndarray | None = None, k: int = K
) -> Recommendations:
    """Fit on the whole data and rank items for everybody in it."""
    model = choice.ready.fit(data)
    found: Recommendations = model.recommend(data.requests(), k=k, exclude_seen=task.exclude_seen, eligible=offered)
    return found


# steps ----------------------------------------------------------------------------------------------


def _rank_all(
    data: Dataset, tried: Sequence[Choice], *, progress: bool, label: str
) -> tuple[dict[tuple[str, str], Recommendations], tuple[str, ...]]:
    """Fit every choice once and rank for every task; an algorithm that raises is left out, with its reason."""
    ranked: dict[tuple[str, str], Recommendations] = {}
    notes: list[str] = []
    for choice in track(tried, progress, label=label):
        try:
            model = choice.ready.fit(data)
        except (ParameterError, MemoryError) as error:
            notes.append(f"{choice.family} is left out: {error}")
            continue
        for task in TASKS:
            ranked[choice.label, task.key] = model.recommend(data.requests(), k=K, exclude_seen=task.exclude_seen)
    return ranked, tuple(dict.fromkeys(notes))


def _choose(
    cut: Cut, task: Task, tried: Sequence[Choice], ranked: Mapping[tuple[str, str], Recommendations]
) -> tuple[dict[str, Choice], dict[str, float]]:
    """Return the best choice of each family on the validation set, and its NDCG there."""
    lists = {choice.label: ranked[choice.label, task.key] for choice in tried if (choice.label, task.key) in ranked}
    truth = _truth(cut.validation, cut.inner, task)
    table = evaluate(lists, truth, k=K, metrics=[ndcg], n_bootstrap=0).to_frame()
    value = dict(zip(table["model"], table["mean"], strict=True))
    best: dict[str, Choice] = {}
    for choice in (choice for choice in tried if choice.label in value):
        if choice.family not in best or value[choice.label] > value[best[choice.family].label]:
            best[choice.family] = choice
    return best, {family: value[choice.label] for family, choice in best.items()}


def _test(
    cut: Cut,
    task: Task,
    chosen: Mapping[str, Choice],
    scores: Mapping[str, float],
    ranked: Mapping[tuple[str, str], Recommendations],
    *,
    seed: int,
) -> Comparison:
    lists = {family: ranked[choice.label, task.key] for family, choice in chosen.items()}
    report = evaluate(
        lists,
        _truth(cut.test, cut.train, task),
        k=K,
        metrics=[ndcg, recall, hit_rate, coverage],
        train=cut.train.events,
        seed=seed,
    )
    means = {cell.model: cell.mean for cell in report.cells if cell.metric == "ndcg"}
    baseline = max(SIMPLE, key=lambda family: means[family])
    return Comparison(task, chosen, scores, report, baseline, report.differences(baseline))


def _truth(after: Dataset, before: Dataset, task: Task) -> pd.DataFrame:
    """Return what existing users chose later (bought, if there are purchases); only new items if the task says so."""
    later, earlier = after.part("events", "the truth"), before.part("events", "the truth")
    if "purchase" in later.events:
        later = later.select(events=["purchase"])
    pairs = later.matrix(Weights(binary=True)).to_frame()[["user_id", "item_id"]]
    pairs = pairs[pairs["user_id"].isin(earlier.users.ids)]
    if task.exclude_seen:
        known = earlier.matrix(Weights(binary=True)).to_frame()[["user_id", "item_id"]]
        joined = pairs.merge(known, on=["user_id", "item_id"], how="left", indicator=True)
        pairs = joined.loc[joined["_merge"] == "left_only", ["user_id", "item_id"]]
    return pairs
