"""Everything that is known up to an instant, as one value that is cut in time once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_duration, check_instant, check_integer, count_of, from_microseconds
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.units import DAY_US
from omnireco.data.asking.item_sets import ItemSets
from omnireco.data.asking.requests import Asked, Requests
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.resolving import People, require_identities
from omnireco.data.vocabulary import NONE, Vocabulary, check_one_kind, compress, unite
from omnireco.data.weights import Weights, agree
from omnireco.errors import EmptyError, ParameterError, SchemaError

__all__ = ["Cut", "Dataset", "dataset_of", "matrix_of"]


_FAR = int(np.iinfo(np.int64).max)
_KINDS: dict[str, tuple[type, str]] = {
    "events": (EventLog, "om.EventLog.from_frame(frame)"),
    "messages": (MessageLog, "om.MessageLog.from_frame(frame)"),
    "audience": (Audience, "om.Audience.from_frame(frame)"),
    "catalog": (Catalog, "om.Catalog.from_frame(frame)"),
    "attributes": (Interactions, "om.models.people_attributes(audience)"),
    "asked": (Asked, "om.Requests.from_log(log)"),
}
_SAMPLE = {
    "events": "log",
    "messages": "messages=sent",
    "audience": "audience=people",
    "catalog": "catalog=goods",
    "creatives": "creatives=art",
}


class Cut(NamedTuple):
    """What was known before a cut in time, and what came after it: ``past, later = data.split(at)``."""

    past: Dataset
    later: Dataset

    def _repr_html_(self) -> str:
        return shown_html(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class Dataset:
    """What a company knows up to an instant: events, messages, people and items, cut in time together.

    Every estimator is fitted on one (``om.SendTime().fit(data)``), users are served through one
    (``data.requests()``), and one cut (``past, later = data.split("2025-06-01")``) holds for every part of it: nothing
    behind it can be reached from ``past``.

    Parameters
    ----------
    events : EventLog, optional
        What people did.
    messages : MessageLog, optional
        Messages with responses.
    audience : Audience, optional
        Time zones and consents.
    catalog : Catalog, optional
        Categories, prices and margins of items.
    identities : Identities, optional
        Links between ids. Events, messages, audience and requests (``asked``) are those of the people behind the ids
        from then on, as far as links known at ``end`` say; a cut forgets later links.
    attributes : Interactions, optional
        People x attributes, for people without events. They have no time and are not cut.
    facts : sequence of frames, optional
        Numbers known from elsewhere, for :class:`omnireco.Ranker`. They have no time and are not cut.
    asked : Asked, optional
        Requests that were made and what was chosen, to learn rankings from (:meth:`Requests.from_log`).
    creatives : frame, optional
        Attributes of creatives, for :class:`omnireco.choices.Creatives`. They have no time and are not cut.
    end : datetime, date or str, optional
        Until when everything is known; by default the end of the events and messages.

    Raises
    ------
    SchemaError
        When a part is of another kind.
    IdKindError
        When one part names people or items by integers and another by strings.
    ParameterError
        When messages or requests reach past the end of events that were cut, or a day and more past that of any events:
        give whole logs and cut the Dataset, or cut the messages too.

    Notes
    -----
    A cut keeps events and messages before it, without the responses that came later; a request in ``asked`` of which a
    choice came later belongs to neither side. Consent that was given or
    withdrawn at or after the cut was not known then, and what held before is not recorded: it counts as no consent.
    Consents without an instant, zones, catalogue, attributes, facts and creatives have no time: they are taken as known
    all along. Reports about the frames that logs were read from (``quality``, ``resolution``) count later rows too, so
    a cut lets go of them. Deterministic; a cut costs a copy of the rows that it keeps.

    Examples
    --------
    >>> import omnireco as om
    >>> world = om.simulate(n_users=60, n_items=20, days=60, seed=1)
    >>> data = om.Dataset(om.EventLog.from_frame(world.events), messages=om.MessageLog.from_frame(world.messages),
    ...                   audience=om.Audience.from_frame(world.users))
    >>> past, later = data.split("2025-02-15", horizon="7D")
    >>> past.end.date().isoformat(), later.end.date().isoformat()
    ('2025-02-15', '2025-02-22')
    >>> om.ItemKNN().fit(past).recommend(past.requests(), k=3).k
    3
    """

    events: EventLog | None = None
    messages: MessageLog | None = None
    audience: Audience | None = None
    catalog: Catalog | None = None
    identities: People | None = None
    attributes: Interactions | None = None
    facts: tuple[Any, ...] = ()
    asked: Asked | None = None
    creatives: Any = None
    end_us: int = 0
    _as_given: tuple[Any, Any, Any, Any] | None = None  # events to audience, and asked, before ids became people

    def __init__(
        self,
        events: Any = None,
        *,
        messages: MessageLog | None = None,
        audience: Audience | None = None,
        catalog: Catalog | None = None,
        identities: People | None = None,
        attributes: Interactions | None = None,
        facts: Sequence[Any] = (),
        asked: Asked | None = None,
        creatives: Any = None,
        end: Any = None,
    ) -> None:
        if _is_frame(events):
            events = EventLog.from_frame(events)
        given = {
            "events": events,
            "messages": messages,
            "audience": audience,
            "catalog": catalog,
            "attributes": attributes,
            "asked": asked,
        }
        for name, value in given.items():
            kind, line = _KINDS[name]
            if value is not None and not isinstance(value, kind):
                raise SchemaError(
                    f"Dataset: {name} must be {'an' if kind.__name__[0] in 'AEI' else 'a'} {kind.__name__}. Got "
                    f"{type(value).__name__}. Write {name}={line}."
                )
        if not isinstance(facts, (list, tuple)):
            raise SchemaError(
                f"Dataset: facts must be a list of frames. Got {type(facts).__name__}. Write facts=[frame]."
            )
        strange = [one for one in facts if not _is_frame(one)]
        if strange or (creatives is not None and not _is_frame(creatives)):
            name, value = ("facts", strange[0]) if strange else ("creatives", creatives)
            line = "facts=[frame]" if strange else "creatives=frame"
            raise SchemaError(f"Dataset: {name} must be frames. Got {type(value).__name__}. Write {line}.")
        for name, value in (given | {"facts": tuple(facts), "identities": identities, "creatives": creatives}).items():
            object.__setattr__(self, name, value)
        _check_one_end(events, messages)
        ends = [log.end_us for log in (events, messages) if log is not None]
        object.__setattr__(self, "end_us", max(ends, default=0) if end is None else check_instant(end, "end"))
        if end is not None and self.end_us < max(ends, default=0):
            raise ParameterError(
                f"Dataset: end={from_microseconds(self.end_us).isoformat()} lies before the end of a log. Cut it: "
                "om.Dataset(...).before(end)."
            )
        object.__setattr__(self, "_as_given", None)
        if identities is not None:
            require_identities(identities)
            self._resolve((events, messages, audience, asked), _as_of(identities, self.end_us))
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse parts that do not belong together: requests after the end, and ids that can never match."""
        _check_asked(self.asked, self.events, self.end_us)
        _check_one_kind(self)

    def _resolve(self, given: tuple[Any, Any, Any, Any], identities: Any) -> None:
        """Set events, messages, audience and the requests made to those of the people behind their ids."""
        object.__setattr__(self, "_as_given", given)
        object.__setattr__(self, "identities", identities)
        for name, value in zip(("events", "messages", "audience"), given[:3], strict=True):
            object.__setattr__(self, name, None if value is None else value.resolve(identities))
        object.__setattr__(self, "asked", None if given[3] is None else _asked_by_people(given[3], identities))

    def __repr__(self) -> str:
        parts = [
            count_of(len(value), noun)
            for value, noun in ((self.events, "event"), (self.messages, "message"))
            if value is not None
        ]
        if self.audience is not None:
            parts.append(f"{count_of(self.audience.n_users, 'person', 'people')} in the audience")
        if self.catalog is not None:
            parts.append(f"{count_of(len(self.catalog), 'item')} in the catalogue")
        more = ("identities", "attributes", "asked", "creatives")
        parts += [name for name in more if getattr(self, name) is not None] + ["facts"] * bool(self.facts)
        until = f", known until {self.end.isoformat(timespec='seconds')}" if self.end_us else ""
        return f"Dataset({', '.join(parts) or 'nothing'}{until})"

    _repr_html_ = shown_html

    @property
    def end(self) -> dt.datetime:
        """Until when everything is known, UTC, exclusive: the cut after a split."""
        return from_microseconds(self.end_us)

    @property
    def users(self) -> Vocabulary:
        """Everybody whom any part knows."""
        parts = self._people()
        return unite(parts, "users")[0] if parts else Vocabulary(np.empty(0, np.int64))

    def _people(self) -> list[Vocabulary]:
        parts = (self.events, self.messages, self.audience, self.attributes)
        return [part.users for part in parts if part is not None]

    def has(self, need: str) -> bool:
        """Return whether a part is there, by its name."""
        return isinstance(need, str) and getattr(self, need, None) is not None

    @says_the_line("past, later = data.split('2025-06-01', horizon='14D', embargo='1D')")
    def split(self, at: Any, *, horizon: Any = None, embargo: Any = None) -> Cut:
        """Cut everything in time: what was known before an instant, and what came after it.

        Parameters
        ----------
        at : datetime, date or str
            The cut. A plain date means 00:00 UTC; what happens exactly at the cut comes later.
        horizon : str or timedelta, optional
            How far ``later`` reaches beyond the cut, such as ``"14D"``; to the end by default.
        embargo : str or timedelta, optional
            Time left out before the cut, when what is learned today serves only from tomorrow on: ``past`` ends so
            much earlier.

        Returns
        -------
        Cut of (past, later)
            Two Datasets with only the ids that occur in their logs. ``later`` holds the events of the window and the
            messages sent in it; its audience is that of its end.

        Raises
        ------
        EmptyError
            When no event lies before the cut, or none in the window.
        """
        cut = check_instant(at, "at")
        early = cut - (0 if embargo is None else check_duration(embargo, "embargo"))
        stop = self.end_us if horizon is None else min(self.end_us, cut + check_duration(horizon, "horizon"))
        past, later = self._until(early), self._until(max(stop, cut))._from(cut)
        if self.events is not None:
            for side, part, edge in (("before", past, early), ("in the window after", later, cut)):
                if part.events is None or not len(part.events):
                    start, end = self.events.start.isoformat(), self.events.end.isoformat()
                    raise EmptyError(
                        f"split: none of {len(self.events):,} events lies {side} {_text(edge)}. The events run from "
                        f"{start} to {end}: choose a cut inside them."
                    )
        return Cut(past, later)

    def before(self, at: Any) -> Dataset:
        """Return what was known before an instant; its ``end`` is that instant."""
        return self._until(check_instant(at, "at"))

    @says_the_line("data.rolling(horizon='14D', n=3, embargo='1D')")
    def rolling(self, *, horizon: Any, n: int = 3, embargo: Any = None) -> tuple[Cut, ...]:
        """Cut several times, each test window right after its past, the last one at the end.

        What happens once in a real service happens ``n`` times here: learn from all that was known, be measured on
        what came next. Later cuts know more; no window overlaps another.

        Parameters
        ----------
        horizon : str or timedelta
            Length of each window, such as ``"14D"``.
        n : int
            How many.
        embargo : str or timedelta, optional
            As in :meth:`split`.

        Returns
        -------
        tuple of Cut
            In order of time.
        """
        length, n = check_duration(horizon, "horizon"), check_integer(n, "n", low=1, high=1_000)
        cuts = (from_microseconds(self.end_us - back * length) for back in range(n, 0, -1))
        return tuple(self.split(cut, horizon=horizon, embargo=embargo) for cut in cuts)

    def requests(
        self,
        users: Any = None,
        *,
        at: Any = None,
        channel: str | None = None,
        context: Mapping[str, Any] | None = None,
        given: Any = None,
        exclude: Any = None,
        new_users: bool = False,
    ) -> Requests:
        """Return requests of users, for any model: histories are read out of this Dataset.

        Parameters
        ----------
        users : array-like of ids, optional
            Users of the requests; those with events by default (``data.users.ids`` for all). Repeats are allowed.
        at : datetime, date or str, or array of them, optional
            When: one instant, or one per request; the end of the Dataset by default.
        channel : str or array-like of str, optional
            The channel of the request, for all or per request.
        context : mapping of str to value or array-like, optional
            The situation: ``{"device": "phone"}``; for all or per request.
        given : sequence of sequences of item ids, optional
            What lies in the basket, per request: it counts as part of the history and is not recommended.
        exclude : sequence of sequences of item ids, optional
            What must not be recommended, per request.
        new_users : bool
            Whether ids that no part knows are people without a history (True) or an error (False).

        Returns
        -------
        Requests
            Results are named by user where each has one request, else by the number of the request.

        Raises
        ------
        UnknownIdError
            When no part knows an id, and ``new_users`` is False.
        ParameterError
            When instants, labels or baskets are not one per request, or ``at`` is missing where no log has an end.
        """
        if at is None and not self.end_us:
            raise ParameterError(
                "Dataset.requests: the data has no end (neither events nor messages), so a request has no instant. "
                "Write data.requests(users, at='2025-06-01')."
            )
        everybody = users is None and self.events is None
        return Requests.of(
            self,
            [self.users] if everybody else self._people(),
            users,
            at=self.end if at is None else at,
            channel=channel,
            context=context,
            given=given,
            exclude=exclude,
            new_users=new_users,
        )

    def matrix(self, weights: Weights | None = None) -> Interactions:
        """Return the behaviour matrix of the events, as :meth:`EventLog.matrix` builds it at the end of the Dataset."""
        return self.part("events", "Dataset.matrix").matrix(weights, at=self.end if self.end_us else None)

    def part(self, name: str, where: str) -> Any:
        """Return a part, or say how to give it."""
        if (value := getattr(self, name)) is None:
            raise SchemaError(f"{where} needs {name}, and this Dataset has none. Write {_made_of((name,), self)}.")
        return value

    def _until(self, cut: int) -> Dataset:
        """Return what was known before an instant."""
        at, (events, messages, audience, asked) = from_microseconds(cut), self._given()
        asked = _some_asked(asked, until=cut)
        held = None if audience is None else audience.as_of(at)
        if cut >= self.end_us:  # the logs end before it; consents and requests may reach further
            if held is audience and asked is self._given()[3]:
                return self._with(end_us=cut)
            return self._window((events, messages, held), cut, asked, known_at=cut)
        parts = (
            None if events is None else replace(events.before(at), quality=None, resolution=None),
            None if messages is None else replace(messages.before(at), quality=None),
            held,
        )
        return self._window(parts, cut, asked, known_at=cut)

    def _from(self, cut: int) -> Dataset:
        """Return the events, messages and requests from an instant on, of people as they were known at it."""
        start, end = from_microseconds(cut), from_microseconds(max(self.end_us, cut + 1))
        events, messages, audience, asked = self._given()
        parts = (
            None if events is None else events.between(start, end),
            None if messages is None else messages.since(start),
            audience,
        )
        return self._window(parts, self.end_us, _some_asked(asked, since=cut), known_at=cut)

    def _window(self, parts: tuple[Any, ...], end_us: int, asked: Asked | None, *, known_at: int) -> Dataset:
        events, messages, audience = parts
        made = self._with(events=events, messages=messages, audience=audience, asked=asked, end_us=end_us)
        if self.identities is not None:
            made._resolve((events, messages, audience, asked), _as_of(self.identities, known_at))
        return made

    def _given(self) -> tuple[Any, Any, Any, Any]:
        """Return events, messages, audience and the requests made, as they were before ids became people."""
        return self._as_given or (self.events, self.messages, self.audience, self.asked)

    def _with(self, **changes: Any) -> Dataset:
        """Return a copy with other parts, none of which is checked or resolved again."""
        made = object.__new__(Dataset)
        for part in fields(self):
            object.__setattr__(made, part.name, changes.get(part.name, getattr(self, part.name)))
        return made


