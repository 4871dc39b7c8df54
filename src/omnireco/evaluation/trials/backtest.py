"""Estimators on one cut after another: fit, recommend, plan, evaluate, and a leaderboard with paired intervals."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_k, check_mapping, check_one_or_more, count_of, shown
from omnireco._core.compute import Progress, in_parallel, ticker
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Text, Whole
from omnireco._core.written import replaced
from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.data.dataset import Cut, dataset_of
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import NONE, Vocabulary, unite
from omnireco.errors import ParameterError
from omnireco.evaluation.evaluate import check_metrics
from omnireco.evaluation.metrics import Metric, metric_name, ndcg, recall
from omnireco.evaluation.trials.judging import LIKELIHOOD, Judged, check_estimator, judged, truth_of
from omnireco.evaluation.trials.prints import print_of, said, said_function

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST", "Backtest", "backtest", "paired"]

_DRAWS, _CONFIDENCE, _FORM = 1000, 0.95, 2
FEWEST = 5  # people behind a mean that is shown
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Backtest:
    """What estimators earned on several cuts; made by :func:`backtest`.

    Attributes
    ----------
    leaderboard : pandas.DataFrame
        ``model metric k mean low high difference difference_low difference_high n_users n_cuts``, best first within a
        metric: the mean over people and cuts, and the paired difference to the baseline, with 95 % intervals by person.
    cuts : pandas.DataFrame
        ``cut model metric k mean n_users``: each cut by itself. Means of fewer than five people are NaN, there and in
        the leaderboard.
    baseline : str
        The estimator that differences are to: the first that was given.
    n_cuts, n_reused : int
        Windows; and cells that were found finished in ``folder``.
    """

    leaderboard: pd.DataFrame
    cuts: pd.DataFrame
    baseline: str
    n_cuts: int
    n_reused: int = 0

    parts: ClassVar[Parts] = {
        "leaderboard": Frame(("model", "metric"), ("mean", "low", "high", "difference")),
        "cuts": Frame(("model", "metric"), ("mean",)),
        "baseline": Text(),
        "n_cuts": Whole(),
        "n_reused": Whole(),
    }

    def __repr__(self) -> str:
        n = self.leaderboard["model"].nunique()
        first = self.leaderboard["model"].iloc[0] if n else ""
        return f"Backtest({count_of(n, 'model')} on {count_of(self.n_cuts, 'cut')}, first {first!r})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the leaderboard."""
        return self.leaderboard.copy()

    @property
    def verdict(self) -> str:
        """Which model is better than the baseline by the first metric, in words."""
        metric = self.leaderboard["metric"].iloc[0]
        others = self.leaderboard[(self.leaderboard["metric"] == metric) & (self.leaderboard["model"] != self.baseline)]
        better = others[others["difference_low"] > 0]
        if better.empty:
            return f"No model is shown to be better than {self.baseline} by {metric}: keep {self.baseline}."
        row = better.iloc[0]
        many = f"; {count_of(len(others), 'model')} looked at, without a correction" if len(others) > 1 else ""
        return (
            f"{row['model']} is better than {self.baseline} by {metric}: {row['difference']:+.4f} "
            f"({row['difference_low']:+.4f} to {row['difference_high']:+.4f}){many}."
        )


class _Cell(NamedTuple):
    """One estimator on one cut."""

    model: str
    cut: int
    judged: list[Judged]


