"""The promises of a store, over every store: memory, SQLite, and Redis where a server is found."""

import multiprocessing
import os
import sqlite3
import threading
import traceback
import uuid
from pathlib import Path

import numpy as np
import pytest

from omnireco.errors import MissingExtraError, ParameterError, SchemaError, StorageError
from omnireco.live import MemoryStore, RedisStore, Row, SQLiteStore

REDIS = os.environ.get("OMNIRECO_REDIS", "redis://localhost:6379/0")
BODY = b'["view","web"]'


def redis_store():
    pytest.importorskip("redis", reason="the package redis is not installed: pip install 'omnireco[redis]'")
    try:
        return RedisStore(REDIS, prefix=f"test-{uuid.uuid4().hex}:")
    except StorageError:
        pytest.skip("no Redis server at OMNIRECO_REDIS or on localhost")


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request, tmp_path):
    made = {"memory": MemoryStore, "sqlite": lambda: SQLiteStore(tmp_path / "events.db"), "redis": redis_store}
    held = made[request.param]()
    yield held
    held.erase([f"p{i}" for i in range(60)])
    held.close()


def rows(key, n, start=0):
    return [Row(key, f"e{i}", 1_000 * i, BODY) for i in range(start, start + n)]


def test_rows_come_back_and_a_repeat_changes_nothing(store):
    first = store.append(rows("p1", 3) + rows("p2", 1))
    assert first.new == (True,) * 4
    assert first.versions["p1"][0] == 0
    version, held = store.read("p1")
    assert version == store.version("p1") == first.versions["p1"][1]
    assert sorted(held) == rows("p1", 3)
    again = store.append(rows("p1", 4))
    assert again.new == (False, False, False, True)
    assert again.versions["p1"] == (version, store.version("p1"))
    assert store.append(rows("p1", 4)).versions["p1"] == (store.version("p1"),) * 2
    assert store.sizes() == (2, 5)


def test_nobody_has_the_version_0(store):
    assert store.version("p9") == 0
    assert store.read("p9") == (0, ())
    assert store.append([]).new == ()
    assert store.erase(["p9"]) == 0


def test_another_event_under_a_taken_id_is_refused_and_nothing_of_the_batch_is_kept(store):
    store.append(rows("p1", 1))
    with pytest.raises(SchemaError, match="stands for another event already"):
        store.append([*rows("p2", 1), Row("p1", "e0", 7, BODY)])
    with pytest.raises(SchemaError, match="stands for another event already"):
        store.append([Row("p3", "x", 7, BODY), Row("p3", "x", 8, BODY)])
    assert store.sizes() == (1, 1)


def test_one_batch_may_hold_an_event_twice(store):
    assert store.append(rows("p1", 1) * 2).new == (True, False)
    assert store.sizes() == (1, 1)


def test_versions_never_repeat_not_even_after_an_erasure(store):
    seen = [store.append(rows("p1", 1)).versions["p1"][1]]
    store.erase(["p1"])
    seen += [store.append(rows("p1", 1)).versions["p1"][1], store.append(rows("p1", 2)).versions["p1"][1]]
    assert len(set(seen)) == 3


def test_old_rows_expire_and_some_types_stay(store):
    kept = Row("p1", "c", 5, b'["consent","email",null,null,true]')
    store.append([*rows("p1", 4), kept, *rows("p2", 1)])
    before = store.version("p1")
    assert store.expire(2_000, keep=["consent"]) == 3
    assert {row.event_id for row in store.read("p1")[1]} == {"c", "e2", "e3"}
    assert store.version("p1") != before
    assert store.version("p2") == 0
    assert store.expire(2_000, keep=["consent"]) == 0


def test_an_erasure_with_a_note_waits_for_its_end(store):
    store.append(rows("p1", 2))
    assert store.erase(["p1"], note="files") == 2
    assert store.read("p1") == (0, ())
    if not isinstance(store, MemoryStore):
        assert store.unfinished() == ("files",)
    store.finish()
    assert store.unfinished() == ()


