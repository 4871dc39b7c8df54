"""Requests: a user, at an instant, in a context; and what was then chosen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_flag,
    check_instant,
    check_integer,
    check_mapping,
    check_names,
    name_rows,
    plain,
    shown,
)
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html, shown_rows
from omnireco._core.parts import Maybe, Parts, Record, coded, freeze, instants
from omnireco._core.random import stream
from omnireco._core.small import Apart, Text
from omnireco._kernels.log.cells import Coded
from omnireco.data.asking.item_sets import ItemSets
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.answers import is_missing
from omnireco.data.frames.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids, Labels
from omnireco.data.vocabulary import NONE, Vocabulary, compress, known_to
from omnireco.errors import EmptyError, ParameterError, SchemaError, UnknownIdError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Asked", "Requests"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Requests:
    """Moments at which something is to be recommended: who, when, where, and in which situation.

    Made by :meth:`omnireco.Dataset.requests`, which knows the histories of the users; :meth:`from_frame` and
    :meth:`from_log` make requests that :meth:`on` hands a Dataset.

    Parameters
    ----------
    ids : Vocabulary
        One id per request, in row order; the ``users`` of the lists that answer it.
    users : Vocabulary
        Ids of the people who ask; ``user`` has their codes.
    user : ndarray of shape (n,), int32
        -1 for somebody unknown.
    at : ndarray of shape (n,), int64
        UTC microseconds.
    labels : mapping of str to (Vocabulary, ndarray of shape (n,), int32)
        The situation: ``channel``, ``store_id``, ``device`` and the like; -1 where unknown.
    given : ItemSets or None
        What lies in the basket at each request.
    exclude : ItemSets or None
        What must not be recommended at each request.
    key : {"request_id", "user_id"}
        What ``ids`` are.
    data : Dataset or None
        Where histories and attributes of the users are read; never written to a file.
    closed_at : ndarray of shape (n,), int64, or None
        When the last choice of each request was made, UTC microseconds, where that is known (:meth:`from_log`): only
        after it is known what was chosen.

    Examples
    --------
    >>> import omnireco as om
    >>> data = om.Dataset(om.EventLog.from_frame(om.simulate(n_users=50, n_items=20, seed=1).events))
    >>> someone = data.events.users.ids[0]
    >>> requests = data.requests([someone, someone], channel=["app", "web"], given=[["i01"], []])
    >>> requests
    Requests(2 of 1 user, context: channel, given)
    >>> om.ItemKNN().fit(data).recommend(requests, k=2).to_frame()["request_id"].tolist()
    [0, 0, 1, 1]
    """

    ids: Vocabulary
    users: Vocabulary
    user: np.ndarray
    at: np.ndarray
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]]
    given: ItemSets | None = None
    exclude: ItemSets | None = None
    key: str = "request_id"
    data: Any = None
    closed_at: np.ndarray | None = None

    parts: ClassVar[Parts] = {
        "ids": Ids(),
        "users": Ids(people=True),
        "user": coded("users", "ids"),
        "at": instants("ids"),
        "labels": Labels("ids"),
        "given": Maybe(Apart(Record(ItemSets))),
        "exclude": Maybe(Apart(Record(ItemSets))),
        "key": Text(),
        "closed_at": Maybe(instants("ids")),
    }

    def __post_init__(self) -> None:
        freeze(self)
        object.__setattr__(self, "labels", ReadOnly(self.labels))
        check_choice(self.key, "key", ("user_id", "request_id"))
        for name, sets in (("given", self.given), ("exclude", self.exclude)):
            if sets is not None and len(sets) != len(self.ids):
                raise ParameterError(
                    f"{name} has {len(sets):,} sets of items for {len(self.ids):,} requests. Give one per request."
                )

    @classmethod
    def of(
        cls,
        data: Any,
        known: Sequence[Vocabulary],
        ids: Any,
        *,
        at: Any,
        channel: Any = None,
        context: Mapping[str, Any] | None = None,
        given: Any = None,
        exclude: Any = None,
        new_users: bool = False,
    ) -> Requests:
        """Return requests of people of a Dataset: what :meth:`omnireco.Dataset.requests` calls, and explains.

        ``known`` are the people of its parts; None as ``ids`` stands for all of the first.
        """
        where = "Dataset.requests"
        check_ordered(ids, "users")
        if ids is None:
            users, user = known[0], np.arange(len(known[0]), dtype=np.int32)
        else:
            users, user = Vocabulary.encode(ids, "user_id")
            strange = ~known_to(known, users, ("the data", "the requests"))
            if not check_flag(new_users, "new_users") and strange.any():
                raise UnknownIdError(
                    f"{where}: {int(strange[user].sum()):,} of {user.size:,} people are in no part of the data. Leave "
                    "them out, or say that they are new: data.requests(users, new_users=True)."
                )
        n = user.size
        once = len(users) == n
        instants = check_instants_of(at, n, "at")
        situation = check_mapping(context, "context", "{'device': 'phone'}")
        if channel is not None:
            if "channel" in situation:
                raise ParameterError(
                    f"{where}: the channel is given twice, by channel= and in context=. Leave one out."
                )
            situation = {"channel": _check_channel(channel)} | dict(situation)
        labels = {str(name): label_of(value, n, str(name)) for name, value in situation.items()}
        return cls(
            users.take(user) if once else Vocabulary(np.arange(n, dtype=np.int64)),
            users,
            user,
            instants,
            labels,
            ItemSets.read(given, n, "given"),
            ItemSets.read(exclude, n, "exclude"),
            "user_id" if once else "request_id",
            data,
        )

    @classmethod
    def from_frame(
        cls, frame: Any, *, context: Iterable[str] = (), columns: Mapping[str, str] | None = None
    ) -> Requests:
        """Read a frame of requests.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            One row per request: ``user_id``, ``timestamp`` (with a time zone) and the columns of ``context``.
            With ``request_id`` (unique) the lists are named by it; without, by ``user_id``, and then everybody may
            ask once.
        context : iterable of str
            Id or string columns of the context: ``["channel", "store_id", "device"]``; may be missing
            in some rows.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, or a request is named twice.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"user_id": ["ann", "bob"], "channel": ["app", "web"],
        ...                       "timestamp": pd.to_datetime(["2025-05-01 08:00", "2025-05-02 17:30"], utc=True)})
        >>> Requests.from_frame(frame, context=["channel"])
        Requests(2 of 2 users, context: channel)
        """
        names = check_names(context, "context")
        opened = open_frame(
            frame,
            "Requests.from_frame",
            needed=("user_id", "timestamp", *names),
            optional=("request_id",),
            columns=columns,
        )
        users, user = opened.ids("user_id")
        at = opened.instants("timestamp")
        labels = {name: opened.ids(name, allow_missing=True) for name in names}
        named = "request_id" if "request_id" in opened else "user_id"
        known, code = opened.ids("request_id") if named == "request_id" else (users, user)
        if len(known) < code.size:
            repeated = np.ones(code.size, np.bool_)
            repeated[np.unique(code, return_index=True)[1]] = False
            raise SchemaError(
                f"Requests.from_frame: {named} is listed again in {name_rows(repeated)}. Name every request: "
                "frame.assign(request_id=range(len(frame)))."
            )
        return cls(known.take(code), users, user, at, labels, key=named)

    @classmethod
    def from_log(
        cls,
        log: EventLog,
        *,
        context: Iterable[str] = (),
        events: Iterable[str] | None = None,
        gap: str = "30min",
        per_user: int | None = None,
        seed: int = 0,
    ) -> Asked:
        """Read requests and choices from a log, to learn and to evaluate rankings.

        Parameters
        ----------
        log : EventLog
            The events: what people chose, and where and when.
        context : iterable of str
            ``"channel"`` and labels of the log, such as ``"store_id"``: taken from the first event of the request.
        events : iterable of str, optional
            Which types are choices, such as ``["purchase"]``; all by default.
        gap : str or timedelta
            Choices of a person with pauses shorter than this are one request, at the instant of the first.
        per_user : int, optional
            At most so many requests of a person, drawn at random: with 1, an interval over requests is one over
            people.
        seed : int
            Of that draw.

        Returns
        -------
        Asked of (requests, chosen)
            ``chosen`` holds the items per request: the ``truth`` of :func:`omnireco.evaluate`.

        Raises
        ------
        EmptyError
            When the log holds no such choice.

        Examples
        --------
        >>> from omnireco.worlds.simulate import simulate
        >>> log = EventLog.from_frame(simulate(n_users=50, n_items=20, seed=1).events)
        >>> requests, chosen = Requests.from_log(log, context=["channel"], events=["purchase"])
        >>> len(requests) == chosen.n_users
        True
        """
        require_events(log, "Requests.from_log")
        names, pause = check_names(context, "context"), check_duration(gap, "gap")
        part = log if events is None else log.select(events=events)
        part_at = part.at
        rows = np.flatnonzero(part.item != NONE)
        if not rows.size:
            raise EmptyError(
                f"Requests.from_log: none of {len(log):,} events is a choice of an item. Check events= and the split."
            )
        rows = rows[np.lexsort([part_at[rows], part.user[rows]])]
        user, when = part.user[rows], part_at[rows]
        fresh = np.r_[True, (user[1:] != user[:-1]) | (np.diff(when) >= pause)]
        request, first, last = np.cumsum(fresh) - 1, rows[fresh], rows[np.r_[fresh[1:], True]]
        if per_user is not None:
            keep = _some_of_each(part.user[first], check_integer(per_user, "per_user", low=1), seed)
            moved = np.full(first.size, NONE)
            moved[keep] = np.arange(keep.size)
            inside = moved[request] != NONE
            request, rows, first, last = moved[request[inside]], rows[inside], first[keep], last[keep]
        users, who = compress(part.users, part.user[first])
        labels = {name: _take_label(part, name, first) for name in names}
        ids = Vocabulary(np.arange(first.size, dtype=np.int64))
        cells = Coded(request, part.item[rows], None, np.ones(rows.size))
        chosen = Interactions.from_cells(ids, part.items, cells, binary=True)
        return Asked(cls(ids, users, who, part_at[first], labels, closed_at=part_at[last]), chosen)

    def __len__(self) -> int:
        return int(self.at.size)

    def __repr__(self) -> str:
        situation = f", context: {', '.join(plain(name, 'a column') for name in self.labels)}" if self.labels else ""
        sets = "".join(f", {name}" for name in ("given", "exclude") if getattr(self, name) is not None)
        return (
            f"Requests({len(self):,} of {len(self.users):,} user{'' if len(self.users) == 1 else 's'}{situation}{sets})"
        )

    def on(self, data: Any) -> Requests:
        """Return the same requests with a Dataset: histories are read out of it as of each instant."""
        if not hasattr(data, "requests") or isinstance(data, type):
            raise SchemaError(f"Requests.on takes a Dataset. Got {type(data).__name__}: write om.Dataset(log).")
        return replace(self, data=data)

    def take(self, rows: np.ndarray) -> Requests:
        """Return some requests by position, in the order given."""
        labels = {name: (known, codes[rows]) for name, (known, codes) in self.labels.items()}
        given, exclude = (None if sets is None else sets.take(rows) for sets in (self.given, self.exclude))
        closed_at = None if self.closed_at is None else self.closed_at[rows]
        some = self.ids.take(rows), self.users, self.user[rows], self.at[rows], labels
        return Requests(*some, given, exclude, self.key, self.data, closed_at)

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("ids")

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: request_id, user_id, timestamp and the context columns."""
        import pandas as pd

        columns: dict[str, Any] = {
            "request_id": self.ids.ids,
            "user_id": self.users.decode(self.user),
            "timestamp": instants_to_pandas(self.at),
        }
        return pd.DataFrame(columns | {name: decode_optional(*pair) for name, pair in self.labels.items()})