@says_the_line("om.evaluation.backtest({'popular': om.Popularity(), 'ease': om.EASE()}, data, horizon='14D', k=10)")
def backtest(
    estimators: Mapping[str, Any],
    data: Any,
    *,
    horizon: Any = None,
    n: int = 3,
    k: int = 10,
    metrics: Sequence[Metric] = (ndcg, recall),
    counts: Any = None,
    plan: Callable[..., Any] | None = None,
    folder: Any = None,
    threads: int | None = None,
    progress: Progress = False,
) -> Backtest:
    """Fit, recommend and evaluate on one cut after another, as a service would have done.

    One window can flatter a model by luck; here each learns from all that was known at a cut, is measured on what came
    next, and models are compared on the same people and windows.

    Parameters
    ----------
    estimators : mapping of str to Estimator
        By name, the baseline first. What recommends is judged by ``metrics``; a response model by the log likelihood of
        the window's responses.
    data : Dataset, or sequence of Cut
        Cuts of your own say horizon and number themselves: ``data.rolling(horizon="14D", n=3, embargo="2D")`` leaves
        two days between each past and its window. There is no embargo by default: a fit reads and labels only what lies
        before the cut, so labels do not overlap. Give one where what happened before the cut is still written down
        after it (orders dated back, responses that arrive late), or where a service learns so long before it is used.
    horizon : str or timedelta, optional
        Length of each window, such as ``"14D"``; for a Dataset.
    n : int
        How many, the last one at the end of the data (:meth:`Dataset.rolling`).
    k : int
        Length of the lists.
    metrics : sequence of callable
        As in :func:`omnireco.evaluate`; the first one ranks.
    counts : str or iterable of str, optional
        The events that count as truth, such as ``"purchase"``; all with an item by default.
    plan : callable, optional
        ``plan(past, lists)`` returns a Plan; its items are evaluated too, as lists by value, under ``"name (plan)"``.
    folder : path, optional
        Where finished cells are kept. An interrupted run resumes with the cells that are missing; a cell whose data,
        estimator or settings differ in anything is not taken. No id of a person is written. A ``plan`` and metrics of
        your own are known by their code and all that they read; those that read what has no fingerprint are refused.
    threads : int, optional
        Cells at a time; all usable cores by default. Changes no number.
    progress : bool or callable(done, total)
        A bar over the fits: estimators times cuts.

    Returns
    -------
    Backtest

    Raises
    ------
    ParameterError
        When there is no estimator, a name is used twice, a window begins before its past ends, or ``folder`` is given
        with what has no fingerprint.
    EmptyError
        When a window holds nothing to compare with.

    Notes
    -----
    A person may be in several windows: the mean is over all their values, and resamples draw people, not values, so a
    person's windows stay together (the ratio of sums over people). 1,000 resamples, the same for all models. Intervals
    cover other people, not other seasons: look at ``cuts`` too. No correction is made for looking at many models. A
    metric of the catalogue (coverage) has one value per window and no interval. Deterministic. Cost: n fits per
    estimator.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.simulate(n_users=80, n_items=20, days=90, seed=1).dataset()
    >>> found = backtest({"popular": om.Popularity(), "ease": om.EASE()}, data, horizon="14D", n=2, k=5)
    >>> found.n_cuts, sorted(set(found.leaderboard["model"]))
    (2, ['ease', 'popular'])
    """
    given = check_mapping(estimators, "estimators", "{'popular': om.Popularity(), 'ease': om.EASE()}")
    if not given:
        raise ParameterError("backtest: estimators is empty. Write {'popular': om.Popularity(), 'ease': om.EASE()}.")
    for estimator in given.values():
        check_estimator(estimator, "backtest")
    names = [str(name) for name in given]
    if len(set(names)) < len(names):
        raise ParameterError("backtest: two estimators have one name.")
    k = check_k(k)
    if plan is not None and not callable(plan):
        raise ParameterError(f"backtest: plan must be a function(past, lists). Got {shown(plan)}.")
    wanted = list(check_metrics(metrics).values())
    counts = None if counts is None else check_one_or_more(counts, "backtest: counts")
    cuts = _cuts(data, horizon, n)
    store = None if folder is None else _open(folder)
    settings = ""
    if store is not None:
        own = [said_function(one, f"the metric {metric_name(one)}") for one in wanted]
        how = "" if plan is None else said_function(plan, "plan")
        settings = said([k, own, [metric_name(one) for one in wanted], None if counts is None else list(counts), how])
    steps = []
    for place, cut in enumerate(cuts):
        mark = "" if store is None else f"{print_of(cut.past)} {print_of(cut.later)} {settings}"
        for name, estimator in zip(names, given.values(), strict=True):
            run = partial(_run, name, estimator, place, cut, k=k, metrics=wanted, counts=counts, plan=plan)
            if store is not None:
                run = partial(_resumed, run, store, f"{mark} {name!r} {said(estimator)}", place, cut, counts)
            steps.append(run)
    with ticker(len(steps), progress, label="backtest") as tick:
        done: list[tuple[list[_Cell], bool]] = in_parallel([partial(_ticked, run, tick) for run in steps], threads)
    cells = [cell for found, _ in done for cell in found]
    leaderboard, by_cut = _tables(cells, names, cuts)
    result = Backtest(leaderboard, by_cut, names[0], len(cuts), sum(reused for _, reused in done))
    _log.info("backtested %r", result)
    return result


