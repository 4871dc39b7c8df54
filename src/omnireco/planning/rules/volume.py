"""How many messages leave: at most in each hour, at least of a campaign, and fairly between groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_kind,
    check_known,
    check_number,
    from_microseconds,
)
from omnireco.data.asking.touches import Touches
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError
from omnireco.planning.rows import Rows
from omnireco.planning.rules.base import Constraint
from omnireco.planning.rules.naming import MANY, MISSING, names_of, one_name

__all__ = ["Capacity", "ComplaintRate", "FairReach", "Volume"]

_YEAR_1 = -62_135_596_800_000_000


@dataclass(frozen=True, slots=True)
class Capacity(Constraint):
    """At most ``limit`` touches of a channel leave in each cell of time of length ``per``.

    Parameters
    ----------
    channel : str
        The channel whose touches are counted.
    per : duration, default "1h"
        Length of a cell; cells lie end to end from 1970-01-01 00:00 UTC.
    limit : int
        0 or more.
    missing : {"raise", "ignore"}, default "raise"
        Whether a channel that neither the touches nor the audience nor the message log has is an error.

    Examples
    --------
    >>> Capacity("call", per="15min", limit=40).name
    "Capacity('call', per='15min')"
    """

    channel: str
    per: str | dt.timedelta = field(default="1h", kw_only=True)
    limit: int = field(kw_only=True)
    missing: str = field(default="raise", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        one_name(self.channel, "Capacity")
        check_choice(self.missing, "Capacity: missing", MISSING)
        check_duration(self.per, "Capacity: per")
        object.__setattr__(self, "limit", check_integer(self.limit, "Capacity: limit", low=0))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"Capacity({self.channel!r}, per={self.per!r})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each cell of time in which a touch could leave."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        length = check_duration(self.per, "Capacity: per")
        touch = np.flatnonzero(touches.on((self.channel,), "Capacity: channel", missing=self.missing))
        cells, row = _cells(touches.send_at[touch] // length)
        starts = (from_microseconds(max(int(cell) * length, _YEAR_1)) for cell in cells)
        labels = tuple(f"{self.channel} {start:%Y-%m-%d %H:%M} UTC" for start in starts)
        return Rows(
            row.astype(np.int64), touch, np.ones(touch.size), np.full(cells.size, float(min(self.limit, MANY))), labels
        )


@dataclass(frozen=True, slots=True)
class Volume(Constraint):
    """At least ``least`` touches of a campaign (or kind, item, channel) are sent; with ``most``, no more than that.

    Parameters
    ----------
    value : id
        Which campaign: a value of the column ``by``.
    least : int
        0 or more.
    most : int, optional
        ``least`` or more; no upper limit by default.
    by : str, default "campaign_id"
        A column of the touches: ``campaign_id``, ``kind``, ``offer_id``, ``creative_id``, ``store_id``, ``item_id`` or
        ``channel``.

    Raises
    ------
    ParameterError
        When ``most`` is below ``least``; from :meth:`rows`, when no touch has that value.

    Notes
    -----
    A floor costs value: its price is what one message less would earn. One that cannot be met is an InfeasibleError of
    :func:`omnireco.plan`, which names what stands against it.

    Examples
    --------
    >>> Volume("spring", least=1000).name
    "Volume('spring', least=1000)"
    """

    value: Any
    least: int = field(kw_only=True)
    most: int | None = field(default=None, kw_only=True)
    by: str = field(default="campaign_id", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", check_integer(self.least, "Volume: least", low=0))
        if self.most is not None:
            object.__setattr__(self, "most", check_integer(self.most, "Volume: most", low=self.least))
        if not isinstance(self.by, str):
            raise ParameterError(f"Volume: by must be a column of the touches. Got {type(self.by).__name__}.")

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        most = "" if self.most is None else f", most={self.most}"
        return f"Volume({self.value!r}, least={self.least}{most})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row: the touches of the campaign."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        known, code = column_of(touches, self.by, "Volume")
        if not self.least and self.most is None:
            return Rows.none()
        check_known([self.value], known.ids.tolist(), f"Volume: {self.by}", missing=None)
        touch = np.flatnonzero(code == known.codes([self.value])[0])
        limit = np.array([np.inf if self.most is None else float(min(self.most, MANY))])
        least = np.array([float(min(self.least, MANY))])
        return Rows(np.zeros(touch.size, np.int64), touch, np.ones(touch.size), limit, (str(self.value),), least=least)


@dataclass(frozen=True, slots=True)
class ComplaintRate(Constraint):
    """Expected complaints stay below a share of the messages sent: mail providers block senders above it.

    Parameters
    ----------
    most : float, default 0.001
        Complaints per message. Google asks senders to stay below 0.1 % and never to reach 0.3 % (Email sender
        guidelines, 2024).
    channels : str or iterable of str, optional
        Channels that count together; all by default.

    Raises
    ------
    ParameterError
        From :meth:`rows`, when the touches have no column ``complaint``, the probability of a complaint.

    Notes
    -----
    The weight of a touch is ``complaint - most``: one that complains less gives room to one that complains more. A
    touch whose risk is not known counts as a sure complaint.

    Examples
    --------
    >>> ComplaintRate(channels="email").name
    'ComplaintRate(0.001)'
    """

    most: float = 0.001
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", check_number(self.most, "ComplaintRate: most", above=0.0, high=1.0))
        object.__setattr__(self, "channels", names_of(self.channels, "ComplaintRate"))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"ComplaintRate({self.most:g})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row: complaints above the share that is allowed."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        if "complaint" not in touches.numbers and len(touches):
            raise ParameterError(
                "ComplaintRate: these touches have no column complaint, the probability of a complaint. Add it: "
                "touches.with_columns(frame), with user_id and complaint."
            )
        touch = np.flatnonzero(touches.on(self.channels, "ComplaintRate: channels"))  # type: ignore[arg-type]
        risk = touches.number("complaint")[touch]
        weight = np.where(np.isnan(risk), 1.0, risk) - self.most
        if not (weight > 0).any():  # no plan can complain more than is allowed
            return Rows.none()
        return Rows(np.zeros(touch.size, np.int64), touch, weight, np.zeros(1), ("complaints",))


@dataclass(frozen=True, slots=True)
class FairReach(Constraint):
    """Every group of people gets its share of the messages: per head at least ``least`` times what all get per head.

    Parameters
    ----------
    by : str
        An attribute of the audience, such as ``"region"``.
    least : float
        In (0, 1]: 1 is the same number of messages per head in every group.
    channels : str or iterable of str, optional
        Channels that count; all by default.

    Raises
    ------
    ParameterError
        From :meth:`rows`, when the audience has no such attribute.

    Notes
    -----
    Heads are the people with a touch to choose from: a group that nobody may write to cannot be reached. People whose
    group is not known are a group of their own. A group may lack one message: messages are whole, shares are not.
    It counts messages; with at most one for each person
    (``FrequencyCap(1)``) these are people reached.

    Examples
    --------
    >>> FairReach("region", least=0.8).name
    "FairReach('region', least=0.8)"
    """

    by: str
    least: float = field(kw_only=True)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.by, str):
            raise ParameterError(f"FairReach: by must be an attribute of the audience. Got {type(self.by).__name__}.")
        object.__setattr__(self, "least", check_number(self.least, "FairReach: least", above=0.0, high=1.0))
        object.__setattr__(self, "channels", names_of(self.channels, "FairReach"))

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        return f"FairReach({self.by!r}, least={self.least:g})"

    def rows(self, touches: Touches) -> Rows:
        """Return one row for each group: what it lacks of its share."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        if self.by not in touches.traits and len(touches):
            check_known([self.by], touches.traits, "FairReach: by (an attribute of the audience)", missing=None)
        touch = np.flatnonzero(touches.on(self.channels, "FairReach: channels"))  # type: ignore[arg-type]
        if not touch.size:
            return Rows.none()
        known, code = touches.traits[self.by]
        people = np.unique(touches.user[touch])
        if np.unique(code[people]).size == 1:  # one group has everything
            return Rows.none()
        present, group = np.unique(code[people], return_inverse=True)
        share = np.bincount(group) / people.size
        mine = np.searchsorted(present, code[touches.user[touch]])
        n = present.size
        row = np.repeat(np.arange(n), touch.size)
        weight = np.repeat(self.least * share, touch.size) - (np.tile(mine, n) == row)
        labels = tuple("not known" if one == NONE else str(known.ids[one]) for one in present)
        return Rows(row, np.tile(touch, n), weight, np.ones(n), labels)


def column_of(touches: Touches, by: str, where: str) -> tuple[Any, np.ndarray]:
    """Return a column of the touches by its name: the vocabulary, and a code per touch."""
    own = {"item_id": (touches.items, touches.item), "channel": (touches.channels, touches.channel)}
    if by not in own and by not in touches.labels and len(touches):
        check_known([by], [*own, *touches.labels], f"{where}: by (a column of the touches)", missing=None)
    return own.get(by, touches.label(by))


def _cells(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells that occur, and the position of each in them; those in order already are not sorted again."""
    new = cell[1:] != cell[:-1]
    if (cell[1:] < cell[:-1]).any():
        cells, row = np.unique(cell, return_inverse=True)
        return cells, np.ravel(row)
    first = np.concatenate([np.ones(min(cell.size, 1), np.bool_), new])
    return cell[first], np.cumsum(first) - 1
