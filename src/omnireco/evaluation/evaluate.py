"""Evaluation of ranked lists on a test set.

It takes lists, never models: what another library recommended is measured by the same lines.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_integer, check_k, check_number, name_rows, shown
from omnireco._core.compute import Progress, check_progress, track
from omnireco._core.contract import says_the_line
from omnireco.data.asking.requests import Asked
from omnireco.data.catalog import Catalog
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.frames.columns import open_frame
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.evaluation.hits import find_hits
from omnireco.evaluation.metrics import Metric, RankedLists, metric_name, ndcg, recall
from omnireco.evaluation.report import Cell, Report, summarise
from omnireco.evaluation.sampled import SampledNegatives, check_negatives, cut_to_candidates, draw_candidates

__all__ = ["evaluate", "read_pairs"]

logger = logging.getLogger(__name__)


@says_the_line("om.evaluate({'als': recs}, later, k=10, metrics=[om.ndcg], train=om.Dataset(log, catalog=goods))")
def evaluate(
    lists: Mapping[str, Any],
    truth: Any,
    *,
    k: int | Sequence[int],
    metrics: Sequence[Metric] = (ndcg, recall),
    train: Any = None,
    users: Any = None,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
    negatives: SampledNegatives | None = None,
    progress: Progress = False,
) -> Report:
    """Return metrics of ranked lists, with intervals, for several models on the same users.

    Parameters
    ----------
    lists : mapping of str to Recommendations or frame
        A name for each model and its lists. A frame (of any other library) has ``user_id`` (or ``request_id``),
        ``item_id`` and ``rank`` or ``score``.
    truth : Dataset, EventLog, Interactions, Asked or frame
        What the same people really chose: every distinct (user, item) pair once. Of a Dataset the events,
        ``past, later = data.split(at)``; of events every one that has an item, so pick the kind that counts first:
        ``later.events.select(events=["purchase"])``. Of an Interactions the cells (their targets, where it has them)
        above 0. Lists for several requests of a person are compared with what was chosen at each:
        :meth:`omnireco.Requests.from_log`, or a frame with ``request_id`` and ``item_id``.
    k : int or sequence of int
        Length of list to evaluate. No list may be built for fewer places.
    metrics : sequence of callable
        ``om.ndcg`` and ``om.recall`` by default; variants by ``functools.partial(om.ndcg, ideal="all")``.
    train : Dataset, EventLog, Interactions or frame, optional
        The training set, for ``novelty``, ``diversity`` and the size of the catalogue. The catalogue of a Dataset,
        where it has one, describes the items of ``coverage`` and ``diversity(by="category")``.
    users : array-like of ids, optional
        Evaluate only these people (new ones, a segment). Those without truth are left out.
    confidence : float
        Probability the intervals are made for, between 0 and 1.
    n_bootstrap : int
        Number of resamples of users; 0 for no intervals.
    seed : int
        Where the resamples come from.
    negatives : SampledNegatives, optional
        Not for new work: cut every list down to the user's truth and so many random items (of the catalogue, not in
        ``train``), as papers before 2020 did. Such sampled metrics can put models in another order than all
        items do; the report is marked wherever it is shown. Lists must rank all items.
    progress : bool or callable(done, total)
        A bar over the lists.

    Returns
    -------
    Report
        ``.to_frame()``, ``.differences(baseline)``, ``.per_user(model, metric, k)``.

    Raises
    ------
    SchemaError
        When a frame lacks a column, a user's list names an item twice, or ids are integers on one side and
        strings on the other.
    ParameterError
        When ``k`` exceeds the lists' length, a metric needs something that was not given, or lists that are named by
        request are compared with a truth by person, or the other way round.
    EmptyError
        When nobody is left to evaluate, or a model has no list for any of them.

    Notes
    -----
    *Who counts.* Users with at least one item in the truth; the same ones for every model. Somebody in the truth
    without a list was shown nothing and scores 0 on accuracy (``report.n_without_list``); leaving them out would
    reward models that serve only easy users. Lists of users without truth are left out, of the metrics of the
    catalogue too (``report.n_without_truth``): there is nothing to compare them with.

    *What counts.* Items are matched by id. An item of the truth that no model could know, such as a new one,
    still counts as missed. Duplicates in the truth are one.

    *What metrics divide by.* ``recall``: all the user's items in the truth. ``ndcg``: the best list of min(k, that
    number). ``precision``: k. ``average_precision``: min(k, that number). Options change it.

    *Ties.* A Recommendations keeps its own order. A frame is ordered by rank, or by score downwards; equal ones
    by id, never by the order of rows.

    *The catalogue* of ``coverage`` is that of ``train``, else the items of its events, else all items that the given
    Recommendations know.

    *Intervals* are percentiles of the mean over resampled users. They cover what other users of the same kind would
    give; not what another week, or a model trained again, would. Metrics of the catalogue have none.

    *Determinism and cost.* Equal input gives equal output, whatever the order of rows. 10,000 users, 3 models, 3
    metrics and 1,000 resamples take well under a second; memory is (n_users, k) per model and about 32 MB more.

    References
    ----------
    Krichene and Rendle (2020), "On sampled metrics for item recommendation", KDD: why lists should rank all
    items, and why ``negatives`` needs an explicit word.

    Examples
    --------
    >>> import pandas as pd, omnireco.evaluation as ev
    >>> mine = pd.DataFrame({"user_id": ["u1", "u1", "u2", "u2"], "item_id": [1, 2, 1, 3], "rank": [1, 2, 1, 2]})
    >>> truth = pd.DataFrame({"user_id": ["u1", "u1", "u2"], "item_id": [1, 9, 3]})
    >>> report = ev.evaluate({"mine": mine}, truth, k=2, metrics=[ev.recall, ev.mean_reciprocal_rank])
    >>> report
    Report(1 model, 2 metrics, k=2, 2 users, split ...)
    >>> report.to_frame()[["model", "metric", "k", "mean", "n_users"]]
      model                metric  k  mean  n_users
    0  mine                recall  2  0.75        2
    1  mine  mean_reciprocal_rank  2  0.75        2
    """
    check_progress(progress)
    ks, named = check_lengths(k), check_metrics(metrics)
    check_negatives(negatives)
    confidence = check_number(confidence, "confidence", above=0)
    if confidence >= 1:
        raise ParameterError(f"confidence must be between 0 and 1. Got {confidence:g}. Write confidence=0.95.")
    n_bootstrap = check_integer(n_bootstrap, "n_bootstrap", low=0, high=1_000_000)
    seed = check_integer(seed, "seed", low=0)
    opened = _open_lists(lists, max(ks))
    chosen = read_pairs(truth, "the truth", needs_items=True)
    _check_keys(opened, chosen)
    seen, goods = _read_train(train)
    known = {"the truth": chosen.items} | {f"the lists of {shown(name)}": recs.items for name, recs in opened.items()}
    people = {"the truth": chosen.users} | {f"the lists of {shown(name)}": recs.users for name, recs in opened.items()}
    by_person = seen is not None and chosen.key != "request_id"
    _check_kinds(people | ({"train": seen.users} if seen is not None and by_person else {}), "user_id")
    known |= {"train": seen.items} if seen is not None else {}
    known |= {"catalog": goods.items} if goods is not None else {}
    items = _join_items(known)

    shared = _describe_items(items, seen, goods, lists, opened)
    keep, relevant = _relevant_items(chosen, items, users)
    longest = max(ks)
    aligned = {
        name: _align(recs, keep, items, longest if negatives is None else recs.k, name) for name, recs in opened.items()
    }
    if negatives is not None:
        pool = shared.get("in_catalog", np.ones(len(items), np.bool_))
        had = None if seen is None else _held(seen, keep, items)
        some = draw_candidates(relevant, had, pool, negatives=negatives.n, seed=seed)
        aligned = {name: cut_to_candidates(codes, some, longest, name) for name, codes in aligned.items()}
    cells: list[tuple[str, str, int, np.ndarray | float]] = []
    for name, codes in track(list(aligned.items()), progress, label="evaluate"):
        ranked = RankedLists(codes, find_hits(codes, relevant), np.diff(relevant.indptr).astype(np.int64), **shared)
        heads = {length: ranked.head(length) for length in ks}
        cells += [
            (name, title, length, _measure(metric, title, heads[length]))
            for title, metric in named.items()
            for length in ks
        ]
    report = Report(
        users=keep,
        cells=_summarise_cells(cells, len(keep), confidence=confidence, n_bootstrap=n_bootstrap, seed=seed),
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        seed=seed,
        n_without_list={name: int((codes[:, 0] == NONE).sum()) for name, codes in aligned.items()},
        n_without_truth={
            name: int((keep.codes(recs.users.ids, missing="none") == NONE).sum()) for name, recs in opened.items()
        },
        split=_fingerprint(chosen, seen),
        negatives=None if negatives is None else negatives.n,
    )
    logger.info("evaluated %r", report)
    return report


class _Pairs(NamedTuple):
    """Distinct (user, item) pairs and their vocabularies."""

    users: Vocabulary
    items: Vocabulary
    user: np.ndarray
    item: np.ndarray
    key: str | None = "user_id"  # what users are: people, requests, or not known


def _fingerprint(*sides: _Pairs | None) -> str:
    """Return 16 hexadecimal digits of distinct (user, item) pairs, whatever order and form they came in."""
    digest = hashlib.sha256()
    for side in sides:
        if side is None:
            digest.update(b"-")
            continue
        found = []
        for vocabulary, codes in ((side.users, side.user), (side.items, side.item)):
            present, place = np.unique(codes, return_inverse=True)
            ids = Vocabulary.from_ids(vocabulary.decode(present), "id")
            digest.update(ids.fingerprint.encode())
            found.append(ids.codes(vocabulary.decode(present))[place].astype(np.int64))
        digest.update(np.unique(found[0] << 32 | found[1]).tobytes())
    return digest.hexdigest()[:16]


def check_lengths(k: Any) -> tuple[int, ...]:
    lengths = list(k) if isinstance(k, Iterable) and not isinstance(k, (str, bytes)) else [k]
    if not lengths:
        raise ParameterError("k is empty. Write k=10 or k=[5, 10].")
    ks = tuple(check_k(length) for length in lengths)
    if len(set(ks)) < len(ks):
        raise ParameterError(f"k names a length twice: {list(ks)}. Write k={sorted(set(ks))}.")
    return ks


def check_metrics(metrics: Any) -> dict[str, Metric]:
    given = list(metrics) if isinstance(metrics, Iterable) and not isinstance(metrics, (str, bytes)) else [metrics]
    if not given:
        raise ParameterError("metrics is empty. Write metrics=[om.ndcg, om.recall].")
    if classes := [metric.__name__ for metric in given if isinstance(metric, type)]:
        raise ParameterError(
            f"metrics must be functions. Got the class {classes[0]}. Write metrics=[om.ndcg, om.recall]."
        )
    titles = [metric_name(metric) for metric in given]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise ParameterError(
            f"metrics holds {len(given)} functions, and several are called {twice[0]!r}, so a report could not tell "
            "them apart. Give each once; name your own with def."
        )
    return dict(zip(titles, given, strict=True))


def _open_lists(lists: Any, longest: int) -> dict[str, Recommendations]:
    if not isinstance(lists, Mapping) or not lists:
        raise ParameterError(
            f"lists must map the name of each model to its lists. Got {type(lists).__name__}"
            f"{' with nothing in it' if isinstance(lists, Mapping) else ''}. "
            "Write evaluate({'als': recommendations}, truth, ...)."
        )
    opened = {}
    for name, value in lists.items():
        recs = value if isinstance(value, Recommendations) else _read_lists(value)
        if not recs.k:
            raise EmptyError(
                f"the lists of {shown(name)} are empty: there is nothing to evaluate. Recommend for the users of "
                "the truth: "
                f"model.recommend(past.requests(), k={longest})."
            )
        if recs.k < longest:
            raise ParameterError(
                f"k={longest}, but the lists of {shown(name)} have {recs.k} places, so what they would have put "
                f"further down is not known. Recommend more, model.recommend(past.requests(), k={longest}), or "
                f"evaluate at k={recs.k}."
            )
        opened[str(name)] = recs
    return opened


def _read_lists(frame: Any) -> Recommendations:
    """Return lists of a frame; they are named by request where it has no people."""
    names = [str(name) for name in getattr(frame, "columns", getattr(frame, "column_names", ()))]
    if "request_id" not in names or "user_id" in names:
        return Recommendations.from_frame(frame)
    return replace(Recommendations.from_frame(frame, columns={"user_id": "request_id"}), key="request_id")


def _read_train(train: Any) -> tuple[_Pairs | None, Catalog | None]:
    """Return the pairs and the catalogue of a training set, as far as it has them."""
    if not isinstance(train, Dataset):
        return None if train is None else read_pairs(train, "train"), None
    return None if train.events is None else read_pairs(train.events, "train"), train.catalog


def read_pairs(source: Any, where: str, *, needs_items: bool = False) -> _Pairs:
    """Return what people chose, distinct or not, out of any form of a truth."""
    if isinstance(source, Dataset):
        source = source.part("events", f"evaluate: {where}")
    if isinstance(source, Asked):
        pairs = _cells_above(source.chosen, source.requests.key)
    elif isinstance(source, Interactions):
        pairs = _cells_above(source, None if source.weights is None else "user_id")
    elif isinstance(source, EventLog):
        with_item = source.item >= 0
        pairs = _Pairs(source.users, source.items, source.user[with_item], source.item[with_item])
    elif isinstance(source, (Mapping, Recommendations)):
        raise ParameterError(
            f"{where} must be a Dataset, an EventLog, an Interactions or a frame with user_id and item_id. "
            f"Got {type(source).__name__}. Write evaluate({{'als': recommendations}}, later, ...)."
        )
    else:
        pairs = _frame_pairs(source, f"evaluate, {where}")
    if needs_items and pairs.user.size == 0:
        raise EmptyError(
            f"{where} names no item that anybody chose, so there is nothing to evaluate against. Check the cut and "
            "the horizon: past, later = data.split(at, horizon='14D')."
        )
    return pairs


def _cells_above(x: Interactions, key: str | None) -> _Pairs:
    user = np.repeat(np.arange(x.n_users, dtype=np.int32), np.diff(x.csr.indptr))
    above = (x.csr if x.targets is None else x.targets).data > 0
    return _Pairs(x.users, x.items, user[above], x.csr.indices[above], key)


def _frame_pairs(frame: Any, where: str) -> _Pairs:
    names = [str(name) for name in getattr(frame, "columns", getattr(frame, "column_names", ()))]
    key = "request_id" if "request_id" in names and "user_id" not in names else "user_id"
    opened = open_frame(frame, where, needed=(key, "item_id"))
    (users, user), (items, item) = opened.ids(key), opened.ids("item_id")
    return _Pairs(users, items, user, item, key)


def _check_keys(lists: Mapping[str, Recommendations], chosen: _Pairs) -> None:
    """Refuse lists of requests where the truth is of people, or the other way round: numbers would meet by chance."""
    keys = {name: recs.key for name, recs in lists.items()}
    wanted = chosen.key if chosen.key is not None else next(iter(keys.values()))
    for name, key in keys.items():
        if key not in ("user_id", "request_id"):
            raise ParameterError(
                f"the lists of {shown(name)} are named by {shown(key)}: they say what is like what, not what somebody "
                "was shown. Evaluate model.recommend(past.requests(), k=10)."
            )
        if key != wanted:
            fix = (
                "Use model.recommend(past.requests(), k=10), or give what was chosen at each request: "
                "asked = om.Requests.from_log(later.events), model.recommend(asked.requests.on(data), k=10) and "
                "evaluate(..., asked)."
                if key == "request_id"
                else "Rank for the requests of the truth, model.recommend(asked.requests.on(data), k=10), or give a "
                "truth of people: evaluate(..., later)."
            )
            kinds = {"user_id": "person", "request_id": "request"}
            raise ParameterError(
                f"the lists of {shown(name)} are named by {kinds[key]}, and "
                f"{'the truth is' if chosen.key is not None else 'others are'} named by {kinds[wanted]}. {fix}"
            )


def _check_kinds(vocabularies: Mapping[str, Vocabulary], column: str) -> None:
    """Refuse ids that are integers here and strings there: they would never meet."""
    kinds: dict[bool, str] = {}
    for where, vocabulary in vocabularies.items():
        if len(vocabulary):
            kinds.setdefault(vocabulary.ids.dtype == object, where)
    if len(kinds) == 2:
        raise SchemaError(
            f"{column} holds strings in {kinds[True]} and integers in {kinds[False]}, so no two of them are equal. "
            f"Cast one of them: frame[{column!r}].astype(str)."
        )


def _join_items(known: Mapping[str, Vocabulary]) -> Vocabulary:
    """Return all items anybody names, sorted by id."""
    _check_kinds(known, "item_id")
    distinct = {id(vocabulary.ids): vocabulary.ids for vocabulary in known.values() if len(vocabulary)}
    return Vocabulary.from_ids(np.concatenate(list(distinct.values())), "item_id")


def _relevant_items(chosen: _Pairs, items: Vocabulary, users: Any) -> tuple[Vocabulary, sp.csr_matrix]:
    """Return the users to evaluate, sorted by id, and their relevant items as (n, n_items) CSR."""
    everybody = Vocabulary.from_ids(chosen.users.ids, "user_id")
    user = everybody.codes(chosen.users.ids)[chosen.user]
    matrix = _binary(user, items.codes(chosen.items.ids)[chosen.item], (len(everybody), len(items)))
    keep = np.diff(matrix.indptr) > 0
    if users is not None:
        wanted = everybody.codes(users.ids if isinstance(users, Vocabulary) else users, missing="none")
        is_wanted = np.zeros(len(everybody) + 1, np.bool_)
        is_wanted[wanted] = True
        keep &= is_wanted[:-1]
    if not keep.any():
        raise EmptyError(
            "users= names nobody who has an item in the truth, so there is nobody to evaluate. "
            "Take them from the truth, for example users=later.users."
        )
    rows = np.flatnonzero(keep)
    return everybody.take(rows), matrix[rows]


def _align(recs: Recommendations, keep: Vocabulary, items: Vocabulary, longest: int, name: str) -> np.ndarray:
    """Return one model's lists for the evaluated users, (n, longest) int32 codes in ``items``."""
    row = match(recs.users, keep, (f"the lists of {shown(name)}", "the truth"))
    if (row == NONE).all():
        raise EmptyError(
            f"{shown(name)} has a list for none of the {len(keep):,} users of the truth. Recommend for them: "
            "model.recommend(past.requests(ids), k=...)."
        )
    in_items = np.append(items.codes(recs.items.ids), np.int32(NONE)).astype(np.int32)
    codes = np.full((len(keep), longest), NONE, np.int32)
    present = row != NONE
    codes[present] = in_items[recs.codes[row[present], :longest]]
    ordered = np.sort(codes, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NONE)).any(1)
    if repeated.any():
        raise SchemaError(
            f"the lists of {shown(name)} name an item twice for {int(repeated.sum()):,} of {len(keep):,} users: "
            f"{name_rows(repeated)} of the evaluated users by id. A hit would count twice. Keep the best place: "
            "frame.sort_values('rank').drop_duplicates(['user_id', 'item_id'])."
        )
    return codes


