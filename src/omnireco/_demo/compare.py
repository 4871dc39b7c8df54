"""Models compared on a time split: hyper-parameters chosen on a validation slice, numbers from the test slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from omnireco._core.checks import from_microseconds
from omnireco._core.compute import track
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

DAY = 86_400_000_000
K = 10
SIMPLE = ("Popularity", "BuyAgain")
EVENT_WEIGHTS = {"view": 1.0, "add_to_cart": 3.0, "purchase": 5.0}


class Task(NamedTuple):
    """A question asked of the models."""

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
        """Return what a table calls it: the settings that differ from the defaults, and what was learned from."""
        shown = [
            f"{setting.name}={getattr(self.estimator, setting.name)!r}"
            for setting in fields(self.estimator)
            if getattr(self.estimator, setting.name) != setting.default
        ]
        return f"{self.family}({', '.join(shown)}) on {self.history}"


class Cut(NamedTuple):
    """Three stretches of time: learn and choose on the first two, then learn on both and measure on the third."""

    inner: Dataset
    validation: Dataset
    train: Dataset
    test: Dataset
    days: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a task's test said.

    Attributes
    ----------
    chosen : mapping of str to Choice
        Per family, what was best on the validation slice.
    validation : mapping of str to float
        The ndcg that each of them had there.
    report : Report
        On the test slice.
    baseline : str
        The better of the two simple models on the test slice, which is hard on the others.
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
        """Return the choice that was best on the validation slice: what the demo recommends with."""
        return self.chosen[max(self.validation, key=lambda family: self.validation[family])]


def cut_in_time(data: Dataset, *, days: int = 28) -> Cut:
    """Cut the last days off for the test, and as many before them for validation.

    Short logs get a shorter horizon: a sixth of their length, at least one day.
    """
    log = data.part("events", "cut_in_time")
    span = (log.end_us - log.start_us) // DAY
    days = int(min(days, span // 6))
    if days < 1:
        raise EmptyError(
            f"events: the log covers {counted(span, 'day')}, and a comparison over time needs 6 at "
            "least. Give a longer log."
        )
    end = log.end_us // DAY * DAY
    cuts = [from_microseconds(end - n * days * DAY) for n in (2, 1)]
    train, test = data.split(cuts[1], horizon=f"{days}D")
    inner, validation = train.split(cuts[0], horizon=f"{days}D")
    return Cut(inner, validation, train, test, days)


def choices(log: EventLog, *, quick: bool) -> list[Choice]:
    """Return what is tried; with ``quick`` one setting per family."""
    weigh = {name: weight for name, weight in EVENT_WEIGHTS.items() if name in log.events} or None
    recent = Weights(events=weigh, half_life="90D")
    every, once = Weights(events=weigh), Weights(binary=True)
    counted, faded, yes = "all events", "events of which half count after 90 days", "yes or no"
    tried = [
        Choice("Popularity", Popularity(), once, yes),
        Choice("BuyAgain", BuyAgain(prior=20), recent, faded),
        Choice("ItemKNN", ItemKNN(neighbors=200), once, yes),
        Choice("EASE", EASE(regularization=2000), once, yes),
        Choice("ALS", ALS(factors=64, unobserved_weight=0.3, iterations=8), once, yes),
    ]
    more = [
        Choice("BuyAgain", BuyAgain(prior=20), every, counted),
        Choice("ItemKNN", ItemKNN(neighbors=200), recent, faded),
        Choice("ItemKNN", ItemKNN(neighbors=200, similarity="bm25"), every, counted),
        Choice("EASE", EASE(regularization=100), recent, faded),
        Choice("EASE", EASE(regularization=500), once, yes),
        Choice("ALS", ALS(factors=64, regularization=0.001, unobserved_weight=3.0, iterations=8), recent, faded),
        Choice("ALS", ALS(factors=64, regularization=0.004, unobserved_weight=1.0, iterations=8), recent, faded),
    ]
    return tried if quick else tried + more


def compare(
    cut: Cut, tried: Sequence[Choice], *, seed: int, progress: bool = False
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """Return one comparison per task, and a sentence for every algorithm that could not run.

    Nothing is chosen on the test slice: the settings of each family are those that were best on the validation
    slice, learned only from what came before it.
    """
    asked = [
        task
        for task in TASKS
        if len(_truth(cut.validation, cut.inner, task)) and len(_truth(cut.test, cut.train, task))
    ]
    ranked, notes = _rank_all(cut.inner, tried, progress=progress, label="choosing settings")
    chosen = {task.key: _choose(cut, task, tried, ranked) for task in asked}
    again = list(dict.fromkeys(choice for best, _ in chosen.values() for choice in best.values()))
    ranked, _ = _rank_all(cut.train, again, progress=progress, label="testing")
    found = tuple(_test(cut, task, *chosen[task.key], ranked, seed=seed) for task in asked)
    if not found:
        raise EmptyError(
            f"events: nobody who was seen before {cut.train.end:%Y-%m-%d} chose anything in the "
            f"{counted(cut.days, 'day')} after "
            "it, so there is nothing to compare models on. Give a longer log, or one of people who come back."
        )
    left = [f"Left out, for nobody did so in the test weeks: {task.title}" for task in TASKS if task not in asked]
    return found, (*notes, *left)


def recommend(
    data: Dataset, choice: Choice, task: Task, *, offered: np.ndarray | None = None, k: int = K
) -> Recommendations:
    """Learn from the whole log and rank items for everybody in it."""
    model = choice.ready.fit(data)
    found: Recommendations = model.recommend(data.requests(), k=k, exclude_seen=task.exclude_seen, eligible=offered)
    return found


# steps ----------------------------------------------------------------------------------------------


def _rank_all(
    data: Dataset, tried: Sequence[Choice], *, progress: bool, label: str
) -> tuple[dict[tuple[str, str], Recommendations], tuple[str, ...]]:
    """Fit every choice once and rank for every task; an algorithm that refuses is left out with its reason."""
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
    """Return the best choice of each family on the validation slice, and the ndcg it had there."""
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
    """Return what people seen before chose later (bought, where anything was), without what they knew where asked."""
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
