"""What next, now: sessions like this one, and the last minutes blended with the long run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import (
    check_duration,
    check_flag,
    check_integer,
    check_k,
    check_names,
    check_number,
    shown,
)
from omnireco._core.compute import Progress, row_blocks, track, usable_threads
from omnireco._core.contract import Estimator, says_the_line
from omnireco._core.notebook import shown_html
from omnireco._kernels.log.order import distinct
from omnireco._kernels.topk.exact import select, topk
from omnireco.data.asking.asof import histories_at
from omnireco.data.asking.histories import events_of_few, faded_items, people_asking
from omnireco.data.asking.requests import Requests
from omnireco.data.events import EventLog
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, check_names_of
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.base import Model, _Eligible, either, events_of, most_popular
from omnireco.models.matrix.neighbors import NeighborModel

__all__ = ["SessionKNN", "WhatNext"]

_BLOCK = 4096
_FEW = 8  # ids that a vocabulary looks up one by one, at a hundredth of a column's cost
_TINY = 1e-30  # an event that has faded is still a seen item


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SessionKNN(Estimator):
    """Recommend what people did in sessions like this one.

    Needs no identity and no long history: the last few clicks are compared with sessions of everybody, the most similar
    ones are neighbours, and recent sessions weigh more. Where most visitors are anonymous, this is the baseline to
    beat.

    Parameters
    ----------
    neighbors : int
        Number of neighbour sessions.
    gap : str or timedelta
        A pause this long ends a session.
    half_life : str or timedelta, optional
        Half-life of a session's weight.
    weights : Weights
        Event weights of the histories: the latest counts most.
    shrinkage : float
        Pulls similarities that rest on few items towards zero.

    Notes
    -----
    ``score(i) = sum over the nearest sessions s of cosine(session, s) * 2 ** (-age(s) / half_life) * [i in s]``.
    Deterministic. Fit is one sort; a ranking costs the sparse product of the histories with all sessions.

    References
    ----------
    V-SKNN: Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018, section 3.3, and
    Ludewig et al., UMUAI 2021; the decay of neighbours: Garg et al., "Sequence and time aware neighborhood for
    session-based recommendations" (STAN), SIGIR 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.to_datetime(["2025-05-01 10:00", "2025-05-01 10:05", "2025-05-02 09:00"], utc=True)
    >>> log = EventLog.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["pan", "lid", "pan"],
    ...                                         "channel": "web", "event": "view", "timestamp": times}))
    >>> model = SessionKNN().fit(log)
    >>> model.recommend(model.inputs(log).rows([2]), k=1).to_frame()["item_id"].tolist()
    ['lid']
    """

    neighbors: int = 100
    gap: Any = "30min"
    half_life: Any = "30D"
    weights: Weights = field(default_factory=lambda: Weights(step_half_life=2.0))
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        check_integer(self.neighbors, "neighbors", low=1)
        check_duration(self.gap, "gap")
        if self.half_life is not None:
            check_duration(self.half_life, "half_life")
        if not isinstance(self.weights, Weights):
            raise ParameterError(
                f"weights must be a Weights. Got {shown(self.weights)}: write Weights(step_half_life=2)."
            )
        check_number(self.shrinkage, "shrinkage", low=0)

    def fit(self, data: Any, *, threads: int | None = None, progress: Progress = False) -> NeighborModel:
        """Return the model; it keeps the sessions without their people.

        Raises
        ------
        EmptyError
            When no event has an item.
        """
        log = events_of(data, "SessionKNN.fit")
        check_names_of(self.weights, log.events.ids, log.channels.ids)
        rows = np.flatnonzero(log.item != NONE)
        if not rows.size:
            raise EmptyError("SessionKNN.fit: no event has an item. Check the filters before it.")
        when, who, item = log.at[rows], log.user[rows], log.item[rows]
        order = np.lexsort([when, who])
        when, who, item = when[order], who[order], item[order]
        fresh = np.r_[True, (np.diff(who) != 0) | (np.diff(when) >= check_duration(self.gap, "gap"))]
        session = np.cumsum(fresh) - 1
        n = int(session[-1]) + 1
        sessions = sp.csr_matrix((np.ones(rows.size), (session, item)), (n, log.n_items), dtype=np.float32)
        sessions.sum_duplicates()
        age = log.end_us - _last(when, session, n)
        life = np.inf if self.half_life is None else check_duration(self.half_life, "half_life")
        voice = np.maximum(np.exp2(-age / life), 1e-30)
        sessions.data[:] = np.repeat(voice, np.diff(sessions.indptr)).astype(np.float32)
        pair = distinct(who.astype(np.int64) * log.n_items + item)
        popularity = np.bincount(pair % log.n_items, minlength=log.n_items).astype(np.float32)
        return NeighborModel(
            log.items, popularity, sessions, self.neighbors, "cosine", float(self.shrinkage), None, self.weights
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatNext:
    """Answer for this moment: what a person likes in the long run, moved by what they did a minute ago.

    One model applied to the long history and to the current session, blended by session length and recency.

    Parameters
    ----------
    model : Model
        Fitted; best a factor model (``ALS``), whose vectors are blended, or a linear one (``EASE``, ``NextItem``).
    session_decay : str or timedelta
        An event of the session counts ``exp(-age / session_decay)``, on whatever channel it happened.
    half_life : str or timedelta
        Of the long history.
    prior_strength : float
        How many fresh events it takes until the session weighs as much as the long run.
    dislikes : iterable of str
        Event types of negative feedback: their items are never recommended to that person, and count nothing.

    Notes
    -----
    ``x = x_long + rho (x_session - x_long)`` with ``rho = n / (n + prior_strength)`` and n the decayed number of
    events. Models without vectors blend scores in the same way, of histories scaled to a sum of 1. Deterministic;
    nothing is refitted, nothing is stored: calls are stateless.

    Examples
    --------
    >>> import omnireco as om
    >>> log = om.EventLog.from_frame(om.simulate(n_users=60, n_items=20, days=60, seed=1).events)
    >>> data = om.Dataset(log)
    >>> now = om.models.WhatNext(model=om.ALS(factors=8, seed=7).fit(data))
    >>> now.recommend(data.requests(), k=3).k
    3
    >>> items, scores = now.one(["i01", "i02"], age=["30s", "5min"], k=3)
    >>> len(items)
    3
    """

    model: Model
    session_decay: Any = "20min"
    half_life: Any = "30D"
    prior_strength: float = 2.0
    dislikes: Iterable[str] = ("dislike", "hide")

    _repr_html_ = shown_html

    def __post_init__(self) -> None:
        object.__setattr__(self, "dislikes", check_names(self.dislikes, "WhatNext: dislikes"))
        if not isinstance(self.model, Model):
            raise ParameterError(
                f"WhatNext: model must be a fitted model. Got {type(self.model).__name__}: write "
                "WhatNext(model=ALS().fit(x))."
            )
        if self.model._reading() is not None:
            raise ParameterError(
                f"WhatNext: a {type(self.model).__name__} reads events by type, and the last minutes by item alone. "
                "Use it directly, model.recommend(data.requests(at=now), k=10), or take ALS, EASE or NextItem."
            )
        check_duration(self.session_decay, "session_decay")
        check_duration(self.half_life, "half_life")
        check_number(self.prior_strength, "prior_strength", above=0)

    @property
    def items(self) -> Vocabulary:
        """The catalogue."""
        return self.model.items

    @says_the_line("om.models.WhatNext(model=als).recommend(data.requests(at=now), k=10)")
    def recommend(
        self,
        requests: Requests,
        *,
        k: int,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank items for the users of the requests, each as of the instant of the request.

        Parameters
        ----------
        requests : Requests
            ``data.requests(at=now)``: events of the Dataset, from any channel, strictly before each request's instant
            count; items the model does not know are left out. What lies in the basket (``given=``) counts as one
            event of this moment.
        k : int
            Items per list at most, 1 or more.
        eligible, exclude : optional
            As in :meth:`Model.recommend`; groups have one label per request.
        exclude_seen : bool
            Leave out what the person has had, the last minutes included. False where people come back for the same.
        threads : int, optional
            All usable cores by default; never changes the result.
        progress : bool or callable(done, total)
            True shows a bar; a function is called with the steps done and their number; False, the default, shows
            nothing.

        Returns
        -------
        Recommendations
            Those without a past get what most people choose.
        """
        if not isinstance(requests, Requests):
            raise SchemaError(
                f"WhatNext.recommend takes Requests. Got {type(requests).__name__}: write data.requests(at=now), "
                "where data is an om.Dataset."
            )
        k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
        usable_threads(threads)
        log, person = events_of_few(*people_asking(requests, "WhatNext.recommend"))
        session_life = f"{max(1, round(check_duration(self.session_decay, 'session_decay') * np.log(2)))}us"
        sets = {
            name: None if held is None else held.matrix(self.items, f"{name}=")
            for name, held in (("given", requests.given), ("exclude", requests.exclude))
        }
        long, session = (
            self._past(log, life, person, requests.at, sets["given"]) for life in (self.half_life, session_life)
        )
        n = len(requests)
        allowed = _Eligible.read(eligible, self.items, n, exclude)
        out = self._disliked(log, person, requests.at)
        weights = Weights(events=dict.fromkeys(self.dislikes, 0.0), half_life=self.half_life)
        faded = faded_items(requests, weights, self.items, "WhatNext.recommend") if exclude_seen else None
        for more in (long if exclude_seen else None, faded, *sets.values()):
            out = out if more is None else either(out, more)
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        blocks = list(row_blocks(n, 1, most=_BLOCK))
        for rows in track(blocks, progress, label="recommend"):
            both = sp.vstack([long[rows], session[rows]], format="csr")
            codes[rows], scores[rows] = self._rank(
                both, k=k, exclude=out[rows], eligible=allowed.rows(rows), threads=threads
            )
        return Recommendations(requests.ids, self.items, codes, scores, requests.key)

    def _past(
        self, log: EventLog, half_life: Any, person: np.ndarray, at: np.ndarray, given: sp.csr_matrix | None
    ) -> sp.csr_matrix:
        """Return what each request's person did before it, decayed, and the basket, (n, n_items)."""
        weights = Weights(events=dict.fromkeys(self.dislikes, 0.0), half_life=half_life)
        found = histories_at(log, weights, person, at).with_items(self.items).csr
        if given is None or not given.nnz:
            return found
        found = sp.csr_matrix(found + given)
        found.sort_indices()
        return found

    def one(
        self,
        items: Sequence[Any],
        *,
        age: Sequence[Any],
        k: int,
        exclude_seen: bool = True,
        eligible: Any = None,
        disliked: Sequence[Any] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank items for one person, from their last events: the path of a service.

        Parameters
        ----------
        items : sequence of item ids
            What the last events were about, on any channel; unknown ones are left out.
        age : sequence of str, timedelta or float
            How long ago each was: durations, or seconds.
        k : int
            Items per list at most, 1 or more.
        exclude_seen : bool
            Leave out ``items``. False where people come back for the same.
        eligible : optional
            What may be shown: item ids, or a bool array over ``model.items``.
        disliked : sequence of item ids
            Never shown, and of no weight among ``items``; unknown ones are left out.

        Returns
        -------
        (ids, scores)
            At most k of each, best first. Without a known item in the past, what most people choose.
        """
        k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
        named, since, barred = _listed(items, "items"), _listed(age, "age"), _listed(disliked, "disliked")
        if len(named) != len(since):
            raise SchemaError(f"WhatNext.one: {len(named)} items and {len(since)} ages. Give one age per item.")
        code, ages, never = self._codes(named), _microseconds(since), self._codes(barred)
        use = (code != NONE) & ~np.isin(code, never)
        code, ages, never = code[use], ages[use], never[never != NONE]
        distinct, place = np.unique(code, return_inverse=True)
        n, lives = (
            distinct.size,
            (
                check_duration(self.half_life, "half_life") / np.log(2),
                check_duration(self.session_decay, "session_decay"),
            ),
        )
        weight = np.concatenate([np.bincount(place, weights=np.exp(-ages / life), minlength=n) for life in lives])
        shape = (2, len(self.model.items))
        both = sp.csr_matrix(
            (np.maximum(weight, _TINY).astype(np.float32), np.tile(distinct, 2), np.array([0, n, 2 * n])), shape
        )
        out = np.union1d(distinct, never) if exclude_seen else np.unique(never)
        exclude = sp.csr_matrix((np.ones(out.size, np.float32), out, np.array([0, out.size])), (1, shape[1]))
        allowed = _Eligible.read(eligible, self.model.items, 1)
        codes, scores = self._rank(both, k=k, exclude=exclude, eligible=allowed.rows(slice(None)))
        held = codes[0] != NONE
        return self.model.items.ids[codes[0][held]], scores[0][held]

    def _codes(self, ids: list[Any]) -> np.ndarray:
        """Return the codes of a few items, -1 for unknown ones, at a hundredth of a column's cost."""
        known = self.model.items
        parts = [known.codes(ids[at : at + _FEW], missing="none") for at in range(0, len(ids), _FEW)]
        return np.concatenate([np.empty(0, np.int32), *parts])

    def _disliked(self, log: EventLog, person: np.ndarray, at: np.ndarray) -> sp.csr_matrix:
        """Return what each request's person had disliked before it, as ones (n, n_items)."""
        kinds = [name for name in log.events.ids if name in self.dislikes]
        others = dict.fromkeys((str(name) for name in log.events.ids if name not in self.dislikes), 0.0)
        if not kinds:
            return sp.csr_matrix((person.size, len(self.items)), dtype=np.float32)
        out = histories_at(log, Weights(events=others), person, at).with_items(self.items).csr
        return sp.csr_matrix((np.ones(out.nnz, np.float32), out.indices, out.indptr), out.shape)

    def _rank(
        self, both: sp.csr_matrix, *, k: int, exclude: sp.csr_matrix, eligible: Any, threads: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rank for n people, given their long histories and then their sessions, as 2 n rows."""
        n = both.shape[0] // 2
        codes, scores = self._rank_warm(both, k=k, exclude=exclude, eligible=eligible, threads=threads)
        cold = np.flatnonzero(np.diff(both.indptr)[:n] == 0)
        if cold.size:
            codes[cold], scores[cold] = most_popular(
                self.model.popularity, cold, k=k, exclude=exclude, eligible=eligible
            )
        return codes, scores

    def _rank_warm(
        self, both: sp.csr_matrix, *, k: int, exclude: sp.csr_matrix, eligible: Any, threads: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        n = both.shape[0] // 2
        running = np.r_[0.0, np.cumsum(both.data, dtype=np.float64)]
        fresh = (running[both.indptr[1:]] - running[both.indptr[:-1]])[n:]
        rho = np.where(fresh > 1e-6, fresh / (fresh + self.prior_strength), 0.0)[:, None]
        factors = self.model._factorised()
        if factors is not None:
            vectors = factors._place(both, 1 if n == 1 else threads)
            blended = (vectors[:n] + rho * (vectors[n:] - vectors[:n])).astype(np.float32)
            return topk(blended, factors._index, k=k, exclude=exclude, eligible=eligible, threads=threads)
        scores = self.model._score_all(_share(both)).astype(np.float64)
        blended = (scores[:n] + rho * (scores[n:] - scores[:n])).astype(np.float32)
        return select(blended, k=k, exclude=exclude, eligible=eligible)


def _last(when: np.ndarray, session: np.ndarray, n: int) -> np.ndarray:
    """Return the last instant of each session; events are ordered by session and time."""
    return when[np.searchsorted(session, np.arange(n), side="right") - 1]


def _listed(value: Any, name: str) -> list[Any]:
    """Return a list of items or ages; one bare string would be read letter by letter."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ParameterError(f"WhatNext.one: {name} must be a list. Got one {type(value).__name__}: write [{name}].")
    return list(value)


def _microseconds(ages: Sequence[Any]) -> np.ndarray:
    """Return durations, or numbers of seconds, as microseconds."""
    if all(type(age) in (int, float) for age in ages):
        seconds = np.asarray(ages, np.float64)
        if not ((seconds >= 0) & np.isfinite(seconds)).all():
            raise ParameterError("WhatNext.one: age must be 0 seconds or more: how long ago, not when.")
        return 1e6 * seconds
    return np.array([_microseconds_of(age) for age in ages], np.float64)


def _microseconds_of(age: Any) -> float:
    """Return a duration or a number of seconds as microseconds; zero is something that is happening now."""
    if isinstance(age, (dt.timedelta, np.timedelta64)):
        return check_duration(age, "WhatNext.one: age") if age else 0.0
    if isinstance(age, (int, float, np.integer, np.floating)):
        return 1e6 * check_number(age, "WhatNext.one: age", low=0)
    return check_duration(age, "WhatNext.one: age")


def _share(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return rows scaled to a sum of 1; empty ones stay empty."""
    total = np.asarray(matrix.sum(axis=1), np.float64).ravel()
    scale = np.repeat(1.0 / np.where(total > 0, total, 1.0), np.diff(matrix.indptr))
    return sp.csr_matrix(((matrix.data * scale).astype(np.float32), matrix.indices, matrix.indptr), matrix.shape)