class Asked(NamedTuple):
    """Requests read from a log, and the items chosen at each."""

    requests: Requests
    chosen: Interactions

    def _repr_html_(self) -> str:
        return shown_html(self)


def check_ordered(values: Any, name: str) -> None:
    """Refuse what has no order, so that nobody gets what is meant for another request: sets and mappings."""
    if isinstance(values, (Set, Mapping)):
        raise ParameterError(
            f"{name} must stand in an order, that of the requests. Got {type(values).__name__}. Write a list: "
            f"{name}=[...]."
        )


def check_instants_of(at: Any, n: int, name: str) -> np.ndarray:
    """Return one instant for all requests, or one per request, int64 UTC microseconds (n,)."""
    check_ordered(at, name)
    if isinstance(at, (str, dt.date)) or not hasattr(at, "__len__"):
        return np.full(n, check_instant(at, name), np.int64)
    if len(at) != n:
        raise ParameterError(f"{name} has {len(at):,} instants for {n:,} requests. Give one, or one per request.")
    return np.array([check_instant(one, name) for one in at], np.int64)


def _check_channel(channel: Any) -> Any:
    """Return one name of a channel, or one per request, some of which may be missing."""
    listed = [channel] if isinstance(channel, str) or not hasattr(channel, "__len__") else channel
    if isinstance(channel, Mapping) or not all(
        isinstance(name, str) or name is None or bool(is_missing(name)) for name in listed
    ):
        raise ParameterError(
            f"channel must be a name, or one per request, such as ['app', 'web']. Got {shown(channel)}."
        )
    return channel


