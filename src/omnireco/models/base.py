"""What every model is: a learned function from histories to ranked items."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_flag, check_k, check_kind, shown
from omnireco._core.compute import Progress, row_blocks, track, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._kernels.topk.exact import rank_histories, select
from omnireco.data.asking.histories import faded_items, histories_of
from omnireco.data.asking.requests import Requests
from omnireco.data.dataset import dataset_of, matrix_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import PEOPLE, Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_codes
from omnireco.data.weights import Weights, agree
from omnireco.errors import EmptyError, ParameterError, SchemaError, UnknownIdError

__all__ = ["Model"]

_log = logging.getLogger(__name__)
_BLOCK = 4096
_BOOLS = (bool, np.bool_)


class Model(ABC):
    """A learned function from histories to ranked items; what ``fit`` returns.

    A model owns the vocabulary of its items, so it recommends for any history of items it
    knows: people it was fitted on, people whose history has grown since, and new ones are one code path.
    A person with an empty history gets the items that most people chose at fit time (``popularity``).

    Subclasses are frozen, final, and define how histories become scores (``_score``; ``_rank`` and ``_similar`` where
    they have a quicker way); ranking, exclusion, eligibility, ties and padding are done here, once. A history with
    targets (likes and dislikes) reaches a model that ``takes_targets`` as weights and, by the keyword ``targets``,
    their targets; any other as ``weight * target``.
    """

    __slots__ = ()

    takes_targets: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = False  # whether the channels of a history matter
    answers_everybody: ClassVar[bool] = False  # also those without a history

    items: Vocabulary
    popularity: np.ndarray
    event_weights: Weights | None = None

    _repr_html_ = shown_html

    @abstractmethod
    def _score(self, histories: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        """Return scores (n, len(codes)), float32, for histories none of which is empty."""

    def _rank(
        self,
        histories: sp.csr_matrix,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        eligible: Any,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (codes, scores), each (n, k), for histories (n, n_items) none of which is empty.

        By the score of every item; a model that can do with fewer, or takes targets, has a way of its own.
        """
        n, every = histories.shape[0], np.arange(len(self.items))
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for rows in row_blocks(n, 8 * len(self.items)):
            seen = None if exclude is None else exclude[rows]
            some = (eligible[0], eligible[1][rows]) if isinstance(eligible, tuple) else eligible
            codes[rows], scores[rows] = select(self._score(histories[rows], every), k=k, exclude=seen, eligible=some)
        return codes, scores

    def _similar(
        self, codes: np.ndarray, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (codes, scores), each (len(codes), k), of the eligible items most like some, themselves left out."""
        raise ParameterError(
            f"similar_items: a {type(self).__name__} has no item similarities. Fit ItemKNN, EASE or ALS on "
            "the same data and use that model."
        )

    @says_the_line("model.recommend(data.requests(), k=10)")
    def recommend(
        self,
        requests: Requests | Interactions,
        *,
        k: int,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank items for the users of the requests, given their histories.

        Parameters
        ----------
        requests : Requests or Interactions
            ``data.requests()``: histories are read out of the Dataset with the model's ``event_weights``,
            strictly before each request's instant; items the model does not know are left out of
            them. Or histories themselves, one row per person; ``x.rows(ids)`` takes some people of a matrix.
        k : int
            Length of the lists.
        eligible : optional
            What may be shown: None for everything; an array of item ids; a bool array over ``model.items``; or,
            for groups of people, a pair ``(groups, options)`` of one label per request and a mapping from each label to
            ids or a bool array (stock of the nearest shop, age limits).
        exclude : array of item ids, or of bool of shape (n_items,), optional
            What must not be shown to anybody; per request it is ``data.requests(exclude=...)``.
        exclude_seen : bool
            Leave out items in the person's own history. Items with a target of 0 or less, what the person
            disliked or hid, are left out always.
        threads : int, optional
            All usable cores by default; never changes the result.
        progress : bool or callable(done, total)
            A bar over blocks of people.

        Returns
        -------
        Recommendations
            By (score down, item code up). Fewer than ``k`` possible items leave -1 at the tail. Its ``users`` are
            the users; where a user has several requests, the numbers of the requests.

        Raises
        ------
        UnknownIdError
            When histories, ``eligible`` or ``exclude`` name items the model does not know.
        ParameterError
            When the histories were made with other event weights than the model's.

        Notes
        -----
        Deterministic: equal for any batch, block size and number of threads.
        """
        k = check_k(k)
        exclude_seen = check_flag(exclude_seen, "exclude_seen")
        usable_threads(threads)
        rules: dict[str, Any] = {"k": k, "exclude_seen": exclude_seen, "threads": threads, "progress": progress}
        parts = self._parts_by_channel(requests)
        if parts is None:
            question = self._question(requests)
            found = self._answer(question, _Eligible.read(eligible, self.items, len(question.users), exclude), **rules)
        else:
            queries = _requests_of(requests)
            allowed = _Eligible.read(eligible, self.items, len(queries), exclude)
            lists = [one._answer(one._question(queries.take(rows)), allowed.take(rows), **rules) for rows, one in parts]
            back = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
            codes, scores = (np.concatenate([getattr(x, name) for x in lists])[back] for name in ("codes", "scores"))
            found = Recommendations(queries.ids, self.items, codes, scores, queries.key)
        _log.info("%r made by %r", found, self)
        return found

    def _answer(
        self,
        question: _Question,
        allowed: _Eligible,
        *,
        k: int,
        exclude_seen: bool,
        threads: int | None,
        progress: Progress,
    ) -> Recommendations:
        n = len(question.users)
        barred = question.barred(exclude_seen=exclude_seen)
        rules: dict[str, Any] = {"k": k, "threads": threads}
        if 0 < n <= _BLOCK and progress is False:
            codes, scores = self._rank_block(question.past, barred, eligible=allowed.rows(slice(0, n)), **rules)
            codes, scores = codes.astype(np.int32, copy=False), scores.astype(np.float32, copy=False)
            return Recommendations(question.users, self.items, codes, scores, question.key)
        codes = np.full((n, k), NONE, np.int32)
        scores = np.full((n, k), -np.inf, np.float32)
        for rows in track(list(row_blocks(n, 1, most=_BLOCK)), progress, label="recommend"):
            out = None if barred is None else barred[rows]
            found = self._rank_block(question.past[rows], out, eligible=allowed.rows(rows), **rules)
            codes[rows], scores[rows] = found
        return Recommendations(question.users, self.items, codes, scores, question.key)

    def inputs(self, data: Any) -> Interactions:
        """Return all users' histories, as the model reads them.

        Parameters
        ----------
        data : Dataset, EventLog or EventScan
            The events that histories are made of.

        Raises
        ------
        ParameterError
            When the model was fitted on a matrix of unknown weights.
        """
        return matrix_of(data, None, "inputs", otherwise=self._asked_with("inputs"))

    def score(self, requests: Requests | Interactions, items: Any) -> np.ndarray:
        """Return the score of given items for the users of the requests.

        Parameters
        ----------
        requests : Requests or Interactions
            As in :meth:`recommend`.
        items : array-like of item ids, shape (m,)
            The items to score, one column each.

        Returns
        -------
        ndarray of shape (n_requests, m), float32
            What :meth:`recommend` ranks by; nothing is excluded.
        """
        codes = self.items.codes(items)
        parts = self._parts_by_channel(requests)
        if parts is None:
            return self._scores_of(self._question(requests).past, codes)
        scores = np.empty((len(requests), codes.size), np.float32)  # type: ignore[arg-type]
        for rows, one in parts:
            scores[rows] = one._scores_of(one._question(requests.take(rows)).past, codes)
        return scores

    def _scores_of(self, past: Past, codes: np.ndarray) -> np.ndarray:
        silent = past.silent()
        scores = np.empty((len(past), codes.size), np.float32)
        scores[silent] = self.popularity[codes]
        for rows in row_blocks(len(past), 4 * len(self.items)):
            warm = np.arange(rows.start, rows.stop)[~silent[rows]]
            if warm.size:
                scores[warm] = self._score_past(past[warm], codes)
        return scores

    @says_the_line("model.similar_items(model.items.ids[:3], k=10)")
    def similar_items(
        self, items: Any, *, k: int, eligible: Any = None, exclude: Any = None, threads: int | None = None
    ) -> Recommendations:
        """Return the items most like each of the given items.

        Parameters
        ----------
        items : array-like of item ids, unique
            The items that are asked about.
        k : int
            Items per list at most, 1 or more.
        eligible, exclude : optional
            What may be shown, and what must not, as in :meth:`recommend` (groups: one label per query item): what the
            shop sells today. The items that are asked about need not be eligible.
        threads : int, optional
            All usable cores by default; never changes the result.

        Returns
        -------
        Recommendations
            Its ``users`` are the query items; an item is never similar to itself.

        Raises
        ------
        UnknownIdError
            When ``items``, ``eligible`` or ``exclude`` name items the model does not know.
        ParameterError
            When the model has no item similarities.
        """
        k = check_k(k)
        usable_threads(threads)
        queries = distinct_codes(self.items, items)
        allowed = _Eligible.read(eligible, self.items, queries.size, exclude, "query items")
        codes, scores = self._similar(queries, k=k, eligible=allowed.rows(slice(None)), threads=threads)
        return Recommendations(self.items.take(queries), self.items, codes, scores, "similar_to")

    def similar_users(
        self, histories: Interactions, users: Any, *, k: int, threads: int | None = None
    ) -> Recommendations:
        """Return the people whose behaviour is most like that of given people.

        Parameters
        ----------
        histories : Interactions
            The users to search, including the query users.
        users : array-like of user ids, unique
            The query users.
        k : int
            Similar people per list at most, 1 or more.
        threads : int, optional
            All usable cores by default; never changes the result.

        Returns
        -------
        Recommendations
            Its ``users`` are the query users and its ``items`` the users found, by cosine: of their vectors
            in a factor model, of the histories themselves in any other. Nobody is similar to themselves, and
            users without a history have no similar users.
        """
        k = check_k(k)
        known = self._align(histories).without_targets()
        queries = distinct_codes(known.users, users)
        warm = np.diff(known.csr.indptr) > 0
        itself = sp.csr_matrix(
            (np.ones(queries.size), (np.arange(queries.size), queries)), (queries.size, known.n_users)
        )
        codes, scores = self._similar_rows(known.csr, queries, k=k, exclude=itself, eligible=warm, threads=threads)
        codes[~warm[queries]], scores[~warm[queries]] = NONE, -np.inf
        people = Vocabulary(known.users.ids, {PEOPLE: True})  # what is listed are people: shown by number
        return Recommendations(known.users.take(queries), people, codes, scores)

    def _similar_rows(
        self,
        histories: sp.csr_matrix,
        rows: np.ndarray,
        *,
        k: int,
        exclude: sp.csr_matrix,
        eligible: np.ndarray,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (codes, scores) of the rows of a matrix nearest to some of its rows, by cosine."""
        length = np.sqrt(np.asarray(histories.multiply(histories).sum(axis=1), np.float64)).ravel()
        scale = np.repeat(1.0 / np.where(length > 0, length, 1.0), np.diff(histories.indptr))
        unit = sp.csr_matrix(((histories.data * scale).astype(np.float32), histories.indices, histories.indptr))
        unit.resize(histories.shape)
        return rank_histories(unit[rows], unit.T.tocsr(), k, exclude, eligible, None, threads)

    def _align(self, histories: Interactions) -> Interactions:
        """Return the histories over the model's items; a history with an item it does not know is an error."""
        if not isinstance(histories, Interactions):
            raise SchemaError(
                f"recommend takes Requests or Interactions. Got {type(histories).__name__}: write data.requests(), "
                "model.inputs(log), Interactions.from_frame(frame), or x.rows([user_id]) for one person."
            )
        made, wanted = histories.weights, self.event_weights
        if made is not None and wanted is not None and not agree(wanted, made):
            raise ParameterError(
                f"recommend: the histories were made with {made!r}, and the model expects {wanted!r}. Write "
                "model.recommend(data.requests(), k=...), or model.inputs(log)."
            )
        if histories.items is self.items or histories.items == self.items:
            return histories
        unknown = self.items.codes(histories.items.ids, missing="none") == NONE
        used = np.zeros(histories.n_items, np.bool_)
        used[histories.csr.indices] = True
        if (n := int((unknown & used).sum())) > 0:
            raise UnknownIdError(
                f"recommend: the histories hold {n:,} item{'' if n == 1 else 's'} that the model has never seen "
                f"(it knows {len(self.items):,}). Refit on newer data, or leave them out: "
                "model.recommend(histories.with_items(model.items), k=...)."
            )
        return histories.with_items(self.items)

    def _question(self, requests: Any) -> _Question:
        """Return what is read of the users, over the model's items, and the item sets of the requests."""
        reader = Reader(requests) if isinstance(requests, Requests) else requests
        if not isinstance(reader, Reader):
            past = self._past_of(reader)
            return _Question(reader.users, past)
        queries = reader.requests
        sets = [
            None if held is None else held.matrix(self.items, f"{name}=")
            for held, name in ((queries.given, "given"), (queries.exclude, "exclude"))
        ]
        return _Question(queries.ids, self._read(reader), sets[0], sets[1], queries.key, reader.faded(self))

    def _read(self, reader: Reader) -> Past:
        """Return what the model reads of the users, out of the Dataset of the requests."""
        return self._past_of(reader.histories(self))

    def _past_of(self, histories: Interactions) -> Past:
        """Return histories as the model reads them, and which items they show as seen."""
        known = self._align(histories)
        cells, targets = self._cells(known)
        rejected = None if known.targets is None else known.rejected()
        return Past(cells, targets, self._seen(cells), rejected)

    def _seen(self, cells: sp.csr_matrix) -> sp.csr_matrix:
        """Return which items stand in what the model reads, (n, n_items)."""
        return cells

    def _parts_by_channel(self, requests: Any) -> list[tuple[np.ndarray, Model]] | None:
        """Return the rows of each channel and the model that ranks for it; None where one model answers all."""
        queries = _requests_of(requests)
        if not isinstance(queries, Requests) or "channel" not in queries.labels or not len(queries):
            return None
        known, code = queries.labels["channel"]
        found = [(np.flatnonzero(code == one), None if one < 0 else str(known.ids[one])) for one in np.unique(code)]
        parts = [(rows, self if channel is None else self._on_channel(channel)) for rows, channel in found]
        return None if all(model is self for _, model in parts) else parts

    def _on_channel(self, channel: str) -> Model:
        """Return the model that ranks for a channel; itself where its lists are the same on all."""
        return self

    def _can_answer(self, queries: Requests | Interactions, least: int) -> np.ndarray:
        """Return of whom so many items are known that the model may answer, bool (n,)."""
        if self.answers_everybody:
            return np.ones(len(queries) if isinstance(queries, Requests) else queries.n_users, np.bool_)
        return np.asarray(np.diff(self._question(queries).past.seen.indptr) >= least)

    def _factorised(self) -> Any:
        """Return the factor model whose products of vectors are the scores, None where there are no such vectors."""
        return None

    def _item_weights(self) -> Any:
        """Return what each item of a history adds to each score, (n_items, n_items); None where none is kept."""
        return None

    def _explained(self) -> tuple[Model, bool]:
        """Return the model whose score is the sum over the past, and whether it reads channels joined."""
        return self, False

    def _contributions(self, history: sp.csr_matrix, targets: np.ndarray | None, shown_items: np.ndarray) -> np.ndarray:
        """Return what each item of one history, with its targets if it has some, adds to each item (past, shown)."""
        raise ParameterError(
            f"explain: the score of a {type(self).__name__} is no sum over what a person did. Explain ItemKNN, EASE, "
            "SLIM, RP3beta, NextItem, PureSVD or ALS, CrossChannel of one, or a Blend of them with a scale but 'rank'."
        )

    def _all_weights(self) -> tuple[Weights, ...]:
        """Return every weighing of events that the model reads."""
        return () if self.event_weights is None else (self.event_weights,)

    def _reading(self) -> Hashable:
        """Return in which form events are read: models of one form and one weighing share histories."""
        return None

    def _events_read(self, log: EventLog) -> EventLog:
        """Return the events in the form in which histories are made of them."""
        return log

    def _asked_with(self, verb: str) -> Weights:
        if self.event_weights is None:
            raise ParameterError(
                f"{verb}: the model was fitted on a matrix of unknown weights, so it cannot weigh events. Fit it on "
                "events, fit(data), or give histories made as that matrix was: model.recommend(x.rows(ids), k=...)."
            )
        return self.event_weights

    def _cells(self, known: Interactions) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
        """Return histories as the model reads them, (n, n_items), with their targets beside them where it takes them.

        Other models read ``weight * target``; a cell of target 0 stays stored, since it is seen.
        """
        if known.targets is None or self.takes_targets:
            return known.csr, known.targets
        value = known.csr.data * known.targets.data
        return sp.csr_matrix((value, known.csr.indices, known.csr.indptr), known.shape), None

    def _rank_past(
        self, past: Past, *, k: int, exclude: sp.csr_matrix | None, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank for those none of whose histories is empty."""
        rules: dict[str, Any] = {"k": k, "exclude": exclude, "eligible": eligible, "threads": threads}
        return self._rank(past.cells, **rules, **past.target_rules())

    def _score_past(self, past: Past, codes: np.ndarray) -> np.ndarray:
        """Return scores (n, len(codes)), float32, of those none of whose histories is empty."""
        return self._score(past.cells, codes, **past.target_rules())

    def _score_all(self, histories: sp.csr_matrix, targets: sp.csr_matrix | None = None) -> np.ndarray:
        """Return the score of every item, (n, n_items), for histories none of which is empty."""
        return self._score_past(Past(histories, targets, histories), np.arange(len(self.items)))

    def _rank_block(
        self, past: Past, exclude: sp.csr_matrix | None, *, k: int, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        silent = past.silent()
        if not silent.any():
            return self._rank_past(past, k=k, exclude=exclude, eligible=eligible, threads=threads)
        codes = np.full((len(past), k), NONE, np.int32)
        scores = np.full((len(past), k), -np.inf, np.float32)
        cold = np.flatnonzero(silent)
        codes[cold], scores[cold] = most_popular(self.popularity, cold, k=k, exclude=exclude, eligible=eligible)
        if (warm := np.flatnonzero(~silent)).size:
            codes[warm], scores[warm] = self._rank_past(
                past[warm],
                k=k,
                exclude=None if exclude is None else exclude[warm],
                eligible=eligible if not isinstance(eligible, tuple) else (eligible[0], eligible[1][warm]),
                threads=threads,
            )
        return codes, scores


class Reader:
    """Requests whose histories are read once for all models that weigh and read events in the same way.

    Parameters
    ----------
    requests : Requests
    otherwise : Weights, optional
        Event weights for a model without event weights of its own.
    """

    __slots__ = ("_made", "otherwise", "requests")

    def __init__(self, requests: Requests, otherwise: Weights | None = None) -> None:
        self.requests, self.otherwise = requests, otherwise
        self._made: list[tuple[Hashable, Weights, Vocabulary, Interactions]] = []

    def histories(self, model: Model) -> Interactions:
        """Return one history per request, as the model reads it."""
        known = model.event_weights
        weights = self.otherwise if known is None and self.otherwise is not None else model._asked_with("recommend")
        layers = model.reads_layers
        form = model._reading(), layers
        for other_form, other, items, made in self._made:
            if form == other_form and weights == other and (items is model.items or items == model.items):
                return made
        made = histories_of(self.requests, weights, model.items, "recommend", model._events_read, layers=layers)
        self._made.append((form, weights, model.items, made))
        return made

    def faded(self, model: Model) -> sp.csr_matrix | None:
        """Return what people have had, where its weight may have faded to nothing in the histories of a model."""
        found = None
        for weights in model._all_weights():
            more = faded_items(self.requests, weights, model.items, "recommend")
            found = more if found is None else found if more is None else either(found, more)
        return found


def _requests_of(queries: Any) -> Any:
    return queries.requests if isinstance(queries, Reader) else queries


@dataclass(frozen=True, slots=True)
class Past:
    """What a model reads of the users of the requests, one row each; of a blend, one past per member in ``parts``.

    Parameters
    ----------
    cells : csr_matrix of shape (n, m)
        In the columns that the model reads.
    targets : csr_matrix of the same cells, or None
    seen : csr_matrix of shape (n, n_items)
        Which items they have had.
    rejected : csr_matrix of shape (n, n_items), or None
        Which of them they did not want.
    parts : tuple of Past
    """

    cells: sp.csr_matrix
    targets: sp.csr_matrix | None
    seen: sp.csr_matrix
    rejected: sp.csr_matrix | None = None
    parts: tuple[Past, ...] = ()

    def __len__(self) -> int:
        return int(self.cells.shape[0])

    def __getitem__(self, rows: Any) -> Past:
        cells = self.cells[rows]
        seen = cells if self.seen is self.cells else self.seen[rows]
        targets, rejected = (None if part is None else part[rows] for part in (self.targets, self.rejected))
        return Past(cells, targets, seen, rejected, tuple(part[rows] for part in self.parts))

    def silent(self) -> np.ndarray:
        """Return of whom nothing is known, bool (n,); of a blend, of whom no member knows anything."""
        if self.parts:
            return np.logical_and.reduce([part.silent() for part in self.parts])
        return _silent(self.cells, self.targets)

    def target_rules(self) -> dict[str, Any]:
        """Return the keyword that hands targets to a model which takes them; none where there are none."""
        return {} if self.targets is None else {"targets": self.targets}


@dataclass(frozen=True, slots=True)
class _Question:
    """What is read of the users, and per request the basket and the excluded items."""

    users: Vocabulary
    past: Past
    given: sp.csr_matrix | None = None
    exclude: sp.csr_matrix | None = None
    key: str = "user_id"
    faded: sp.csr_matrix | None = None

    def barred(self, *, exclude_seen: bool) -> sp.csr_matrix | None:
        """Return what is not to be recommended, (n, n_items): the past, where it is not wanted again, and the rest."""
        found = self.past.seen if exclude_seen else self.past.rejected
        for more in (self.given, self.exclude, self.faded if exclude_seen else None):
            if more is not None and more.nnz:
                found = more if found is None else either(found, more)
        return found


def either(one: sp.csr_matrix, other: sp.csr_matrix) -> sp.csr_matrix:
    """Return ones where one of two matrices has a cell, stored zeros included."""
    wide = one.shape[0], max(one.shape[1], other.shape[1])  # a typed history has one block of columns per type
    parts = [sp.csr_matrix((np.ones(m.nnz, np.float32), m.indices, m.indptr), wide) for m in (one, other)]
    joined = sp.csr_matrix(parts[0] + parts[1])
    joined.sort_indices()
    return joined


def _silent(histories: sp.csr_matrix, targets: sp.csr_matrix | None) -> np.ndarray:
    """Return who has an empty history, bool (n,): no cell, or none with a number other than 0."""
    numbers = histories.data if targets is None else targets.data
    if numbers.all():
        return np.asarray(histories.indptr[1:] == histories.indptr[:-1])
    row = np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr))
    return np.bincount(row[numbers != 0], minlength=histories.shape[0]) == 0


def count_users(x: Interactions) -> np.ndarray:
    """Return how many people chose each item (a cell above 0, or a target above 0), float32 of shape (n_items,)."""
    check_kind(x, Interactions, "x", "data.matrix()")
    wanted = (x.csr if x.targets is None else x.targets).data > 0
    return np.bincount(x.csr.indices[wanted], minlength=x.n_items).astype(np.float32)


def training_matrix(
    estimator: Any, data: Any, *, targets: bool = False, otherwise: Weights | None = None
) -> Interactions:
    """Return the behaviour matrix that an estimator learns from, made with its ``weights`` where ``data`` are events.

    Raises
    ------
    EmptyError
        When it has no cells.
    """
    where = f"{type(estimator).__name__}.fit"
    if not hasattr(estimator, "weights"):
        raise ParameterError(f"estimator must have weights=. Got {type(estimator).__name__}: write om.ALS().")
    check_kind(estimator.weights, Weights, "weights", "Weights(half_life='30D')", none=True)
    return require_interactions(matrix_of(data, estimator.weights, where, otherwise=otherwise), where, targets=targets)


def weighed(estimator: Any, weights: Weights) -> Any:
    """Return an estimator, and those inside it, with these weights of events where it has none of its own.

    Names in weights of its own that a part of a log lacks are passed over: the whole log has been checked for them.
    """
    if not isinstance(estimator, Estimator):
        return estimator
    changes: dict[str, Any] = {}
    for part in fields(estimator):  # type: ignore[arg-type]
        held = getattr(estimator, part.name)
        if isinstance(held, Estimator):
            changes[part.name] = weighed(held, weights)
        elif isinstance(held, Mapping) and any(isinstance(one, Estimator) for one in held.values()):
            changes[part.name] = {name: weighed(one, weights) for name, one in held.items()}
        elif isinstance(held, Weights):
            changes[part.name] = replace(held, missing="ignore")
        elif held is None and part.name == "weights" and str(part.type).startswith("Weights"):
            changes[part.name] = weights
    return replace(estimator, **changes)  # type: ignore[type-var]


def weights_inside(estimator: Any) -> list[Weights]:
    """Return the weights of events that an estimator and those inside it have of their own."""
    if not isinstance(estimator, Estimator):
        return []
    return [value for value in estimator.get_params().values() if isinstance(value, Weights)]


def events_of(data: Any, where: str) -> EventLog:
    """Return the events of a Dataset, a log or a frame, observed until the end of the Dataset; none are an error."""
    known = dataset_of(data, where, ("events",))
    log: EventLog = known.part("events", where)
    require_events(log, where)
    return log if log.end_us >= known.end_us else replace(log, end_us=known.end_us)


def require_interactions(x: Any, verb: str, *, targets: bool = False) -> Interactions:
    """Return ``x`` when it is an Interactions with at least one cell.

    Where the model takes no ``targets``, a matrix that has them becomes ``weight * target``, one number per cell.
    """
    if not isinstance(x, Interactions):
        raise SchemaError(
            f"{verb} takes Interactions. Got {type(x).__name__}: write log.matrix(weights) or "
            "Interactions.from_frame(frame)."
        )
    if x.nnz == 0:
        raise EmptyError(f"{verb}: the matrix has no cells. Check the weights (0 leaves an event out) and the split.")
    if targets or x.targets is None:
        return x
    if not (plain := x.without_targets()).nnz:
        raise EmptyError(
            f"{verb}: all {x.nnz:,} cells have the target 0: there are no positive targets. Check the targets."
        )
    return plain


@dataclass(frozen=True, slots=True)
class _Eligible:
    """Masks over items, one for all people or one per group of them."""

    masks: np.ndarray | None
    group: np.ndarray | None = None

    @classmethod
    def read(cls, eligible: Any, items: Vocabulary, n_users: int, exclude: Any = None, of: str = "people") -> _Eligible:
        found = cls._read(eligible, items, n_users, of)
        if exclude is None:
            return found
        shown_to = ~_item_mask(exclude, items, "exclude")
        return cls(shown_to if found.masks is None else found.masks & shown_to, found.group)

    @classmethod
    def _read(cls, eligible: Any, items: Vocabulary, n_users: int, of: str) -> _Eligible:
        if eligible is None:
            return cls(None)
        if not (isinstance(eligible, tuple) and len(eligible) == 2 and isinstance(eligible[1], Mapping)):
            return cls(_item_mask(eligible, items, "eligible"))
        labels, options = _labels(eligible[0]), eligible[1]
        if len(labels) != n_users:
            rows, order_of = ("rows of histories", "histories.users.ids") if of == "people" else (of, of)
            raise ParameterError(
                f"eligible=(groups, options): groups has {len(labels):,} labels for {n_users:,} {rows}. Give one each, "
                f"in the order of {order_of}."
            )
        order = {label: code for code, label in enumerate(options)}
        if missing := sum(label not in order for label in labels):
            raise ParameterError(
                f"eligible=(groups, options): {missing:,} of {len(labels):,} {of} have a group that options lacks. "
                "Add it with the items that group may see."
            )
        masks = [
            _item_mask(option, items, f"option {number} of eligible") for number, option in enumerate(options.values())
        ]
        group = np.array([order[label] for label in labels], np.int64)
        return cls(np.array(masks, np.bool_).reshape(-1, len(items)), group)

    def rows(self, rows: slice) -> Any:
        return self.masks if self.group is None else (self.masks, self.group[rows])

    def take(self, rows: np.ndarray) -> _Eligible:
        """Return what some rows may see."""
        return self if self.group is None else _Eligible(self.masks, self.group[rows])

    def given(self, rows: np.ndarray) -> Any:
        """Return what some rows may see, in the form in which ``recommend`` takes it."""
        if self.masks is None or self.group is None:
            return self.masks
        return self.group[rows].tolist(), dict(enumerate(self.masks))

    def cells(self, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return whether each row may see each item, both of shape (n,)."""
        if self.masks is None:
            return np.ones(rows.size, np.bool_)
        return np.asarray(self.masks[items] if self.group is None else self.masks[self.group[rows], items])


def _labels(groups: Any) -> list[Hashable]:
    labels = list(groups) if isinstance(groups, Iterable) and not isinstance(groups, (str, bytes)) else None
    if labels is None or not all(isinstance(label, Hashable) for label in labels):
        raise ParameterError(
            "eligible=(groups, options): groups must be a list of labels (strings or numbers), one per row of "
            f"histories. Got {type(groups).__name__}."
        )
    return labels


def _is_mask(eligible: Any) -> bool:
    """Return whether an eligible is booleans: numpy, pandas, polars or a plain list."""
    if (dtype := getattr(eligible, "dtype", None)) is not None:
        return str(dtype).lower().startswith("bool")
    return isinstance(eligible, list) and bool(eligible) and all(isinstance(value, _BOOLS) for value in eligible)


def _item_mask(eligible: Any, items: Vocabulary, name: str) -> np.ndarray:
    if isinstance(eligible, (str, bytes)) or not isinstance(eligible, Iterable):
        raise ParameterError(f"{name} must be item ids or a bool array over model.items. Got {shown(eligible)}.")
    if _is_mask(eligible):
        plain = getattr(eligible, "dtype", None) == np.bool_
        mask = np.asarray(eligible) if plain else np.array([isinstance(v, _BOOLS) and bool(v) for v in eligible])
        if mask.shape != (len(items),):
            raise ParameterError(
                f"{name} is a mask of shape {mask.shape}, and the model has {len(items):,} items. "
                "Order it by model.items.ids."
            )
        return mask
    mask = np.zeros(len(items), np.bool_)
    mask[items.codes(eligible)] = True
    return mask


def most_popular(
    popularity: np.ndarray, rows: np.ndarray, *, k: int, exclude: sp.csr_matrix | None, eligible: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes, scores) for users with an empty history (cold start): one list per group of eligibility.

    Those who only disliked get a list of their own, without what they disliked.
    """
    codes, scores = np.empty((rows.size, k), np.int32), np.empty((rows.size, k), np.float32)
    group = eligible[1][rows] if isinstance(eligible, tuple) else np.zeros(rows.size, np.int64)
    for label in np.unique(group):
        allowed = eligible[0][label] if isinstance(eligible, tuple) else eligible
        here = group == label
        codes[here], scores[here] = select(popularity[None, :], k=k, eligible=allowed)
        if exclude is None or not np.diff(exclude.indptr)[rows[here]].any():
            continue
        for place in np.flatnonzero(here & (np.diff(exclude.indptr)[rows] > 0)):
            own = select(popularity[None, :], k=k, exclude=exclude[[rows[place]]], eligible=allowed)
            codes[place], scores[place] = own[0][0], own[1][0]
    return codes, scores