def test_an_erasure_or_expiry_is_a_new_generation_for_all_who_have_the_store_open(store):
    store.append(rows("p1", 2))
    seen = [store.look("p1")]
    assert seen[0] == (store.version("p1"), store.generation())
    store.append(rows("p2", 2))
    assert store.look("p1") == seen[0]
    store.erase(["p9"])
    seen.append(store.look("p1"))
    store.expire(1)
    seen.append(store.look("p1"))
    assert len({generation for _, generation in seen}) == 3
    store.expire(1)
    assert store.look("p1") == seen[-1]


def test_the_end_of_one_erasure_does_not_forget_another(store):
    if isinstance(store, MemoryStore):
        pytest.skip("a note would not outlive the process")
    for key in ("p1", "p2"):
        store.append(rows(key, 1))
        store.erase([key], note=f"files of {key}")
    store.finish("files of p1")
    assert store.unfinished() == ("files of p2",)
    store.finish()
    assert store.unfinished() == ()


def test_a_changed_byte_in_redis_is_refused():
    store = redis_store()
    store.append([Row("p1", "e0", 1_000, b'["view","web","i00017"]')])
    name = f"{store._prefix}p:p1"
    whole = store._db().hget(name, "ee0")
    for cell in (whole.replace(b"i00017", b"i00018"), whole.replace(b"1000 ", b"1001 ", 1), b"", b"1000 ", b"x y z"):
        store._db().hset(name, "ee0", cell)
        with pytest.raises(StorageError, match="damaged") as error:
            store.read("p1")
        assert "i0001" not in str(error.value)
    store._db().hset(name, "ee0", whole)
    assert len(store.read("p1")[1]) == 1
    store._db().hset(name, "ee1", whole)  # the event under another id
    with pytest.raises(StorageError, match="damaged"):
        store.read("p1")
    store.erase(["p1"])


def test_a_file_of_the_last_format_is_read_on(tmp_path):
    store = SQLiteStore(tmp_path / "events.db")
    store.append(rows("p1", 2))
    db = store._db()
    db.execute("DROP TABLE generation")
    db.execute("PRAGMA user_version = 2")
    store.close()
    again = SQLiteStore(tmp_path / "events.db")
    assert sorted(again.read("p1")[1]) == rows("p1", 2)
    again.erase(["p1"])
    assert again.look("p1") == (0, 1)


def test_threads_lose_nothing(store):
    def work(number):
        for i in range(40):
            store.append([Row(f"p{i % 3}", f"t{number}-{i}", i, BODY)])
            store.read("p1")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert store.sizes() == (3, 160)


