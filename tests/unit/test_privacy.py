"""Pseudonyms, and people who are taken out of stores, files and models without a byte left."""

import gc
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.live import Live, Snapshot, SQLiteStore, pseudonymise

KEY = b"a key of thirty-two secret bytes"
SECRET = "zz-SECRET-777"
ROOT = Path(__file__).resolve().parents[2]


def kills():
    spec = importlib.util.spec_from_file_location("kills", ROOT / "benchmarks" / "kills.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_pseudonyms_are_keyed_blake2b():
    found = pseudonymise(["ann", 7, "7"], KEY)
    assert found[0] == hashlib.blake2b(b"s:ann", key=KEY, digest_size=16).hexdigest()
    assert len(set(found)) == 3
    assert found == pseudonymise(["ann", 7, "7"], bytearray(KEY))
    assert pseudonymise(np.array([7]), KEY) == [found[1]]
    assert set(found).isdisjoint(pseudonymise(["ann", 7, "7"], KEY[::-1]))


@pytest.mark.parametrize(
    ("ids", "key", "words"),
    [
        ("ann", KEY, "must be a list"),
        (["ann"], "a text of enough letters", "16 to 64"),
        (["ann"], b"short", "16 to 64"),
        (["ann"], b"x" * 65, "16 to 64"),
        (["ann"], None, "needs a key"),
        (["ann", None], KEY, "id 1 must be an id"),
        ([True], KEY, "must be an id"),
        ([1.0], KEY, "must be an id"),
        ([""], KEY, "must be an id"),
    ],
)
def test_what_is_no_id_or_key_is_refused(ids, key, words):
    with pytest.raises((ParameterError, SchemaError), match=words):
        pseudonymise(ids, key)


def company(folder, key):
    """A log, a matrix, models and a service that know somebody, by their id or only by their pseudonym."""
    people = [SECRET, *(f"user {n}" for n in range(40))]
    named = people if key is None else pseudonymise(people, key)
    draw = np.random.default_rng(0)
    events = pd.DataFrame(
        {
            "user_id": np.repeat(named, 12),
            "item_id": [f"i{n:02d}" for n in draw.integers(0, 15, 12 * len(people))],
            "channel": "web",
            "event": "view",
            "timestamp": pd.Timestamp("2025-05-01", tz="UTC")
            + pd.to_timedelta(draw.integers(0, 2_000_000, 12 * len(people)), "s"),
        }
    )
    sent = pd.DataFrame(
        {
            "user_id": np.repeat(named, 4),
            "channel": "email",
            "sent_at": events["timestamp"].to_numpy()[: 4 * len(people)],
        }
    )
    sent["sent_at"] = pd.to_datetime(sent["sent_at"], utc=True)
    sent["responded_at"] = sent["sent_at"].where(np.arange(len(sent)) % 3 == 0) + pd.Timedelta("1h")
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": named, "timezone": "UTC", "consent_email": True}))
    log = om.EventLog.from_frame(events)
    data = om.Dataset(log, messages=om.MessageLog.from_frame(sent), audience=audience)
    snapshot = Snapshot(
        om.ALS(factors=4, iterations=2, weights=om.Weights()).fit(data),
        timing=om.SendTime().fit(data),
        audience=audience,
        known_until=data.end,
    )
    files = [om.save(log, folder / "log"), om.save(log.matrix(), folder / "matrix"), snapshot.save(folder / "snapshot")]
    neighbours = om.models.UserKNN().fit(data)
    files.append(om.save(neighbours, folder / "neighbours"))
    live = Live(Snapshot.open(folder / "snapshot"), store=SQLiteStore(folder / "events.db"), key=key)
    for user in people:
        live.observe(
            [
                {"user_id": user, "event": "view", "channel": "web", "item_id": f"i{n:02d}", "event_id": f"{n}",
                 "timestamp": f"2025-06-0{n + 1}"}
                for n in range(5)
            ]
        )  # fmt: skip
        live.recommend(user, 3, at="2025-06-09")
    return live, files, named[0]


@pytest.mark.parametrize("key", [None, KEY])
def test_after_an_erasure_no_byte_anywhere_names_the_person(tmp_path, key):
    live, files, named = company(tmp_path, key)

    def traces():
        marks = (SECRET.encode(), named.encode())
        return [file.name for file in tmp_path.iterdir() if any(mark in file.read_bytes() for mark in marks)]

    assert set(traces()) >= {"log", "matrix", "snapshot"}
    receipt = live.erase([SECRET], files=files)
    assert traces() == []
    assert receipt.people == 1
    assert receipt.events == 5
    assert receipt.ids["log"] == receipt.ids["matrix"] == receipt.ids["audience"] == 1
    assert receipt.ids["neighbours"] == 0
    assert set(receipt.awaits) >= {"model", "timing", "snapshot", "neighbours"}
    held = om.files.people_in(live.snapshot)
    assert not any(one in (SECRET, named) for known in held.values() for one in known.ids)
    assert not any(SECRET in str(one.user) for one in live._people.values())
    assert "SECRET" not in repr(receipt)
    assert live.recommend(SECRET, 3, at="2025-06-09").cold
    gc.collect()
    again = Live(Snapshot.open(tmp_path / "snapshot"), store=SQLiteStore(tmp_path / "events.db"), key=key)
    assert again.state(SECRET, at="2025-06-09").events == 0
    assert again.state("user 3", at="2025-06-09").events == 5
    assert live.erase([SECRET], files=files).events == 0


def test_with_a_key_the_store_never_sees_an_id(tmp_path):
    live, _, _ = company(tmp_path, KEY)
    live.store.close()
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()
        assert KEY not in file.read_bytes()
    assert KEY.decode() not in repr(live)


def test_an_erasure_that_was_cut_short_is_ended_before_anything_is_answered(tmp_path, monkeypatch):
    live, files, named = company(tmp_path, KEY)
    monkeypatch.setattr(om.live.live, "without_in_file", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="disk is full"):
        live.erase([SECRET], files=files)
    monkeypatch.undo()
    assert live.store.unfinished()
    live.close()
    Live(Snapshot.open(tmp_path / "snapshot"), store=SQLiteStore(tmp_path / "events.db"), key=KEY)
    for file in tmp_path.iterdir():
        assert not any(mark in file.read_bytes() for mark in (SECRET.encode(), named.encode())), file.name


def test_a_file_that_cannot_be_read_stops_an_erasure_before_it_begins(tmp_path):
    live, files, _ = company(tmp_path, None)
    (tmp_path / "damaged").write_bytes(b"no file of ours")
    for wrong, words in ((tmp_path / "nowhere", "there is no file"), (tmp_path / "damaged", "is damaged")):
        with pytest.raises(StorageError, match=words):
            live.erase([SECRET], files=[*files, wrong])
        assert live.state(SECRET, at="2025-06-09").events == 5
        assert not live.store.unfinished()


def test_a_file_that_is_gone_when_an_erasure_is_ended_holds_it_up_no_longer(tmp_path):
    live, files, _ = company(tmp_path, None)
    live.store.erase([f"s:{SECRET}"], note=json.dumps([[SECRET], [str(path) for path in files]]))
    live.close()
    files[0].unlink()
    Live(Snapshot.open(tmp_path / "snapshot"), store=SQLiteStore(tmp_path / "events.db"))
    assert not any(SECRET.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_nobody_is_erased_by_half_a_list(tmp_path):
    live, files, _ = company(tmp_path, None)
    with pytest.raises(SchemaError, match="user 1 must be an id"):
        live.erase([SECRET, None], files=files)
    assert live.state(SECRET, at="2025-06-09").events == 5


@pytest.mark.skipif(not hasattr(__import__("os"), "fork") or sys.platform == "darwin", reason="kills forked children")
def test_killed_at_random_moments_the_state_is_before_or_after(tmp_path):
    lines = kills().run(12, 5, tmp_path)
    assert len(lines) == 3
