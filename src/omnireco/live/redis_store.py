"""Events of people in a Redis server, for workers on several machines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from omnireco._core.checks import check_integer, require, shown
from omnireco.errors import ParameterError, StorageError
from omnireco.live.store import Appended, Row, Store, check_same, type_marks

__all__ = ["RedisStore"]

# One hash per person: the version, and a field per event. Scripts run whole or not at all, one after the other.
_APPEND = """
local fresh, held, after = {}, {}, false
for i = 1, #KEYS do
  held[i] = redis.call('HGET', KEYS[i], 'v') or '0'
end
for i = 1, #ARGV, 3 do
  local old = redis.call('HGET', KEYS[tonumber(ARGV[i])], 'e' .. ARGV[i + 1])
  if old and old ~= ARGV[i + 2] then return {'taken', tostring((i + 2) / 3)} end
end
for i = 1, #ARGV, 3 do
  local key = KEYS[tonumber(ARGV[i])]
  if redis.call('HSETNX', key, 'e' .. ARGV[i + 1], ARGV[i + 2]) == 1 then
    after = after or redis.call('INCR', CLOCK)
    redis.call('HSET', key, 'v', after)
    fresh[#fresh + 1] = '1'
  elseif redis.call('HGET', key, 'e' .. ARGV[i + 1]) ~= ARGV[i + 2] then
    return redis.error_reply('taken')
  else
    fresh[#fresh + 1] = '0'
  end
end
return {table.concat(fresh), after or '0', unpack(held)}
"""


class RedisStore(Store):
    """Events of people in a Redis server: many machines share them. Needs ``pip install "omnireco[redis]"``.

    What is acknowledged is in the server's memory, and on its disk as its own settings say: ``appendonly yes`` and
    ``appendfsync always`` for no loss at a power cut. An erasure removes people from memory; the server's append file
    and its dump keep them until they are written anew, which ``erase`` asks for where the settings keep such files.
    Every event that is read is compared with its checksum.

    Parameters
    ----------
    url : str
        ``redis://localhost:6379/0`` or ``unix:///run/redis.sock``.
    prefix : str, default "omnireco:"
        Of the names of all keys.

    Raises
    ------
    MissingExtraError
        When the package redis is not installed.
    StorageError
        When the server cannot be reached.
    """

    __slots__ = ("_client", "_pid", "_prefix", "_url")

    def __init__(self, url: str = "redis://localhost:6379/0", *, prefix: str = "omnireco:") -> None:
        if not isinstance(url, str) or not isinstance(prefix, str):
            raise ParameterError(f"url and prefix must be texts. Got {shown(type(url))} and {shown(type(prefix))}.")
        self._url, self._prefix, self._pid = url, prefix, 0
        self._client: Any = None
        self._call("ping")

    def __repr__(self) -> str:
        return f"RedisStore(prefix={self._prefix!r})"

    def append(self, rows: Sequence[Row]) -> Appended:
        """Keep rows, all or none."""
        twins: dict[tuple[str, str], Row] = {}
        for row in rows:
            first = twins.setdefault((row.key, row.event_id), row)
            check_same((first.at_us, first.body), row)
        keys = list(dict.fromkeys(row.key for row in rows))
        place = {key: number for number, key in enumerate(keys, 1)}
        arguments = [part for row in rows for part in (place[row.key], row.event_id, _cell(row))]
        if not rows:
            return Appended((), {})
        script = _APPEND.replace("CLOCK", f"'{self._prefix}clock'")
        found = self._call("eval", script, len(keys), *map(self._named, keys), *arguments)
        if found[0] == b"taken":
            row = rows[int(float(found[1])) - 1]
            check_same((row.at_us - 1, b""), row)
        after = int(found[1])
        new = tuple(one == ord("1") for one in found[0])
        grown = {row.key for row, fresh in zip(rows, new, strict=True) if fresh}
        held = {key: int(version) for key, version in zip(keys, found[2:], strict=True)}
        return Appended(new, {key: (held[key], after if key in grown else held[key]) for key in keys})

    def version(self, key: str) -> int:
        """Return the version of a person's events, 0 where there are none."""
        return int(self._call("hget", self._named(key), "v") or 0)

    def generation(self) -> int:
        """Return a number that is another one after every erasure and expiry."""
        return int(self._call("get", f"{self._prefix}generation") or 0)

    def look(self, key: str) -> tuple[int, int]:
        """Return the version of a person's events, and the generation, in one round trip."""
        with self._db().pipeline(transaction=False) as many:
            many.hget(self._named(key), "v")
            many.get(f"{self._prefix}generation")
            version, generation = self._run(many)
        return int(version or 0), int(generation or 0)

    def read(self, key: str) -> tuple[int, tuple[Row, ...]]:
        """Return the version and the rows of a person, as of one moment."""
        found = self._call("hgetall", self._named(key))
        try:
            version = int(found.pop(b"v", 0))
            return version, tuple(_row(key, name, cell) for name, cell in found.items())
        except (ValueError, UnicodeError):
            raise StorageError(
                "RedisStore: the server gave back events that nobody put there: they are damaged. Restore a copy."
            ) from None

    def erase(self, keys: Iterable[str], *, note: str | None = None) -> int:
        """Remove people, and return how many rows they had; the server is asked to write its append file anew."""
        names = [self._named(key) for key in dict.fromkeys(keys)]
        with self._pipeline() as many:
            for name in names:
                many.hlen(name)
                many.delete(name)
            many.incr(f"{self._prefix}generation")
            if note is not None:
                many.sadd(f"{self._prefix}erasing", note)
            found = self._run(many)
        if note is None:
            self.finish()
        return sum(max(0, rows - 1) for rows in found[: 2 * len(names) : 2])

    def unfinished(self) -> tuple[str, ...]:
        """Return the notes of erasures that are not over."""
        return tuple(note.decode() for note in self._call("smembers", f"{self._prefix}erasing"))

    def finish(self, note: str | None = None) -> None:
        """Forget a note, or all of them; a server that keeps an append file or a dump is asked to write it anew."""
        try:
            if self._setting("appendonly") not in ("", "no"):
                self._call("bgrewriteaof")
            if self._setting("save"):
                self._call("bgsave", True)  # after the other one, if that runs
        except StorageError:  # one that runs already may have begun before the people were removed
            raise StorageError(
                "RedisStore: the people are removed from memory, and the server did not begin to write its files anew, "
                "which may still hold them: it is writing them already, or forbids it. Write live.erase([]) when it is "
                "done."
            ) from None
        if note is None:
            self._call("delete", f"{self._prefix}erasing")
        else:
            self._call("srem", f"{self._prefix}erasing", note)

    def _setting(self, name: str) -> str:
        """Return a setting of the server; nothing where it does not say."""
        found = self._call("config", "GET", name)
        values = [*found.values()] if isinstance(found, dict) else list(found)[1::2]
        return values[0].decode() if values and isinstance(values[0], bytes) else str(values[0]) if values else ""

    def expire(self, before_us: int, *, keep: Iterable[str] = ()) -> int:
        """Remove rows older than an instant, except those of the event types in ``keep``; return how many."""
        check_integer(before_us, "before_us")
        marks, gone = tuple(type_marks(keep)), 0
        for name in self._people():
            key = name.decode()[len(self._prefix) + 2 :]
            _, rows = self.read(key)
            old = [row for row in rows if row.at_us < before_us and not row.body.startswith(marks)]
            if not old:
                continue
            after = self._call("incr", f"{self._prefix}clock")
            with self._pipeline() as many:
                many.hdel(name, *(f"e{row.event_id}" for row in old))
                many.hset(name, "v", after)
                if len(old) == len(rows):
                    many.delete(name)
                many.incr(f"{self._prefix}generation")
                self._run(many)
            gone += len(old)
        return gone

    def sizes(self) -> tuple[int, int]:
        """Return the number of people and of rows."""
        lengths = [int(self._call("hlen", name)) - 1 for name in self._people()]
        return len(lengths), sum(lengths)

    def close(self) -> None:
        """Close the connections of this process; the store may be used again."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
        self._client = None

    def _people(self) -> list[bytes]:
        return list(self._db().scan_iter(match=f"{self._prefix}p:*", count=1000))

    def _named(self, key: str) -> str:
        return f"{self._prefix}p:{key}"

    def _db(self) -> Any:
        if self._client is None or self._pid != os.getpid():  # a forked child has connections of its own
            redis = require("redis", extra="redis", purpose="RedisStore")
            self._client, self._pid = redis.Redis.from_url(self._url), os.getpid()
        return self._client

    def _pipeline(self) -> Any:
        return self._db().pipeline(transaction=True)

    def _run(self, many: Any) -> Any:
        return self._safe(many.execute)

    def _call(self, name: str, *arguments: Any) -> Any:
        verb = {"config": "execute_command"}.get(name, name)
        first = ("CONFIG",) if name == "config" else ()
        return self._safe(getattr(self._db(), verb), *first, *arguments)

    def _safe(self, call: Any, *arguments: Any) -> Any:
        redis: Any = require("redis", extra="redis", purpose="RedisStore")
        try:
            return call(*arguments)
        except redis.RedisError as error:
            raise StorageError(
                f"RedisStore: the server did not answer as it should ({type(error).__name__})."
            ) from None


def _cell(row: Row) -> bytes:
    """Return what stands for a row: instant, checksum of everything, body."""
    return b"%d %d " % (row.at_us, _checksum(row)) + row.body


def _row(key: str, name: bytes, cell: bytes) -> Row:
    at, checksum, body = cell.split(b" ", 2)
    row = Row(key, name[1:].decode(), int(at), body)
    if name[:1] != b"e" or int(checksum) != _checksum(row):
        raise ValueError
    return row


def _checksum(row: Row) -> int:
    return crc32(row.body, crc32(f"{row.key} {row.event_id} {row.at_us}".encode()))
