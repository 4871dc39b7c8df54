"""Whose week a person's reading follows: partly their own activity, partly the week of some kind of people.

People do not read mail exactly when they shop. The reading of a person on a channel is taken to be
``w r_u + (1 - w) psi_k``: their own activity, and the week of some kind. The first G kinds are the segments of
activity; then may come everybody, and people of one hour of the day each, whom no activity shows.
How much is their own (``w``) and which kinds follow which (``follows``) is learned from everybody's responses and
silences; which kind a person is, from their own.

Letters: ``r`` (n, 168) own reading profiles and ``psi`` (K, 168) those of the kinds, rows summing to 1; ``member``
(n, G) segments of activity; messages ``person sent answered read`` (m,): row, local hours, whether answered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omnireco._core.units import WEEK
from omnireco._kernels.week.delay import reading_after

__all__ = ["Evidence", "Follows", "evidence", "fit_follows", "kinds_of"]

_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_PRIOR = 5.0  # people's worth of "half are of their own kind" in each segment
_STEPS = 30
_FEW_SHARES = (0.8, 0.6, 0.4, 0.2, 0.0)  # with people of one hour each
_NO_SEGMENT = 0.3  # of the people, before any answer, where there are kinds beyond the segments
_SIMPLER = 2.0  # nats by which kinds beyond the segments must predict better, and
_PER_ANSWER = 1e-4  # nats for each answer
_TO_JUDGE = 6_000  # people on whom kinds beyond the segments are judged


@dataclass(frozen=True, slots=True)
class Follows:
    """How reading follows activity on a channel.

    Attributes
    ----------
    own : float
        Share of reading that is like the person's own activity; 1 when nothing else predicts responses better.
    follows : ndarray of shape (G, K)
        The probability that the rest of somebody of segment g follows the week of segment k; rows sum to 1.
    """

    own: float
    follows: np.ndarray


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the messages of some people say about kinds, for any share of their own activity.

    Attributes
    ----------
    row, own_read, kind_read : ndarrays of shape (a,), (a,) and (a, K)
        Of each response: the person, and the probability of its hour under the own profile and under each kind.
    own_pull, kind_pull : ndarrays of shape (n,) and (n, K)
        Reading that lay ahead of all messages of a person, weighted by their effect decay.
    answers : ndarray of shape (n,)
    """

    row: np.ndarray
    own_read: np.ndarray
    kind_read: np.ndarray
    own_pull: np.ndarray
    kind_pull: np.ndarray
    answers: np.ndarray

    def log_likelihood(self, own: float, rate: float, strength: float) -> np.ndarray:
        """Return the log likelihood of all messages of each person under each kind, (n, K).

        Responses come as a Poisson process with the intensity ``f_u rate pull reading``, where ``f_u`` is the person's
        response rate: a Gamma(strength, strength) that is integrated out, so that no response at all hours is
        uninformative about kinds, and none at some of them is informative.
        """
        n, n_kinds = self.kind_pull.shape
        log_read = np.log(own * self.own_read[:, None] + (1.0 - own) * self.kind_read)
        found = np.stack([np.bincount(self.row, log_read[:, k], minlength=n) for k in range(n_kinds)], axis=1)
        pull = own * self.own_pull[:, None] + (1.0 - own) * self.kind_pull
        return np.asarray(found - (strength + self.answers)[:, None] * np.log1p(rate * pull / strength))

    def first(self, n_kinds: int) -> Evidence:
        """Return the same of the first kinds only."""
        return replace(self, kind_read=self.kind_read[:, :n_kinds], kind_pull=self.kind_pull[:, :n_kinds])

    def of(self, people: np.ndarray) -> Evidence:
        """Return the same of some people, given in rising order."""
        place = np.full(self.answers.size, -1)
        place[people] = np.arange(people.size)
        use = np.flatnonzero(place[self.row] >= 0)
        return Evidence(
            place[self.row[use]],
            self.own_read[use],
            self.kind_read[use],
            self.own_pull[people],
            self.kind_pull[people],
            self.answers[people],
        )


def evidence(
    r: np.ndarray,
    psi: np.ndarray,
    person: np.ndarray,
    sent: np.ndarray,
    answered: np.ndarray,
    read: np.ndarray,
    tau: float,
) -> Evidence:
    """Look up the likelihood of each message and each response."""
    n = r.shape[0]
    ahead, kind_ahead = reading_after(r, tau), reading_after(psi, tau)
    lying = np.bincount(person * WEEK + sent, minlength=n * WEEK).reshape(n, WEEK)
    row, hour = person[answered], read[answered]
    return Evidence(
        row=row,
        own_read=r[row, hour],
        kind_read=psi[:, hour].T,
        own_pull=np.bincount(person, ahead[person, sent], minlength=n),
        kind_pull=lying @ kind_ahead.T,
        answers=np.bincount(row, minlength=n),
    )