def dataset_of(data: Any, where: str, needs: Iterable[str]) -> Dataset:
    """Return ``data`` as a Dataset that has every part that is needed.

    A log, an audience or a frame of events is wrapped; what is missing is an error that names it.

    Raises
    ------
    SchemaError
        When a part is missing, or ``data`` is of another kind.
    """
    wrapped: Dataset | None = None
    needed = tuple(needs)
    if isinstance(data, Dataset):
        wrapped = data
    elif isinstance(data, EventLog):
        wrapped = Dataset(data)
    elif isinstance(data, MessageLog):
        wrapped = Dataset(messages=data)
    elif "events" in needed and _is_frame(data):
        wrapped = Dataset(EventLog.from_frame(data))
    if wrapped is None:
        raise SchemaError(f"{where} takes a Dataset. Got {type(data).__name__}: write {_made_of(needed, None)}.")
    if missing := [need for need in needed if not wrapped.has(need)]:
        raise SchemaError(
            f"{where} needs {' and '.join(missing)}, and the data has none. Write {_made_of(needed, wrapped)}."
        )
    return wrapped


def matrix_of(data: Any, weights: Weights | None, where: str, *, otherwise: Weights | None = None) -> Interactions:
    """Return the behaviour matrix that an estimator is fitted on.

    Parameters
    ----------
    data : Interactions, Dataset, EventLog, EventScan or frame
        A matrix is taken as it is; of anything else it is built with the weights.
    weights : Weights or None
        Those of the estimator.
    where : str
        Begins an error: ``"ALS.fit"``.
    otherwise : Weights, optional
        Used where the estimator has none.

    Raises
    ------
    ParameterError
        When the estimator has weights and the matrix was made with others, or with unknown ones.
    """
    if isinstance(data, Interactions):
        if weights is not None and not agree(weights, data.weights):
            raise ParameterError(
                f"{where}: the matrix was made with "
                f"{'unknown weights' if data.weights is None else repr(data.weights)}, and the estimator has "
                f"weights={weights!r}. Give the events, fit(data), or leave out weights= of the estimator."
            )
        return data
    chosen = weights if weights is not None else otherwise
    if not isinstance(data, Dataset) and callable(getattr(data, "matrix", None)):  # a log, or a scan of files
        return data.matrix(chosen)
    return dataset_of(data, where, ("events",)).matrix(chosen)