def _held(seen: _Pairs, keep: Vocabulary, items: Vocabulary) -> sp.csr_matrix:
    """Return what the evaluated users had in the training data, (n, n_items)."""
    row = np.append(keep.codes(seen.users.ids, missing="none"), np.int32(NONE))[seen.user]
    kept = row != NONE
    return _binary(row[kept], items.codes(seen.items.ids)[seen.item[kept]], (len(keep), len(items)))


def _describe_items(
    items: Vocabulary,
    seen: _Pairs | None,
    goods: Catalog | None,
    lists: Mapping[str, Any],
    opened: Mapping[str, Recommendations],
) -> dict[str, Any]:
    """Return what metrics may want to know of items, as arguments of RankedLists."""
    described: dict[str, Any] = {}
    vectors: dict[str, sp.csr_matrix] = {}
    known = [recs.items for name, recs in opened.items() if isinstance(lists[name], Recommendations)]
    if seen is not None:
        shape = (len(items), len(seen.users))
        held = _binary(items.codes(seen.items.ids)[seen.item], seen.user, shape)
        described["popularity"] = np.diff(held.indptr).astype(np.int64)
        described["n_train_users"] = int(np.unique(held.indices).size)
        vectors["cooccurrence"] = _unit_rows(held)
        known = [seen.items]
    if goods is not None:
        known = [goods.items]
        if goods.category is not None:
            labels, category = goods.category
            row = np.flatnonzero(category >= 0)
            cells = items.codes(goods.items.ids)[row], category[row]
            vectors["category"] = _binary(*cells, (len(items), len(labels)))
    if known:
        described["in_catalog"] = np.zeros(len(items), np.bool_)
        for vocabulary in known:
            described["in_catalog"][items.codes(vocabulary.ids)] = True
    return described | {"vectors": vectors}


