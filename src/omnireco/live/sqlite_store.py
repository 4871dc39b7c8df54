"""Events of people in one SQLite file, which several processes of one machine read and write."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from omnireco._core.checks import check_choice, check_integer, check_number, shown
from omnireco.errors import ParameterError, StorageError
from omnireco.live.store import Appended, Row, Store, check_same, type_marks

__all__ = ["SQLiteStore"]

_FORMAT = 3
_APPLICATION = 0x6F6D6E69  # "omni"
_SCHEMA = """
CREATE TABLE people (key TEXT PRIMARY KEY, version INTEGER NOT NULL, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events (key TEXT NOT NULL, event_id TEXT NOT NULL, at_us INTEGER NOT NULL, body BLOB NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (key, event_id)) WITHOUT ROWID;
CREATE TABLE clock (version INTEGER NOT NULL);
CREATE TABLE erasing (note TEXT);
INSERT INTO clock VALUES (0);
"""
_SINCE_3 = "CREATE TABLE generation (number INTEGER NOT NULL); INSERT INTO generation VALUES (0);"
_LOOK = "SELECT (SELECT version FROM people WHERE key = ?), number FROM generation"
_INSERT = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)"
_DRAWN = 1 << 61  # no clock comes so far: a version that was drawn is none that was counted
_ABANDONED: list[sqlite3.Connection] = []  # a forked child must not close what belongs to its parent


class SQLiteStore(Store):
    """Events of people in one file: what is acknowledged survives a killed process.

    With ``durable="power"`` it survives a power cut too. Any number of threads and processes of one machine may read
    and write; readers do not wait for the writer (WAL). A child that was forked opens the file anew.

    Parameters
    ----------
    path : str or path
        Made where there is none. ``-wal`` and ``-shm`` files beside it belong to it. No network disk.
    durable : {"process", "power"}
        What an acknowledged event survives. ``"power"`` waits for the disk at every append: some milliseconds where
        there is a real disk.
    wait : float, default 10.0
        Seconds to wait for another writer.

    Raises
    ------
    StorageError
        When the file is damaged, another one, of a later version, full, or cannot be written. Every event that is read
        is compared with its checksum.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = SQLiteStore(folder + "/events.db")
    ...     done = store.append([Row("a1", "e1", 0, b"{}")])
    ...     store.close()
    ...     SQLiteStore(folder + "/events.db").read("a1")[1]
    (Row(2 bytes),)
    """

    __slots__ = ("_durable", "_local", "_open", "_path", "_wait")

    def __init__(
        self, path: str | os.PathLike[str], *, durable: Literal["process", "power"] = "process", wait: float = 10.0
    ) -> None:
        if not isinstance(path, (str, os.PathLike)) or isinstance(path, bytes) or "\0" in os.fspath(path):
            raise ParameterError(f"path must be a file's name, such as 'events.db'. Got {shown(path)}.")
        self._path, self._wait = Path(path), check_number(wait, "wait", low=0)
        self._durable = check_choice(durable, "durable", ("process", "power"))
        self._local = threading.local()
        self._open: list[tuple[int, sqlite3.Connection]] = []
        with self._writing() as db:
            self._make(db)
        if self._ask("SELECT 1 FROM erasing WHERE note IS NULL LIMIT 1", ()):
            self._scrub()  # an erasure was killed after it had removed people: what is left of their bytes goes now

    def __repr__(self) -> str:
        return f"SQLiteStore({self._path.name!r}, durable={self._durable!r})"

    def append(self, rows: Sequence[Row]) -> Appended:
        """Keep rows, all or none."""
        if len(rows) == 1:
            return self._append_one(*rows)
        new: list[bool] = []
        versions: dict[str, tuple[int, int]] = {}
        sizes: dict[str, int] = {}
        with self._writing() as db:
            after = 0
            for row in rows:
                done = db.execute(_INSERT, (*row, _checksum(*row))).rowcount
                if not done:
                    query = "SELECT at_us, body FROM events WHERE key = ? AND event_id = ?"
                    check_same(db.execute(query, row[:2]).fetchone(), row)
                elif not after:
                    after = db.execute("UPDATE clock SET version = version + 1 RETURNING version").fetchall()[0][0]
                if row.key not in versions:
                    found = db.execute("SELECT version, n FROM people WHERE key = ?", (row.key,)).fetchone() or (0, 0)
                    versions[row.key], sizes[row.key] = (found[0], found[0]), found[1]
                if done:
                    versions[row.key] = (versions[row.key][0], after)
                    sizes[row.key] += 1
                new.append(bool(done))
            for key, (first, last) in versions.items():
                if last != first:
                    db.execute("INSERT OR REPLACE INTO people VALUES (?, ?, ?)", (key, last, sizes[key]))
        return Appended(tuple(new), versions)

    def _append_one(self, row: Row) -> Appended:
        """Keep one row, as a service does most; its version is drawn, so that the page of the clock stays as it is."""
        key, before, new = row.key, (0, 0), True
        try:
            db = self._db()
            run = db.execute
            run("BEGIN IMMEDIATE")
            try:
                before = run("SELECT version, n FROM people WHERE key = ?", (key,)).fetchone() or before
                new = bool(run(_INSERT, (*row, _checksum(*row))).rowcount)
                if new:
                    after = (int.from_bytes(os.urandom(8), "little") >> 2) | _DRAWN
                    run("INSERT OR REPLACE INTO people VALUES (?, ?, ?)", (key, after, before[1] + 1))
                else:
                    after = before[0]
                    query = "SELECT at_us, body FROM events WHERE key = ? AND event_id = ?"
                    check_same(run(query, row[:2]).fetchone(), row)
                run("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    run("ROLLBACK")
                raise
        except (sqlite3.Error, UnicodeError) as error:
            raise self._failed(error) from None
        return Appended((new,), {key: (before[0], after)})

    def version(self, key: str) -> int:
        """Return the version of a person's events, 0 where there are none."""
        found = self._ask("SELECT version FROM people WHERE key = ?", (key,))
        return found[0][0] if found else 0

    def generation(self) -> int:
        """Return a number that is another one after every erasure and expiry."""
        return self.look("")[1]

    def look(self, key: str) -> tuple[int, int]:
        """Return the version of a person's events, and the generation."""
        found = self._ask(_LOOK, (key,))
        if len(found) != 1:
            raise self._damaged()
        return found[0][0] or 0, found[0][1]

    def read(self, key: str) -> tuple[int, tuple[Row, ...]]:
        """Return the version and the rows of a person, as of one moment."""
        with self._inside("BEGIN") as db:
            person = db.execute("SELECT version, n FROM people WHERE key = ?", (key,)).fetchone() or (0, 0)
            query = "SELECT key, event_id, at_us, body, checksum FROM events WHERE key = ?"
            found = db.execute(query, (key,)).fetchall()
        try:
            rows = tuple([Row(*row) for *row, checksum in found if checksum == _checksum(*row)])
        except (TypeError, UnicodeError, AttributeError):
            rows = ()
        if not len(rows) == len(found) == person[1]:
            raise self._damaged()
        return person[0], rows

    def erase(self, keys: Iterable[str], *, note: str | None = None) -> int:
        """Remove people from every byte of the file, and return how many rows they had.

        The removal is one transaction; the file is then written anew without what it left in free pages, at once or,
        with a note, by :meth:`finish`. A killed erasure is either not begun, or finished by whoever opens the file
        next.
        """
        gone = 0
        with self._writing() as db:
            db.execute("INSERT INTO erasing VALUES (?)", (note,))
            db.execute("UPDATE generation SET number = number + 1")
            for key in dict.fromkeys(keys):
                gone += db.execute("DELETE FROM events WHERE key = ?", (key,)).rowcount
                db.execute("DELETE FROM people WHERE key = ?", (key,))
        if note is None:
            self._scrub()
        return gone

    def unfinished(self) -> tuple[str, ...]:
        """Return the notes of erasures that are not over."""
        return tuple(row[0] for row in self._ask("SELECT note FROM erasing WHERE note IS NOT NULL", ()))

    def finish(self, note: str | None = None) -> None:
        """Forget a note, or all of them, and write the file anew without what erasures left in it."""
        with self._writing() as db:
            db.execute("UPDATE erasing SET note = NULL WHERE ? IS NULL OR note = ?", (note, note))
        self._scrub()

    def expire(self, before_us: int, *, keep: Iterable[str] = ()) -> int:
        """Remove rows older than an instant, except those of the event types in ``keep``; return how many."""
        marks = type_marks(keep)
        old = " AND ".join(["at_us < ?", *["instr(body, ?) <> 1"] * len(marks)])
        values = (check_integer(before_us, "before_us"), *marks)
        with self._writing() as db:
            after = db.execute("UPDATE clock SET version = version + 1 RETURNING version").fetchall()[0][0]
            touched = f"SELECT DISTINCT key FROM events WHERE {old}"
            db.execute(f"UPDATE people SET version = ? WHERE key IN ({touched})", (after, *values))
            gone = db.execute(f"DELETE FROM events WHERE {old}", values).rowcount
            count = "(SELECT count(*) FROM events e WHERE e.key = people.key)"
            db.execute(f"UPDATE people SET n = {count} WHERE version = ?", (after,))
            db.execute("DELETE FROM people WHERE n = 0")
            if gone:
                db.execute("INSERT INTO erasing VALUES (NULL)")
                db.execute("UPDATE generation SET number = number + 1")
        if gone:
            self._scrub()
        return int(gone)

    def sizes(self) -> tuple[int, int]:
        """Return the number of people and of rows."""
        found = self._ask("SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM events)", ())
        return found[0][0], found[0][1]

    def close(self) -> None:
        """Close what this process has open; the store may be used again."""
        mine = os.getpid()
        for pid, db in self._open:
            if pid == mine:
                db.close()
        self._open = [(pid, db) for pid, db in self._open if pid != mine]
        self._local = threading.local()

    def _ask(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._db().execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeError) as error:
            raise self._failed(error) from None

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give a connection inside a transaction that may write from its beginning."""
        return self._inside("BEGIN IMMEDIATE")

    @contextmanager
    def _inside(self, begin: str) -> Iterator[sqlite3.Connection]:
        """Give a connection inside a transaction, which is kept whole or undone whole."""
        try:
            db = self._db()
            db.execute(begin)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, UnicodeError) as error:
            raise self._failed(error) from None

    def _db(self) -> sqlite3.Connection:
        """Return the connection of this thread in this process."""
        held: tuple[int, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == os.getpid():
            return held[1]
        if held is not None:
            _ABANDONED.append(held[1])
        db = sqlite3.connect(self._path, timeout=self._wait, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if self._durable == 'power' else 'NORMAL'}")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA temp_store = MEMORY")
        self._local.held = os.getpid(), db
        self._open.append(self._local.held)
        return db

    def _make(self, db: sqlite3.Connection) -> None:
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application == _APPLICATION and version == _FORMAT:
            return
        if application == _APPLICATION and version == 2:
            self._run_all(db, _SINCE_3)
            return
        if application or version or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            later = application == _APPLICATION and version > _FORMAT
            raise StorageError(
                f"SQLiteStore: {self._path.name!r} "
                + ("was written by a later version. Upgrade: pip install -U omnireco." if later
                   else "is a database of something else. Name another file.")
            )  # fmt: skip
        self._run_all(db, _SCHEMA + _SINCE_3)

    @staticmethod
    def _run_all(db: sqlite3.Connection, statements: str) -> None:
        for statement in filter(str.strip, statements.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {_FORMAT}")

    def _scrub(self) -> None:
        """Write the file anew and empty the journal, so that no byte of what was removed stays."""
        db = self._db()
        try:
            db.execute("VACUUM")
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise StorageError(
                    f"erase: the people are removed from {self._path.name!r}, and its journal may still hold bytes of "
                    "them, because another process was reading. They go when the store is opened next, or by "
                    "live.erase([])."
                )
            db.execute("DELETE FROM erasing WHERE note IS NULL")  # others may be at work
        except (sqlite3.Error, UnicodeError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> StorageError:
        """Return our error: sqlite's own text names tables and columns, and values only where it cannot read them."""
        known = (sqlite3.OperationalError, sqlite3.IntegrityError, sqlite3.ProgrammingError)
        if not isinstance(error, known) or "decode" in str(error):
            return self._damaged()
        return StorageError(f"SQLiteStore: {self._path.name!r} cannot be used: {error}.")

    def _damaged(self) -> StorageError:
        return StorageError(
            f"SQLiteStore: {self._path.name!r} is damaged or no database. Restore a copy of it, with its -wal file."
        )


def _checksum(key: str, event_id: str, at_us: int, body: bytes) -> int:
    """Return the checksum of a row: SQLite keeps none, and one flipped bit makes another item or person of it."""
    return crc32(body, crc32(f"{key} {event_id} {at_us}".encode()))
