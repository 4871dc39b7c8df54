"""Published tables, run again on your machine: ours beside the published numbers, under the published protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, check_names, shown
from omnireco._core.compute import Progress, ticker
from omnireco._core.contract import Estimator
from omnireco._core.notebook import html_table
from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.data.events import EventLog
from omnireco.data.frames.columns import open_frame
from omnireco.data.interactions import Interactions
from omnireco.data.splits import fingerprint
from omnireco.data.vocabulary import NONE
from omnireco.data.weights import Weights
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.evaluation.evaluate import evaluate
from omnireco.models.together.blended import BlendModel
from omnireco.worlds.published import DECAYED, SAR_HISTORY, TABLES, Mix, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Reproduction", "reproduce"]

_log = logging.getLogger(__name__)
_SEEDS = 3  # splits of a table whose split is drawn


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reproduction:
    """A published table beside our own results.

    Parameters
    ----------
    name, source, protocol : str
        Which table, where its numbers stand, and what is counted how.
    columns : tuple of str
        Metrics with their k.
    rows : tuple of (model, by, values, low, high, seconds, setting)
        ``by`` is "published" or "ours"; ``low`` and ``high`` are the 95 % intervals of ours over people, one number
        per metric (NaN for published ones).
    n_people : int
        People the means are over.
    split : str
        Fingerprint of the split.
    """

    name: str
    source: str
    protocol: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, np.ndarray, np.ndarray, np.ndarray, float, str], ...]
    n_people: int
    split: str

    def __post_init__(self) -> None:
        for row in self.rows:
            for numbers in row[2:5]:
                numbers.setflags(write=False)

    def __repr__(self) -> str:
        ours = sum(row[1] == "ours" for row in self.rows)
        return f"Reproduction({self.name}: {ours} of ours beside {len(self.rows) - ours} published, split {self.split})"

    def __str__(self) -> str:
        table = self.to_frame()
        shown = table[["model", "by", *self.columns, "low", "high", "seconds"]]
        digits = {"seconds": "{:.1f}".format}
        text = shown.to_string(index=False, na_rep="", float_format="{:.4f}".format, formatters=digits)
        settings = "\n".join(f"  {row[0]}: {row[6]}" for row in self.rows if row[1] == "ours")
        return (
            f"{self.name}: {self.n_people:,} people, split {self.split}\nprotocol: {self.protocol}\n"
            f"published: {self.source}\n\n{text}\n"
            f"\nlow and high: 95 % interval of the last metric. Settings of ours:\n{settings}"
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p><p>{escape(self.source)}</p>{html_table(self.to_frame())}"

    __arrow_c_stream__ = arrow_stream

    def to_frame(self) -> pd.DataFrame:
        """Return one row per model: model, by, each metric, low and high of the last one, seconds to fit, setting."""
        import pandas as pd

        rows = [
            [model, by, *values, low[-1], high[-1], seconds, how]
            for model, by, values, low, high, seconds, how in self.rows
        ]
        return pd.DataFrame(
            rows,
            columns=["model", "by", *self.columns, "low", "high", "seconds", "setting"],
        )

    def gaps(self) -> pd.DataFrame:
        """Return ours minus published, per metric, of the models in both."""
        import pandas as pd

        theirs = {model: values for model, by, values, *_ in self.rows if by == "published"}
        ours = {model: values for model, by, values, *_ in self.rows if by == "ours" and model in theirs}
        found = [[model, *(values - theirs[model])] for model, values in ours.items()]
        return pd.DataFrame(found, columns=["model", *self.columns])


def reproduce(
    name: str, path: Any, *, models: Iterable[str] | Mapping[str, Any] | None = None, progress: Progress = False
) -> Reproduction:
    """Reproduce a published table, from your own copy of its data.

    So that nobody has to believe a number in a README: the same protocol, the settings that are stated, ours beside
    the published. ``print`` shows the table with its source and settings.

    Parameters
    ----------
    name : {"movielens_100k_mcrec", "movielens_1m_m1", "amazon_toys_seq", "movielens_100k_sar"}
        Which published table.
    path : str or Path
        The data, which may not be redistributed: a file, or a folder that holds it (directly, or in a folder of the
        table's name). Fixed splits: ``interactions.parquet`` with ``user_id``, ``item_id`` and ``split`` ("train" or
        "test"), or ``train.txt`` and ``test.txt`` with one person and their items per line. Sequences:
        ``sequences.parquet`` with ``user_id``, ``item_id`` and ``position``, or one person and their items per line.
        SAR: ``ratings.parquet`` with ``user_id``, ``item_id``, ``rating`` and ``timestamp``, or MovieLens' ``u.data``.
    models : iterable of str, or mapping of str to estimator, optional
        Rows of ours to run, by name; all by default. A mapping runs estimators of your own under the same protocol;
        not for the sequences, whose rows are mixes of two models.
    progress : bool or callable(done, total)
        A bar over models.

    Returns
    -------
    Reproduction

    Raises
    ------
    StorageError
        When the data are not there.
    SchemaError
        When the file has other columns.
    ParameterError
        When there is no such table, or it has no such model.

    Notes
    -----
    Deterministic. On two cores the first table takes about half a minute, the second two, the third one (and 4 GB),
    the last one. Lists are evaluated by :func:`omnireco.evaluate`, but for the sequences, where ties count half.

    Examples
    --------
    >>> reproduce("movielens_100k_mcrec", "/nowhere")
    Traceback (most recent call last):
    ...
    omnireco.errors.StorageError: movielens_100k_mcrec: there is no interactions.parquet in /nowhere...
    """
    check_choice(name, "name", tuple(TABLES))
    table = TABLES[name]
    if isinstance(models, Mapping):
        table = _with_rows(table, models)
    wanted = tuple(table.ours) if models is None else check_names(models, "models")
    for model in wanted:
        check_choice(model, "models", tuple(table.ours))
    file = _find(name, table, Path(path))
    run = {"pairs": _run_pairs, "sequence": _run_sequences, "shares": _run_shares}[table.kind]
    with ticker(len(wanted) * (_SEEDS if table.kind == "shares" else 1), progress, label=name) as tick:
        ours, n_people, split = run(table, file, wanted, tick)
    blank = np.full(len(table.metrics), np.nan)
    theirs = [
        (model, "published", np.array(values), blank, blank, np.nan, "") for model, values in table.published.items()
    ]
    done = Reproduction(
        name=name,
        source=table.source,
        protocol=table.protocol,
        columns=tuple(f"{metric}@{table.k}" for metric in table.metrics),
        rows=(*theirs, *ours),
        n_people=n_people,
        split=split,
    )
    _log.info("%r", done)
    return done


def _with_rows(table: Table, models: Mapping[str, Any]) -> Table:
    """Return the table with other rows of ours."""
    if table.kind == "sequence":
        raise ParameterError(
            "models: the rows of a table of sequences are mixes of two models, so they are named: "
            f"models=[{next(iter(table.ours))!r}]."
        )
    for row, estimator in models.items():
        if not isinstance(estimator, Estimator):
            raise ParameterError(
                f"models[{shown(row)}] must be an estimator. Got {shown(estimator)}: write "
                "models={'EASE': om.EASE(regularization=300)}."
            )
    return replace(table, ours=dict(models))


def _find(name: str, table: Table, path: Path) -> Path:
    """Return the file of a table: itself, in a folder, or in the table's folder inside it."""
    if path.is_file():
        return path
    places = [folder / file for folder in (path, path / name, path / name.removesuffix("_sar")) for file in table.files]
    for place in places:
        if place.is_file():
            return place
    raise StorageError(
        f"{name}: there is no {' or '.join(table.files)} in {path}, nor in its folder {name}. Give the file itself, or "
        "the folder it lies in; its format is described in the docstring of omnireco.worlds.reproduce."
    )