def _ticked(run: Callable[[], tuple[list[_Cell], bool]], tick: Callable[[], object]) -> tuple[list[_Cell], bool]:
    found = run()
    tick()
    return found


def _run(name: str, estimator: Any, place: int, cut: Cut, *, plan: Any, **how: Any) -> tuple[list[_Cell], bool]:
    """Fit one estimator on one past and judge it on what came next."""
    model = estimator.fit(cut.past, threads=1)
    own, planned = judged(model, cut, where="backtest", plan=plan, **how)
    return [_Cell(name, place, own), *([_Cell(f"{name} (plan)", place, planned)] if planned else [])], False


def _cuts(data: Any, horizon: Any, n: int) -> Sequence[Cut]:
    """Return the cuts that were given, none of which looks ahead, or those of a Dataset."""
    if not isinstance(data, (list, tuple)):
        if horizon is None:
            raise ParameterError("backtest: horizon, the length of each window, is missing. Write horizon='14D'.")
        return dataset_of(data, "backtest", ("events",)).rolling(horizon=horizon, n=n)
    if horizon is not None or not data or not all(isinstance(cut, Cut) for cut in data):
        raise ParameterError(
            "backtest takes a Dataset with horizon=, or cuts without: data.rolling(horizon='14D', n=3, embargo='2D')."
        )
    for cut in data:
        log = cut.later.part("events", "backtest")
        if len(log) and int(log.at.min()) < cut.past.end_us:
            raise ParameterError(
                "backtest: a window begins before its past ends, so a model would be judged on what it knows. Write "
                "data.rolling(horizon='14D', n=3)."
            )
    return data


# ---- finished cells -----------------------------------------------------------------------------------------------


def _open(folder: Any) -> Path:
    if not isinstance(folder, (str, os.PathLike)) or not str(folder):
        raise ParameterError(f"backtest: folder must be a path. Got {shown(folder)}.")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _resumed(run: Any, store: Path, mark: str, place: int, cut: Cut, counts: Any) -> tuple[list[_Cell], bool]:
    """Return the finished cells of the folder, or run them and write them whole."""
    path = store / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.cell"
    found = _read(path, mark, place, cut, counts)
    if found is not None:
        return found, True
    cells, _ = run()
    _write(path, mark, cells)
    return cells, False


def _write(path: Path, mark: str, cells: list[_Cell]) -> None:
    """Write cells whole or not at all. Values only, no ids.

    Whoever else writes the same cell at the same time writes the same values; the last one stays.
    """
    buffer = io.BytesIO()
    heads: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for cell in cells:
        for one in cell.judged:
            arrays[f"v{len(heads)}"] = one.values
            head = {"model": cell.model, "title": one.title, "k": one.k, "users": one.users.fingerprint}
            heads.append(head)
    header = json.dumps({"form": _FORM, "mark": mark, "heads": heads})
    np.savez(buffer, header=np.frombuffer(header.encode(), np.uint8), **arrays)
    body = buffer.getvalue()
    with replaced(path, "backtest") as stream:
        stream.write(hashlib.sha256(body).digest() + body)


