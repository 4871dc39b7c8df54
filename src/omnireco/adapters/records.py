"""Records in, frames out: shared by all readers."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from omnireco._core.notebook import shown_html
from omnireco.adapters.columns.blocks import Doubtful, is_large
from omnireco.adapters.columns.road import Columns, Element, records_left
from omnireco.adapters.columns.tables import Chunk, distinct, united, zone_facts
from omnireco.adapters.deliveries import TOUCH, deliveries
from omnireco.adapters.files import Wanted, read_file, unwrapped
from omnireco.adapters.nesting import Unreadable, dig, listed, mapping, plain
from omnireco.adapters.people import CONSENT, REACHABLE, ZONE, Fact, mark_withdrawn, merged, withdrawn_channel
from omnireco.adapters.values import as_id, hashed_email, instants, time_fault
from omnireco.data.frames.answers import is_missing
from omnireco.errors import SchemaError, StorageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Adapted",
    "Collector",
    "Records",
    "Refused",
    "Source",
    "Unreadable",
    "Wanted",
    "collected",
    "dig",
    "finished",
    "first_of",
    "hashed_email",
    "listed",
    "mapping",
    "read_all",
    "read_columns",
    "read_each",
    "read_records",
    "without_collection",
]

Records = Any
"""A list of dicts, a path of JSON lines or JSON, or a frame."""

_EVENT = ["user_id", "item_id", "channel", "event", "timestamp", "value", "session_id", "store_id", "event_id"]
_LOST = ("ignored", "unknown", "invalid")
_HALF = re.compile("[\ud800-\udfff]")
_LINK = ["id_a", "kind_a", "id_b", "kind_b", "linked_at"]


@dataclass(frozen=True, slots=True, repr=False)
class Adapted:
    """The frames that a reader made of records.

    Parameters
    ----------
    events : pandas.DataFrame
        For ``EventLog.from_frame(adapted.events, itemless="keep")``: pages and searches concern no item and are worth
        0. The value of an item whose price is missing, or cannot be read, is missing.
    messages : pandas.DataFrame
        For ``MessageLog.from_frame``; ``machine`` is True where only a bot responded
        (:func:`~omnireco.adapters.machine_responses`).
    users : pandas.DataFrame
        For ``Audience.from_frame``: the time zone and consents of each person by the newest known instant, whatever the
        order of records, and that instant of each consent (``consent_<channel>_at``). A consent that nobody gave is
        missing, and so a no; on equal instants, and where a consent or its instant cannot be read, a no wins. An
        unsubscription or a spam complaint withdraws the consent of its channel from its instant on, and stands in
        ``messages`` too, as ``unsubscribed_at`` of the newest message before it. Where mails came back for good,
        ``reachable_<channel>`` says so until one arrives.
    links : pandas.DataFrame
        For ``Identities.from_links``.
    counts : pandas.DataFrame
        What became of every record: ``record`` (its type), ``became`` ("event", "message", "identity", or why it was
        not used: "ignored", "unknown", "invalid"), ``why`` it was not used, or which of its values could not be read,
        ``records``. They add up to ``n_records``.
    n_records : int
        Records read, whatever became of them.
    """

    events: pd.DataFrame
    messages: pd.DataFrame
    users: pd.DataFrame
    links: pd.DataFrame
    counts: pd.DataFrame
    n_records: int

    @property
    def unused(self) -> pd.DataFrame:
        """The rows of ``counts`` that made no event, message or identity, or of which a value could not be read.

        Look at them once for every new source.
        """
        lost = self.counts["became"].isin(_LOST) | (self.counts["why"] != "")
        return self.counts[lost].reset_index(drop=True)

    def __repr__(self) -> str:
        parts = [
            f"{len(frame):,} {noun}{'' if len(frame) == 1 else 's'}"
            for frame, noun in (
                (self.events, "event"),
                (self.messages, "message"),
                (self.users, "user"),
                (self.links, "link"),
            )
        ]
        unused = self.unused
        gone = unused["became"].isin(_LOST)
        lost, partly = int(unused["records"][gone].sum()), int(unused["records"][~gone].sum())
        return (
            f"Adapted({self.n_records:,} record{'' if self.n_records == 1 else 's'}: {', '.join(parts)}; "
            f"{lost:,} record{'' if lost == 1 else 's'} not used"
            f"{f', {partly:,} not read in full' if partly else ''})"
        )

    _repr_html_ = shown_html


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands for a wrapper whose records cannot be read, so that it is counted like a record."""

    why: str


