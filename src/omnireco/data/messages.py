"""Messages with their responses and propensities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_instant, count_of, from_microseconds, name_rows
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Maybe, Parts, coded, declare, instants, probabilities
from omnireco._core.small import INSTANT, Value
from omnireco.data.frames.columns import Frame, decode_optional, instants_to_pandas, open_frame
from omnireco.data.frames.quality import Finding, QualityReport, all_kept, check_on_invalid, finding, screen, sift
from omnireco.data.parts import Ids
from omnireco.data.resolving import People, resolved_users
from omnireco.data.vocabulary import NONE, Vocabulary, compress
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEVER", "MessageLog"]

NEVER = int(np.iinfo(np.int64).min)
"""The ``responded_at`` of a message without a response."""

_LEAST_PROPENSITY = 1e-15
_OPTIONAL = ("propensity", "machine", "clicked_at", "unsubscribed_at")
_KINDS = {
    "user_id": "id",
    "channel": "name",
    "sent_at": "instant",
    "responded_at": "instant",
    "item_id": "id",
    "creative_id": "id",
    "propensity": "number",
    "machine": "share",
    "clicked_at": "instant",
    "unsubscribed_at": "instant",
    "kind": "name",
}
_MAY_MISS = ("kind", "responded_at", "item_id", "creative_id", "propensity", "machine", "clicked_at", "unsubscribed_at")
_UNKNOWN_PROPENSITY = (
    "Leave the column out if the probability is not known; on_invalid='drop' leaves out the messages without one."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MessageLog:
    """Messages in order of sending, with the first response to each.

    Parameters
    ----------
    users, channels, items, creatives : Vocabulary
        Ids and names behind the codes: people, channels, items, creatives.
    user, channel : ndarray of shape (n,), int32
        Codes of who was written to, and on which channel.
    item, creative : ndarray of shape (n,), int32
        -1 where a message has no item, or its creative is not known.
    sent_at, responded_at : ndarray of shape (n,), int64
        UTC microseconds; ``responded_at`` is :data:`NEVER` where no response was seen before ``end``.
    propensity : ndarray of shape (n,), float64, or None
        Probability in (0, 1] with which the logging policy chose this message.
    end_us : int
        End of the observed window, UTC microseconds, exclusive.
    machine : ndarray of shape (n,), float64, or None
        Probability in [0, 1] that the response is a bot open or bot click (a mail proxy that loads images, a scanner
        that follows links); NaN where it is not known.
    clicked_at, unsubscribed_at : ndarray of shape (n,), int64, or None
        UTC microseconds of the first click, and of an unsubscription that followed this message; :data:`NEVER` where
        there was none.
    quality : QualityReport or None
        Problems of the frame, and which rows were dropped. A part of a log keeps it.
    kinds : Vocabulary or None
        Kinds of messages, such as ``"offer"``, ``"service"`` and ``"nudge"``.
    kind : ndarray of shape (n,), int32, or None
        -1 where the kind of a message is not known.
    """

    users: Vocabulary
    channels: Vocabulary
    items: Vocabulary
    creatives: Vocabulary
    user: np.ndarray
    channel: np.ndarray
    item: np.ndarray
    creative: np.ndarray
    sent_at: np.ndarray
    responded_at: np.ndarray
    propensity: np.ndarray | None
    end_us: int
    machine: np.ndarray | None = None
    clicked_at: np.ndarray | None = None
    unsubscribed_at: np.ndarray | None = None
    quality: QualityReport | None = None
    kinds: Vocabulary | None = None
    kind: np.ndarray | None = None

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "channels": Ids(text=True),
        **{name: Ids() for name in ("items", "creatives")},
        "user": coded("users", "n"),
        "channel": coded("channels", "n"),
        "item": coded("items", "n", none=True),
        "creative": coded("creatives", "n", none=True),
        "sent_at": instants("n", order="rising"),
        "responded_at": instants("n", never=True),
        "propensity": Maybe(probabilities("n", missing=True)),
        "end_us": INSTANT,
        "machine": Maybe(probabilities("n", missing=True)),
        "clicked_at": Maybe(instants("n", never=True)),
        "unsubscribed_at": Maybe(instants("n", never=True)),
        "quality": Maybe(Value((QualityReport,))),
        "kinds": Maybe(Ids(text=True)),
        "kind": Maybe(coded("kinds", "n", none=True)),
    }

    def __post_init__(self) -> None:
        declare(self)
        after = {name: getattr(self, name) for name in ("responded_at", "clicked_at", "unsubscribed_at")}
        _check_sent_first(self.sent_at, after, "MessageLog")
        _check_propensity(self.propensity, "MessageLog")

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str] | None = None,
        on_invalid: Literal["raise", "drop"] = "raise",
    ) -> MessageLog:
        """Read a frame of messages.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            Columns ``user_id``, ``channel``, ``sent_at`` (with a time zone) and ``responded_at`` (missing where
            there was no response); optionally ``item_id``, ``creative_id`` (both may be missing), ``propensity``,
            ``machine`` (True, False or a probability; missing where it is not known), ``clicked_at`` and
            ``unsubscribed_at`` (missing where it did not happen), and ``kind`` (``"offer"``, ``"service"``, ...; may be
            missing). Missing is None, NaN, NaT, pandas.NA or ``""``, as
            in :meth:`EventLog.from_frame`. A click is a response: it fills a missing or later
            ``responded_at``.
        columns : mapping of str to str, optional
            Our name to yours.
        on_invalid : {"raise", "drop"}
            Whether an invalid row (see Raises) is an error, or is left out and listed in ``messages.quality``.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, an id or ``sent_at`` is missing, a response precedes its
            message, a propensity lies outside (0, 1], or a machine outside [0, 1].

        Examples
        --------
        >>> import pandas as pd
        >>> sent = pd.to_datetime(["2025-05-01 09:00", "2025-05-02 18:00"], utc=True)
        >>> frame = pd.DataFrame({"user_id": [1, 2], "channel": "email", "sent_at": sent,
        ...                       "responded_at": [sent[0] + pd.Timedelta("2h"), pd.NaT]})
        >>> MessageLog.from_frame(frame)
        MessageLog(2 messages, 2 users, 1 channel, 1 response)
        """
        drop = check_on_invalid(on_invalid)
        opened = open_frame(
            frame,
            "MessageLog.from_frame",
            needed=("user_id", "channel", "sent_at", "responded_at"),
            optional=("item_id", "creative_id", "kind", *_OPTIONAL),
            columns=columns,
            lenient=_KINDS if drop else None,
            drops=True,
        )
        quality = all_kept("MessageLog.from_frame", opened.n_rows)
        if drop:
            opened, quality = sift(opened, _KINDS, may_miss=_MAY_MISS)
            opened, quality = screen(opened, quality, _broken(opened))
        users, user = opened.ids("user_id")
        channels, channel = opened.names("channel")
        sent_at = opened.instants("sent_at")
        responded_at = opened.instants("responded_at", none=NEVER)
        nobody = Vocabulary(np.empty(0, np.int64)), np.full(user.size, NONE, np.int32)
        items, item = opened.ids("item_id", allow_missing=True) if "item_id" in opened else nobody
        creatives, creative = opened.ids("creative_id", allow_missing=True) if "creative_id" in opened else nobody
        kinds, kind = opened.names("kind", allow_missing=True) if "kind" in opened else (None, None)
        if kinds is not None and not len(kinds):
            kinds = Vocabulary(np.empty(0, object))
        propensity = opened.numbers_if_any("propensity", _UNKNOWN_PROPENSITY)
        machine = opened.shares("machine") if "machine" in opened else None
        clicked_at, unsubscribed_at = (
            opened.instants(name, none=NEVER) if name in opened else None for name in ("clicked_at", "unsubscribed_at")
        )
        after = {"responded_at": responded_at, "clicked_at": clicked_at, "unsubscribed_at": unsubscribed_at}
        _check_sent_first(sent_at, after, "MessageLog.from_frame")
        _check_propensity(propensity, "MessageLog.from_frame")
        if clicked_at is not None:
            first = (clicked_at != NEVER) & ((responded_at == NEVER) | (clicked_at < responded_at))
            responded_at = np.where(first, clicked_at, responded_at)
        times = [at for at in (sent_at, responded_at, clicked_at, unsubscribed_at) if at is not None]
        last = max(int(at.max()) for at in times) + 1 if sent_at.size else 0
        log = cls(
            users,
            channels,
            items,
            creatives,
            user,
            channel,
            item,
            creative,
            sent_at,
            responded_at,
            propensity,
            last,
            machine,
            clicked_at,
            unsubscribed_at,
            quality,
            kinds,
            kind,
        )
        return log._rows(_sent_order(log))

    def __len__(self) -> int:
        return int(self.sent_at.size)

    def __repr__(self) -> str:
        counts = [(len(self), "message"), (self.n_users, "user"), (len(self.channels), "channel")]
        counts.append((int(self.responded.sum()), "response"))
        return f"MessageLog({', '.join(count_of(n, noun) for n, noun in counts)})"

    @property
    def n_users(self) -> int:
        """How many people occur."""
        return len(self.users)

    @property
    def responded(self) -> np.ndarray:
        """Whether each message has a response, bool of shape (n,)."""
        return self.responded_at != NEVER

    @property
    def end(self) -> dt.datetime:
        """End of the observed window, UTC, exclusive."""
        return from_microseconds(self.end_us)

    def before(self, at: Any) -> MessageLog:
        """Return the messages sent before an instant, without the responses that came at or after it."""
        cut = check_instant(at, "at")
        part = self._rows(np.arange(int(np.searchsorted(self.sent_at, cut))))
        known: dict[str, Any] = {"responded_at": np.where(part.responded_at < cut, part.responded_at, NEVER)}
        for name in ("clicked_at", "unsubscribed_at"):
            if (at_us := getattr(part, name)) is not None:
                known[name] = np.where(at_us < cut, at_us, NEVER)
        if part.machine is not None:
            known["machine"] = np.where(known["responded_at"] != NEVER, part.machine, np.nan)
        return replace(part, end_us=cut, **known)

    def since(self, at: Any) -> MessageLog:
        """Return the messages sent at or after an instant."""
        start = check_instant(at, "at")
        return self._rows(np.arange(int(np.searchsorted(self.sent_at, start)), len(self)))

    def resolve(self, identities: People, *, kind: str | Mapping[str, str] | None = None) -> MessageLog:
        """Return the messages of people: every user id becomes the person it belongs to (:meth:`EventLog.resolve`)."""
        users, user, _ = resolved_users(identities, self.users, self.user, kind, (self.channels, self.channel))
        log = replace(self, users=users, user=user)
        return log._rows(_sent_order(log))

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

    def to_frame(self) -> pd.DataFrame:
        """Return the messages as a pandas frame, in the columns that :meth:`from_frame` takes."""
        import pandas as pd

        columns: dict[str, Any] = {
            "user_id": self.users.decode(self.user),
            "channel": self.channels.decode(self.channel),
            "sent_at": instants_to_pandas(self.sent_at),
            "responded_at": instants_to_pandas(self.responded_at, none=NEVER),
            "item_id": decode_optional(self.items, self.item),
            "creative_id": decode_optional(self.creatives, self.creative),
        }
        for name in ("propensity", "machine"):
            if (numbers := getattr(self, name)) is not None:
                columns[name] = numbers
        for name in ("clicked_at", "unsubscribed_at"):
            if (instants := getattr(self, name)) is not None:
                columns[name] = instants_to_pandas(instants, none=NEVER)
        if self.kinds is not None and self.kind is not None:
            columns["kind"] = decode_optional(self.kinds, self.kind)
        return pd.DataFrame(columns)

    def _rows(self, rows: np.ndarray) -> MessageLog:
        users, user = compress(self.users, self.user[rows])
        channels, channel = compress(self.channels, self.channel[rows])
        items, item = compress(self.items, self.item[rows])
        creatives, creative = compress(self.creatives, self.creative[rows])
        kinds, kind = (None, None) if self.kind is None or self.kinds is None else compress(self.kinds, self.kind[rows])
        optional = {name: None if (array := getattr(self, name)) is None else array[rows] for name in _OPTIONAL}
        return MessageLog(
            users,
            channels,
            items,
            creatives,
            user,
            channel,
            item,
            creative,
            self.sent_at[rows],
            self.responded_at[rows],
            end_us=self.end_us,
            **optional,
            quality=self.quality,
            kinds=kinds,
            kind=kind,
        )


def _sent_order(log: MessageLog) -> np.ndarray:
    """Return the rows by (sent_at, user, channel, item, creative, responded_at, optional columns)."""
    extra = [getattr(log, name) for name in ("kind", "unsubscribed_at", "clicked_at", "machine", "propensity")]
    keys = [log.responded_at, log.creative, log.item, log.channel, log.user, log.sent_at]
    return np.lexsort([*(array for array in extra if array is not None), *keys])


def _check_sent_first(sent_at: np.ndarray, after: Mapping[str, np.ndarray | None], where: str) -> None:
    """Refuse responses that precede their message."""
    for name, at in after.items():
        if at is not None and (early := (at != NEVER) & (at < sent_at)).any():
            raise SchemaError(
                f"{where}: {name} precedes sent_at in {name_rows(early)}. "
                "Are both on the same clock? Drop or repair those rows."
            )


def _check_propensity(propensity: np.ndarray | None, where: str) -> None:
    if propensity is not None and (bad := _is_no_propensity(propensity)).any():
        raise SchemaError(
            f"{where}: propensity must lie in (0, 1]; it does not in {name_rows(bad)}. "
            f"Less than {_LEAST_PROPENSITY:g} is none. "
            "Leave the column out when the probability is not known."
        )


def _is_no_propensity(propensity: np.ndarray) -> np.ndarray:
    """Return which are invalid: importance weights are 1 / propensity, and their sums must stay finite."""
    return np.asarray((propensity < _LEAST_PROPENSITY) | (propensity > 1))


def _broken(opened: Frame) -> list[Finding]:
    """Return the rows of a sifted frame whose response precedes the message, or whose propensity is invalid."""
    sent_at, found = opened.instants("sent_at"), []
    for name in ("responded_at", "clicked_at", "unsubscribed_at"):
        if name not in opened:
            continue
        at = opened.instants(name, none=NEVER)
        found += finding(
            "before sending",
            name,
            (at != NEVER) & (at < sent_at),
            f"{name} precedes sent_at",
            "Are both on the same clock? Were two messages joined to one response?",
        )
    if (propensity := opened.numbers_if_any("propensity", "")) is not None:
        found += finding(
            "no probability",
            "propensity",
            _is_no_propensity(propensity),
            "propensity lies outside (0, 1]",
            "Leave the column out when the probability is not known.",
        )
    return found
