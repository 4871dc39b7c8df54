"""Whose week a person's reading follows: partly their own activity, partly the week of some kind of people.

People do not read mail exactly when they shop. The reading of a person on a channel is taken to be
``w r_u + (1 - w) psi_k``: their own activity, and the week of one of the segments, which need not be their own.
How much is their own (``w``) and which kinds follow which (``follows``) is learned from everybody's responses and
silences; which kind a person is, from their own.

Letters: ``r`` (n, 168) own reading profiles and ``psi`` (G, 168) those of the kinds, rows summing to 1; ``member``
(n, G) segments of activity; messages ``person sent answered read`` (m,): row, local hours, whether answered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnireco._kernels.week.delay import reading_after

__all__ = ["Evidence", "Follows", "evidence", "fit_follows", "kinds_of"]

_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_PRIOR = 5.0  # people's worth of "half are of their own kind" in each segment
_STEPS = 30


@dataclass(frozen=True, slots=True)
class Follows:
    """How reading follows activity on a channel.

    Attributes
    ----------
    own : float
        Share of reading that is like the person's own activity; 1 when nothing else predicts responses better.
    follows : ndarray of shape (G, G)
        The probability that the rest of somebody of segment g follows the week of segment k; rows sum to 1.
    """

    own: float
    follows: np.ndarray


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the messages of some people say about kinds, for any share of their own activity.

    Attributes
    ----------
    row, own_read, kind_read : ndarrays of shape (a,), (a,) and (a, G)
        Of each response: the person, and the probability of its hour under the own profile and under each kind.
    own_pull, kind_pull : ndarrays of shape (n,) and (n, G)
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
        """Return the log likelihood of all messages of each person under each kind, (n, G).

        Responses come as a Poisson process with the intensity ``f_u rate pull reading``, where ``f_u`` is the person's
        response rate: a Gamma(strength, strength) that is integrated out, so that no response at all hours is
        uninformative about kinds, and none at some of them is informative.
        """
        n, n_kinds = self.kind_pull.shape
        log_read = np.log(own * self.own_read[:, None] + (1.0 - own) * self.kind_read)
        found = np.stack([np.bincount(self.row, log_read[:, k], minlength=n) for k in range(n_kinds)], axis=1)
        pull = own * self.own_pull[:, None] + (1.0 - own) * self.kind_pull
        return np.asarray(found - (strength + self.answers)[:, None] * np.log1p(rate * pull / strength))


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
    n, n_kinds = r.shape[0], psi.shape[0]
    ahead, kind_ahead = reading_after(r, tau), reading_after(psi, tau)
    kind_pull = [np.bincount(person, kind_ahead[k, sent], minlength=n) for k in range(n_kinds)]
    row, hour = person[answered], read[answered]
    return Evidence(
        row=row,
        own_read=r[row, hour],
        kind_read=psi[:, hour].T,
        own_pull=np.bincount(person, ahead[person, sent], minlength=n),
        kind_pull=np.stack(kind_pull, axis=1),
        answers=np.bincount(row, minlength=n),
    )


def fit_follows(found: Evidence, member: np.ndarray, rate: float, strength: float) -> Follows:
    """Return how reading follows activity, by EM, with the share that predicts held-out people best.

    The probabilities of kinds are learned on half of the people and judged on the other half, both ways, for several
    shares of own activity. Own activity alone is among them, and wins when nothing else pays clearly.
    """
    n_kinds = member.shape[1]
    nothing = Follows(1.0, np.eye(n_kinds))
    if n_kinds < 2 or not found.answers.any():
        return nothing
    half = _halves(found)
    best, share = 0.0, 1.0
    alone = 0.0
    for own in _SHARES:
        log_likelihood = found.log_likelihood(own, rate, strength)
        value = 0.0
        for learn in (half, ~half):
            follows = _em(log_likelihood[learn], member[learn])
            value += float(_marginal(log_likelihood[~learn], member[~learn], follows).sum())
        if own == 1.0:
            alone = value
            best = value + 1.0 + 1e-4 * float(found.answers.sum())
        elif value > best:
            best, share = value, own
    if share == 1.0 or not np.isfinite(alone):
        return nothing
    return Follows(share, _em(found.log_likelihood(share, rate, strength), member))


def _halves(found: Evidence) -> np.ndarray:
    """Return one half of the people, bool (n,): every second one in order of what is known of them, not of their names.

    Neighbours in that order answered as often and were written to as well, so the halves are alike; and people between
    whom the order cannot tell have given the same evidence, so it does not matter which of them is in which.
    """
    n = found.answers.size
    read = np.bincount(found.row, found.own_read, minlength=n)
    order = np.lexsort([found.kind_pull[:, 0], read, found.own_pull, found.answers])
    half = np.zeros(n, np.bool_)
    half[order[::2]] = True
    return half


def kinds_of(log_likelihood: np.ndarray, member: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Return how probable each kind is for each person, (n, G), given their responses and their segments."""
    kind = (member @ follows) * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    return np.asarray(kind / kind.sum(axis=1, keepdims=True))


def _em(log_likelihood: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return which kinds follow which segments, (G, G), rows summing to 1."""
    n_kinds = member.shape[1]
    before = 0.5 * np.eye(n_kinds) + 0.5 * member.mean(axis=0) if len(member) else np.eye(n_kinds)
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