@dataclass(slots=True)
class Collector:
    """Rows as they are found, record by record; :meth:`finish` turns them into frames and counts.

    ``naive`` says that times without a zone are UTC, as some exports define; elsewhere such a record is invalid.
    """

    naive: bool = False
    names: list[str] = field(default_factory=list)
    became: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    touches: list[tuple[Any, ...]] = field(default_factory=list)
    links: list[tuple[Any, ...]] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)  # people who are noted: nothing new about one again is no fact
    unpriced: list[int] = field(default_factory=list)  # rows of events that sell nothing, such as a page: worth 0
    event_chunks: list[Chunk] = field(default_factory=list)  # what large files give as columns
    link_chunks: list[Chunk] = field(default_factory=list)
    touch_chunks: list[Chunk] = field(default_factory=list)
    zone_chunks: list[Chunk] = field(default_factory=list)

    def record(self, name: Any) -> None:
        """Begin a record; its status is unknown until set."""
        self.names.append(str(name) if name is not None else "(no type)")
        self.became.append(("unknown", "no rule for this type"))

    def set(self, became: str, why: str = "") -> None:
        """Set the status of the current record."""
        self.became[-1] = (became, why)

    def note(self, record: int, why: str) -> None:
        """Note a value of a record that could not be read."""
        became, before = self.became[record]
        if became not in _LOST and why not in before:
            self.became[record] = (became, f"{before}; {why}" if before else why)

    def event(
        self,
        user: str | None,
        event: str,
        at: Any,
        channel: str,
        lines: list[tuple[str | None, float | None]],
        *,
        event_id: Any = None,
        line_ids: list[str] | None = None,
        session: Any = None,
        store: Any = None,
    ) -> None:
        """Add one event per line (item, value); without lines, one about no item. ``line_ids`` name each line.

        A value that is missing (None) stays missing, and NaN could not be read. An event that is an unsubscription by
        its name withdraws consent.
        """
        if user is None:
            self.set("invalid", "no user id")
            return
        self.set("event")
        if any(value is not None and value != value for _, value in lines):
            self.note(len(self.names) - 1, "a price or quantity that cannot be read is missing")
        for title in dict.fromkeys([event, self.names[-1]]):  # the name that the caller gave it, and its own
            if (withdrawn := withdrawn_channel(title, channel)) is not None:
                self.withdraw(user, withdrawn, at)
        if not lines:
            self.unpriced.append(len(self.events))
        name = as_id(event_id)
        for number, (item, value) in enumerate(lines or [(None, None)]):
            unique = name if name is None or len(lines) < 2 else f"{name}/{number}"
            unique = line_ids[number] if line_ids else unique
            row = (user, item, channel, event, at, value, as_id(session), as_id(store), unique)
            self.events.append((len(self.names) - 1, *row))

    def touch(self, user: str | None, channel: str, kind: str, at: Any, message: Any, **more: Any) -> None:
        """Add one thing that happened to a message: "sent", "delivered", "bounce", "open", "click" or "unsubscribe".

        An unsubscription withdraws consent, a bounce makes unreachable.
        """
        if user is None:
            self.set("invalid", "no user id")
            return
        if kind == "unsubscribe":
            self.withdraw(user, channel, at)
        if kind == "bounce":
            self._say(user, f"{REACHABLE}{channel}", at, False)
            return
        self.set("message")
        self.touches.append(
            (
                len(self.names) - 1,
                user,
                channel,
                as_id(message),
                kind,
                at,
                as_id(more.get("item")),
                as_id(more.get("creative")),
                more.get("user_agent"),
                more.get("flag"),
                self.names[-1],
            )
        )

    def withdrawal(self, user: str | None, event: str, at: Any, channel: str | None = None) -> None:
        """Note that a person withdrew consent, where an event that no rule reads is an unsubscription by its name."""
        withdrawn = withdrawn_channel(event, channel)
        if withdrawn is None:
            return
        if user is None:
            self.set("invalid", "no user id")
            return
        self.set("identity")
        self.withdraw(user, withdrawn, at)

    def link(self, one: tuple[str, str | None], other: tuple[str, str | None], at: Any) -> None:
        """Link two (kind, id); where one is missing there is nothing to link."""
        if one[1] is not None and other[1] is not None and one != other:
            self.links.append((len(self.names) - 1, one[1], one[0], other[1], other[0], at))

    def user(self, user: str | None, *, at: Any = None, timezone: Any = None) -> None:
        """Note a person, and the zone that they are known to be in from an instant on."""
        if user is None or (at is None and timezone is None and user in self.seen):
            return
        self.seen.add(user)
        self._say(user, ZONE, at, timezone)

    def consent(self, user: str | None, name: str, at: Any, value: Any) -> None:
        """Note the consent ``consent_<channel>`` of a person at an instant; a missing or unreadable one is none."""
        if user is not None:
            self._say(user, name, at, value)

    def withdraw(self, user: str, channel: str, at: Any) -> None:
        """Note that a person withdrew the consent of a channel and its purposes, or of all channels: ""."""
        self._say(user, f"{CONSENT}{channel}*", at, False)

    def _say(self, user: str, name: str, at: Any, value: Any) -> None:
        self.facts.append(Fact(len(self.names) - 1, user, name, at, value))

    def finish(self) -> Adapted:
        """Return frames and counts; records whose time cannot be read become invalid."""
        import pandas as pd

        events = self._events()
        links = pd.DataFrame(self.links, columns=["record", *_LINK])
        links["linked_at"] = self._times(self.links)
        if self.link_chunks:
            links = distinct(united(links, self.link_chunks)[0].drop(columns="record"))
        else:
            links = links.drop(columns="record").drop_duplicates().reset_index(drop=True)
        messages = self._messages()
        users, notes = merged(self._people(), naive=self.naive)
        for record, why in notes:
            self.note(record, why)
        found = Counter(zip(self.names, self.became, strict=True))
        counts = pd.DataFrame(
            [(name, *became, found[name, became]) for name, became in sorted(found)],
            columns=["record", "became", "why", "records"],
        )
        return Adapted(events, messages, users, links, counts, len(self.names))

    def _events(self) -> pd.DataFrame:
        """Return a row per line of an event; of records whose time cannot be read none."""
        import pandas as pd

        events = pd.DataFrame(self.events, columns=["record", *_EVENT])
        events["timestamp"] = self._times(self.events, column=5, lose=True)
        events["value"] = events["value"].astype("float64")
        stated = any(row[6] is not None for row in self.events) or any(chunk.stated for chunk in self.event_chunks)
        events.loc[self.unpriced, "value"] = 0.0
        if self.event_chunks:
            events, _ = united(events, self.event_chunks)
        events = events.drop(columns="record" if stated else ["record", "value"])
        for name in ("session_id", "store_id", "event_id"):
            if events[name].isna().all():
                events = events.drop(columns=name)
        return events[events["timestamp"].notna()].reset_index(drop=True)

    def _messages(self) -> pd.DataFrame:
        """Return one row per message; an unsubscription without a message still withdraws a consent."""
        import pandas as pd

        touches = pd.DataFrame(self.touches, columns=TOUCH)
        touches["at"] = self._times(self.touches, column=5, lose=True)
        if self.touch_chunks:
            touches, _ = united(touches, self.touch_chunks)
        messages, strays = deliveries(touches[touches["at"].notna()])
        for record, why in strays:
            self.became[record] = ("invalid", why)
        for record in touches["record"][touches["kind"] == "unsubscribe"]:
            if self.became[record][0] == "invalid":
                self.became[record] = ("identity", "")
        return mark_withdrawn(messages, self.facts, naive=self.naive)

    def _people(self) -> list[Fact]:
        """Return the facts about people; a delivery after a bounce makes them reachable again."""
        lost = {(fact.user, fact.name) for fact in self.facts if fact.name.startswith(REACHABLE)}
        arrived = [
            Fact(record, user, f"{REACHABLE}{channel}", at, True)
            for record, user, channel, kind, at in (self._touched() if lost else ())
            if kind not in {"sent", "unsubscribe"} and (user, f"{REACHABLE}{channel}") in lost
        ]
        facts = self.facts
        if self.zone_chunks:
            facts = sorted([*facts, *zone_facts(self.zone_chunks)], key=lambda fact: fact.record)
        return facts + arrived

    def _touched(self) -> Iterator[tuple[int, str, str, str, Any]]:
        """Yield (record, user, channel, kind, time) of what happened to messages."""
        for record, user, channel, _, kind, at, *_ in self.touches:
            yield record, user, channel, kind, at
        for chunk in self.touch_chunks:
            yield from chunk.listed("user_id", "channel", "kind", "at")

    def _times(self, rows: list[tuple[Any, ...]], *, column: int = -1, lose: bool = False) -> pd.Series:
        """Return the times of rows; a record whose time cannot be read is noted, or lost."""
        at = instants([row[column] for row in rows], naive=self.naive)
        for position in np.flatnonzero(at.isna()):
            record, value = rows[position][0], rows[position][column]
            if lose:
                self.became[record] = ("invalid", time_fault(value))
            elif not is_missing(value):
                self.note(record, time_fault(value))
        return at


