"""Messages that could be sent and those that were: what every rule looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from omnireco._core.checks import check_known, count_of
from omnireco._core.parts import Array, Parts, Record, coded, flags, instants
from omnireco._core.small import Each, Text
from omnireco.data.messages import NEVER
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary

__all__ = ["Past", "Rows", "Touches"]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Messages already sent, in the codes of the touches they stand beside.

    Attributes
    ----------
    user, channel : int32 arrays, shape (m,)
        ``channel`` is a position in ``Touches.named``; -1 for a channel that stands nowhere there.
    sent_at : int64 array, shape (m,)
        UTC microseconds.
    """

    user: np.ndarray
    channel: np.ndarray
    sent_at: np.ndarray

    parts: ClassVar[Parts] = {
        "user": coded("users", "past"),
        "channel": Array(np.int32, ("past",), -1),
        "sent_at": instants("past"),
    }

    def __post_init__(self) -> None:
        _lock(self, "user", "channel", "sent_at")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Touches:
    """Messages that could be sent: who, what, where, when, and what the audience says about it.

    Attributes
    ----------
    users, items, channels : Vocabulary
    user, item, channel : int32 arrays, shape (n,)
        Codes into the vocabularies.
    send_at : int64 array, shape (n,)
        UTC microseconds.
    local_at : int64 array, shape (n,)
        The person's own wall clock at that instant, microseconds; the least int64 where the zone is unknown.
    consent, reachable : bool arrays, shape (n,)
        What the audience says of that person on that channel.
    past : Past
        Messages that these people had before.
    named : tuple of str
        Every channel that a rule may name: those of the touches in the order of their codes, then further ones of the
        audience and the message log. Those of the touches alone by default.
    """

    users: Vocabulary
    items: Vocabulary
    channels: Vocabulary
    user: np.ndarray
    item: np.ndarray
    channel: np.ndarray
    send_at: np.ndarray
    local_at: np.ndarray
    consent: np.ndarray
    reachable: np.ndarray
    past: Past
    named: tuple[str, ...] = ()

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        "channels": Ids(text=True),
        "user": coded("users", "n"),
        "item": coded("items", "n"),
        "channel": coded("channels", "n"),
        "send_at": instants("n"),
        "local_at": instants("n", never=True),
        "consent": flags("n"),
        "reachable": flags("n"),
        "past": Record(Past),
        "named": Each(Text()),
    }

    def __post_init__(self) -> None:
        if not self.named:
            object.__setattr__(self, "named", tuple(map(str, self.channels.ids)))
        _lock(self, "user", "item", "channel", "send_at", "local_at", "consent", "reachable")

    def __len__(self) -> int:
        return int(self.user.size)

    def __repr__(self) -> str:
        size = count_of(len(self), "touch", "touches")
        return f"Touches({size}, {count_of(len(self.users), 'user')}, {count_of(len(self.channels), 'channel')})"

    @property
    def zone_known(self) -> np.ndarray:
        """Whether the local time of each touch is known, bool of shape (n,)."""
        return self.local_at != NEVER

    def on(self, channels: Sequence[str] | None, where: str = "channels", *, missing: str = "raise") -> np.ndarray:
        """Return which touches use one of the named channels (None: any), bool of shape (n,).

        Parameters
        ----------
        channels : sequence of str, or None
        where : str
            Begins the error: ``"QuietHours: channels"``.
        missing : {"raise", "ignore"}
            Whether a name in none of touches, audience and message log is an error: it would switch a rule off.
        """
        return self._is_on(self.channel, channels, where, missing)

    def past_on(self, channels: Sequence[str] | None, where: str = "channels", *, missing: str = "raise") -> np.ndarray:
        """Return which messages of the past used one of the named channels, bool of shape (m,); see :meth:`on`."""
        return self._is_on(self.past.channel, channels, where, missing)

    def take(self, rows: np.ndarray) -> Touches:
        """Return some of the touches, by mask or position."""
        return Touches(
            self.users,
            self.items,
            self.channels,
            self.user[rows],
            self.item[rows],
            self.channel[rows],
            self.send_at[rows],
            self.local_at[rows],
            self.consent[rows],
            self.reachable[rows],
            self.past,
            self.named,
        )

    def _is_on(self, codes: np.ndarray, channels: Sequence[str] | None, where: str, missing: str) -> np.ndarray:
        if channels is None:
            return np.ones(codes.size, np.bool_)
        if self.named:
            channels = check_known(channels, self.named, where, missing=missing)
        wanted = np.zeros(len(self.named) + 1, np.bool_)  # the last stands for -1
        wanted[[code for code, name in enumerate(self.named) if name in channels]] = True
        return wanted[codes]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rows:
    """Rows of a packing problem: for each row, the weights of its sent touches may not exceed its limit.

    Parameters
    ----------
    row, touch : int64 arrays, shape (n_entries,)
        Entry ``i`` says that touch ``touch[i]`` uses row ``row[i]``.
    weight : float64 array, shape (n_entries,)
        How much of the row it uses; 0 or more.
    limit : float64 array, shape (n_rows,)
        0 or more.
    labels : tuple of str, shape (n_rows,), optional
        What to call each row in ``Plan.prices``. None for rows of single people, which are summed up there.
    unit : float, default 1.0
        What one unit of weight is to the reader: 0.01 where a send weighs 1 and costs a cent.
    """

    row: np.ndarray
    touch: np.ndarray
    weight: np.ndarray
    limit: np.ndarray
    labels: tuple[str, ...] | None = None
    unit: float = 1.0

    def __repr__(self) -> str:
        return f"Rows({count_of(self.limit.size, 'row')}, {count_of(self.row.size, 'entry', 'entries')})"


def _lock(holder: Any, *names: str) -> None:
    for name in names:
        array = getattr(holder, name).view()
        array.setflags(write=False)
        object.__setattr__(holder, name, array)