def _made_of(needed: Sequence[str], data: Dataset | None) -> str:
    """Return the line that makes a Dataset with some parts, those that are there already included."""
    parts = [name for name in _SAMPLE if name in needed or (data is not None and data.has(name))]
    parts += [name for name in needed if name not in _SAMPLE]
    return f"om.Dataset({', '.join(_SAMPLE.get(name, f'{name}=...') for name in parts)})"


def _check_one_end(events: EventLog | None, messages: MessageLog | None) -> None:
    """Refuse messages that know more than the events: what was learned from both would have looked ahead."""
    if events is None or messages is None or not len(messages) or not (len(events) or events.end_us):
        return
    was_cut = _was_cut(events)
    if messages.end_us <= events.end_us or not (was_cut or int(messages.sent_at[-1]) >= events.end_us + DAY_US):
        return
    late = int((messages.sent_at >= events.end_us).sum())
    raise ParameterError(
        f"Dataset: the messages reach past the end of the events, {events.end.isoformat()}: {late:,} of "
        f"{len(messages):,} were sent later, and others have later responses. Put whole logs into the Dataset and cut "
        "it once, om.Dataset(log, messages=sent).split(at), or cut the messages too: messages=sent.before(log.end)."
    )


def _was_cut(events: EventLog) -> bool:
    """Return whether a log ends elsewhere than right after its last event: then its end is an instant of knowing."""
    return events.end_us != (int(events.at[-1]) + 1 if len(events) else 0)