def _binary(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return the CSR with a 1 for every distinct (row, column)."""
    matrix = sp.csr_matrix((np.ones(row.size), (row, column)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _unit_rows(binary: sp.csr_matrix) -> sp.csr_matrix:
    """Return the matrix of ones with every row scaled to length 1."""
    n = np.diff(binary.indptr)
    return sp.csr_matrix((1.0 / np.sqrt(np.repeat(n, n)), binary.indices, binary.indptr), binary.shape)


def _measure(metric: Metric, title: str, lists: RankedLists) -> np.ndarray | float:
    """Return the value of the metric: one float64 per user, or one number of the catalogue."""
    answer = np.asarray(metric(lists))
    if answer.dtype.kind not in "biuf":
        raise ParameterError(f"the metric {shown(title)} must return numbers. Got {shown(answer[()])}.")
    if answer.shape == ():
        return float(answer)
    if answer.shape != (lists.n_users,):
        raise ParameterError(
            f"the metric {shown(title)} must return one value per user, shape ({lists.n_users},), or one number. "
            f"Got shape {answer.shape}. Take the mean over places, for example lists.hits.mean(1)."
        )
    return answer.astype(np.float64)


def _summarise_cells(
    found: Sequence[tuple[str, str, int, np.ndarray | float]],
    n_users: int,
    *,
    confidence: float,
    n_bootstrap: int,
    seed: int,
) -> tuple[Cell, ...]:
    columns = [answer if isinstance(answer, np.ndarray) else None for *_, answer in found]
    mean, low, high, _, n = summarise(columns, confidence=confidence, n_bootstrap=n_bootstrap, seed=seed)
    cells = []
    for at, ((model, title, length, answer), column) in enumerate(zip(found, columns, strict=True)):
        if column is None:
            cells.append(Cell(model, title, length, float(answer), np.nan, np.nan, n_users, None))
        else:
            column.setflags(write=False)
            ends = float(low[at]), float(high[at])
            cells.append(Cell(model, title, length, float(mean[at]), *ends, int(n[at]), column))
    return tuple(cells)
