"""Where events of people are kept: what every store promises, and the store in memory."""

from __future__ import annotations

import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from omnireco._core.checks import check_integer, count_of
from omnireco.errors import SchemaError

__all__ = ["Appended", "MemoryStore", "Row", "Store"]


class Row(NamedTuple):
    """One event as a store keeps it; the key stands for the person, and nothing else does."""

    key: str
    event_id: str
    at_us: int
    body: bytes

    def __repr__(self) -> str:
        return f"Row({count_of(len(self.body), 'byte')})"


class Appended(NamedTuple):
    """What an append did: which rows were new, and the version of each person before and after it."""

    new: tuple[bool, ...]
    versions: Mapping[str, tuple[int, int]]

    def __repr__(self) -> str:
        return f"Appended({sum(self.new):,} of {count_of(len(self.new), 'event')} new)"


class Store(ABC):
    """What a store of people's events promises; any class that keeps it serves :class:`Live`.

    An ``append`` is acknowledged when it returns: all its rows are kept then, or none. A row whose key and event id
    are kept already changes nothing. Versions of a person never repeat, so whoever remembers one knows whether anything
    has changed. What was erased is gone from every byte that the store keeps, and the generation says to all who have
    the store open that they must forget whom they remember.
    """

    __slots__ = ()

    @abstractmethod
    def append(self, rows: Sequence[Row]) -> Appended:
        """Keep rows, all or none.

        Raises
        ------
        SchemaError
            When an event id of a person stands for another event already.
        """

    @abstractmethod
    def version(self, key: str) -> int:
        """Return the version of a person's events, 0 where there are none."""

    def generation(self) -> int:
        """Return a number that is another one after every erasure and expiry."""
        return 0

    def look(self, key: str) -> tuple[int, int]:
        """Return the version of a person's events, and the generation: what every request asks first."""
        return self.version(key), self.generation()

    @abstractmethod
    def read(self, key: str) -> tuple[int, tuple[Row, ...]]:
        """Return the version and the rows of a person, as of one moment."""

    @abstractmethod
    def erase(self, keys: Iterable[str], *, note: str | None = None) -> int:
        """Remove people, and return how many rows they had.

        With a ``note`` the erasure is not over: what is left to do elsewhere is kept until :meth:`finish`, in the same
        step, so that it survives a killed process.
        """

    def unfinished(self) -> tuple[str, ...]:
        """Return the notes of erasures that are not over."""
        return ()

    def finish(self, note: str | None = None) -> None:  # noqa: B027 - a store that forgets at once has nothing to do
        """Forget a note, or all of them, and remove what is left of everybody who was erased."""

    @abstractmethod
    def expire(self, before_us: int, *, keep: Iterable[str] = ()) -> int:
        """Remove rows older than an instant, except those of the event types in ``keep``; return how many."""

    @abstractmethod
    def sizes(self) -> tuple[int, int]:
        """Return the number of people and of rows."""

    def close(self) -> None:  # noqa: B027 - most stores hold nothing open
        """Let go of what is open."""


def check_same(old: tuple[int, bytes], row: Row) -> None:
    """Refuse another event under an id that is taken."""
    if old != (row.at_us, row.body):
        raise SchemaError(
            "observe: an event_id of this person stands for another event already, with another time, type, item or "
            "value. An id names one event, so that it may be delivered twice: give this one an id of its own, or "
            "leave event_id out."
        )


class Guard:
    """A lock that is new in a forked process, where the thread that held it is not."""

    __slots__ = ("_lock", "_pid")

    def __init__(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class MemoryStore(Store):
    """Events in this process alone: for tests, notebooks, and services that read their events again when they start.

    Reads take no lock: what is kept of a person is a tuple that is replaced whole.

    Examples
    --------
    >>> store = MemoryStore()
    >>> row = Row("a1", "e1", 0, b"{}")
    >>> store.append([row]).new, store.append([row]).new
    ((True,), (False,))
    >>> store
    MemoryStore(1 person, 1 event)
    """

    __slots__ = ("_generation", "_guard", "_ids", "_kept", "_version")

    def __init__(self) -> None:
        self._guard = Guard()
        self._kept: dict[str, tuple[int, tuple[Row, ...]]] = {}
        self._ids: dict[str, dict[str, tuple[int, bytes]]] = {}
        self._version = self._generation = 0

    def __repr__(self) -> str:
        people, rows = self.sizes()
        return f"MemoryStore({count_of(people, 'person', 'people')}, {count_of(rows, 'event')})"

    def append(self, rows: Sequence[Row]) -> Appended:
        """Keep rows, all or none."""
        with self._guard:
            fresh: dict[str, dict[str, Row]] = {}
            new = []
            for row in rows:
                old = self._ids.get(row.key, {}).get(row.event_id)
                twin = fresh.get(row.key, {}).get(row.event_id)
                if old is None and twin is not None:
                    old = (twin.at_us, twin.body)
                if old is not None:
                    check_same(old, row)
                else:
                    fresh.setdefault(row.key, {})[row.event_id] = row
                new.append(old is None)
            versions = {row.key: (self.version(row.key),) * 2 for row in rows}
            for key, more in fresh.items():
                before, held = self._kept.get(key, (0, ()))
                self._version += 1
                self._ids.setdefault(key, {}).update({name: (row.at_us, row.body) for name, row in more.items()})
                self._kept[key] = (self._version, (*held, *more.values()))
                versions[key] = (before, self._version)
            return Appended(tuple(new), versions)

    def version(self, key: str) -> int:
        """Return the version of a person's events, 0 where there are none."""
        kept = self._kept.get(key)
        return 0 if kept is None else kept[0]

    def generation(self) -> int:
        """Return a number that is another one after every erasure and expiry."""
        return self._generation

    def look(self, key: str) -> tuple[int, int]:
        """Return the version of a person's events, and the generation."""
        kept = self._kept.get(key)
        return 0 if kept is None else kept[0], self._generation

    def read(self, key: str) -> tuple[int, tuple[Row, ...]]:
        """Return the version and the rows of a person."""
        return self._kept.get(key, (0, ()))

    def erase(self, keys: Iterable[str], *, note: str | None = None) -> int:
        """Remove people, and return how many rows they had; a note would not outlive this process, and is not kept."""
        with self._guard:
            gone = 0
            for key in dict.fromkeys(keys):
                gone += len(self._kept.pop(key, (0, ()))[1])
                self._ids.pop(key, None)
            self._generation += 1
            return gone

    def expire(self, before_us: int, *, keep: Iterable[str] = ()) -> int:
        """Remove rows older than an instant, except those of the event types in ``keep``; return how many."""
        check_integer(before_us, "before_us")
        marks = tuple(type_marks(keep))
        with self._guard:
            gone = 0
            for key, (_, held) in list(self._kept.items()):
                rest = tuple(row for row in held if row.at_us >= before_us or row.body.startswith(marks))
                if len(rest) == len(held):
                    continue
                gone += len(held) - len(rest)
                if not rest:
                    del self._kept[key], self._ids[key]
                    continue
                self._version += 1
                self._ids[key] = {row.event_id: (row.at_us, row.body) for row in rest}
                self._kept[key] = (self._version, rest)
            self._generation += bool(gone)
            return gone

    def sizes(self) -> tuple[int, int]:
        """Return the number of people and of rows."""
        return len(self._kept), sum(len(rows) for _, rows in self._kept.values())


def type_marks(names: Iterable[str]) -> list[bytes]:
    """Return what the bodies of events of some types begin with."""
    return [b"[" + json.dumps(name, ensure_ascii=False).encode() + b"," for name in names]