def _read(path: Path, mark: str, place: int, cut: Cut, counts: Any) -> list[_Cell] | None:
    """Return the cells of a file; None where there is none, it is damaged, or it belongs to something else."""
    try:
        raw = path.read_bytes()
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            raise ValueError("checksum")
        cells: dict[str, _Cell] = {}
        with np.load(io.BytesIO(raw[32:]), allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            if header["form"] != _FORM or header["mark"] != mark:
                return None
            for i, head in enumerate(header["heads"]):
                title, values = str(head["title"]), file[f"v{i}"]
                one = Judged(title, int(head["k"]), _people(title, cut, counts), values)
                if head["users"] != one.users.fingerprint or values.shape != (len(one.users),):
                    raise ValueError("people")
                if values.dtype != np.float64:
                    raise ValueError("numbers")
                cells.setdefault(str(head["model"]), _Cell(str(head["model"]), place, [])).judged.append(one)
        return list(cells.values()) or None
    except FileNotFoundError:
        return None
    except (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError, TypeError,
            ValueError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        _log.warning("a finished cell cannot be read and is run again: %s", type(error).__name__)
        return None


def _people(title: str, cut: Cut, counts: Any) -> Vocabulary:
    """Return whom the values of a cell are of, in order: a file does not say it, the data does."""
    if title == LIKELIHOOD:
        known: Vocabulary = cut.later.part("messages", "backtest").users
        return known
    events = truth_of(cut.later, counts, "backtest").part("events", "backtest")
    return Vocabulary.from_ids(events.users.ids[np.unique(events.user[events.item != NONE])], "user_id")


# ---- tables -------------------------------------------------------------------------------------------------------


def paired(one: list[np.ndarray], base: list[np.ndarray], person: list[np.ndarray], n_people: int) -> tuple[float, ...]:
    """Return mean, low, high, difference, low, high and people, of values per window by person; NaN means undefined.

    Parameters
    ----------
    one, base : list of ndarray
        Values per window, the same people in both.
    person : list of ndarray of int64
        Who each value is of.
    n_people : int
    """
    values, others, who = (np.concatenate(parts) for parts in (one, base, person))
    kept = ~(np.isnan(values) | np.isnan(others))
    values, others, who = values[kept], others[kept], who[kept]
    if not values.size:
        return (*[float("nan")] * 6, 0)
    present, code = np.unique(who, return_inverse=True)
    size = np.bincount(code).astype(np.float64)
    sums = np.column_stack([size, np.bincount(code, weights=values), np.bincount(code, weights=values - others)])
    mean, gap = values.mean(), (values - others).mean()
    if present.size < 2:
        return float(mean), float("nan"), float("nan"), float(gap), float("nan"), float("nan"), int(present.size)
    draws = resampled_means(sums, n_draws=_DRAWS, seed=0)
    low, high = percentile_interval(draws[:, 1:] / draws[:, :1], _CONFIDENCE)
    return float(mean), float(low[0]), float(high[0]), float(gap), float(low[1]), float(high[1]), int(present.size)


def _tables(cells: list[_Cell], names: list[str], cuts: Sequence[Cut]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    of: dict[tuple[str, str, int], dict[int, Judged]] = {}
    for cell in cells:
        for one in cell.judged:
            of.setdefault((cell.model, one.title, one.k), {})[cell.cut] = one
    rows: list[tuple[Any, ...]] = []
    by_cut = []
    titles = list(dict.fromkeys((title, k) for _, title, k in of))
    models = list(dict.fromkeys(cell.model for cell in cells))
    for title, k in titles:
        base = of.get((names[0], title, k))
        block: list[tuple[Any, ...]] = []
        for model in models:
            mine = of.get((model, title, k))
            if mine is None:
                continue
            places = sorted(mine if base is None else set(mine) & set(base))
            everybody, codes = unite([mine[p].users for p in places], "users")
            other = mine if base is None else base
            numbers = paired(
                [mine[p].values for p in places], [other[p].values for p in places], list(codes), len(everybody)
            )
            constant = all(np.unique(mine[p].values).size == 1 and mine[p].values.size > 1 for p in places)
            numbers = (numbers[0], *[np.nan] * 2, numbers[3], *[np.nan] * 2, numbers[6]) if constant else numbers
            if base is None:
                numbers = (*numbers[:3], *[np.nan] * 3, numbers[6])
            if numbers[6] < FEWEST:
                numbers = (*[np.nan] * 6, numbers[6])
            block.append((model, title, k, *numbers, len(places)))
            for p in places:
                kept = ~np.isnan(mine[p].values)
                mean = float(mine[p].values[kept].mean()) if kept.sum() >= FEWEST else float("nan")
                by_cut.append((cuts[p].past.end, model, title, k, mean, int(kept.sum())))
        rows += sorted(block, key=lambda row: (-row[3] if not np.isnan(row[3]) else np.inf, models.index(row[0])))
    ends = ["mean", "low", "high", "difference", "difference_low", "difference_high", "n_users", "n_cuts"]
    table = pd.DataFrame(rows, columns=["model", "metric", "k", *ends])
    frame = pd.DataFrame(by_cut, columns=["cut", "model", "metric", "k", "mean", "n_users"])
    return table, frame.sort_values(["cut", "metric", "k"], kind="stable").reset_index(drop=True)
