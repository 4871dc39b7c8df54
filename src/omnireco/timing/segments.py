"""Prior segments: given, or predicted from attributes.

A *group* is all people of whom the same is known. Group 0 is those of whom nothing is: they start from the
population's profile. Others start from the profiles of the segments that they are likely to be of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from omnireco._core.checks import shown
from omnireco._kernels.week.pooling import Base
from omnireco.data.audience import Audience
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    from omnireco.data.events import EventLog

__all__ = ["Groups", "everybody", "groups_of_attributes", "groups_of_segments", "people_of", "segment_codes"]


class Groups(NamedTuple):
    """What is known of K groups of people.

    Attributes
    ----------
    prior : ndarray of shape (K, G)
        The probability of each segment.
    start : ndarray of shape (K, 168)
        The profile before any session.
    group : ndarray of shape (n_users,), int32, or (0,)
        Of each person; empty when all are of group 0.
    """

    prior: np.ndarray
    start: np.ndarray
    group: np.ndarray


def everybody(base: Base) -> Groups:
    """Return one group, of whom nothing is known."""
    return Groups(base.pi[None].copy(), base.theta[None].copy(), np.empty(0, np.int32))


def people_of(log: EventLog, audience: Audience) -> Vocabulary:
    """Return the people of the log and of the audience: who has attributes but no event has a profile too."""
    return Vocabulary.from_ids(np.concatenate([log.users.ids, audience.users.ids]))


def segment_codes(users: Vocabulary, audience: Audience, name: str) -> tuple[np.ndarray, int]:
    """Return the given segment of each person, int32 (-1 unknown), and how many segments there are."""
    names, code = _attribute(audience, name)
    return np.append(code, np.int32(NONE))[match(audience.users, users, ("audience", "events"))], len(names)


def groups_of_segments(base: Base, segment: np.ndarray) -> Groups:
    """Return one group per given segment, and group 0 for people without one."""
    n = len(base.pi)
    prior = np.concatenate([base.pi[None], np.eye(n)])
    start = np.concatenate([base.theta[None], base.phi])
    return Groups(prior, start, (segment + 1).astype(np.int32))


def groups_of_attributes(
    base: Base, users: Vocabulary, audience: Audience, names: tuple[str, ...], people: np.ndarray, member: np.ndarray
) -> Groups:
    """Return one group per combination of attributes: segments by multinomial logit, as those with a history have them.

    Parameters
    ----------
    names : tuple of str
        Attributes of the audience.
    people : ndarray of int, shape (m,)
        Codes of people with a history.
    member : ndarray of shape (m, G)
        Their segments. Each person counts once per segment, with its probability as the weight.
    """
    row = match(audience.users, users, ("audience", "events"))
    codes = np.stack([np.append(_attribute(audience, name)[1], np.int32(NONE))[row] for name in names], axis=1)
    combinations, group = np.unique(codes, axis=0, return_inverse=True)
    group = np.where((codes != NONE).any(axis=1), group.ravel() + 1, 0)
    features = _one_hot(combinations, [len(_attribute(audience, name)[0]) for name in names])
    prior = _logit(features[np.maximum(group[people] - 1, 0)][group[people] > 0], member[group[people] > 0], features)
    if prior is None:
        return everybody(base)
    prior = np.concatenate([base.pi[None], prior])
    start = np.concatenate([base.theta[None], prior[1:] @ base.phi])
    return Groups(prior, start, group.astype(np.int32))


def _logit(x: np.ndarray, member: np.ndarray, query: np.ndarray) -> np.ndarray | None:
    """Return the probabilities of segments for some rows; None when there is nobody or one segment to learn from."""
    from sklearn.linear_model import LogisticRegression

    n, n_segments = member.shape
    if n < 2 * n_segments or n_segments < 2:
        return None
    label = np.tile(np.arange(n_segments), n)
    model = LogisticRegression(C=1.0, max_iter=300)
    model.fit(np.repeat(x, n_segments, axis=0), label, sample_weight=np.maximum(member.ravel(), 1e-9))
    return np.asarray(model.predict_proba(query), np.float64)


def _one_hot(codes: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Return indicator columns of combinations of codes; -1 has none."""
    parts = [np.concatenate([np.eye(size), np.zeros((1, size))])[codes[:, i]] for i, size in enumerate(sizes)]
    return np.concatenate(parts, axis=1)


def _attribute(audience: Audience, name: str) -> tuple[Vocabulary, np.ndarray]:
    if name not in audience.attributes:
        raise ParameterError(
            f"the audience has no attribute {shown(name)}; it knows "
            f"{', '.join(map(repr, audience.attributes)) or 'none'}. "
            f"Read it with Audience.from_frame(frame, attributes=[{shown(name)}])."
        )
    return audience.attributes[name]