def _check_asked(asked: Asked | None, events: EventLog | None, end_us: int) -> None:
    """Refuse requests from after the end of events that were cut: what was chosen at them was not known then."""
    if asked is None or events is None or not (len(events) or events.end_us) or not len(asked.requests):
        return
    was_cut = _was_cut(events)
    closed_at = _closed_at(asked.requests)
    late = int((closed_at >= end_us).sum())
    if late and (was_cut or int(closed_at.max()) >= end_us + DAY_US):
        raise ParameterError(
            f"Dataset: {late:,} of {len(asked.requests):,} requests in asked= were made after the end, "
            f"{from_microseconds(end_us).isoformat()}. Put whole logs into the Dataset and cut it once: "
            "om.Dataset(log, asked=asked).split(at)."
        )


def _some_asked(asked: Asked | None, *, since: int = NEVER, until: int = _FAR) -> Asked | None:
    """Return the requests of a window of which all that was chosen is known in it, asked of no Dataset.

    Only the ids that occur in them are known to them.
    """
    if asked is None:
        return None
    inside = (asked.requests.at >= since) & (_closed_at(asked.requests) < until)
    if inside.all() and asked.requests.data is None:
        return asked
    kept = np.flatnonzero(inside)
    requests, chosen = asked.requests.take(kept), asked.chosen.take(kept)
    users, user = compress(requests.users, requests.user)
    labels = {name: compress(*pair) for name, pair in requests.labels.items()}
    given, exclude = (None if one is None else _some_items(one) for one in (requests.given, requests.exclude))
    chosen = chosen.with_items(compress(chosen.items, chosen.csr.indices)[0])
    made = replace(requests, users=users, user=user, labels=labels, given=given, exclude=exclude, data=None)
    return Asked(made, chosen)


