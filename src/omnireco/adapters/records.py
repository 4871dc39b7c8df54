"""Records in, frames out: what every reader of a convention shares."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco.adapters.files import Wanted, read_file, unwrapped
from omnireco.adapters.machines import machine_responses
from omnireco.adapters.nesting import Unreadable, dig, listed, mapping, plain
from omnireco.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Adapted",
    "Collector",
    "Records",
    "Unreadable",
    "Wanted",
    "as_id",
    "as_number",
    "dig",
    "first_of",
    "hashed_email",
    "instants",
    "listed",
    "mapping",
    "read_each",
    "read_records",
]

Records = Any
"""A list of dicts, a path of JSON lines or JSON, or a frame."""

_ZONED = re.compile(r"(Z|[+-]\d{2}:?\d{2}|[+-]\d{2}| UTC)$")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EVENT = ["user_id", "item_id", "channel", "event", "timestamp", "value", "session_id", "store_id", "event_id"]
_LINK = ["id_a", "kind_a", "id_b", "kind_b", "linked_at"]


@dataclass(frozen=True, slots=True, repr=False)
class Adapted:
    """What a reader made of records.

    Parameters
    ----------
    events : pandas.DataFrame
        For ``EventLog.from_frame(adapted.events, itemless="keep")``: pages and searches concern no item.
    messages : pandas.DataFrame
        For ``MessageLog.from_frame``; ``machine`` says that only a machine answered
        (:func:`~omnireco.adapters.machine_responses`).
    users : pandas.DataFrame
        For ``Audience.from_frame``: the last time zone and consents seen of each person. A consent that nobody gave is
        missing, and so a no.
    links : pandas.DataFrame
        For ``Identities.from_links``.
    counts : pandas.DataFrame
        What became of every record: ``record`` (its type), ``became`` ("event", "message", "identity", or why it was
        not used: "ignored", "unknown", "invalid"), ``why``, ``records``. They add up to ``n_records``.
    n_records : int
    """

    events: pd.DataFrame
    messages: pd.DataFrame
    users: pd.DataFrame
    links: pd.DataFrame
    counts: pd.DataFrame
    n_records: int

    @property
    def unused(self) -> pd.DataFrame:
        """The rows of ``counts`` that made no event, message or identity: look at them once for every new source."""
        return self.counts[self.counts["became"].isin(["ignored", "unknown", "invalid"])].reset_index(drop=True)

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
        lost = int(self.unused["records"].sum())
        return (
            f"Adapted({self.n_records:,} record{'' if self.n_records == 1 else 's'}: {', '.join(parts)}; "
            f"{lost:,} record{'' if lost == 1 else 's'} not used)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.counts.to_html(index=False)}"


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
    users: dict[str, dict[str, Any]] = field(default_factory=dict)

    def record(self, name: Any) -> None:
        """Begin a record; until something is made of it, it is unknown."""
        self.names.append(str(name) if name is not None else "(no type)")
        self.became.append(("unknown", "no rule for this type"))

    def set(self, became: str, why: str = "") -> None:
        """Say what became of the record at hand."""
        self.became[-1] = (became, why)

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
        """Add one event per line (item, value); without lines, one about no item. ``line_ids`` name each line."""
        if user is None:
            self.set("invalid", "no user id")
            return
        self.set("event")
        name = as_id(event_id)
        for number, (item, value) in enumerate(lines or [(None, None)]):
            unique = name if name is None or len(lines) < 2 else f"{name}/{number}"
            unique = line_ids[number] if line_ids else unique
            row = (user, item, channel, event, at, value, as_id(session), as_id(store), unique)
            self.events.append((len(self.names) - 1, *row))

    def touch(self, user: str | None, channel: str, kind: str, at: Any, message: Any, **more: Any) -> None:
        """Add one thing that happened to a message: "sent", "open", "click" or "unsubscribe"."""
        if user is None:
            self.set("invalid", "no user id")
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
            )
        )

    def link(self, one: tuple[str, str | None], other: tuple[str, str | None], at: Any) -> None:
        """Link two (kind, id); where one is missing there is nothing to link."""
        if one[1] is not None and other[1] is not None and one != other:
            self.links.append((one[1], one[0], other[1], other[0], at))

    def user(self, user: str | None, **known: Any) -> None:
        """Note what is known of a person; later records win."""
        if user is not None:
            self.users.setdefault(user, {}).update({name: value for name, value in known.items() if value is not None})

    def finish(self) -> Adapted:
        """Return frames and counts; records whose time cannot be read become invalid."""
        import pandas as pd

        events = pd.DataFrame(self.events, columns=["record", *_EVENT])
        events["timestamp"] = self._instants(events)
        events = events.drop(columns="record")
        events["value"] = pd.to_numeric(events["value"], errors="coerce").astype("float64")
        for name in ("session_id", "store_id", "event_id"):
            if events[name].isna().all():
                events = events.drop(columns=name)
        if events["value"].isna().all():
            events = events.drop(columns="value")
        else:
            events["value"] = events["value"].fillna(0.0)
        events = events[events["timestamp"].notna()].reset_index(drop=True)
        links = pd.DataFrame(self.links, columns=_LINK)
        links["linked_at"] = instants(links["linked_at"], naive=self.naive)
        links = links.drop_duplicates().reset_index(drop=True)
        users = pd.DataFrame([{"user_id": user, **known} for user, known in self.users.items()])
        for name in ("user_id", "timezone"):
            if name not in users:
                users[name] = pd.Series([None] * len(users), dtype=object)
        messages = self._messages()
        found = Counter((name, *became) for name, became in zip(self.names, self.became, strict=True))
        counts = pd.DataFrame(
            [(*kind, found[kind]) for kind in sorted(found)], columns=["record", "became", "why", "records"]
        )
        return Adapted(events, messages, users, links, counts, len(self.names))

    def _messages(self) -> pd.DataFrame:
        """Return one row per message: sent, and the first response that a person made, or else a machine."""
        import pandas as pd

        names = ["record", "user_id", "channel", "message", "kind", "at", "item_id", "creative_id", "agent", "flag"]
        touches = pd.DataFrame(self.touches, columns=names)
        touches["at"] = self._instants(touches, column="at")
        touches = touches[touches["at"].notna()]
        key = ["user_id", "channel", "message"]
        sent = touches[touches["kind"] == "sent"].sort_values([*key, "at", "record"]).drop_duplicates(key)
        for name in ("item_id", "creative_id"):  # a response may know what the sending did not say
            known = touches.dropna(subset=[name]).sort_values(["at", "record"]).drop_duplicates(key)
            sent = sent.drop(columns=name).merge(known[[*key, name]], on=key, how="left")
        sent = sent.rename(columns={"at": "sent_at"})[[*key, "sent_at", "item_id", "creative_id"]]
        answers = touches[touches["kind"] != "sent"][[*key, "kind", "at", "agent", "flag", "record"]]
        answers = answers.merge(sent[[*key, "sent_at"]], on=key, how="left")
        for record in answers["record"][answers["sent_at"].isna()]:
            self.became[record] = ("invalid", "answers a message that no record sent")
        early = answers["at"] < answers["sent_at"]
        for record in answers["record"][early]:
            self.became[record] = ("invalid", "answers before the message was sent")
        answers = answers[answers["sent_at"].notna() & ~early].reset_index(drop=True)
        answers["machine"] = machine_responses(
            answers["kind"],
            answers["at"],
            answers["sent_at"],
            message=answers.groupby(key, sort=False).ngroup(),
            user_agent=answers["agent"],
            flag=answers["flag"],
        )
        acts = answers[answers["kind"].isin(["open", "click"])]
        first = acts.sort_values([*key, "machine", "at"]).drop_duplicates(key)  # people before machines
        sent = sent.merge(first[[*key, "at", "machine"]].rename(columns={"at": "responded_at"}), on=key, how="left")
        clicks = acts[(acts["kind"] == "click") & ~acts["machine"].astype(bool)]
        for name, some in (("clicked_at", clicks), ("unsubscribed_at", answers[answers["kind"] == "unsubscribe"])):
            once = some.sort_values([*key, "at"]).drop_duplicates(key)
            sent = sent.merge(once[[*key, "at"]].rename(columns={"at": name}), on=key, how="left")
        for name in ("sent_at", "responded_at", "clicked_at", "unsubscribed_at"):
            sent[name] = pd.to_datetime(sent[name], utc=True)
        sent["machine"] = sent["machine"].astype("boolean")
        return sent.drop(columns="message").sort_values(["sent_at", "user_id"]).reset_index(drop=True)

    def _instants(self, frame: pd.DataFrame, column: str = "timestamp") -> pd.Series:
        at = instants(frame[column], naive=self.naive)
        for record in frame["record"][at.isna()]:
            self.became[record] = ("invalid", "no time with a zone")
        return at


def read_records(records: Records, wanted: Wanted) -> Iterator[Mapping[str, Any]]:
    """Yield the records of a list, a file or a frame, each a dict of plain values (:func:`~.nesting.plain`)."""
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
        yield from (_plain(one, position, where) for one in unwrapped(_as_mapping(record), wanted))


def read_each(
    out: Collector, records: Iterable[Mapping[str, Any]], read_one: Callable[[Collector, Mapping[str, Any]], None]
) -> Adapted:
    """Read record by record into a collector; one with a field that cannot be read is counted as invalid."""
    for record in records:
        try:
            read_one(out, record)
        except Unreadable as error:
            out.set("invalid", str(error))
    return out.finish()


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
    return _unfolded(found) if any("." in name for name in found) else found


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


def instants(values: Iterable[Any], *, naive: bool = False) -> pd.Series:
    """Return times as an aware pandas Series, NaT where one cannot be read or names no zone."""
    import pandas as pd

    texts = [_iso(value, naive) for value in values]
    return pd.Series(pd.to_datetime(pd.Series(texts, dtype=object), utc=True, format="ISO8601", errors="coerce"))


def _iso(value: Any, naive: bool) -> str | None:
    """Return a time as an ISO text with a zone; integers are microseconds since 1970."""
    if isinstance(value, str):
        text = value.strip().replace(" UTC", "Z")
        return text if _ZONED.search(text[10:]) else f"{text}Z" if naive and len(text) > 10 else None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        try:
            return (_EPOCH + dt.timedelta(microseconds=int(value))).isoformat()
        except OverflowError:
            return None
    if isinstance(value, dt.datetime) and value == value:
        if value.utcoffset() is None:
            return f"{value.isoformat()}Z" if naive else None
        return value.isoformat()
    return None


def first_of(record: Mapping[str, Any], *names: str) -> Any:
    """Return the first of some fields that is there and not empty."""
    return next((record[name] for name in names if record.get(name)), None)


def as_id(value: Any) -> str | None:
    """Return an id as text: 36 and 36.0 are "36"; empty and missing are None."""
    if value is None or isinstance(value, bool) or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text or None


def as_number(value: Any) -> float | None:
    """Return a number, also from a text such as "12.50"; None where it is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def hashed_email(address: Any) -> str | None:
    """Return the SHA-256 of an address, trimmed and in small letters: the form in which systems exchange addresses.

    >>> hashed_email(" Ann@Example.org ") == hashed_email("ann@example.org")
    True
    """
    text = as_id(address)
    return None if text is None or "@" not in text else hashlib.sha256(text.lower().encode()).hexdigest()