def _frame(file: Path) -> pd.DataFrame:
    """Return a parquet file, MovieLens' u.data, or lines of one person and their items in order."""
    import pandas as pd

    if file.suffix == ".parquet":
        return pd.read_parquet(file)
    if file.name == "u.data":
        rows = pd.read_csv(file, sep="\t", names=["user_id", "item_id", "rating", "timestamp"])
        return rows.assign(timestamp=pd.to_datetime(rows["timestamp"], unit="s", utc=True))
    lines = [line.split() for line in file.read_text("utf-8").splitlines()]
    sizes = [max(0, len(line) - 1) for line in lines]
    return pd.DataFrame(
        {
            "user_id": [line[0] for line in lines for _ in line[1:]],
            "item_id": [item for line in lines for item in line[1:]],
            "position": [place for n in sizes for place in range(n)],
        }
    )


def _values(
    table: Table, lists: Mapping[str, Any], truth: Any, train: Interactions
) -> tuple[dict[str, tuple[np.ndarray, ...]], int, str]:
    """Return (mean, low, high) per model, how many people, and the fingerprint of the split."""
    report = evaluate(lists, truth, k=table.k, metrics=list(table.metrics.values()), train=train)
    cells = {name: [cell for cell in report.cells if cell.model == name] for name in lists}
    found = {
        name: tuple(np.array([getattr(cell, part) for cell in row]) for part in ("mean", "low", "high"))
        for name, row in cells.items()
    }
    return found, len(report.users), report.split


