"""Identity resolution of a log or an audience, and a report of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.notebook import shown_html
from omnireco.data.vocabulary import Vocabulary, distinct_integers
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["People", "ResolveReport", "require_identities", "resolved_users"]

_log = logging.getLogger(__name__)


class People(Protocol):
    """What a log needs of :class:`omnireco.identity.Identities`: the person of an id."""

    def names(self, users: Vocabulary, codes: np.ndarray, kind: Any, channel: Any = None) -> Any:
        """Return the person of each code, and whether a link has the id."""

    def person_of(self, *args: Any, **kwargs: Any) -> Any:
        """Return the people of ids of one kind."""


def require_identities(identities: Any) -> None:
    """Refuse anything but Identities."""
    if isinstance(identities, type) or not (hasattr(identities, "names") and hasattr(identities, "person_of")):
        raise ParameterError(
            f"resolve takes an Identities. Got {type(identities).__name__}: write Identities.from_links(frame)."
        )


@dataclass(frozen=True, slots=True)
class ResolveReport:
    """The effect of identity resolution on a log.

    Parameters
    ----------
    events : int
        Events, the same before and after: none is lost or counted twice.
    ids : int
        User ids before.
    known_ids : int
        Ids that occur in some link.
    people : int
        People after.
    joined_people : int
        People who had several ids in this log.
    cross_channel_before, cross_channel_after : int
        Ids, then people, seen on more than one channel.
    """

    events: int
    ids: int
    known_ids: int
    people: int
    joined_people: int
    cross_channel_before: int
    cross_channel_after: int

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the counts as a frame of one row."""
        import pandas as pd

        return pd.DataFrame([{name: getattr(self, name) for name in self.__slots__}])


def resolved_users(
    identities: Any, users: Vocabulary, user: np.ndarray, kind: Any, channel: tuple[Vocabulary, np.ndarray]
) -> tuple[Vocabulary, np.ndarray, ResolveReport]:
    """Return the people of coded users, their codes per row, and the report."""
    require_identities(identities)
    n_channels = max(1, len(channel[0]))
    cells, cell = distinct_integers(user.astype(np.int64) * n_channels + channel[1])
    old, where = cells // n_channels, cells % n_channels
    names, found = identities.names(users, old, kind, (channel[0], where))
    people, person = Vocabulary.encode(names, "user_id")
    joined = distinct_integers(person.astype(np.int64) * max(1, len(users)) + old)[0] // max(1, len(users))
    seen = distinct_integers(person.astype(np.int64) * n_channels + where)[0] // n_channels
    report = ResolveReport(
        events=int(user.size),
        ids=int(np.unique(old).size),
        known_ids=int(np.unique(old[found]).size),
        people=len(people),
        joined_people=_several(joined),
        cross_channel_before=_several(old),
        cross_channel_after=_several(seen),
    )
    _log.info("resolved %d ids to %d people", report.ids, report.people)
    return people, person[cell], report


def _several(codes: np.ndarray) -> int:
    """Return how many codes occur more than once."""
    return int((np.bincount(codes) > 1).sum()) if codes.size else 0