def fit_follows(
    found: Evidence, member: np.ndarray, rate: float, strength: float, *, like: Follows | None = None
) -> Follows:
    """Return how reading follows activity, by EM, with the share that predicts held-out people best.

    With the share and the number of kinds of ``like``, where that is given.

    The probabilities of kinds are learned on half of the people and judged on the other half, both ways, for several
    shares of own activity. Own activity alone is among them, and wins when nothing else pays clearly.
    """
    n_segments, n_kinds = member.shape[1], found.kind_pull.shape[1]
    if like is not None:
        return Follows(
            like.own, _em(found.first(like.follows.shape[1]).log_likelihood(like.own, rate, strength), member)
        )
    nothing = Follows(1.0, np.eye(n_segments))
    if n_kinds < 2 or not found.answers.any():
        return nothing
    judged = _Judged(found.first(n_segments), member, rate, strength)
    alone = judged.value(1.0)
    price = 1.0 + _PER_ANSWER * float(judged.found.answers.sum())
    best, chosen, share = alone + price, n_segments, 1.0
    if n_segments > 1:
        value, own = judged.best(_SHARES[1:])
        if value > best:
            best, share = value, own
    if n_kinds > n_segments:
        some = _some(found)
        few, few_member = (found, member) if some is None else (found.of(some), member[some])
        price = _SIMPLER + _PER_ANSWER * float(few.answers.sum())
        segments = _Judged(few.first(n_segments), few_member, rate, strength)
        best = segments.value(share) + (price if share < 1.0 else price + 1.0)
        for size, shares in ((n_segments + 1, (*_SHARES[1:], 0.1, 0.0)), (n_kinds, _FEW_SHARES)):
            value, own = _Judged(few.first(size), few_member, rate, strength).best(shares)
            if value > best:
                best, chosen, share = value + price, size, own
    if share == 1.0 or not np.isfinite(alone):
        return nothing
    return Follows(share, _em(found.first(chosen).log_likelihood(share, rate, strength), member))


class _Judged:
    """How well people are predicted by kinds learned from others: half of them by the other half, both ways."""

    def __init__(self, found: Evidence, member: np.ndarray, rate: float, strength: float) -> None:
        self.found, self.member, self.rate, self.strength = found, member, rate, strength
        self.half = _halves(found)

    def value(self, own: float) -> float:
        """Return the log likelihood of people left out, given the share of own activity."""
        log_likelihood, total = self.found.log_likelihood(own, self.rate, self.strength), 0.0
        for learn in (self.half, ~self.half):
            follows = _em(log_likelihood[learn], self.member[learn])
            total += float(_marginal(log_likelihood[~learn], self.member[~learn], follows).sum())
        return total

    def best(self, shares: tuple[float, ...]) -> tuple[float, float]:
        """Return the highest value of some shares, and the first share with it."""
        values = [self.value(own) for own in shares]
        return max(values), shares[int(np.argmax(values))]


def _some(found: Evidence) -> np.ndarray | None:
    """Return people enough to judge on, spread evenly in order of what is known of them; None for all."""
    n = found.answers.size
    if n <= _TO_JUDGE:
        return None
    return np.asarray(np.sort(_in_order(found)[:: -(-n // _TO_JUDGE)]))


def _halves(found: Evidence) -> np.ndarray:
    """Return one half of the people, bool (n,): every second one in order of what is known of them, not of their names.

    Neighbours in that order answered as often and were written to as well, so the halves are alike; and people between
    whom the order cannot tell have given the same evidence, so it does not matter which of them is in which.
    """
    half = np.zeros(found.answers.size, np.bool_)
    half[_in_order(found)[::2]] = True
    return half


def _in_order(found: Evidence) -> np.ndarray:
    """Return people in order of what is known of them."""
    read = np.bincount(found.row, found.own_read, minlength=found.answers.size)
    return np.lexsort([found.kind_pull[:, 0], read, found.own_pull, found.answers])


def kinds_of(log_likelihood: np.ndarray, member: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Return how probable each kind is for each person, (n, K), given their responses and their segments."""
    kind = (member @ follows) * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    return np.asarray(kind / kind.sum(axis=1, keepdims=True))


def _em(log_likelihood: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return which kinds follow which segments, (G, K), rows summing to 1."""
    before = _before(member, log_likelihood.shape[1])
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True, initial=-np.inf))
    follows = before
    for _ in range(_STEPS):
        chance = (member @ follows * likelihood).sum(axis=1, keepdims=True)
        follows = _PRIOR * before + follows * (member.T @ (likelihood / np.maximum(chance, 1e-300)))
        follows = follows / follows.sum(axis=1, keepdims=True)
    return np.asarray(follows)


def _marginal(log_likelihood: np.ndarray, member: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Return the log likelihood of each person, whatever their kind."""
    top = log_likelihood.max(axis=1, keepdims=True, initial=-np.inf)
    total = ((member @ follows) * np.exp(log_likelihood - top)).sum(axis=1)
    return np.asarray(np.log(np.maximum(total, 1e-300)) + top[:, 0])


def _before(member: np.ndarray, n_kinds: int) -> np.ndarray:
    """Return which kinds follow which segments before any answer: half are of their own, and some like everybody."""
    n_segments = member.shape[1]
    before = 0.5 * np.eye(n_segments) + 0.5 * member.mean(axis=0) if len(member) else np.eye(n_segments)
    more = n_kinds - n_segments
    if not more:
        return np.asarray(before)
    beyond = np.full(more, 1.0) if more == 1 else np.r_[0.5, np.full(more - 1, 0.5 / (more - 1))]
    return np.concatenate([(1.0 - _NO_SEGMENT) * before, np.tile(_NO_SEGMENT * beyond, (n_segments, 1))], axis=1)