def read_records(
    records: Records, wanted: Wanted, quick: Callable[[dict[str, Any]], bool] | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a list, a file or a frame, each a dict of plain values (:func:`~.nesting.plain`).

    What ``quick`` has read already is not yielded.
    """
    where = wanted.where
    if isinstance(records, (str, os.PathLike)):
        source: Iterable[Any] = read_file(Path(records), wanted)
    elif isinstance(records, Mapping):
        raise SchemaError(f"{where} takes many records. Got one mapping: write [record].")
    elif hasattr(records, "columns"):
        source = _rows(records, where)
    elif isinstance(records, Iterable):
        source = records
    else:
        raise SchemaError(f"{where} takes a list of dicts, a path or a frame. Got {type(records).__name__}.")
    for position, record in enumerate(source):
        if quick is not None and type(record) is dict and quick(record):
            continue
        yield from (_plain(one, position, where) for one in unwrapped(_as_mapping(record), wanted))


Parts = Callable[[Iterator[Mapping[str, Any]]], Iterator["Mapping[str, Any] | Refused"]]
"""The records within records, such as those of a page."""


class Source(NamedTuple):
    """How a source is read: the usual record quickly, those of a large file as columns, and any by the rules."""

    wanted: Wanted
    collector: Callable[[], Collector]
    quick: Callable[[Collector], Callable[[Any], bool]]
    columns: Callable[[Collector], Columns]
    read_one: Callable[[Collector, Mapping[str, Any]], None]
    parts: Parts | None = None


def read_all(records: Records, source: Source) -> Adapted:
    """Read records into a collector: large files as columns, and what these leave record by record.

    A file that cannot be read to its end is read again from its beginning, record by record: so all errors, and what
    they say, are those of one road.
    """
    if isinstance(records, (str, os.PathLike)) and is_large(path := Path(records)):
        try:
            return read_columns(path, source)
        except (Doubtful, SchemaError, StorageError):
            pass
    out = source.collector()
    if source.parts is None:
        return read_each(out, read_records(records, source.wanted, source.quick(out)), source.read_one)
    return _each(out, source.parts(read_records(records, source.wanted)), source)


def read_columns(path: Path, source: Source) -> Adapted:
    """Read a large file as columns, and what these leave record by record.

    Raises
    ------
    Doubtful, SchemaError, StorageError
        When the file cannot be read so to its end.
    """
    out = source.collector()
    left = records_left(path, source.wanted, out, source.columns(out))
    if source.parts is None:
        return read_each(out, read_records(left, source.wanted, source.quick(out)), source.read_one)
    return _each(out, _parts_left(left, source.wanted, source.parts), source)


def _each(out: Collector, records: Iterator[Any], source: Source) -> Adapted:
    quick = source.quick(out)
    return read_each(out, (one for one in records if not quick(one)), source.read_one)


def _parts_left(left: Iterator[Any], wanted: Wanted, parts: Parts) -> Iterator[Mapping[str, Any] | Refused]:
    """Yield the parts of the lines that columns left, and the single parts that they left."""
    for one in left:
        if isinstance(one, Element):
            yield one.record
        else:
            yield from parts(read_records([one], wanted))


def read_each(
    out: Collector,
    records: Iterable[Mapping[str, Any] | Refused],
    read_one: Callable[[Collector, Mapping[str, Any]], None],
) -> Adapted:
    """Read record by record into a collector; one with a field that cannot be read is counted as invalid."""
    with without_collection():
        return finished(collected(out, records, read_one))


def finished(out: Collector) -> Adapted:
    """Return the frames of a collector; SchemaError where a text in it is none that UTF-8 can write."""
    try:
        return out.finish()
    except UnicodeEncodeError:
        record, text = min(_halves(out))
        raise SchemaError(
            f"adapters: record {record:,} ({out.names[record]!a}) has a text with half of a pair of UTF-16, "
            f"{text!a}, which is no character. Replace such halves first: "
            "[json.loads(json.dumps(one, ensure_ascii=False).encode('utf-8', 'replace')) for one in records]."
        ) from None


def _halves(out: Collector) -> Iterator[tuple[int, str]]:
    """Yield the records with a text that UTF-8 cannot write, and the characters that it cannot."""
    named = [(record, name, *became) for record, (name, became) in enumerate(zip(out.names, out.became, strict=True))]
    facts = [(fact.record, fact.user, fact.value) for fact in out.facts]
    for rows in (named, out.events, out.touches, out.links, facts):
        for record, *parts in rows:
            texts = (part for part in parts if isinstance(part, str))
            yield from ((record, found[0]) for text in texts if (found := _HALF.findall(text)))


def collected(
    out: Collector,
    records: Iterable[Mapping[str, Any] | Refused],
    read_one: Callable[[Collector, Mapping[str, Any]], None],
) -> Collector:
    """Read record by record as :func:`read_each`, and return the collector as it is then."""
    for record in records:
        before = len(out.names)
        try:
            if isinstance(record, Refused):
                raise Unreadable(record.why)
            read_one(out, record)
        except Unreadable as error:
            if len(out.names) == before:
                out.record(None)
            out.set("invalid", str(error))
    return out


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause the search for cycles of garbage: records hold none, and the search visits every one of them again.

    Counting of references frees them as ever. Of a million records the search is a fifth to a half of all time.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _as_mapping(record: Any) -> Any:
    """Return a row of a database or of Spark as a mapping; anything else as it is."""
    if isinstance(record, (Mapping, str, bytes)) or not (hasattr(record, "keys") or hasattr(record, "asDict")):
        return record
    if hasattr(record, "asDict"):
        return record.asDict(recursive=True)
    names = record.keys()
    return {name: record[name] for name in names}


def _plain(record: Any, position: int, where: str) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        hint = ": json.loads it first" if isinstance(record, (str, bytes)) else ""
        raise SchemaError(f"{where}: record {position:,} is not a dict but {type(record).__name__}{hint}.")
    try:
        found = plain(record)
    except RecursionError:
        raise SchemaError(f"{where}: record {position:,} is nested too deeply to read.") from None
    return _unfolded(found) if "." in "".join(found) else found


def _unfolded(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose names were joined by points ("properties.price", as flattened frames have) nested again."""
    nested: dict[str, Any] = {name: part for name, part in record.items() if "." not in name}
    for name, part in record.items():
        if "." in name and part is not None:
            _put(nested, name.split("."), part)
    return nested


def _put(record: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        if record.get(step) is None:
            record[step] = {}
        if not isinstance(record[step], dict):
            return
        record = record[step]
    record.setdefault(path[-1], value)


def _rows(frame: Any, where: str) -> list[Any]:
    import narwhals as nw

    names = list(getattr(frame, "column_names", frame.columns))
    if len(set(names)) < len(names):
        raise SchemaError(f"{where}: the frame has two columns of one name. Name each once.")
    try:
        if nw.dependencies.is_pandas_dataframe(frame):
            return list(frame.to_dict("records"))
        return list(nw.from_native(frame, eager_only=True).to_arrow().to_pylist())
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{where} cannot read this frame: {type(error).__name__}. Pass a list of dicts.") from None


def first_of(record: Mapping[str, Any], *names: str) -> Any:
    """Return the first of some fields that is there and not missing."""
    for name in names:  # not a generator: every record comes through here, several times
        if not is_missing(value := record.get(name)):
            return value
    return None