def label_of(value: Any, n: int, name: str) -> tuple[Vocabulary, np.ndarray]:
    """Return one value for all requests, or one per request, coded; missing is -1."""
    check_ordered(value, name)
    if value is None or isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        value = [value] * n
    if len(value) != n:
        raise ParameterError(f"{name} has {len(value):,} values for {n:,} requests. Give one, or one per request.")
    import pandas as pd

    column = pd.Series(list(value), dtype=object)
    held = column[column.notna()]
    codes = np.full(n, NONE, np.int32)
    known, code = Vocabulary.encode(held.tolist(), name) if len(held) else (Vocabulary(np.empty(0, object)), codes[:0])
    codes[np.flatnonzero(column.notna())] = code
    return known, codes


def _take_label(log: EventLog, name: str, rows: np.ndarray) -> tuple[Vocabulary, np.ndarray]:
    if isinstance(name, str) and name == "channel":
        return log.channels, log.channel[rows]
    if name not in log.labels:
        raise ParameterError(
            f"context: the log has no column {shown(name)}; it has {', '.join(map(repr, ['channel', *log.labels]))}. "
            "Keep "
            f"it when the frame is read: EventLog.from_frame(frame, context=[{shown(name)}])."
        )
    known, codes = log.labels[name]
    return known, codes[rows]


def _some_of_each(user: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return positions of at most ``most`` rows of each user, ascending; drawn."""
    drawn = stream(seed, "requests/per_user").random(user.size)
    order = np.lexsort([drawn, user])
    begin = np.flatnonzero(np.r_[True, np.diff(user[order]) != 0])
    place = np.arange(user.size) - np.repeat(begin, np.diff(np.r_[begin, user.size]))
    return np.sort(order[place < most])