def _append_in_child(store, number):
    store.append([Row("p1", f"child-{number}-{i}", i, BODY) for i in range(20)])


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_share_a_file(tmp_path, way, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where a new process finds this file
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip("no such way to start a process here")
    store = SQLiteStore(tmp_path / "events.db")
    store.append(rows("p1", 1))
    context = multiprocessing.get_context(way)
    if way == "fork":
        children = [context.Process(target=_append_in_child, args=(store, number)) for number in range(2)]
    else:
        children = [
            context.Process(target=_append_to, args=(str(tmp_path / "events.db"), number)) for number in range(2)
        ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert store.sizes() == (1, 41)


def _append_to(path, number):
    _append_in_child(SQLiteStore(path), number)


def test_a_file_that_is_closed_and_opened_again_holds_everything(tmp_path):
    store = SQLiteStore(tmp_path / "events.db", durable="power")
    store.append(rows("p1", 5))
    version = store.version("p1")
    store.close()
    assert store.sizes() == (1, 5)
    again = SQLiteStore(tmp_path / "events.db")
    assert again.version("p1") == version
    assert sorted(again.read("p1")[1]) == rows("p1", 5)


def test_no_byte_of_somebody_erased_stays_in_the_file(tmp_path):
    store = SQLiteStore(tmp_path / "events.db")
    for i in range(50):
        store.append([Row(f"p{i}", f"zz-SECRET-{i}-{j}", j, b'{"c":"zz-SECRET-%d","e":"view"}' % i) for j in range(30)])
    assert store.erase([f"p{i}" for i in range(0, 50, 2)]) == 25 * 30
    for file in tmp_path.iterdir():
        held = file.read_bytes()
        assert not any(b"zz-SECRET-%d-" % i in held for i in range(0, 50, 2)), file.name
        assert not any(b'"zz-SECRET-%d"' % i in held for i in range(0, 50, 2)), file.name
    assert store.sizes() == (25, 750)


def test_an_erasure_that_was_killed_before_its_end_is_ended_by_the_next_to_open(tmp_path):
    store = SQLiteStore(tmp_path / "events.db")
    store.append([Row("p1", "zz-SECRET", 1, BODY), *rows("p2", 1)])
    with store._writing() as db:  # as erase begins
        db.execute("INSERT INTO erasing VALUES (NULL)")
        db.execute("DELETE FROM events WHERE key = 'p1'")
    store.close()
    SQLiteStore(tmp_path / "events.db").close()
    assert not any(b"zz-SECRET" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_reader_in_the_way_of_an_erasure_is_named_and_it_ends_later(tmp_path):
    store = SQLiteStore(tmp_path / "events.db", wait=0.2)
    store.append(rows("p1", 3))
    other = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(StorageError, match=r"journal may still hold bytes|cannot be used"):
        store.erase(["p1"])
    assert store.read("p1") == (0, ())
    other.close()
    store.erase([])
    assert not store._ask("SELECT * FROM erasing", ())


@pytest.mark.parametrize("damage", ["text", "truncated", "foreign", "later"])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, damage):
    path = tmp_path / "events.db"
    if damage == "text":
        path.write_text("no database at all, but a text of some length\n" * 100)
    elif damage == "foreign":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE mine (a)")
    else:
        store = SQLiteStore(path)
        store.append(rows("p1", 400))
        if damage == "later":
            store._db().execute("PRAGMA user_version = 99")
        store.close()
        if damage == "truncated":
            path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StorageError, match=r"damaged|something else|later version|cannot be used"):
        SQLiteStore(path).read("p1")


def test_a_flipped_bit_is_refused_and_never_another_item_or_person(tmp_path):
    path, names = tmp_path / "events.db", [f"s:zz-SECRET-{n}" for n in range(5)]
    store = SQLiteStore(path)
    for name in names:
        store.append([Row(name, f"e{n}", 1000 * n, f'["view","web","i{n:02d}"]'.encode()) for n in range(25)])
    held = {name: set(store.read(name)[1]) for name in names}
    store._db().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    whole, draw, said = path.read_bytes(), np.random.default_rng(2), []
    assert whole.count(b"SECRET") >= 130
    for place in [*draw.integers(0, len(whole), 120), *(whole.index(names[3].encode()) + n for n in range(14))]:
        bad = bytearray(whole)
        bad[place] ^= 1 << int(draw.integers(0, 8))
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        path.write_bytes(bad)
        try:
            store = SQLiteStore(path, wait=0.1)
            found = {name: set(store.read(name)[1]) for name in names}
            store.close()
        except StorageError as error:
            said.append("".join(traceback.format_exception(error)))
        else:
            assert found == held
    assert len(said) > 20
    assert "SECRET" not in "".join(said)


def test_a_full_disk_keeps_nothing_of_a_batch_and_goes_on_when_there_is_room(tmp_path):
    store = SQLiteStore(tmp_path / "events.db")
    store.append(rows("p1", 3))
    db, before = store._db(), store.read("p1")
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = [Row("p1", f"more {n}", n, BODY * 50) for n in range(400)]
    with pytest.raises(StorageError, match="full"):
        store.append(many)
    assert store.read("p1") == before
    db.execute("PRAGMA max_page_count = 100000")
    assert all(store.append(many).new)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ParameterError, match="path must be"):
        SQLiteStore(3)
    with pytest.raises(ParameterError, match="durable"):
        SQLiteStore(tmp_path / "a.db", durable="sure")
    with pytest.raises(StorageError, match="cannot be used"):
        SQLiteStore(tmp_path / "no folder" / "a.db")
    with pytest.raises(ParameterError, match="texts"):
        RedisStore(3)


def test_reprs_name_nobody(store):
    done = store.append([Row("zz-SECRET-777", "e", 1, BODY)])
    assert "SECRET" not in repr((store, done, store.read("zz-SECRET-777")))
    store.erase(["zz-SECRET-777"])


def test_redis_asks_for_its_package(monkeypatch):
    import builtins

    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "redis":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    import sys

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"omnireco\[redis\]"):
        RedisStore()