def _run_pairs(table: Table, file: Path, wanted: tuple[str, ...], tick: Any) -> tuple[list[Any], int, str]:
    import pandas as pd

    rows = _frame(file)
    if "split" not in rows and file.name == "train.txt":
        test_rows = _frame(file.with_name("test.txt"))
        rows = pd.concat([rows.assign(split="train"), test_rows.assign(split="test")])
    opened = open_frame(rows, f"reproduce, {file.name}", needed=("user_id", "item_id", "split"))
    train, test = (rows.loc[rows["split"] == side, ["user_id", "item_id"]] for side in ("train", "test"))
    if not len(train) or not len(test):
        got = opened.names("split")[0].ids.tolist()
        raise SchemaError(f"{file.name}: 'split' must name 'train' and 'test' rows. Got {got}.")
    x = Interactions.from_frame(train, binary=True)
    lists, seconds = {}, {}
    for model in wanted:
        start = perf_counter()
        fitted = table.ours[model].fit(x)
        seconds[model] = perf_counter() - start
        lists[model] = fitted.recommend(x, k=table.k)
        tick()
    found, n_people, split = _values(table, lists, test, x)
    ours = [(model, "ours", *found[model], seconds[model], repr(table.ours[model])) for model in wanted]
    return ours, n_people, split


def _run_shares(table: Table, file: Path, wanted: tuple[str, ...], tick: Any) -> tuple[list[Any], int, str]:
    rows = _frame(file)
    needed = ("user_id", "item_id", "rating", "timestamp")
    open_frame(rows, f"reproduce, {file.name}", needed=needed)
    rows = rows[list(needed)].rename(columns={"rating": "value"}).assign(channel="web", event="rating")
    per_seed, seconds, people, splits = [], dict.fromkeys(wanted, 0.0), 0, []
    for seed in range(_SEEDS):
        order = rows.iloc[np.random.default_rng(seed).permutation(len(rows))]
        taste = order.groupby("user_id")["item_id"]
        early = taste.cumcount() < (0.75 * taste.transform("size")).round()
        log = EventLog.from_frame(order[early])
        x, rated = log.matrix(Weights(binary=True)), log.matrix(SAR_HISTORY)
        lists = {}
        for model in wanted:
            start = perf_counter()
            fitted = table.ours[model].fit(x)
            seconds[model] += (perf_counter() - start) / _SEEDS
            if model == "SAR":  # similarities of binary rows, asked with graded ones: what the published one is
                fitted = replace(fitted, event_weights=SAR_HISTORY)
            lists[model] = fitted.recommend(rated if model == "SAR" else x, k=table.k)
            tick()
        found, people, split = _values(table, lists, order.loc[~early, ["user_id", "item_id"]], x)
        per_seed.append(found)
        splits.append(split)
    ours = []
    for model in wanted:
        mean, low, high = (np.mean([found[model][part] for found in per_seed], axis=0) for part in range(3))
        how = repr(table.ours[model]) + (f" with the history {SAR_HISTORY}" if model == "SAR" else "")
        ours.append((model, "ours", mean, low, high, seconds[model], how))
    return ours, people, " ".join(splits)