def _closed_at(requests: Requests) -> np.ndarray:
    """Return from when on each request is known whole, int64 (n,): after its last choice."""
    return requests.at if requests.closed_at is None else np.maximum(requests.at, requests.closed_at)


def _asked_by_people(asked: Asked, identities: Any) -> Asked:
    """Return the requests as those of the people behind the ids of who asked."""
    requests = asked.requests
    if not len(requests.users):
        return asked
    names, _ = identities.names(requests.users, np.arange(len(requests.users)), None, None)
    users, person = Vocabulary.encode(names, "user_id")
    user = np.append(person, np.int32(NONE))[requests.user]
    return Asked(replace(requests, users=users, user=user), asked.chosen)


def _some_items(sets: ItemSets) -> ItemSets:
    items, item = compress(sets.items, sets.item)
    return ItemSets(items, sets.indptr, item)


def _check_one_kind(data: Dataset) -> None:
    """Refuse parts whose ids can never meet."""
    asked = data.asked
    parts: dict[str, Any] = {name: getattr(data, name) for name in ("events", "messages", "audience", "catalog")}
    people = {name: part.users for name, part in parts.items() if hasattr(part, "users")}
    goods = {name: part.items for name, part in parts.items() if hasattr(part, "items")}
    if data.attributes is not None:
        people["attributes"] = data.attributes.users
    if asked is not None:
        people["asked"], goods["asked"] = asked.requests.users, asked.chosen.items
    for column, found in (("user_id", people), ("item_id", goods)):
        named = [(name, known) for name, known in found.items() if len(known)]
        for name, known in named[1:]:
            check_one_kind(known, named[0][1], (name, named[0][0]), column)


def _as_of(identities: Any, at_us: int) -> Any:
    return identities.before(from_microseconds(at_us)) if at_us else identities


def _text(at_us: int) -> str:
    return from_microseconds(at_us).isoformat()


def _is_frame(data: Any) -> bool:
    """Return whether something is a frame of a library: it has named columns and is none of our values."""
    if isinstance(data, type) or type(data).__module__.partition(".")[0] == "omnireco":
        return False
    return hasattr(data, "__arrow_c_stream__") or (hasattr(data, "columns") and hasattr(data, "shape"))