def _run_sequences(table: Table, file: Path, wanted: tuple[str, ...], tick: Any) -> tuple[list[Any], int, str]:
    train, known, target = read_sequences(file)
    parts, seconds = fit_sequences(table, train)
    flat, fading = (known.matrix(how).with_items(train.items) for how in (Weights(binary=True), DECAYED))
    people, ours = 0, []
    for model in wanted:
        mix: Mix = table.ours[model]
        values = sequence_gains(parts, mix, fading if mix.fading else flat, target, k=table.k)
        draws = resampled_means(values, n_draws=1000, seed=0)
        low, high = percentile_interval(draws, 0.95)
        spent = sum(seconds[name] for name in ("next_item", "ease") if getattr(mix, name))
        ours.append((model, "ours", values.mean(axis=0), low, high, spent, repr(mix)))
        people = len(values)
        tick()
    return ours, people, fingerprint(train, known)


def read_sequences(file: Path, *, back: int = 0) -> tuple[EventLog, EventLog, pd.Series]:
    """Return sequences without their last two items, without the last one, and the last one of each person.

    With ``back=1`` the last but one is the target, to choose settings on: the train side stays the same.
    """
    import pandas as pd

    rows = _frame(file)
    open_frame(rows, f"reproduce, {file.name}", needed=("user_id", "item_id", "position"))
    left = rows.groupby("user_id")["position"].transform("size") - 1 - rows["position"]
    stamps = pd.to_datetime(rows["position"], unit="D", utc=True)  # an order, not a time
    rows = rows.assign(channel="web", event="review", timestamp=stamps)
    columns = ["user_id", "item_id", "channel", "event", "timestamp"]
    train = EventLog.from_frame(rows.loc[left >= 2, columns])
    known = train if back else EventLog.from_frame(rows.loc[left >= 1, columns])
    return train, known, rows[left == back].set_index("user_id")["item_id"]


def fit_sequences(table: Table, train: EventLog) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the two models that the rows of a sequence table mix, and the seconds each took."""
    if table.mixed is None:
        raise ParameterError("fit_sequences takes a table of sequences, such as TABLES['amazon_toys_seq'].")
    following, together = table.mixed
    start = perf_counter()
    first = following.fit(train)
    middle = perf_counter()
    second = together.fit(train.matrix(Weights(binary=True)))
    seconds = {"next_item": middle - start, "ease": perf_counter() - middle}
    return {"next_item": first, "ease": second}, seconds


def sequence_gains(
    parts: Mapping[str, Any], mix: Mix, histories: Interactions, target: pd.Series, *, k: int
) -> np.ndarray:
    """Return (hit, NDCG) per person, (n, 2): whether the target is among the first ``k``, ties counting half."""
    counts = {name: getattr(mix, name) for name in parts if getattr(mix, name)}
    asked = {name: replace(parts[name], event_weights=histories.weights) for name in counts}  # one history for all
    model = BlendModel.of(asked, weights=counts, scale="none")
    code = model.items.codes(target.reindex(histories.users.ids).to_numpy(), missing="none")
    rank = np.full(code.size, np.inf)
    for start in range(0, code.size, 1000):
        some = histories.take(np.arange(start, min(start + 1000, code.size)))
        scores, aim = model.score(some, model.items.ids), code[start : start + 1000]
        own = scores[np.arange(aim.size), np.maximum(aim, 0)].copy()
        scores[np.repeat(np.arange(aim.size), np.diff(some.csr.indptr)), some.csr.indices] = -np.inf
        above, level = (scores > own[:, None]).sum(1), (scores == own[:, None]).sum(1) - 1
        rank[start : start + 1000] = np.where(aim != NONE, above + 0.5 * level, np.inf)
    hit = rank < k
    return np.column_stack([hit.astype(float), np.where(hit, 1 / np.log2(np.where(hit, rank, 0) + 2), 0.0)])
